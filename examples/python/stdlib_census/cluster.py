"""The census on a cluster that is started for it: the whole graph of tasks is submitted at once."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import phalanx as px

from stdlib_census import tasks
from stdlib_census.report import Report
from stdlib_census.sources import Source, by_package

RUST_ENGINE_READY_S = 20
"""How long the Rust engine may take to register."""


class Bar(NamedTuple):
    """A task as the picture shows it."""

    step: str
    name: str
    engine: int
    start: datetime
    end: datetime
    after: tuple[int, ...] = ()
    """Bars that it waited for, by their place in the list."""


class Run(NamedTuple):
    """What a run gave, and when its tasks ran where."""

    report: Report
    seconds: float
    bars: list[Bar]
    rust_engine: int
    leftovers: list[str]


def run(
    sources: list[Source],
    engines: int,
    rust_engine: Path,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> Run:
    """Starts a cluster, makes the census on it, and stops it."""
    cluster = px.Cluster(n=engines)
    with tempfile.TemporaryDirectory(prefix="census-") as run_dir, cluster as client:
        where = str(cluster.cluster_dir)
        with _rust_engine(client, rust_engine, cluster) as rust_id:
            start = time.monotonic()
            graph = _Graph(client, sources, run_dir)
            graph.wait(progress)
            report = graph.report.get()
            seconds = time.monotonic() - start
            bars = graph.bars()
    return Run(report, seconds, bars, rust_id, _leftovers(where))


class _Graph:
    """The tasks of a run, submitted."""

    def __init__(self, client: px.Client, sources: list[Source], run_dir: str) -> None:
        view = client.load_balanced_view()
        self.sources = sources
        self.packages = by_package(sources)
        count = len(sources)
        self.measures = view.map_async(tasks.measure, [run_dir] * count, range(count), sources)
        self.reduces = {
            name: self._reduce(view, run_dir, name, indices)
            for name, indices in self.packages.items()
        }
        reduced = list(self.reduces.values())
        files = [os.path.join(run_dir, f"imports-{name}.json") for name in self.packages]
        with view.temp_flags(after=reduced):
            self.graph = view.call(
                "imports.graph", {"files": files, "into": os.path.join(run_dir, tasks.GRAPH_FILE)}
            )
        with view.temp_flags(after=[self.graph]):
            self.report = view.apply_async(tasks.make_report, run_dir, list(self.packages))

    def _reduce(
        self, view: px.LoadBalancedView, run_dir: str, name: str, indices: list[int]
    ) -> px.AsyncResult:
        """After all files of the package, on an engine that measured one of them."""
        measured = [self.measures.msg_ids[index] for index in indices]
        near = px.Dependency(measured, all=False)
        with view.temp_flags(after=measured, follow=near):
            return view.apply_async(tasks.reduce, run_dir, name, indices)

    def wait(self, progress: Callable[[int, int], object]) -> None:
        """Waits until the report is there, or something failed."""
        total = len(self.sources)
        while not self.report.wait(0.1):
            progress(self.measures.progress, total)
        progress(self.measures.progress, total)

    def bars(self) -> list[Bar]:
        """When each task ran where."""
        bars = [
            _bar("measure", source.module, metadata)
            for source, metadata in zip(self.sources, self.measures.metadata, strict=True)
        ]
        places = []
        for name, reduced in self.reduces.items():
            places.append(len(bars))
            after = tuple(self.packages[name])
            bars.append(_bar("reduce", name, reduced.metadata, after))
        bars.append(_bar("imports", "import graph, in Rust", self.graph.metadata, tuple(places)))
        bars.append(_bar("report", "report", self.report.metadata, (len(bars) - 1,)))
        return bars


def _bar(step: str, name: str, metadata: Any, after: tuple[int, ...] = ()) -> Bar:
    return Bar(step, name, metadata.engine_id, metadata.started, metadata.completed, after)


@contextmanager
def _rust_engine(client: px.Client, program: Path, cluster: px.Cluster) -> Iterator[int]:
    """A Rust engine that joins the cluster as any program can: by a connection file."""
    known = {engine["id"] for engine in client.engines}
    connection = Path(str(cluster.cluster_dir), "engine.json")
    environment = {**os.environ, "PHALANX_CONNECTION": str(connection)}
    process = subprocess.Popen([program], env=environment)
    try:
        end = time.monotonic() + RUST_ENGINE_READY_S
        while not (new := {engine["id"] for engine in client.engines} - known):
            if process.poll() is not None:
                raise RuntimeError(f"{program} ended with status {process.returncode}")
            if time.monotonic() > end:
                raise TimeoutError(f"{program} has not joined within {RUST_ENGINE_READY_S} s")
            time.sleep(0.01)
        yield new.pop()
    finally:
        process.terminate()
        process.wait()


def _leftovers(cluster_dir: str) -> list[str]:
    """Processes that still name the cluster's directory, and its files: there must be none."""
    found = [str(path) for path in Path(cluster_dir).glob("*.json")]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # It has ended, or is somebody else's.
            if cluster_dir.encode() in text:
                found.append(f"process {entry.name}")
    return found
