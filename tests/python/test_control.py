"""Control that overtakes what is queued: abort, clear, shutdown."""

from __future__ import annotations

import time

import pytest

import phalanx as px


@px.interactive
def sleep(seconds, value=None):
    import time

    time.sleep(seconds)
    return value


@px.interactive
def spin():
    while True:
        pass


@pytest.mark.req(97, 98, 109)
def test_queued_tasks_are_aborted(rc):
    view = rc[0]
    running = view.apply_async(sleep, 0.5, 1)
    queued = [view.apply_async(sleep, 0) for _ in range(5)]
    rc.abort(queued)
    for ar in queued:
        with pytest.raises(px.TaskAborted):
            ar.get(10)
        with pytest.raises(px.AbortedTask):
            ar.get()
        assert ar.cancelled()
        assert ar.status == "aborted"
    assert running.get() == 1


@pytest.mark.req(98)
@pytest.mark.parametrize("how", ["abort", "cancel", "client", "msg_id"])
def test_a_running_task_is_interrupted(rc, how, until):
    view = rc[0]
    ar = view.apply_async(spin)
    until(lambda: rc.status() and not ar.ready())
    if how == "abort":
        ar.abort()
    elif how == "cancel":
        assert ar.cancel()
    elif how == "client":
        rc.abort(ar)
    else:
        rc.abort(ar.msg_id)
    with pytest.raises(px.TaskAborted):
        ar.get(10)
    assert view.apply_sync(lambda: 1) == 1
    with pytest.raises(RuntimeError):
        ar.abort()
    assert ar.cancel() is False


@pytest.mark.req(98)
def test_a_sleeping_task_is_interrupted_and_the_namespace_stays(rc):
    view = rc[1]
    view.push({"kept": 1}, block=True)
    ar = view.apply_async(sleep, 30)
    began = time.monotonic()
    ar.abort()
    with pytest.raises(px.TaskAborted):
        ar.get(10)
    assert time.monotonic() - began < 10
    assert view["kept"] == 1


def test_abort_of_everything(rc, lview):
    results = [lview.apply_async(sleep, 10) for _ in range(12)]
    rc.abort()
    assert rc.wait(results, timeout=20)
    assert {ar.status for ar in results} == {"aborted"}
    with pytest.raises(TypeError):
        rc.abort(1.5)


def test_only_what_is_at_the_targets_is_aborted(rc, until):
    view, lview = rc[:], rc.load_balanced_view([0, 1])
    running = view.apply_async(sleep, 20)
    queued = view.apply_async(sleep, 0, "ran")
    anywhere = [lview.apply_async(sleep, 20) for _ in range(2)]
    rc.abort([running, queued], targets=[0, -1])
    kept, dropped = running.split()[1:3], running.split()[::3]
    for each in [*dropped, *queued.split()[::3]]:
        assert isinstance(each.exception(10), px.TaskAborted)
    assert not any(each.ready() for each in [*kept, *anywhere])
    rc.abort(targets=1)
    assert isinstance(kept[0].exception(10), px.TaskAborted)
    assert not kept[1].ready()
    view.abort(targets=slice(2, 3))
    assert isinstance(kept[1].exception(10), px.TaskAborted)
    assert queued.split()[2].exception(10) is not None or queued.split()[2].get(10) == "ran"
    with pytest.raises(IndexError):
        rc.abort(targets=99)
    rc.abort()


def test_the_task_after_an_aborted_one_is_left_alone(rc):
    view = rc[0]
    for _ in range(10):
        first = view.apply_async(sleep, 10)
        second = view.apply_async(lambda: sum(range(20_000)))
        first.abort()
        assert second.get(20) == 199_990_000
        assert first.wait(10)


@pytest.mark.req(99)
def test_clear_leaves_no_names_of_the_user(view):
    view.push({"a": 1, "b": 2})
    view.clear()
    names = view.apply(px.interactive(lambda: [n for n in globals() if not n.startswith("_")]))
    assert all(set(each) <= {"In", "Out", "exit", "quit", "get_ipython", "open"} for each in names)


def test_ping_and_status(rc):
    assert 0 < rc.ping() < 5
    assert rc.status()


@pytest.mark.req(100)
def test_shutdown_ends_engines_and_hub(home):
    cluster = px.Cluster(n=1)
    rc = cluster.start_and_connect_sync()
    rc.shutdown(hub=True)
    assert rc.closed
    cluster.stop_cluster_sync()
    with pytest.raises(NotImplementedError):
        rc.shutdown(restart=True)


def test_an_abort_that_comes_before_the_code_runs_is_not_lost():
    from phalanx.engine.interrupts import AbortRequested, Interrupts

    unwanted = [True]
    interrupts = Interrupts(lambda: unwanted[0])
    interrupts.on_abort(0, None)
    with pytest.raises(AbortRequested):
        interrupts.arm()
    interrupts.arm()
    interrupts.disarm()
    # One that was meant for the task before does nothing to the next.
    interrupts.on_abort(0, None)
    unwanted[0] = False
    interrupts.arm()
    interrupts.on_abort(0, None)


def cut_off_submit(rc, monkeypatch, *call):
    """A task as Ctrl-C leaves it that comes when the hub has it, and nobody here was told of it."""

    def cut_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rc, "note", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rc[0].apply_async(*call)


def test_a_task_whose_submit_was_cut_off_is_outstanding_and_waited_for(cluster, monkeypatch):
    with px.Client(cluster.connection_file) as rc:
        rc.wait_for_engines(4, timeout=30)
        cut_off_submit(rc, monkeypatch, time.sleep, 60)
        assert rc.history == []
        assert len(rc.outstanding) == 1
        assert not rc.wait(timeout=0.05)
        (name,) = rc.outstanding
        rc.abort(name)
        assert rc.wait(timeout=30)
        assert rc.outstanding == set()


def test_an_abort_of_all_reaches_a_task_whose_submit_was_cut_off(cluster, monkeypatch, until):
    with px.Client(cluster.connection_file) as rc:
        rc.wait_for_engines(4, timeout=30)
        cut_off_submit(rc, monkeypatch, time.sleep, 60)
        assert rc.native.open_tasks() == 1
        rc.abort()
        until(lambda: rc.native.open_tasks() == 0)
        assert rc[0].apply_sync(abs, -1) == 1
