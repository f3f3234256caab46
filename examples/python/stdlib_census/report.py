"""The report of a census: its figures, and how they read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from stdlib_census.packages import KEPT, Named, Package, most

COLUMNS = ("files", "lines", "functions", "classes", "branches")


class Report(NamedTuple):
    """All that a census found."""

    packages: tuple[Package, ...]
    graph: dict[str, Any]

    def text(self) -> str:
        """The report as it is printed."""
        return "\n".join(_lines(self))


def report(packages: Iterable[Package], graph: dict[str, Any]) -> Report:
    """The report on these packages, by name."""
    return Report(tuple(sorted(packages)), graph)


def _lines(report: Report) -> Iterator[str]:
    packages, graph = report.packages, report.graph
    totals = [f"{sum(getattr(each, of) for each in packages):,} {of}" for of in COLUMNS]
    yield f"The standard library: {', '.join(totals)}."
    yield ""
    yield f"{'Largest packages':<22}" + "".join(f"{of:>11}" for of in COLUMNS)
    for each in sorted(packages, key=lambda package: (-package.lines, package.name))[:KEPT]:
        yield f"  {each.name:<20}" + "".join(f"{getattr(each, of):>11,}" for of in COLUMNS)
    yield ""
    yield from _table("Largest modules", "lines", (each.largest for each in packages))
    yield from _table(
        "Most branched modules", "branches", (each.most_branched for each in packages)
    )
    yield from _table("Longest functions", "lines", (each.longest_functions for each in packages))
    yield from _table("Most imported modules", "times", [graph["most_imported"]])
    cycles = f"{graph['cycles']} cycles"
    if graph["largest_cycle"]:
        cycles += f", the largest of {len(graph['largest_cycle'])} modules"
    yield (
        f"Import graph: {graph['modules']:,} modules, {graph['imports']:,} imports between them, "
        f"the longest chain {graph['longest_chain']} long, {cycles}."
    )


def _table(title: str, unit: str, rows: Iterable[Iterable[Named]]) -> Iterator[str]:
    yield f"{title:<50}{unit:>10}"
    for name, count in most(chain.from_iterable(rows)):
        yield f"  {name:<48}{count:>10,}"
    yield ""
