"""Equal errors of many engines, told once: a hundred engines fail in one way more often than in a hundred.

Who may use it: what renders errors. It only compares and counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["engine_ranges", "fold", "kind_of", "same_on"]

_EXECUTED = re.compile(r"<execute \d+>|In\[\d+\]")


def kind_of(entry: Sequence[Any]) -> tuple[str, ...]:
    """What is equal for errors that tell the same: engines count executed code each for itself.

    >>> kind_of(("E", "no", "Cell In[3], line 1", {})) == kind_of(("E", "no", "Cell In[4], line 1", {}))
    True
    """
    return entry[0], *(_EXECUTED.sub("<execute>", text) for text in entry[1:3])


def fold(entries: Sequence[Sequence[Any]]) -> list[list[int]]:
    """The places of equal errors, in the order of the first of each.

    >>> fold([("E", "no", "", {}), ("F", "", "", {}), ("E", "no", "", {})])
    [[0, 2], [1]]
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, entry in enumerate(entries):
        groups.setdefault(kind_of(entry), []).append(index)
    return list(groups.values())


def same_on(engines: Iterable[int | None]) -> str:
    """What stands for the errors that are not shown.

    >>> same_on([1, 2, 3, 7])
    'the same on engines 1-3, 7'
    """
    ranges = engine_ranges(engines)
    if not ranges:
        return "the same again"
    return f"the same on engine{'' if ranges.isdecimal() else 's'} {ranges}"


def engine_ranges(engines: Iterable[int | None]) -> str:
    """Engine ids as short as can be.

    >>> engine_ranges([0, 1, 2, 5, 7, 8])
    '0-2, 5, 7-8'
    """
    parts: list[str] = []
    ids = sorted({engine for engine in engines if engine is not None})
    start = 0
    for index, engine in enumerate(ids):
        if index + 1 == len(ids) or ids[index + 1] != engine + 1:
            first = ids[start]
            parts.append(str(first) if first == engine else f"{first}-{engine}")
            start = index + 1
    return ", ".join(parts)
