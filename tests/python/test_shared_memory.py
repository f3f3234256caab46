"""Long payloads between processes of one host: mapped, not copied, on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import phalanx as px

LEN = 2_000_000


def mapped() -> int:
    """How many segments of shared memory this process has mapped."""
    return Path("/proc/self/maps").read_text().count("/memfd:phalanx-")


def test_a_long_result_is_mapped_as_long_as_it_is_held(rc, until):
    def numbers(n):
        import numpy

        return numpy.arange(float(n))

    before = mapped()
    result = rc[0].apply_sync(numbers, LEN)
    assert mapped() == before + 1
    assert not result.flags.writeable
    assert result.sum() == LEN * (LEN - 1) / 2
    rest = result[-1000:]
    del result
    assert rest[-1] == LEN - 1
    del rest
    until(lambda: mapped() <= before)


def test_long_arguments_of_many_engines_are_mapped_there(view):
    def look(array):
        from pathlib import Path

        maps = Path("/proc/self/maps").read_text()
        return "/memfd:phalanx-" in maps, float(array.sum())

    sent = np.ones(LEN)
    assert view.apply_sync(look, sent) == [(True, float(LEN))] * len(view)


def segment_of(array):
    """Which segment of shared memory an array lies in: its inode; None if it is in none."""
    from pathlib import Path

    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, _, _, inode, *name = line.split(None, 5)
        start, end = (int(bound, 16) for bound in span.split("-"))
        if start <= address < end:
            return int(inode) if name and "/memfd:phalanx-" in name[0] else None
    return None


def test_an_array_that_comes_back_was_copied_once_when_it_was_sent(rc):
    def look(array):
        return array, array[1000:], segment_of(array)

    look.__globals__["segment_of"] = segment_of
    array, rest, segment = rc[0].apply_sync(look, np.arange(float(LEN)))
    assert segment is not None
    assert segment_of(array) == segment_of(rest) == segment
    assert rest[-1] == LEN - 1
    assert array.sum() == LEN * (LEN - 1) / 2


def test_a_small_part_of_what_came_does_not_keep_the_rest(rc):
    def tail(array):
        return array[-LEN // 8 :], segment_of(array)

    tail.__globals__["segment_of"] = segment_of
    part, segment = rc[0].apply_sync(tail, np.arange(float(LEN)))
    assert part[-1] == LEN - 1
    assert segment_of(part) != segment


def test_a_result_among_the_arguments_is_not_copied_on_its_way(rc):
    def numbers(n):
        import numpy

        return numpy.arange(float(n))

    def look(first, second, text):
        return float(first.sum() - second.sum()), text, segment_of(first), segment_of(second)

    look.__globals__["segment_of"] = segment_of
    view = rc.load_balanced_view()
    results = [view.apply_async(numbers, n) for n in (LEN, LEN + 1)]
    said = view.apply_sync(look, *results, "x" * 5_000)
    assert said[:2] == (-float(LEN), "x" * 5_000)
    assert said[2:] == tuple(segment_of(result.get()) for result in results)
    assert None not in said


def test_what_an_engine_keeps_stays_as_it_was(rc):
    first, second = np.zeros(LEN), np.ones(LEN)
    rc[0].push({"first": first}, block=True)
    # The same memory must not be filled again under what the engine keeps.
    rc[1].push({"second": second}, block=True)
    rc[0].push({"second": second}, block=True)
    assert rc[0].apply_sync(lambda: (float(first.sum()), float(second.sum()))) == (0.0, LEN)


def test_a_cluster_that_is_told_not_to_maps_nothing(home, monkeypatch):
    monkeypatch.setenv("PHALANX_SHARED_MEMORY", "off")
    with px.Cluster(n=1) as rc:
        before = mapped()
        result = rc[0].apply_sync(lambda n: b"x" * n, LEN)
        assert (len(result), mapped()) == (LEN, before)
