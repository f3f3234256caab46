"""Making views: what indexes a client, which object comes back, flags."""

from __future__ import annotations

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
