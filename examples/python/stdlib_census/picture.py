"""The picture of a run: tasks on engines over time, dependencies as lines between them."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Patch

from stdlib_census.cluster import Bar, Run

COLOURS = {
    "measure": "#7aa6c2",
    "reduce": "#e07a3f",
    "imports": "#8a4f9e",
    "report": "#3d8b5f",
}
MEANING = {
    "measure": "measure a file",
    "reduce": "reduce a package (after its files, where one of them ran)",
    "imports": "import graph (a Rust engine, after all packages)",
    "report": "report",
}
HEIGHT = 0.7
"""Of a bar; lanes are 1 apart."""

REDUCES_DRAWN = 24
"""Of the reductions that took longest the lines from their files are drawn; all would hide the bars."""


def draw(run: Run, path: Path) -> None:
    """Draws the run into an SVG, PNG or PDF file, by the path's ending."""
    zero = min(bar.start for bar in run.bars)
    lanes = {engine: lane for lane, engine in enumerate(sorted({bar.engine for bar in run.bars}))}
    figure, axes = pyplot.subplots(figsize=(15, 1.6 + 0.85 * len(lanes)), layout="constrained")

    def left(bar: Bar) -> float:
        return (bar.start - zero).total_seconds()

    def right(bar: Bar) -> float:
        return (bar.end - zero).total_seconds()

    for step, colour in COLOURS.items():
        for engine, lane in lanes.items():
            spans = [
                (left(bar), max(right(bar) - left(bar), 1e-3))
                for bar in run.bars
                if bar.step == step and bar.engine == engine
            ]
            axes.broken_barh(
                spans, (lane - HEIGHT / 2, HEIGHT), color=colour, edgecolor="white", linewidth=0.15
            )
    for before, after in _edges(run.bars):
        start = (right(before), lanes[before.engine])
        end = (left(after), lanes[after.engine])
        _line(axes, start, end, COLOURS[after.step])
    _label(axes, run, lanes)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _edges(bars: list[Bar]) -> list[tuple[Bar, Bar]]:
    """The dependencies that are drawn: of many into one, the one that it waited for last."""
    reduces = [bar for bar in bars if bar.step == "reduce"]
    longest = sorted(reduces, key=lambda bar: len(bar.after), reverse=True)[:REDUCES_DRAWN]
    edges = [(max((bars[i] for i in bar.after), key=lambda b: b.end), bar) for bar in longest]
    for bar in bars:
        if bar.step in ("imports", "report"):
            edges += [(bars[index], bar) for index in bar.after]
    return edges


def _line(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-",
            connectionstyle="arc3,rad=0.15",
            color=colour,
            alpha=0.45,
            linewidth=0.8,
        )
    )


def _label(axes: Axes, run: Run, lanes: dict[int, int]) -> None:
    names = [f"engine {e}" + (" (Rust)" if e == run.rust_engine else "") for e in lanes]
    axes.set_yticks(list(lanes.values()), names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds since the first task began")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    files = sum(bar.step == "measure" for bar in run.bars)
    axes.set_title(
        f"A census of Python's standard library: {files:,} files on {len(lanes) - 1} Python engines "
        f"and a Rust one in {run.seconds:.1f} s",
        loc="left",
    )
    patches = [Patch(color=COLOURS[step], label=MEANING[step]) for step in COLOURS]
    axes.legend(
        handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False
    )
