"""Load-balanced views: one engine for each task, dependencies, deadlines for them."""

from __future__ import annotations

import pytest

import phalanx as px


@px.interactive
def sleep(seconds, value=None):
    import time

    time.sleep(seconds)
    return value


@px.interactive
def fail():
    raise ValueError("no")


@pytest.mark.req(84, 92)
def test_each_call_is_one_task_on_one_engine(lview):
    ar = lview.apply_async(lambda a, b: a + b, 1, b=2)
    assert ar.get() == 3
    assert len(ar.msg_ids) == 1
    assert ar.engine_id in range(4)


@pytest.mark.req(84)
def test_slow_tasks_are_spread(lview):
    results = lview.map_async(sleep, [0.1] * 4)
    results.get()
    assert len(set(results.engine_id)) == 4


@pytest.mark.req(85, 87)
def test_after(rc, lview):
    first = lview.apply_async(sleep, 0.2)
    for after in (first, first.msg_id, [first], px.Dependency(first), {first.msg_id}):
        with lview.temp_flags(after=after):
            second = lview.apply_async(sleep, 0)
        second.get()
        assert second.started >= first.completed


@pytest.mark.req(86, 87)
def test_follow(rc, lview):
    for engine in rc.ids:
        first = rc.load_balanced_view([engine]).apply_async(sleep, 0)
        with lview.temp_flags(follow=[first]):
            seconds = [lview.apply_async(sleep, 0) for _ in range(3)]
        rc.wait(seconds)
        assert {second.engine_id for second in seconds} == {engine}


@pytest.mark.req(87)
def test_any_of_several(lview):
    slow, quick = lview.apply_async(sleep, 1), lview.apply_async(sleep, 0)
    with lview.temp_flags(after=px.Dependency([slow, quick], all=False)):
        second = lview.apply_async(sleep, 0)
    second.get()
    assert not slow.ready()
    slow.abort()


@pytest.mark.req(88, 109)
def test_dependencies_that_are_not_met_in_time(lview):
    slow = lview.apply_async(sleep, 5)
    with lview.temp_flags(after=slow, timeout=0.1):
        late = lview.apply_async(sleep, 0)
    with pytest.raises(px.DependencyTimeout) as caught:
        late.get()
    assert isinstance(caught.value, px.TaskTimeout)
    slow.abort()


@pytest.mark.req(89)
def test_a_direct_view_has_no_dependencies(dview):
    for flag in ("after", "follow", "timeout"):
        with pytest.raises(KeyError):
            dview.set_flags(**{flag: None})


@pytest.mark.req(90, 109)
def test_dependencies_that_can_never_be_met(lview):
    bad = lview.apply_async(fail)
    with lview.temp_flags(after=bad):
        never = lview.apply_async(sleep, 0)
    with pytest.raises(px.ImpossibleDependency):
        never.get()
    with pytest.raises(px.UnmetDependency):
        never.get()
    with pytest.raises(px.RemoteError) as caught:
        never.get()
    assert caught.value.ename == "ImpossibleDependency"
    with lview.temp_flags(after=px.Dependency(bad, success=False, failure=True)):
        assert lview.apply_sync(sleep, 0, 1) == 1


def test_dependencies_on_unknown_tasks(lview):
    with lview.temp_flags(after="c4000000/77"), pytest.raises(px.PhalanxError):
        lview.apply_sync(sleep, 0)


@pytest.mark.req(91)
def test_a_graph_is_respected(rc, lview):
    nodes = {0: [], 1: [0], 2: [0], 3: [1, 2], 4: [1]}
    results = {}
    for node, needs in nodes.items():
        with lview.temp_flags(after=[results[need] for need in needs]):
            results[node] = lview.apply_async(sleep, 0.02)
    assert rc.wait(list(results.values()))
    for node, needs in nodes.items():
        for need in needs:
            assert results[node].started >= results[need].completed
    assert all(ar.engine_id in rc.ids for ar in results.values())


def test_a_thousand_small_tasks(lview):
    results = [lview.apply_async(abs, -i) for i in range(1000)]
    assert [ar.get() for ar in results] == list(range(1000))
    assert lview.map_sync(abs, range(-5000, 0)) == list(range(5000, 0, -1))


def test_what_lies_behind_a_long_task_is_run_by_idle_engines(rc, lview):
    # So short that many are sent ahead to each engine.
    for ar in [lview.apply_async(sleep, 0) for _ in range(2000)]:
        ar.get(timeout=30)
    long = lview.apply_async(sleep, 30)
    behind = [lview.apply_async(sleep, 0) for _ in range(200)]
    assert rc.wait(behind, timeout=20)
    assert not long.ready()
    long.abort()
    assert long.wait(10)
