"""Arrays, bytes and buffers: out of band, uncopied on the way out, read-only on arrival."""

from __future__ import annotations

import numpy as np
import pytest

import phalanx as px
from phalanx.values.packing import pack_value, unpack_value


@pytest.mark.req(50)
@pytest.mark.parametrize("size", [2, 20_000])
def test_arrays_are_not_pickled(size):
    a = np.arange(float(size))
    parts = pack_value((a,))
    assert len(parts) == 2
    assert np.shares_memory(np.frombuffer(parts[1]), a)


@pytest.mark.req(50)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_large_bytes_are_not_pickled(kind):
    value = kind(b"x" * 5000)
    parts = pack_value({"deep": [value]})
    assert [len(part) for part in parts[1:]] == [5000]
    assert unpack_value(parts) == {"deep": [value]}
    assert type(unpack_value(parts)["deep"][0]) is kind


@pytest.mark.req(51)
def test_anything_else_is_pickled(rc):
    assert rc[0].apply_sync(lambda x: x, {1, (2, "three")}) == {1, (2, "three")}


@pytest.mark.req(52)
def test_buffers_can_be_rebuilt_by_the_user(rc):
    sent = memoryview(np.arange(1000, dtype="i4"))
    total = rc[0].apply_sync(lambda b: int(np.frombuffer(b, dtype="i4").sum()), sent)
    assert total == 499_500
    back = rc[0].apply_sync(lambda b: b, sent)
    assert isinstance(back, memoryview)
    assert back.readonly


@pytest.mark.req(53)
@pytest.mark.parametrize("size", [2, 20_000])
def test_received_arrays_are_read_only(rc, size):
    a = np.zeros(size)
    assert rc[0].apply_sync(lambda a: a.flags.writeable, a) is False
    assert rc[0].apply_sync(lambda a: a, a).flags.writeable is False
    assert rc[0].apply_sync(lambda a: a, a[::2]).flags.writeable is False
    assert (
        rc[0].apply_sync(lambda a: a, np.asfortranarray(a.reshape(2, -1))).flags.writeable is False
    )


@pytest.mark.req(54, 108)
def test_writing_to_one_raises_on_the_engine(rc):
    def setter(a):
        a[0] = 1
        return a

    with pytest.raises(px.RemoteError) as caught:
        rc[0].apply_sync(setter, np.zeros(2))
    e = caught.value
    assert (e.ename, e.evalue) == ("ValueError", "assignment destination is read-only")
    assert repr(e) == "<RemoteError[0]:ValueError(assignment destination is read-only)>"
    assert "<locals>.setter(a)\n" in e.traceback
    assert e.traceback.endswith("ValueError: assignment destination is read-only")


@pytest.mark.req(55)
def test_copying_first_works(rc):
    def setter(a):
        """only copy read-only arrays"""
        if not a.flags.writeable:
            a = a.copy()
        a[0] = 1
        return a

    result = rc[0].apply_sync(setter, np.zeros(2))
    assert result.tolist() == [1.0, 0.0]
    assert result.flags.writeable is False


def test_results_that_can_be_written_to(rc, cluster):
    ar = rc[0].apply_async(lambda: np.zeros(3))
    ar.get(copy=True)[0] = 1
    with cluster.connect_client_sync(writable_results=True) as writing:
        writing[0].apply_sync(lambda: np.zeros(3))[0] = 1


@pytest.mark.req(56, 57)
def test_what_was_sent_may_be_edited(rc):
    view = rc[0]
    a = np.ones(100_000)
    with view.temp_flags(track=True):
        ar = view.apply_async(lambda a: a.sum(), a)
    ar.wait_on_send()
    assert ar.wait_for_send(10)
    assert ar.sent is True
    a[:] = 0
    assert ar.get() == 100_000


@pytest.mark.parametrize(
    "value",
    [
        np.array([]),
        np.array([[1, 2], [3, 4]])[:, 1],
        np.array(["a", "bc"]),
        np.array([1, "a", None], dtype=object),
        np.array([(1, 2.0)], dtype=[("x", "i4"), ("y", "f8")]),
        np.float64(2.5),
        np.datetime64("2026-11-22"),
    ],
    ids=str,
)
def test_arrays_of_every_kind(rc, value):
    back = rc[0].apply_sync(lambda a: a, value)
    assert type(back) is type(value)
    assert np.array_equal(back, value)
    assert back.dtype == value.dtype


def test_one_hundred_megabytes_both_ways(rc):
    a = np.arange(12_500_000, dtype="f8")
    back = rc[0].apply_sync(lambda a: a, a)
    assert np.array_equal(a, back)


def test_pre_pickled_values_are_pickled_once(rc):
    class Counts:
        pickled = 0

        def __reduce__(self):
            Counts.pickled += 1
            return (int, (5,))

    value = px.PrePickled([Counts(), np.arange(3)])
    for engine in rc:
        assert engine.apply_sync(lambda v: v[0] + int(v[1].sum()), value) == 8
    assert Counts.pickled == 1
