"""Engines that die: killed because somebody asked for it, and by the task that they run."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys

import pytest

import phalanx as px
from support import is_alive


@pytest.fixture
def own(home):
    """A cluster of two engines, for tests that kill them."""
    cluster = px.Cluster(n=2)
    cluster.start_cluster_sync()
    yield cluster
    cluster.stop_cluster_sync()


@pytest.fixture
def client(own):
    with own.connect_client_sync() as rc:
        rc.wait_for_engines(2, timeout=30)
        yield rc


@px.interactive
def hold_gil(path):
    """A call of C code that keeps the GIL for ever: it locks a mutex twice."""
    import ctypes
    import signal

    # An abort that comes just before the call would be heeded.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    lock = ctypes.PyDLL(None).pthread_mutex_lock
    mutex = ctypes.create_string_buffer(64)
    lock(mutex)
    open(path, "w").close()
    lock(mutex)


def pid_of(view):
    return view.apply_sync(os.getpid)


@pytest.mark.req(98)
def test_a_c_call_that_holds_the_gil_ends_with_its_engine(client, tmp_path, until):
    doomed, other = client[0], client[1]
    pid, other_pid = pid_of(doomed), pid_of(other)
    doomed["name"] = 1
    stuck = doomed.apply_async(hold_gil, str(tmp_path / "in"))
    direct = doomed.apply_async(abs, -1)
    balanced = client.load_balanced_view().map_async(abs, range(-50, 0), chunksize=1)
    until((tmp_path / "in").exists)
    stuck.abort(kill_after=0.5)
    with pytest.raises(px.TaskAborted):
        stuck.get(30)
    assert stuck.status == "aborted"
    with pytest.raises(px.EngineError, match=f"task {stuck.msg_id} did not end within 500 ms"):
        direct.get(30)
    assert balanced.get(30) == list(range(50, 0, -1))
    # It is another process under the same id, with nothing in its namespace.
    client.wait_for_engines(2, timeout=30)
    until(lambda: client.ids == [0, 1])
    assert pid_of(doomed) != pid
    assert not is_alive(pid)
    with pytest.raises(px.RemoteError, match="NameError"):
        doomed.pull("name", block=True)
    assert pid_of(other) == other_pid


def test_an_engine_is_killed_on_request_more_often_than_it_may_die(client, tmp_path, until):
    for number in range(7):
        path = tmp_path / str(number)
        stuck = client[0].apply_async(hold_gil, str(path))
        until(path.exists)
        client.abort(stuck, kill_after=0.1)
        with pytest.raises(px.TaskAborted):
            stuck.get(30)
        client.wait_for_engines(2, timeout=30)
        until(lambda: client.ids == [0, 1])
    assert client[0].apply_sync(abs, -3) == 3


def test_a_task_that_ends_in_time_costs_no_engine(client, until):
    @px.interactive
    def sleep():
        import time

        time.sleep(600)

    view = client[0]
    pid = pid_of(view)
    view["name"] = 1
    for abort in (
        lambda ar: ar.abort(kill_after=20),
        lambda ar: client.abort(ar, kill_after=20),
        lambda ar: client.abort(ar.msg_id, kill_after=20),
        lambda ar: client.abort(kill_after=20),
        lambda ar: view.abort(kill_after=20),
    ):
        ar = view.apply_async(sleep)
        abort(ar)
        with pytest.raises(px.TaskAborted):
            ar.get(15)
    assert (pid_of(view), view["name"]) == (pid, 1)


@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_a_time_that_is_none_is_refused_and_nothing_is_aborted(rc, seconds):
    ar = rc[0].apply_async(abs, -1)
    with pytest.raises(ValueError, match="number of seconds"):
        rc.abort(ar, kill_after=seconds)
    assert ar.get(30) == 1


def test_an_engine_that_no_host_keeps_ends_itself(own, tmp_path, until):
    directory = os.path.dirname(own.connection_file)
    engine = os.path.join(directory, "engine.json")
    command = [sys.executable, "-m", "phalanx.engine", "--connection", engine, "--name", "guest"]
    with (
        subprocess.Popen(command, stderr=subprocess.DEVNULL) as process,
        own.connect_client_sync() as rc,
    ):
        rc.wait_for_engines(3, timeout=30)
        path = tmp_path / "in"
        stuck = rc[2].apply_async(hold_gil, str(path))
        until(path.exists)
        stuck.abort(kill_after=0.5)
        with pytest.raises(px.TaskAborted):
            stuck.get(30)
        assert process.wait(30) != 0
        until(lambda: rc.ids == [0, 1])


# ------------------------------------------------------------------ poison (FAULTS 12)


@px.interactive
def die(how):
    import os
    import signal

    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(5)


@pytest.mark.parametrize(
    ("how", "cause"), [("signal", "killed by SIGKILL"), ("exit", "exited with code 5")]
)
def test_a_task_that_kills_every_engine_ends_as_poison_and_the_others_finish(
    client, until, how, cause
):
    view = client.load_balanced_view()
    before = view.map_async(lambda x: x + 1, range(20), chunksize=1)
    poison = view.apply_async(die, how)
    after = view.map_async(lambda x: x * 2, range(20), chunksize=1)
    with pytest.raises(px.PoisonTask) as raised:
        poison.get(60)
    said = str(raised.value)
    assert f"task {poison.msg_id} is not run again: 3 engines died under it" in said
    assert said.count(cause) == 3, said
    assert sum(said.count(f"engine {engine}: {cause}") for engine in (0, 1)) == 3, said
    assert "phalanx logs" in said
    assert before.get(60) == list(range(1, 21))
    assert after.get(60) == list(range(0, 40, 2))
    # And one for each time that it was sent ahead, and taken back before it began.
    assert poison.metadata["attempts"] >= 3
    # Both are back, and run what comes.
    client.wait_for_engines(2, timeout=30)
    until(lambda: client.ids == [0, 1])
    assert client[:].apply_sync(abs, -1) == [1, 1]


def test_a_direct_task_that_kills_its_engine_is_lost_and_not_run_again(client, tmp_path, until):
    path = tmp_path / "runs"

    @px.interactive
    def write_and_die(path):
        import os
        import signal

        with open(path, "a") as file:
            file.write("ran\n")
        os.kill(os.getpid(), signal.SIGSEGV)

    with pytest.raises(px.EngineError, match="SIGSEGV"):
        client[0].apply_sync(write_and_die, str(path))
    client.wait_for_engines(2, timeout=30)
    until(lambda: client.ids == [0, 1])
    assert client[0].apply_sync(abs, -1) == 1
    assert path.read_text() == "ran\n"


# ------------------------------------------------------------------ chains, sent ahead


@px.interactive
def die_once(path):
    import os
    import signal

    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def test_a_chain_outlives_the_engine_that_it_was_sent_to(client, tmp_path):
    view = client.load_balanced_view()
    # Measured as short by then, so that links are sent to the engine ahead of each other.
    view.map_sync(lambda x: x, range(50))
    chain = []
    for number in range(200):
        with view.temp_flags(after=chain[-1:]):
            if number == 100:
                chain.append(view.apply_async(die_once, str(tmp_path / "died")))
            else:
                chain.append(view.apply_async(lambda x: x, number))
    assert [ar.get(60) for ar in chain] == [*range(100), "alive", *range(101, 200)]
    for earlier, later in itertools.pairwise(chain):
        assert later.started >= earlier.completed
    assert chain[100].metadata["attempts"] >= 2
