"""The steps of the census as tasks, on engines that share a directory: each leaves there what the next
ones need, and sends its client only what it is curious about.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

from stdlib_census import measure as measuring
from stdlib_census import packages, report
from stdlib_census.sources import Source

GRAPH_FILE = "graph.json"
"""What the Rust engine leaves."""


def measure(run_dir: str, index: int, source: Source) -> int:
    """Measures one file; how many lines it has."""
    found = measuring.measure(source)
    _leave(run_dir, f"measure-{index}", found)
    return found.lines


def reduce(run_dir: str, name: str, indices: list[int]) -> int:
    """Reduces the measures of a package's files; how many files there are."""
    found = packages.reduce(name, [_find(run_dir, f"measure-{index}") for index in indices])
    _leave(run_dir, f"package-{name}", found)
    Path(run_dir, f"imports-{name}.json").write_text(json.dumps(found.imports))
    return found.files


def make_report(run_dir: str, names: list[str]) -> report.Report:
    """The report on all packages, and on the import graph that a Rust engine has made."""
    graph = json.loads(Path(run_dir, GRAPH_FILE).read_text())
    return report.report([_find(run_dir, f"package-{name}") for name in names], graph)


def _leave(run_dir: str, name: str, value: Any) -> None:
    Path(run_dir, name).write_bytes(pickle.dumps(value))


def _find(run_dir: str, name: str) -> Any:
    return pickle.loads(Path(run_dir, name).read_bytes())
