"""What the measures of a package's files come to. It reads no file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stdlib_census.measure import Measure

Named = tuple[str, int]
"""A name and a number to compare it by."""

KEPT = 10
"""How many of a package's modules and functions are named."""


class Package(NamedTuple):
    """A package's figures, and what its modules import."""

    name: str
    files: int
    lines: int
    functions: int
    classes: int
    branches: int
    nesting: int
    largest: tuple[Named, ...]
    """Its longest modules, with their lines."""
    most_branched: tuple[Named, ...]
    longest_functions: tuple[Named, ...]
    imports: dict[str, tuple[str, ...]]


def reduce(name: str, measures: Iterable[Measure]) -> Package:
    """The figures of a package, of those of its files."""
    files = sorted(measures)
    parsed = [each for each in files if each.is_source]
    return Package(
        name,
        len(files),
        sum(each.lines for each in parsed),
        sum(each.functions for each in parsed),
        sum(each.classes for each in parsed),
        sum(each.branches for each in parsed),
        max((each.nesting for each in parsed), default=0),
        most((each.module, each.lines) for each in parsed),
        most((each.module, each.branches) for each in parsed),
        most((f"{each.module}.{each.longest.name}", each.longest.lines) for each in parsed),
        {each.module: each.imports for each in parsed},
    )


def most(named: Iterable[Named], count: int = KEPT) -> tuple[Named, ...]:
    """Those with the greatest numbers, greatest first; of equals the first by name.

    >>> most([("a", 1), ("c", 2), ("b", 2)], 2)
    (('b', 2), ('c', 2))
    """
    return tuple(sorted(named, key=lambda pair: (-pair[1], pair[0]))[:count])
