"""How often a function travels: the hub counts what each session was sent."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

import phalanx as px

NAME = "counts-functions"


@pytest.fixture
def own(cluster: px.Cluster):
    """A client, and with it a session, of this test alone."""
    with cluster.connect_client_sync(name=NAME) as client:
        yield client


def counted(rc: px.Client) -> tuple[int, dict[int, int]]:
    """Functions that came from this client, and that went to each engine, in their sessions."""
    status = rc.native.status()
    [client] = [client for client in status["clients"] if client["name"] == NAME]
    engines = {engine["info"]["id"]: engine["functions"] for engine in status["engines"]}
    return client["functions"], engines


def sends(rc: px.Client, work: Callable[[], object]) -> tuple[int, set[int]]:
    """How many functions the client sent for the work, and the engines got each."""
    before, engines_before = counted(rc)
    work()
    after, engines_after = counted(rc)
    return after - before, {engines_after[engine] - engines_before[engine] for engine in rc.ids}


def test_a_function_is_sent_once_by_a_session_and_once_to_each_engine(own):
    def times_seven(x):
        return x * 7

    def work():
        for x in range(20):
            assert own[:].apply_sync(times_seven, x) == [x * 7] * len(own)

    assert sends(own, work) == (1, {1})
    assert sends(own, work) == (0, {0})


def test_a_function_that_other_sessions_have_sent_is_not_sent_to_engines_again(own, cluster):
    def times_nine(x):
        return x * 9

    assert sends(own, lambda: own[:].apply_sync(times_nine, 1)) == (1, {1})
    with cluster.connect_client_sync(name="another") as other:
        assert sends(own, lambda: other[:].apply_sync(times_nine, 2)) == (0, {0})


def test_a_map_sends_its_function_once_however_many_items_it_has(own):
    def times_five(x):
        return x * 5

    view = own.load_balanced_view()
    sent, _ = sends(own, lambda: view.map_sync(times_five, range(200)))
    assert sent == 1
    sent, _ = sends(own, lambda: view.map_sync(times_five, range(200, 400)))
    assert sent == 0


def test_a_function_with_other_closed_over_values_is_another_function(own):
    def adder(n):
        return lambda x: x + n

    assert sends(own, lambda: own[0].apply_sync(adder(1), 1))[0] == 1
    assert sends(own, lambda: own[0].apply_sync(adder(2), 1))[0] == 1
    assert sends(own, lambda: own[0].apply_sync(adder(1), 3))[0] == 0


def test_arguments_bound_beforehand_do_not_send_the_function_again(own):
    def power(x, n):
        return x**n

    def work():
        assert own[0].apply_sync(power, 2, n=5) == 32
        assert own[0].apply_sync(functools.partial(power, n=5), 2) == 32

    assert sends(own, work)[0] <= 2
    assert sends(own, work)[0] == 0
