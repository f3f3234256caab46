"""Clusters from Python: start, connect, stop, and what happens to the processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time

import pytest

import phalanx as px
from phalanx import _phalanx
from support import children, is_alive, run_python


@pytest.mark.req(1)
def test_a_cluster_starts_and_stops(home):
    cluster = px.Cluster(n=2)
    rc = cluster.start_and_connect_sync()
    assert rc.cluster is cluster
    assert rc.ids == [0, 1]
    pids = [engine["pid"] for engine in rc.engines]
    assert all(map(is_alive, pids))
    assert "running" in repr(cluster)
    with pytest.raises(RuntimeError):
        cluster.start_cluster_sync()
    rc.close()
    cluster.stop_cluster_sync()
    cluster.stop_cluster_sync()
    assert not any(map(is_alive, pids))
    assert not [pid for pid in children(os.getpid()) if pid in pids]
    with pytest.raises(px.ClusterError):
        cluster.connect_client_sync()


def test_with_and_async_with(home):
    with px.Cluster(n=1) as rc:
        assert rc[:].apply_sync(lambda: 1) == [1]
        pid = rc.engines[0]["pid"]
    assert rc.closed
    assert not is_alive(pid)

    async def main():
        async with px.Cluster(n=1) as rc:
            return await rc[0].apply_async(lambda: 2)

    assert asyncio.run(main()) == 2


@pytest.mark.req(4, 9)
def test_clients_find_the_cluster(cluster, rc):
    with px.Client(cluster.connection_file) as one, px.Client(cluster_id=cluster.cluster_id) as two:
        one[0].push({"shared": 1}, block=True)
        assert two[0]["shared"] == 1
    with pytest.raises(OSError, match="connection file"):
        px.Client("/nowhere/client.json", timeout=0.1)
    with pytest.raises(OSError, match="no-such"):
        px.Client(cluster_id="no-such", timeout=0.1)
    with pytest.raises(ValueError, match="address"):
        px.Client("tcp://10.0.0.1:5000")


def test_a_hub_that_says_nothing_is_waited_for_no_longer_than_was_said(cluster):
    with open(cluster.connection_file) as file:
        info = json.load(file)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        info["hub"]["addresses"] = [f"127.0.0.1:{silent.getsockname()[1]}"]
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no session .* in 0\.\d* s: it has not answered"):
            px.Client(info, timeout=0.2)
        assert time.monotonic() - start < 4, "a handshake alone would take five seconds"


@pytest.mark.req(3)
def test_what_old_programs_say_of_zeromq_is_passed_over(cluster):
    said = {"packer": "pickle", "debug": True, "context": None, "sshserver": None}
    with px.Client(cluster.connection_file, cluster_id="", **said) as rc:
        assert (rc[0].apply_sync(abs, -1), rc.profile) == (1, "default")
    for name in ("profile_dir", "sshserver", "colour"):
        with pytest.raises(TypeError, match=name):
            px.Client(cluster.connection_file, **{name: "some"})


def test_a_cluster_that_ends_while_it_is_found_is_passed_over(cluster, monkeypatch, tmp_path):
    with open(cluster.connection_file) as file:
        info = json.load(file)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        info["hub"]["addresses"] = [f"127.0.0.1:{silent.getsockname()[1]}"]
        gone = tmp_path / "client.json"
        gone.touch(mode=0o600)
        gone.write_text(json.dumps(info))
        found = iter([str(gone), cluster.connection_file])
        monkeypatch.setattr(_phalanx, "find_cluster", lambda *names: next(found))
        with px.Client() as rc:
            assert rc[0].apply_sync(abs, -1) == 1
        monkeypatch.setattr(_phalanx, "find_cluster", lambda *names: str(gone))
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=r"it has not answered .*\(waited 1.5 s\)"):
            px.Client(timeout=1.5)
        assert 1.5 <= time.monotonic() - start < 3, "no longer than was said"


def test_the_contents_of_a_connection_file_will_do(cluster):
    import json
    from pathlib import Path

    info = json.loads(Path(cluster.connection_file).read_text())
    with px.Client(info) as rc:
        assert rc[0].apply_sync(lambda: 1) == 1


@pytest.mark.req(8)
def test_ids_follow_engines_that_go_and_come(home, until):
    with px.Cluster(n=2) as rc:
        assert rc.ids == [0, 1]
        rc[1].push({"lost": 1}, block=True)
        pid = {engine["id"]: engine["pid"] for engine in rc.engines}[1]
        os.kill(pid, signal.SIGKILL)
        until(lambda: {e["id"]: e["pid"] for e in rc.engines}.get(1) not in (None, pid))
        rc.wait_for_engines(2, timeout=30)
        assert rc.ids == [0, 1]
        with pytest.raises(px.RemoteError, match="NameError"):
            rc[1]["lost"]


def test_a_killed_engine_fails_direct_tasks_and_not_balanced_ones(home):
    with px.Cluster(n=2) as rc:
        view = rc[1]
        ar = view.apply_async(lambda: __import__("os").kill(__import__("os").getpid(), 9))
        with pytest.raises(px.EngineError, match="engine 1 died"):
            ar.get(30)

        def flaky(path):
            import os

            if not os.path.exists(path):
                open(path, "w").close()
                os.kill(os.getpid(), 9)
            return "done"

        path = str(home / "flaky")
        assert rc.load_balanced_view().apply_async(flaky, path).get(30) == "done"


def test_a_cluster_whose_host_was_killed_ends_what_waits_for_it(home, until):
    cluster = px.Cluster(n=1)
    cluster.start_cluster_sync()
    with px.Client(cluster.connection_file) as rc:
        rc.wait_for_engines(1, timeout=30)
        ar = rc[0].apply_async(time.sleep, 50)
        until(lambda: rc.queue_status(0)["queue"] == 1)
        [host] = [
            row["pid"]
            for row in _phalanx.list_clusters()
            if row["cluster_id"] == cluster.cluster_id
        ]
        os.kill(host, signal.SIGKILL)
        # The hub says no farewell: a session counts as lost after 15 s of silence.
        with pytest.raises(px.Disconnected, match="the cluster has ended"):
            ar.get(40)
        with pytest.raises(px.ClosedError, match="the cluster has ended"):
            rc.queue_status()
        with pytest.raises(px.ClosedError, match="the cluster has ended"):
            rc.wait_for_engines(2, timeout=10)


def test_restart_of_the_engines(home):
    cluster = px.Cluster(n=2)
    rc = cluster.start_and_connect_sync()
    rc[:].push({"a": 1}, block=True)
    before = [engine["pid"] for engine in rc.engines]
    cluster.restart_engines_sync()
    rc.wait_for_engines(2, timeout=30)
    assert rc.ids == [0, 1]
    assert not set(before) & {engine["pid"] for engine in rc.engines}
    with pytest.raises(px.CompositeError, match="NameError"):
        rc[:]["a"]
    rc.close()
    cluster.stop_cluster_sync()


def test_a_signal_interrupts_what_runs(home, until):
    cluster = px.Cluster(n=1)
    rc = cluster.start_and_connect_sync()
    started = home / "started"

    def run(path):
        open(path, "w").close()
        while True:
            pass

    ar = rc[0].apply_async(run, str(started))
    until(started.exists)
    cluster.signal_engines_sync(signal.SIGINT)
    with pytest.raises(px.RemoteError, match="KeyboardInterrupt"):
        ar.get(20)
    cluster.signal_engines_sync(signal.SIGINT)  # nothing runs: nothing happens
    assert rc[0].apply_sync(lambda: 1) == 1
    rc.close()
    cluster.stop_cluster_sync()


def test_waiting_for_engines_in_vain(rc):
    with pytest.raises(TimeoutError, match="4 of 99"):
        rc.wait_for_engines(99, timeout=0.05)
    with pytest.raises(TimeoutError):
        rc.wait_for_engines(99, timeout=0.05, block=False).result(20)
    assert rc.wait_for_engines(4) is None


def test_what_n_can_be():
    with pytest.raises(ValueError):
        px.Cluster(n=-1)
    with pytest.raises(TypeError):
        px.Cluster(n="4")
    assert px.Cluster().n >= 1


@pytest.mark.req(11)
def test_logs_lie_with_the_cluster(cluster):
    import pathlib

    assert list(pathlib.Path(cluster.cluster_dir).rglob("*.log"))


def test_a_program_that_ends_without_stopping_leaves_nothing(home, until):
    code = """
import os, phalanx as px
rc = px.Cluster(n=1).start_and_connect_sync()
print(rc.engines[0]["pid"], flush=True)
os._exit(0)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    until(lambda: not is_alive(int(done.stdout)))


def test_modules_beside_the_program_are_found_by_engines(home, tmp_path):
    (tmp_path / "mine.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "program.py").write_text(
        "import phalanx as px, mine\n"
        "with px.Cluster(n=1) as rc:\n"
        "    print(rc[:].map_sync(mine.f, [1, 2]))\n"
    )
    code = (
        "import runpy, sys; sys.path[0] = sys.argv[1]; runpy.run_path(sys.argv[1] + '/program.py')"
    )
    done = run_python(code, str(tmp_path))
    assert done.stdout == "[2, 3]\n", done.stderr
