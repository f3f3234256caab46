"""Making views: what indexes a client, which object comes back, flags."""

from __future__ import annotations

import time

import numpy as np
import pytest

import phalanx as px


@pytest.mark.req(13)
def test_an_int_gives_one_engine(rc):
    assert repr(rc[0]) == "<DirectView 0>"
    assert rc[0].targets == 0
    assert len(rc[0]) == 1


@pytest.mark.req(14)
def test_lists_and_tuples_give_those_engines(rc):
    assert repr(rc[0, 1, 2]) == "<DirectView [0, 1, 2]>"
    assert rc[[0, 2]].targets == [0, 2]
    assert rc[range(1, 3)].targets == [1, 2]


@pytest.mark.req(15)
def test_negative_numbers_and_slices_count_in_ids(rc):
    assert rc[-1] is rc[rc.ids[-1]]
    assert rc[::2] is rc[rc.ids[::2]]
    assert repr(rc[-1]) == "<DirectView 3>"
    assert repr(rc[::2]) == "<DirectView [0, 2]>"


@pytest.mark.req(16)
def test_a_slice_is_evaluated_once(rc):
    view = rc[:2]
    assert view.targets == [0, 1]
    assert rc.direct_view("all").targets == "all"


@pytest.mark.parametrize("key", ["0", 1.5, None, {0}, True])
def test_other_keys_are_type_errors(rc, key):
    with pytest.raises(TypeError):
        rc[key]


@pytest.mark.parametrize("key", [99, -5, [0, 99]])
def test_unknown_ids_are_index_errors(rc, key):
    with pytest.raises(IndexError, match="engine"):
        rc[key]


@pytest.mark.req(18)
def test_balanced_views(rc):
    assert rc.load_balanced_view().targets is None
    assert rc.load_balanced_view([1, 2, 3]).targets == [1, 2, 3]
    assert rc.view([1, 2], balanced=True) is rc.load_balanced_view([1, 2])
    assert isinstance(rc.view(), px.LoadBalancedView)
    assert isinstance(rc.view([0, 1]), px.DirectView)


@pytest.mark.req(19)
def test_the_same_request_gives_the_same_view(rc):
    v1 = rc.load_balanced_view([1, 2, 3])
    v2 = rc.load_balanced_view([1, 2, 3])
    assert v2 is v1
    changed = rc[:]
    changed.block = not changed.block
    assert rc[:] is not changed
    assert rc.direct_view([0, 1], block=True) is not rc.direct_view([0, 1])


@pytest.mark.req(6, 20)
def test_the_class_of_a_view_is_fixed(rc):
    assert type(rc[:]) is px.DirectView
    assert type(rc.load_balanced_view()) is px.LoadBalancedView
    assert not hasattr(rc.load_balanced_view(), "push")


@pytest.mark.req(21)
def test_attributes(rc):
    view = rc[:]
    assert (view.block, view.track, view.targets, view.client) == (False, False, rc.ids, rc)


@pytest.mark.req(22)
def test_targets_can_be_assigned(rc, dview):
    dview.targets = [0, 2]
    assert dview.apply_sync(lambda: 1) == [1, 1]
    dview.targets = 1
    assert dview.apply_sync(lambda: 1) == 1


@pytest.mark.req(23, 24)
def test_keywords_hold_for_one_call(dview):
    dview.push({"a": 1}, block=True)
    assert dview.pull("a", targets=[1, 2], block=True) == [1, 1]
    assert dview.pull("a", targets=3, block=True) == 1
    assert isinstance(dview.pull("a"), px.AsyncResult)
    assert dview.block is False
    assert len(dview.targets) == 4


@pytest.mark.req(25)
def test_completion_of_apply(rc):
    for view in (rc[:], rc.load_balanced_view()):
        names = [name for name in dir(view) if name.startswith("apply")]
        assert names == ["apply", "apply_async", "apply_sync"]


@pytest.mark.req(29)
def test_all_is_looked_up_at_each_call(rc):
    view = rc.direct_view("all", block=True)
    assert view.apply(lambda: 1) == [1] * len(rc)
    assert len(view) == len(rc)


def test_flags_are_checked(rc):
    view = rc.load_balanced_view()
    with pytest.raises(KeyError, match="colour"):
        view.set_flags(colour="red")
    with pytest.raises(ValueError, match="at least 0"):
        view.set_flags(timeout=-1)
    with pytest.raises(ValueError, match="msg_id"):
        view.set_flags(after=5)
    assert view.set_flags(block=True) is view
    view.block = False


def test_temp_flags_end_with_the_block(rc):
    view = rc.load_balanced_view()
    with view.temp_flags(block=True, timeout=5):
        assert (view.block, view.timeout) == (True, 5)
    assert (view.block, view.timeout) == (False, None)


def test_iterating_gives_a_view_of_each_engine(rc):
    assert [view.targets for view in rc] == rc.ids
    assert len(rc) == 4


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ({"block": "yes"}, TypeError),
        ({"track": None}, TypeError),
        ({"label": 1}, TypeError),
        ({"targets": "some"}, TypeError),
        ({"targets": 1.5}, TypeError),
        ({"targets": [0, 99]}, IndexError),
        ({"colour": "red"}, KeyError),
        ({"block": True, "label": 1}, TypeError),
    ],
)
def test_wrong_flags_are_refused_and_change_nothing(rc, dview, lview, flags, error):
    for view in (dview, lview, rc.broadcast_view()):
        before = view.flags()
        with pytest.raises(error):
            view.set_flags(**flags)
        with pytest.raises(error), view.temp_flags(**flags):
            pass
        assert view.flags() == before


def test_flags_that_were_are_not_checked_again(rc):
    view = rc.direct_view([0, 1])
    object.__setattr__(view, "targets", [0, 99])  # as if engine 99 had been there, and left
    with pytest.raises(TypeError):
        view.set_flags(targets=0, label=3)
    assert view.targets == [0, 99]
    with view.temp_flags(targets=0, label="x"):
        assert view.targets == 0
    assert (view.targets, view.label) == ([0, 99], None)


def test_flags_chain_and_end_with_their_block(dview):
    assert dview.set_flags(block=True) is dview
    assert dview.set_flags(label="x").apply(abs, -1) == [1] * 4
    with dview.temp_flags(block=False, targets=slice(2)) as same:
        assert same is dview
        ar = dview.apply(abs, -1)
        assert ar.get() == [1, 1]
        assert {md.label for md in ar.metadata} == {"x"}
    assert dview.block
    assert len(dview) == 4
    ar = dview.set_flags(label="y").apply_async(abs, -1)
    ar.get()
    assert ar.label == ["y"] * 4


def test_targets_of_one_call_are_addressed_as_those_of_a_client(dview):
    dview.push({"a": 1}, block=True)
    assert dview.pull("a", targets=-1, block=True) == 1
    assert dview.pull("a", targets=slice(0, 3, 2), block=True) == [1, 1]
    assert dview.pull("a", targets="all", block=True) == [1] * 4
    for call in (dview.pull, dview.execute):
        with pytest.raises(IndexError, match="no engine 77"):
            call("a", targets=77)
    with pytest.raises(TypeError, match="names are str"):
        dview.push({1: 2})


def test_numbers_of_numpy_are_ids_too(rc):
    assert rc[np.int64(1)] is rc[1]
    assert rc[[np.int64(0), -1]].targets == [0, 3]


def test_a_slice_without_engines_says_which_there_are(rc):
    with pytest.raises(px.NoEnginesRegistered, match=r"there are \[0, 1, 2, 3\]"):
        rc[9:]


def test_without_engines_nothing_hangs(rc):
    with pytest.raises(px.NoEnginesRegistered):
        rc.load_balanced_view([])
    with pytest.raises(px.NoEnginesRegistered):
        rc[99:]
    with pytest.raises(px.NoEnginesRegistered):
        rc.broadcast_view([])


def test_broadcast_views(rc):
    view = rc.broadcast_view()
    assert isinstance(view, px.DirectView)
    assert rc.broadcast_view() is view
    assert rc.broadcast_view(is_coalescing=True) is not view
    assert repr(rc.broadcast_view([0, 1])) == "<BroadcastView [0, 1]>"
    for coalescing in (False, True):
        view = rc.broadcast_view([2, 0, 1], is_coalescing=coalescing, block=True)
        assert view.is_coalescing is coalescing
        view.scatter("x", range(6))
        view.execute("y = [i * 2 for i in x]")
        assert view.gather("y") == [0, 2, 4, 6, 8, 10]
        assert view.map(abs, range(-7, 0)) == [7, 6, 5, 4, 3, 2, 1]
        ar = view.apply_async(px.interactive(lambda: list(x)))  # noqa: F821 - a name of the engine
        values = ar.get()
        by_engine = dict(zip(ar.engine_id, values, strict=True))
        assert by_engine == {2: [0, 1], 0: [2, 3], 1: [4, 5]} == ar.get_dict()
    with pytest.raises(TypeError, match="is_coalescing"):
        rc.broadcast_view(is_coalescing="yes")


def test_coalesced_answers_come_together(rc, tmp_path, until):
    go = tmp_path / "go"

    def wait_on(engine, path):
        while rank == engine and not path.exists():  # noqa: F821 - a name of the engine
            time.sleep(0.005)
        return rank  # noqa: F821 - a name of the engine

    rc[:].scatter("rank", range(4), flatten=True, block=True)
    plain, together = rc.broadcast_view(), rc.broadcast_view(is_coalescing=True)
    one_by_one = plain.apply_async(wait_on, 1, go)
    at_once = together.apply_async(px.interactive(lambda: rank))  # noqa: F821 - a name of the engine
    pulled = together.pull("rank", block=False)
    # An engine runs its calls in order: when three have ended this one, they have ended all.
    executed = together.execute("x = rank")
    try:
        until(lambda: executed.progress == 3)
        assert (one_by_one.progress, at_once.progress, pulled.progress) == (3, 0, 0)
    finally:
        go.touch()
    for ar in (one_by_one, at_once, pulled):
        assert (ar.get(), ar.engine_id) == ([0, 1, 2, 3], rc.ids)


@pytest.mark.req(36)
def test_the_low_level_calls_say_everything_at_once(rc):
    first = rc.send_apply_request(pow, [2, 3], targets=1, label="low")
    assert (first.get(), first.engine_id, first.label) == (8, 1, "low")
    options = {"after": first, "follow": first, "timeout": 30}
    second = rc.send_apply_request(dict, None, {"a": 1}, balanced=True, **options)
    assert (second.get(), second.engine_id) == ({"a": 1}, 1)
    assert rc.send_apply_request(pow, (2, 2), targets="all", block=True) == [4] * 4
    rc.send_execute_request("a = 5", block=True)
    assert rc[:].apply_sync(px.interactive(lambda: a)) == [5] * 4  # noqa: F821 - a name of the engine
    with pytest.raises(TypeError, match="function"):
        rc.send_apply_request("abs", [1])
    names, ids = rc._build_targets(slice(2))
    assert ids == [0, 1]
    assert [name.decode() for name in names] == [rc._engines[0], rc._engines[1]]
