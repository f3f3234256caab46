"""How sequences are cut into parts for engines, and joined again.

Who may use it: views and parallel functions. It knows no engines, only how many there are.

>>> [list(part) for part in split([0, 1, 2, 3, 4], 4)]
[[0, 1], [2], [3], [4]]
>>> join([[0, 1], [2]])
[0, 1, 2]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "BLOCKS",
    "ROUND_ROBIN",
    "as_sequence",
    "check_dist",
    "chunks",
    "even_chunk",
    "even_chunks",
    "join",
    "join_dealt",
    "split",
]

BLOCKS = "b"
"""Contiguous parts, in order."""

ROUND_ROBIN = "r"
"""Part i takes every nth item from the ith on."""


def check_dist(dist: str) -> str:
    """The way of distributing, if there is such a one.

    >>> check_dist("x")
    Traceback (most recent call last):
    ...
    ValueError: dist is 'b' (blocks) or 'r' (round robin), not 'x'
    """
    if dist not in (BLOCKS, ROUND_ROBIN):
        raise ValueError(f"dist is 'b' (blocks) or 'r' (round robin), not {dist!r}")
    return dist


def as_sequence(items: Iterable[Any]) -> Any:
    """Something that has a length and can be sliced: the items themselves, or a list of them.

    >>> as_sequence(range(3)), as_sequence(x for x in "ab")
    (range(0, 3), ['a', 'b'])
    """
    if hasattr(items, "__len__") and hasattr(items, "__getitem__") and not isinstance(items, dict):
        try:
            sliced: Any = items
            sliced[0:0]
        except (TypeError, KeyError):  # a deque, for one, has items but no slices
            return list(items)
        return items
    return list(items)


def split(items: Any, parts: int, dist: str = BLOCKS) -> list[Any]:
    """That many parts of nearly the same length; the first ones take what is left over.

    Parts are slices: of a range a range, of an array a view.

    >>> split(range(16), 4)
    [range(0, 4), range(4, 8), range(8, 12), range(12, 16)]
    >>> split([0, 1, 2, 3, 4], 2, "r")
    [[0, 2, 4], [1, 3]]
    """
    items = as_sequence(items)
    if check_dist(dist) == ROUND_ROBIN:
        return [items[i::parts] for i in range(parts)]
    each, more = divmod(len(items), parts)
    cut: list[Any] = []
    start = 0
    for index in range(parts):
        stop = start + each + (index < more)
        cut.append(items[start:stop])
        start = stop
    return cut


def chunks(items: Any, size: int) -> list[Any]:
    """Parts of that length; the last may be shorter.

    >>> chunks([1, 2, 3], 2)
    [[1, 2], [3]]
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def even_chunks(items: Any, size: int) -> list[Any]:
    """As many parts as `chunks` gives, of nearly the same length.

    >>> even_chunks(range(7), 3)
    [range(0, 3), range(3, 5), range(5, 7)]
    """
    parts = -(-len(items) // size)
    return split(items, parts) if parts else []


def even_chunk(items: int, parts: int) -> int:
    """How many items each part has if there are at most so many parts.

    >>> even_chunk(10, 4), even_chunk(3, 100), even_chunk(0, 4)
    (3, 1, 1)
    """
    return max(1, -(-items // max(1, parts)))


def join(parts: Sequence[Any]) -> Any:
    """The parts as one: arrays are concatenated, lists and tuples become one list.

    Parts that are neither stay as they are, in a list.

    >>> join(["a", "b"])
    ['a', 'b']
    """
    if not parts:
        return []
    if _are_arrays(parts):
        return sys.modules["numpy"].concatenate(parts)
    if all(isinstance(part, (list, tuple, range)) for part in parts):
        return [item for part in parts for item in part]
    return list(parts)


def join_dealt(parts: Sequence[Any]) -> Any:
    """The same for parts that were dealt round robin.

    >>> join_dealt([[0, 2, 4], [1, 3]])
    [0, 1, 2, 3, 4]
    """
    if not parts:
        return []
    count = len(parts)
    if _are_arrays(parts):
        numpy = sys.modules["numpy"]
        shape = (sum(map(len, parts)), *parts[0].shape[1:])
        whole = numpy.empty(shape, dtype=numpy.result_type(*parts))
        for index, part in enumerate(parts):
            whole[index::count] = part
        return whole
    if all(isinstance(part, (list, tuple, range)) for part in parts):
        items: list[Any] = [None] * sum(map(len, parts))
        for index, part in enumerate(parts):
            items[index::count] = part
        return items
    return list(parts)


def _are_arrays(parts: Sequence[Any]) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and all(
        isinstance(part, numpy.ndarray) and part.ndim > 0 for part in parts
    )
