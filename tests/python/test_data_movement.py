"""push, pull, the dict interface, scatter and gather, references."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px


@pytest.mark.req(40, 43)
def test_push_answers_none_for_each_engine(dview):
    assert dview.push({"a": 1}, block=True) == [None] * 4
    ar = dview.push({"a": 2})
    assert isinstance(ar, px.AsyncResult)
    assert ar.get() == [None] * 4
    with pytest.raises(TypeError, match="dict"):
        dview.push([("a", 1)])


@pytest.mark.req(41)
def test_functions_can_be_pushed(view):
    def double(x):
        return 2 * x

    view.push({"double": double})
    assert view.apply(px.interactive(lambda: double(21))) == [42] * 4


@pytest.mark.req(42)
def test_pull_one_or_several(view):
    view.push({"a": 1.03234, "b": 3453})
    assert view.pull("a") == [1.03234] * 4
    assert view.pull("b", targets=0) == 3453
    assert view.pull(("a", "b")) == [[1.03234, 3453]] * 4
    assert view.pull(["a"]) == [[1.03234]] * 4
    for wrong in (1, [1]):
        with pytest.raises(TypeError):
            view.pull(wrong)


@pytest.mark.req(44)
def test_the_view_is_a_dict(view):
    view["a"] = ["foo", "bar"]
    assert view["a"] == [["foo", "bar"]] * 4
    view.update({"b": 2})
    assert view.get("b") == [2] * 4
    with pytest.raises(px.CompositeError, match="NameError: name 'nothing' is not defined"):
        view["nothing"]


def test_dotted_and_indexed_names(view):
    view.execute("class C: pass\na = C()\na.b = [1, {'k': 2}]")
    assert view["a.b[1]['k']"] == [2] * 4
    view["a.c"] = 5
    view["a.b[0]"] = 7
    assert view.pull(["a.c", "a.b[0]"]) == [[5, 7]] * 4


@pytest.mark.req(45, 46)
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 16, 17])
def test_scatter_and_gather_are_inverse(view, count):
    items = list(range(count))
    assert view.scatter("x", items) is None
    sizes = [len(part) for part in view["x"]]
    assert sum(sizes) == count
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
    assert view.gather("x") == items


@pytest.mark.req(45)
def test_five_over_four(view):
    view.scatter("x", [0, 1, 2, 3, 4])
    assert view["x"] == [[0, 1], [2], [3], [4]]


def test_dealing_in_turn(view):
    view.scatter("x", list(range(10)), dist="r")
    assert view["x"][0] == [0, 4, 8]
    assert view.gather("x", dist="r") == list(range(10))
    a = np.arange(20).reshape(10, 2)
    view.scatter("a", a, dist="r")
    assert (view.gather("a", dist="r") == a).all()
    with pytest.raises(ValueError, match="dist"):
        view.scatter("x", [1], dist="z")


def test_flatten(view):
    view.scatter("rank", range(4), flatten=True)
    assert view["rank"] == [0, 1, 2, 3]


@pytest.mark.req(46)
def test_arrays_are_cut_and_concatenated(view):
    a = np.arange(30.0).reshape(10, 3)
    view.scatter("a", a)
    assert [part.shape for part in view["a"]] == [(3, 3), (3, 3), (2, 3), (2, 3)]
    assert (view.gather("a") == a).all()


def test_scatter_without_blocking(dview):
    ar = dview.scatter("x", range(8))
    assert isinstance(ar, px.AsyncResult)
    assert ar.get() == [None] * 4
    gathered = dview.gather("x")
    assert isinstance(gathered, px.AsyncMapResult)
    assert gathered.get() == list(range(8))


@pytest.mark.req(47)
def test_parts_stay_on_their_engines(rc, view):
    view.scatter("x", range(8))
    view.execute("x = [i * 2 for i in x]")
    assert [list(each["x"]) for each in rc] == [[0, 2], [4, 6], [8, 10], [12, 14]]


@pytest.mark.req(48)
def test_names_of_an_engine(view):
    view["mine"] = 1
    assert all("mine" in names for names in view.apply(px.interactive(lambda: list(globals()))))
    for removed in ("zip_pull", "keys", "push_function", "push_serialized"):
        assert not hasattr(view, removed)


@pytest.mark.req(49)
def test_references(rc, view, lview):
    view.push({"A": np.eye(2), "b": 3, "f": lambda x: x + 1})
    product = lview.apply_sync(np.dot, px.Reference("A"), np.array([1.0, 2.0]))
    assert product.tolist() == [1.0, 2.0]
    assert rc[0].apply_sync(lambda d: d["k"][0], {"k": [px.Reference("b")]}) == 3
    assert rc[0].apply_sync(lambda x: x, x=px.Reference("A[0][0]")) == 1.0
    assert rc[0].apply_sync(px.Reference("f"), 5) == 6
    long = [px.Reference("b")] + [0] * 99
    assert rc[0].apply_sync(lambda items: items[0], long) == 3
    with pytest.raises(px.RemoteError, match="NameError"):
        rc[0].apply_sync(lambda x: x, px.Reference("nothing"))
    assert rc[0].map_sync(px.Reference("f"), [1, 2]) == [2, 3]
