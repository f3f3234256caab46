"""map, parallel functions, and the results of both."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import phalanx as px


@pytest.mark.req(61)
def test_it_equals_the_builtin(dview, lview):
    expected = [x**10 for x in range(32)]
    for view in (dview, lview):
        assert view.map_sync(lambda x: x**10, range(32)) == expected
        assert view.map_async(lambda x: x**10, range(32)).get() == expected
        assert view.map(lambda x: x**10, range(32), block=True) == expected
        assert view.map_sync(lambda x: x, []) == []
        assert view.map_async(lambda x: x, iter([])).get() == []
        assert view.map_sync(lambda x: x, (c for c in "abc")) == ["a", "b", "c"]


@pytest.mark.req(62)
def test_any_number_of_sequences(dview, lview):
    for view in (dview, lview):
        assert view.map_sync(lambda a, b, c: a + b + c, [1, 2], [10, 20], [100, 200]) == [111, 222]
        assert view.map_sync(lambda a, b: (a, b), range(5), "abc") == [(0, "a"), (1, "b"), (2, "c")]
        with pytest.raises(TypeError):
            view.map_sync(lambda x: x, [1], block=True)
        with pytest.raises(TypeError):
            view.map_sync(lambda x: x)


@pytest.mark.req(63, 64)
def test_a_direct_map_is_one_task_for_each_engine(dview):
    ar = dview.map_async(lambda x: x, range(10))
    ar.get()
    assert len(ar.msg_ids) == 4
    assert [md.engine_id for md in ar.metadata] == [0, 1, 2, 3]
    assert len(dview.map_async(lambda x: x, range(2)).msg_ids) == 2


@pytest.mark.req(63, 84)
def test_a_balanced_map_is_a_task_for_each_chunk(lview):
    ar = lview.map_async(lambda x: x, range(10))
    assert ar.get() == list(range(10))
    assert len(ar.msg_ids) == 10
    ar = lview.map_async(lambda x: x, range(10), chunksize=4)
    assert ar.get() == list(range(10))
    assert len(ar.msg_ids) == 3
    assert len(ar) == 10
    with pytest.raises(ValueError, match="chunksize"):
        lview.map(lambda x: x, [1], chunksize=0)


@pytest.mark.req(65)
def test_remote_functions(rc, dview):
    @dview.remote(block=True)
    def add(a, b=1):
        """Adds."""
        return a + b

    assert add(1) == [2] * 4
    assert add(1, b=2) == [3] * 4
    assert add.__name__ == "add"
    assert add.__doc__ == "RemoteFunction wrapping:\nAdds."
    assert str(add.__signature__) == "(a, b=1)"
    assert isinstance(px.remote(dview)(lambda: 1)(), px.AsyncResult)
    assert px.remote(rc[0], block=True)(lambda: 1)() == 1


@pytest.mark.req(66, 67)
def test_parallel_functions(dview, lview):
    @px.parallel(dview, block=True)
    def total(part):
        return [sum(part)]

    assert total([1, 2, 3, 4, 5]) == [3, 3, 4, 5]
    assert total.map([[1], [2, 3]]) == [[1], [5]]
    with pytest.raises(ValueError, match="differ in length"):
        total([1], [1, 2])
    with pytest.raises(TypeError, match="keyword"):
        total(part=[1])

    @lview.parallel(block=True)
    def double(part):
        return part * 2

    a = np.arange(12.0)
    assert (double(a) == a * 2).all()


def test_parts_of_a_balanced_parallel_function_are_chunks(lview):
    assert lview.parallel(block=True)(len)(range(5)) == [1] * 5
    assert lview.parallel(block=True, chunksize=3)(len)(range(7)) == [3, 2, 2]
    assert lview.parallel(block=True)(len)([]) == []
    sums = lview.parallel(block=True, chunksize=2)(lambda a, b: [sum(a) * sum(b)])
    assert sums([1, 2, 3], (1, 1, 1)) == [6, 3]
    few = lview.parallel(chunksize=4)(len)(range(10))
    assert (len(few), few.wait(), few.progress, few.get()) == (3, True, 3, [4, 3, 3])
    many = lview.parallel(block=False)(len)(range(20_000))
    assert len(many.msg_ids) <= 8_192
    assert sum(many.get()) == 20_000


def test_dealt_parts_come_back_in_order(dview):
    double = dview.parallel(dist="r", block=True)(lambda part: [2 * x for x in part])
    assert double(list(range(10))) == [2 * x for x in range(10)]
    a = np.arange(10)
    twice = dview.parallel(dist="r", block=True)(lambda part: part * 2)
    assert (twice(a) == a * 2).all()


def test_chunksize_of_a_direct_view_is_ignored_aloud(dview):
    with pytest.warns(UserWarning, match="chunksize"):
        dview.parallel(chunksize=2)(lambda x: x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dview.map_sync(lambda x: x, [1])


def test_items_arrive_while_others_run(lview):
    ar = lview.map_async(lambda x: x, range(8))
    items = iter(ar)
    assert next(items) == 0
    assert list(items) == list(range(1, 8))


def test_items_as_they_come(lview):
    ar = lview.map_async(lambda x: x, range(20), ordered=False, chunksize=3)
    assert sorted(ar) == list(range(20))
    assert ar.get() == list(range(20))


@pytest.mark.parametrize("options", [{}, {"chunksize": 3}])
def test_exceptions_in_their_places(dview, lview, options):
    def f(x):
        if x == 5:
            raise ValueError("five")
        return x

    for view in (lview, dview):
        if view is dview and options:
            continue
        with pytest.raises(px.CompositeError, match="ValueError: five"):
            view.map_sync(f, range(8), **options)
        ar = view.map_async(f, range(8), return_exceptions=True, **options)
        results = ar.get()
        assert ar.successful()
        assert [r for r in results if not isinstance(r, Exception)] == [0, 1, 2, 3, 4, 6, 7]
        assert isinstance(results[5], px.RemoteError)
        assert results[5].ename == "ValueError"


def test_progress_counts_items(dview):
    ar = dview.map_async(lambda x: x, range(10))
    ar.get()
    assert ar.progress == 10
    assert len(ar) == 10
