"""Schemes, labels, resources and priorities, as Python says them; on clusters of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import phalanx as px
from phalanx.engine.__main__ import parser

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def equipped(home: Path) -> Iterator[px.Client]:
    """Two engines, each with a label and one GPU."""
    args = ["--label", "fast", "--resource", "gpu=1"]
    with px.Cluster(n=2, engine_args=args, scheme="twobin") as rc:
        rc.wait_for_engines(2, timeout=DEADLINE_S)
        yield rc


def test_engines_tell_their_labels_and_resources(equipped: px.Client) -> None:
    for engine in equipped.engines:
        assert "fast" in engine["labels"]
        assert engine["resources"] == {"gpu": 1.0}


def test_a_task_runs_where_its_needs_are_met(equipped: px.Client) -> None:
    view = equipped.load_balanced_view().set_flags(needs={"gpu": 1}, labels="fast")
    assert view.map_sync(abs, range(-20, 0)) == list(range(20, 0, -1))


def test_a_task_that_no_engine_can_run_waits_and_can_be_aborted(equipped: px.Client) -> None:
    view = equipped.load_balanced_view()
    with view.temp_flags(labels=["slow"]):
        stuck = view.apply_async(os.getpid)
    with view.temp_flags(needs={"gpu": 2}):
        greedy = view.apply_async(os.getpid)
    assert view.apply_sync(os.getpid) > 0
    assert not stuck.ready() and not greedy.ready()
    assert 'no engine has label "slow"' in equipped.explain(stuck)["text"]
    needed = 'it needs 2 of resource "gpu", and no engine has more than 1'
    assert needed in equipped.explain(greedy)["text"]
    stuck.abort()
    greedy.abort()
    for result in (stuck, greedy):
        with pytest.raises(px.TaskAborted):
            result.get(timeout=DEADLINE_S)


def test_flags_of_placement_are_checked_where_they_are_set(equipped: px.Client) -> None:
    view = equipped.load_balanced_view()
    for flags, error in [
        ({"needs": {"gpu": 0}}, ValueError),
        ({"needs": {"gpu": "one"}}, TypeError),
        ({"needs": "gpu"}, TypeError),
        ({"labels": 3}, TypeError),
        ({"labels": [3]}, TypeError),
        ({"priority": 1.5}, TypeError),
        ({"priority": 2**31}, ValueError),
    ]:
        with pytest.raises(error):
            view.set_flags(**flags)
    assert (view.needs, view.labels, view.priority) == (None, None, 0)
    with pytest.raises(ValueError, match="not an amount"):
        view.set_flags(needs={"gpu": 0.0001}).apply_async(os.getpid)


def test_higher_priority_goes_first(home: Path) -> None:
    with px.Cluster(n=1, hwm=1) as rc:
        rc.wait_for_engines(1, timeout=DEADLINE_S)
        view = rc.load_balanced_view()
        gate = view.apply_async(lambda: __import__("time").sleep(0.5))
        low = view.apply_async(lambda: None)
        high = view.set_flags(priority=5).apply_async(lambda: None)
        rc.wait([gate, low, high], timeout=DEADLINE_S)
        assert high.started < low.started


def test_pure_takes_nothing_but_independent_tasks(home: Path) -> None:
    with px.Cluster(n=1, scheme="pure") as rc:
        rc.wait_for_engines(1, timeout=DEADLINE_S)
        view = rc.load_balanced_view()
        first = view.apply_async(os.getpid)
        assert first.get(timeout=DEADLINE_S) > 0
        with view.temp_flags(after=first):
            dependent = view.apply_async(os.getpid)
        with pytest.raises(Exception, match="scheme is pure"):
            dependent.get(timeout=DEADLINE_S)


def test_an_unknown_scheme_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="is not a scheme; choose leastload"):
        px.Cluster(n=1, scheme="first").start_cluster_sync()


def test_the_engine_refuses_what_is_no_resource(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args(["--resource", "gpu=2"]).resource == [("gpu", "2")]
    with pytest.raises(SystemExit):
        parser().parse_args(["--resource", "gpu"])
    assert "is no resource; write NAME=AMOUNT" in capsys.readouterr().err
