"""Graphs, results as arguments, and why a task is where it is."""

from __future__ import annotations

import itertools
import random
import subprocess

import pytest

import phalanx as px
from phalanx.cluster import command


@px.interactive
def sleep(seconds, value=None):
    import time

    time.sleep(seconds)
    return value


@px.interactive
def add(*numbers):
    return sum(numbers)


@px.interactive
def fail():
    raise ValueError("no")


def test_a_result_is_an_argument_wherever_it_stands(lview):
    one, two = lview.apply_async(sleep, 0.1, 1), lview.apply_async(sleep, 0, 2)
    assert lview.apply_sync(add, one, two, 3) == 6
    nested = lview.apply_async(lambda d, k: (d, k), {"a": [one, (two, one)]}, k=one)
    assert nested.get() == ({"a": [1, (2, 1)]}, 1)


def test_a_chain_of_results(lview):
    ar = lview.apply_async(add, 0)
    for _ in range(50):
        ar = lview.apply_async(add, ar, 1)
    assert ar.get() == 50


def chain(view, links):
    """Each of these after the one before: a function and its arguments."""
    results = []
    for function, *arguments in links:
        with view.temp_flags(after=results[-1:]):
            results.append(view.apply_async(function, *arguments))
    return results


def test_a_long_chain_keeps_its_order(lview):
    # Measured as short by then, so that links are sent to the engine ahead of each other.
    lview.map_sync(add, range(50))
    results = chain(lview, [(add, number) for number in range(300)])
    assert [ar.get(60) for ar in results] == list(range(300))
    for earlier, later in itertools.pairwise(results):
        assert later.started >= earlier.completed


def test_what_comes_after_the_link_of_a_chain_that_fails_does_not_run(lview, tmp_path):
    @px.interactive
    def mark(path, number):
        with open(path, "a") as file:
            file.write(f"{number} ")

    path = str(tmp_path / "ran")
    lview.map_sync(add, range(50))
    links = [(fail,) if number == 40 else (mark, path, number) for number in range(80)]
    results = chain(lview, links)
    with pytest.raises(px.RemoteError, match="no"):
        results[40].get(60)
    for ar in results[41:]:
        with pytest.raises(px.ImpossibleDependency):
            ar.get(60)
    assert (tmp_path / "ran").read_text().split() == [str(number) for number in range(40)]


def test_a_large_result_comes_as_it_is(lview):
    numpy = pytest.importorskip("numpy")
    array = lview.apply_async(lambda n: __import__("numpy").arange(n), 300_000)
    assert lview.apply_sync(lambda a: (a.sum(), a.dtype.name), array) == (
        numpy.arange(300_000).sum(),
        "int64",
    )


def test_a_task_starts_after_the_results_that_it_takes(lview):
    slow = lview.apply_async(sleep, 0.2, 5)
    taker = lview.apply_async(add, slow, 1)
    assert taker.get() == 6
    assert taker.started >= slow.completed


def test_a_task_that_takes_a_failed_result_fails_and_names_it(lview):
    bad = lview.apply_async(fail)
    taker = lview.apply_async(add, bad)
    with pytest.raises(px.ImpossibleDependency, match=bad.msg_id):
        taker.get()


def test_results_go_with_an_after_that_all_must_succeed(lview):
    first, good = lview.apply_async(add, 1), lview.apply_async(sleep, 0.1, 1)
    with lview.temp_flags(after=first):
        assert lview.apply_sync(add, good, 1) == 2
    with (
        lview.temp_flags(after=px.Dependency(first, success=False, failure=True)),
        pytest.raises(px.TaskRejectError, match="success of all"),
    ):
        lview.apply_sync(add, good, 1)


def test_a_result_is_no_argument_of_a_direct_view_and_a_group_of_none(rc, lview):
    ar = lview.apply_async(add, 1)
    with pytest.raises(TypeError, match="load-balanced"):
        rc[0].apply_async(add, ar)
    with pytest.raises(TypeError, match="one task"):
        lview.apply_async(add, rc[:].apply_async(add, 1))


def test_a_retried_task_takes_its_results_again(lview, tmp_path):
    @px.interactive
    def flaky(path, value):
        with open(path, "a") as file:
            file.write("x")
        with open(path) as file:
            if len(file.read()) < 3:
                raise ValueError("again")
        return value

    with lview.temp_flags(retries=5):
        ar = lview.apply_async(flaky, str(tmp_path / "calls"), lview.apply_async(add, 7))
    assert ar.get() == 7


def test_a_graph_is_built_first_and_submitted_as_one(lview):
    with lview.graph() as g:
        a = g.apply(sleep, 0.05, 2)
        b = g.apply(add, a, 1)
        c = g.apply(add, [a, b][0], b, after=a)
        assert g.results is None
        with pytest.raises(RuntimeError, match="not submitted"):
            a.get()
    assert (a.get(), b.get(), c.get()) == (2, 3, 5)
    assert b.started >= a.completed
    assert c.result.started >= b.completed
    assert lview.apply_sync(add, c, 1) == 6


def test_a_node_is_an_argument_only_of_its_own_graph_until_it_is_submitted(lview):
    g = lview.graph()
    node = g.apply(add, 1)
    with pytest.raises(TypeError, match="own graph"):
        lview.apply_async(add, node)
    other = lview.graph()
    other.apply(add, node)
    with pytest.raises(TypeError, match="own graph"):
        other.submit()


def test_edges_may_point_backwards(lview):
    g = lview.graph()
    last = g.apply(sleep, 0, "last")
    first = g.apply(sleep, 0.05, "first")
    g.edge(first, last)
    results = g.submit()
    assert [ar.get() for ar in results] == ["last", "first"]
    assert last.started >= first.completed


@pytest.mark.req(91)
def test_a_random_graph_is_respected(lview):
    rng = random.Random(7)
    before = {node: rng.sample(range(node), min(node, rng.randrange(4))) for node in range(60)}
    with lview.graph() as g:
        nodes = []
        for node, needs in before.items():
            nodes.append(g.apply(sleep, 0.001, node, after=[nodes[need] for need in needs]))
    assert [node.get() for node in nodes] == list(range(60))
    for node, needs in before.items():
        for need in needs:
            assert nodes[node].started >= nodes[need].completed


def test_a_cycle_refuses_all_of_a_graph_and_is_named(lview):
    g = lview.graph()
    a, b, c = (g.apply(add, n) for n in range(3))
    g.edge(a, b)
    g.edge(b, a)
    g.submit()
    for node in (a, b, c):
        with pytest.raises(px.InvalidDependency, match=f"cycle of 2.*{a.msg_id}.*{b.msg_id}|cycle"):
            node.get()
    assert c.attempts == 0


def test_a_value_that_stays_is_there_for_other_nodes_and_for_who_asks_for_it(rc, lview):
    with lview.graph() as g:
        table = g.apply(list, range(1000)).stay()
        total = g.apply(sum, table)
        failing = g.apply(divmod, 1, 0).stay()
    assert total.get(timeout=20) == 499_500
    with pytest.raises(px.ResultError, match=rf"{table.msg_id} returned stays in the cluster"):
        table.get(timeout=20)
    assert (table.ready(), table.status) == (True, "ok")
    with px.Client(rc.cluster.connection_file) as other:
        assert other.get_result(table.msg_id).get(timeout=20) == list(range(1000))
    with pytest.raises(ZeroDivisionError):
        failing.get(timeout=20)
    with pytest.raises(RuntimeError, match="submitted"):
        total.stay()


def test_a_graph_of_nothing_and_a_graph_that_raised_submit_nothing(rc, lview):
    before = len(rc.history)
    with lview.graph():
        pass
    with pytest.raises(ZeroDivisionError), lview.graph() as g:
        g.apply(add, 1)
        _ = 1 / 0
    assert len(rc.history) == before


def test_explanations(rc, lview, until):
    slow = lview.apply_async(sleep, 60)
    with lview.temp_flags(after=slow):
        waiting = lview.apply_async(add, 1)
    until(lambda: rc.explain(slow)["state"] == "running")
    told = rc.explain(waiting)
    assert (told["state"], told["waits_for"]) == ("waiting", [slow.msg_id])
    assert (
        f"it comes after {slow.msg_id} (runs on engine {rc.explain(slow)['engine']})"
        in told["text"]
    )
    slow.abort()
    with pytest.raises(px.PhalanxError):
        waiting.get(timeout=20)
    assert rc.explain(waiting.msg_id)["state"] == "dependency failed"
    assert rc.explain("c1/4000000000")["state"] == "unknown"
    with pytest.raises(ValueError, match="one task"):
        rc.explain([slow, waiting])


def test_the_command_explains(rc, lview, cluster):
    ar = lview.apply_async(add, 1)
    ar.get()
    asked = [command.find(), "task", "explain", ar.msg_id, "--cluster", cluster.cluster_id]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    assert said.stdout.startswith(f"task {ar.msg_id} is done"), said
