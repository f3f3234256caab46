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
