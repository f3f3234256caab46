"""The Cluster API: sets of engines, restarts, signals, clusters of other processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat

import pytest

import phalanx as px
from phalanx.cluster.hosting import Host
from support import is_alive, run_python


@pytest.fixture
def own(home):
    """A cluster of this test alone, with one engine."""
    cluster = px.Cluster(n=1)
    cluster.start_cluster_sync()
    yield cluster
    cluster.stop_cluster_sync()


def pids_of(rc):
    return {engine["id"]: engine["pid"] for engine in rc.engines}


# ------------------------------------------------------------------ sets of engines


def test_a_controller_starts_alone_and_engines_come_in_sets(home):
    cluster = px.Cluster(n=2)
    cluster.start_controller_sync()
    try:
        assert cluster.engine_set is None
        with pytest.raises(RuntimeError, match="runs already"):
            cluster.start_controller_sync()
        with cluster.connect_client_sync() as rc:
            assert rc.ids == []
            first = cluster.start_engines_sync()
            assert rc.wait_for_engines(2, timeout=30) is None
            assert cluster.start_engines_sync(1, engine_set_id="more") == "more"
            rc.wait_for_engines(3, timeout=30)
            assert rc.ids == [0, 1, 2]
            assert rc[:].map_sync(lambda x: x + 1, [1, 2, 3]) == [2, 3, 4]
            assert list(cluster.engines) == [first, "more"]
            assert (cluster.engine_set.n, cluster.engine_set.running) == (2, True)
            with pytest.raises(KeyError, match="more"):
                cluster.start_engines_sync(1, engine_set_id="more")
    finally:
        cluster.stop_cluster_sync()


def test_a_set_is_stopped_and_stays_away(own, until):
    more = own.start_engines_sync(2)
    with own.connect_client_sync() as rc:
        rc.wait_for_engines(3, timeout=30)
        pids = own.engines[more].pids
        own.stop_engines_sync(more)
        assert not any(map(is_alive, pids))
        until(lambda: rc.ids == [0])
        assert more not in own.engines
        with pytest.raises(KeyError, match="no engine set"):
            own.stop_engines_sync(more)
        assert rc[:].apply_sync(abs, -1) == [1]
        own.stop_engines_sync()
        until(lambda: rc.ids == [])
        own.stop_engines_sync()


def test_engines_that_cannot_start_are_told_and_do_not_stay(home, tmp_path):
    script = tmp_path / "startup.py"
    script.write_text("")
    cluster = px.Cluster(n=1, startup_script=script)
    cluster.start_cluster_sync()
    try:
        script.write_text("raise ValueError('not today')")
        with pytest.raises(px.ClusterError, match=r"exited with code 3(?s:.*)not today"):
            cluster.start_engines_sync(1)
        with cluster.connect_client_sync() as rc:
            assert rc.ids == [0]
        assert len(cluster.engines) == 1
    finally:
        cluster.stop_cluster_sync()


# ------------------------------------------------------------------ restarts and signals


def test_engines_are_restarted_under_their_ids_as_often_as_wanted(own):
    more = own.start_engines_sync(1)
    with own.connect_client_sync() as rc:
        rc.wait_for_engines(2, timeout=30)
        rc[:].push({"a": 1}, block=True)
        before = pids_of(rc)
        own.restart_engines_sync(more)
        rc.wait_for_engines(2, timeout=30)
        assert rc[0]["a"] == 1
        with pytest.raises(px.RemoteError, match="NameError"):
            rc[1].pull("a", block=True)
        for _ in range(6):  # more often than an engine may die
            own.restart_engine_sync(0)
        rc.wait_for_engines(2, timeout=30)
        assert rc.ids == [0, 1]
        assert not set(before.values()) & set(pids_of(rc).values())
        for act in (own.restart_engine_sync, own.stop_engine_sync):
            with pytest.raises(KeyError, match="no engine 7"):
                act(7)
        with pytest.raises(KeyError):
            own.restart_engines_sync("nothing")


def test_one_engine_is_stopped(own, until):
    own.start_engines_sync(1)
    with own.connect_client_sync() as rc:
        rc.wait_for_engines(2, timeout=30)
        own.stop_engine_sync(0)
        until(lambda: rc.ids == [1])
    assert [each.n for each in own.engines.values()] == [0, 1]


def test_a_signal_goes_to_one_engine_or_a_set(own, tmp_path, until):
    more = own.start_engines_sync(1)
    with own.connect_client_sync() as rc:
        rc.wait_for_engines(2, timeout=30)

        def spin(path):
            open(path, "w").close()
            while True:
                pass

        def send_to_one():
            own.signal_engine_sync(signal.SIGINT, 1)

        def send_to_set():
            own.signal_engines_sync("SIGINT", more)

        for number, send in enumerate([send_to_one, send_to_set]):
            begun = tmp_path / f"begun-{number}"
            ar = rc[1].apply_async(spin, str(begun))
            until(begun.exists)
            send()
            with pytest.raises(px.RemoteError, match="KeyboardInterrupt"):
                ar.get(20)
    with pytest.raises(KeyError):
        own.signal_engine_sync(signal.SIGINT, 9)
    with pytest.raises(KeyError):
        own.signal_engines_sync(signal.SIGINT, "nothing")
    with pytest.raises(px.ClusterError, match="not a signal"):
        own.signal_engines_sync(4711)


# ------------------------------------------------------------------ two forms


def test_everything_can_be_awaited(home):
    async def main():
        cluster = px.Cluster(n=1)
        await cluster.start_cluster()
        try:
            more = await cluster.start_engines(1)
            rc = await cluster.connect_client()
            rc.wait_for_engines(2, timeout=30)
            await cluster.signal_engines(signal.SIGINT)
            await cluster.restart_engine(1)
            await cluster.stop_engines(more)
            rc.close()
        finally:
            await cluster.stop_cluster()
        return cluster

    cluster = asyncio.run(main())
    assert cluster.controller is None
    assert "To be awaited" not in px.Cluster.start_cluster_sync.__doc__
    assert px.Cluster.start_cluster.__doc__ == "As `start_cluster_sync`, to be awaited."


def test_blocking_forms_work_inside_an_event_loop(home):
    async def main():
        with px.Cluster(n=1) as rc:
            return rc[0].apply_sync(abs, -1)

    assert asyncio.run(main()) == 1


# ------------------------------------------------------------------ other processes


def test_another_process_uses_a_cluster_and_leaves_it_running(own):
    program = """
import sys, phalanx as px
cluster = px.Cluster.from_file(sys.argv[1])
with cluster.connect_client_sync() as rc:
    print(rc.ids, rc[0].apply_sync(abs, -3))
print(cluster.start_engines_sync(1, "theirs"))
"""
    done = run_python(program, own.cluster_file)
    assert done.stdout == "[0] 3\ntheirs\n", done.stderr
    assert own.is_running
    assert not stat.S_IMODE(os.stat(own.cluster_file).st_mode) & 0o077
    again = px.Cluster.from_file(cluster_id=own.cluster_id)
    assert [each.n for each in again.engines.values()] == [1, 1]
    assert again.cluster_id == own.cluster_id
    again.stop_cluster_sync()
    again.stop_cluster_sync()
    assert not own.is_running
    assert own.has_ended
    own.stop_cluster_sync()
    assert own.cluster_dir is None
    assert not os.path.exists(own.cluster_file)


def test_a_copy_by_dict(own):
    copy = px.Cluster.from_dict(own.to_dict())
    assert (copy.n, copy.cluster_id, list(copy.engines)) == (1, own.cluster_id, list(own.engines))
    assert copy.shutdown_atexit is False
    with copy.connect_client_sync() as rc:
        assert rc.cluster is copy


def test_the_file_comes_and_goes(own):
    own.remove_cluster_file()
    own.remove_cluster_file()
    found = px.Cluster.from_file(cluster_id=own.cluster_id)  # as one of `phalanx start`
    assert list(found.engines) == ["all"]
    own.update_cluster_file()
    assert not os.path.exists(own.cluster_file)
    own.write_cluster_file()
    assert list(px.Cluster.from_file(own.cluster_file).engines) == list(own.engines)
    with pytest.raises(FileNotFoundError):
        px.Cluster.from_file(cluster_id="no-such")
    with pytest.raises(FileNotFoundError):
        px.Cluster.from_file("/nowhere/cluster.json")
    with pytest.raises(px.ClusterError, match="not running"):
        px.Cluster().write_cluster_file()


def test_the_manager_knows_what_runs(own):
    manager = px.ClusterManager()
    key = f"default:{own.cluster_id}"
    assert key in manager.load_clusters()
    assert manager.get_cluster(key).cluster_id == own.cluster_id
    mine, fresh = manager.new_cluster(n=1, cluster_id="fresh")
    assert (mine, fresh.is_running) == ("default:fresh", False)
    with pytest.raises(KeyError, match="already"):
        manager.new_cluster(cluster_id="fresh")
    own.stop_cluster_sync()
    assert set(manager.load_clusters(init_default_clusters=True)) >= {mine}
    assert key not in manager.clusters
    manager.remove_cluster(mine)
    for unknown in (manager.get_cluster, manager.remove_cluster):
        with pytest.raises(KeyError, match="no cluster"):
            unknown(mine)


def test_what_is_left_of_clusters_is_removed(home, tmp_path):
    told = []

    class Log:
        info = staticmethod(told.append)

    place = tmp_path / "clusters-home"
    running = px.Cluster(n=1, home=str(place), cluster_id="runs", shutdown_atexit=False)
    running.start_cluster_sync()
    try:
        px.clean_cluster_files([str(place)], log=Log)
        assert running.is_running
        px.clean_cluster_files([str(place)], log=Log, force=True)
        assert not running.is_running
        assert not os.path.exists(running.cluster_dir)
    finally:
        running.stop_cluster_sync()


# ------------------------------------------------------------------ what it says


def test_it_shows_what_it_is(own):
    cluster = px.Cluster(n=1, cluster_id="x")
    assert repr(cluster) == "<Cluster(cluster_id='x', profile='default')>"
    (name,) = own.engines
    assert repr(own) == (
        f"<Cluster(cluster_id='{own.cluster_id}', profile='default', controller=<running>, "
        f"engine_sets=['{name}'])>"
    )
    assert (own.controller.running, is_alive(own.controller.pid)) == (True, True)
    assert own.controller.get_output()
    assert "registered" in own.engine_set.get_output()
    assert repr(own.engine_set) == "<EngineSet(n=1, running)>"


def test_options_that_do_not_exist_are_told():
    with pytest.raises(TypeError, match="colour"):
        px.Cluster(colour="red")
    with pytest.raises(ValueError, match="slurm"):
        px.Cluster(engines="slurm")
    with pytest.raises(TypeError, match="give one"):
        px.Cluster(engines="local", engine_launcher_class="LocalEngineSetLauncher")
    kept = px.Cluster(n=1, engines="Local", controller="local", delay=1.0, log_level=10)
    assert kept.n == 1


def test_a_profile_has_clusters_of_its_own(home):
    cluster = px.Cluster(n=1, profile="mine", cluster_id="")
    with cluster as rc:
        assert rc[0].apply_sync(abs, -1) == 1
        assert (cluster.profile, cluster.cluster_id) == ("mine", "default")
        with px.Client(profile="mine") as again:
            assert again.ids == [0]
        assert list(px.ClusterManager().load_clusters(profile="mine")) == ["mine:default"]


def test_a_host_that_is_gone_is_told(own):
    host = Host(own.cluster_dir)
    with pytest.raises(px.ClusterError, match="no engine elsewhere/0"):
        host.stop(["elsewhere/0"])
    with pytest.raises(px.ClusterError, match="over the limit"):
        host.add(5000)
    own.stop_cluster_sync()
    with pytest.raises(px.ClusterError, match="does not answer"):
        host.add(1)
    with pytest.raises(px.ClusterError, match="not running"):
        own.start_engines_sync(1)


def test_waiting_for_engines_ends_when_one_is_given_up(own, until):
    with own.connect_client_sync() as rc:
        waiting = rc.wait_for_engines(2, timeout=50, block=False)
        while not waiting.done():
            for pid in own.engine_set.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            until(lambda: own.engine_set.pids or waiting.done())
        with pytest.raises(px.EngineError, match=r"given up: killed by SIGKILL"):
            waiting.result(20)


def test_waiting_for_engines_ends_with_the_cluster(home):
    cluster = px.Cluster(n=1)
    rc = cluster.start_and_connect_sync()
    waiting = rc.wait_for_engines(3, timeout=30, block=False)
    os.kill(cluster.controller.pid, signal.SIGTERM)
    with pytest.raises(px.EngineError, match="the cluster has ended"):
        waiting.result(25)
    rc.close()
    cluster.stop_cluster_sync()


# ------------------------------------------------------------------ the controller's processes and address


@pytest.mark.req(2)
def test_the_scheduler_can_be_a_process_of_its_own(home):
    cluster = px.Cluster(n=1, scheduler_process=True)
    with cluster as rc:
        processes = {
            each["process"]: each for each in Host(cluster.cluster_dir).state()["processes"]
        }
        pids = {processes[name]["pid"] for name in ("hub", "scheduler")}
        assert len(pids) == 2
        assert all(is_alive(pid) for pid in pids)
        balanced = rc.load_balanced_view()
        first = balanced.apply_async(pow, 2, 5)
        with balanced.temp_flags(after=first):
            assert balanced.apply_sync(abs, -1) == 1
        assert first.get() == 32


@pytest.mark.parametrize(
    ("given", "has_loopback"), [("127.0.0.2", False), ("*", True), ("127.0.0.2:0", False)]
)
def test_the_hub_listens_where_it_is_told(home, given, has_loopback):
    cluster = px.Cluster(n=1, controller_ip=given)
    with cluster as rc:
        assert rc[:].apply_sync(abs, -1) == [1]
        with open(cluster.connection_file, encoding="utf-8") as file:
            hosts = [address.rpartition(":")[0] for address in json.load(file)["hub"]["addresses"]]
        assert ("127.0.0.1" in hosts) == has_loopback
        assert "0.0.0.0" not in hosts


def test_addresses_and_options_that_cannot_be_are_refused_with_the_reason(home):
    with pytest.raises(ValueError, match=r'"here" is not an address; write 127\.0\.0\.1'):
        px.Cluster(n=0, controller_ip="here").start_cluster_sync()
    with pytest.raises(TypeError, match="controller_ip is an address"):
        px.Cluster(n=0, controller_ip=127)
    with pytest.raises(px.ClusterError, match=r"192\.0\.2\.1"):
        px.Cluster(n=0, controller_ip="192.0.2.1").start_cluster_sync()
    with pytest.raises(TypeError, match=r"controller_location.*controller_ip"):
        px.Cluster(controller_location="elsewhere")
    with pytest.raises(TypeError, match=r"controller_args.*scheme"):
        px.Cluster(controller_args=["--nodb"])
    assert px.Cluster(n=0, controller_location=None).n == 0
