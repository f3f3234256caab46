"""The census in one process, one step after the other: what the cluster's answer must equal."""

from __future__ import annotations

from stdlib_census.imports import import_graph
from stdlib_census.measure import measure
from stdlib_census.packages import reduce
from stdlib_census.report import Report, report
from stdlib_census.sources import Source, by_package


def census(sources: list[Source]) -> Report:
    """Measures, reduces, and reports."""
    measures = [measure(source) for source in sources]
    packages = [
        reduce(name, [measures[index] for index in indices])
        for name, indices in by_package(sources).items()
    ]
    return report(packages, import_graph(packages))
