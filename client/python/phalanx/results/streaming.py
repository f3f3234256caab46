"""Showing what tasks write and display: while they run, and afterwards, grouped as wanted.

Who may use it: `AsyncResult` and the magics. It reads; what is kept with a task is not touched by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from types import TracebackType
from typing import Any

from phalanx import error
from phalanx.display.showing import (
    show_display,
    show_error,
    show_lines,
    show_plain,
    show_result,
    show_text,
)
from phalanx.failures.exceptions import entry_of
from phalanx.failures.folding import kind_of, same_on
from phalanx.results.batches import Batch
from phalanx.results.live import Event, TaskOutput
from phalanx.results.metadata import Metadata

__all__ = ["GROUPS", "OutputStreamer", "show_output", "show_outputs"]

POLL_S = 0.05
"""Between two looks at tasks that have written nothing."""

GROUPS = ("type", "engine", "order")
"""How outputs that are shown afterwards can be grouped."""


class OutputStreamer:
    """Shows what each task writes as it comes, each line with the engine before it: `[stdout:3] hello`.

    A context manager that shows from a thread of its own: at its end everything is shown that has
    been written by then; if the tasks have ended, that is all. Or `poll()` shows what there is, and
    `finish()` the rest. Of errors that are equal on several engines the traceback is shown once.
    """

    def __init__(
        self,
        batch: Batch,
        output_of: Callable[[int], TaskOutput],
        engine_of: Callable[[int], int | None],
        failure_of: Callable[[int], Exception | None] | None = None,
    ) -> None:
        self._batch = batch
        self._ask_engine = engine_of
        self._engines: dict[int, int] = {}
        self._failure_of = failure_of
        self._outputs = [output_of(index) for index in range(len(batch))]
        self._next = [0] * len(batch)
        self._open = set(range(len(batch)))
        self._lines: dict[tuple[int, str], str] = {}
        self._same: dict[tuple[str, ...], list[int | None]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> OutputStreamer:
        # What is shown belongs to whoever began it, such as a notebook's cell.
        context = copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(self._run), name="phalanx-output", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set() and not self._batch.ready():
            self.poll()
            self._stop.wait(POLL_S)
        self.finish()

    def poll(self) -> None:
        """Shows what has come."""
        with self._lock:
            for index in sorted(self._open):
                has_ended = self._batch.ready(index)
                events, self._next[index] = self._outputs[index].events(self._next[index])
                for event in events:
                    self._show(index, event)
                if has_ended:
                    self._open.discard(index)
                    self._show_rest(index)
                    self._show_failure(index)

    def finish(self) -> None:
        """Shows what is there now, half lines too."""
        self.poll()
        with self._lock:
            for index in self._open:
                self._show_rest(index)
            for engines in self._same.values():
                if len(engines) > 1:
                    show_error([same_on(engines[1:]), ""])
            self._same.clear()

    def _engine_of(self, index: int) -> int | None:
        """From which engine a task's output is; asked once for each task that runs."""
        if self._batch.ready(index):
            return self._ask_engine(index)
        if index not in self._engines:
            engine = self._ask_engine(index)
            if engine is None:
                return None
            self._engines[index] = engine
        return self._engines[index]

    def _show(self, index: int, event: Event) -> None:
        engine = self._engine_of(index)
        if event.kind in ("stdout", "stderr"):
            text = self._lines.pop((index, event.kind), "") + event.value
            *lines, rest = text.split("\n")
            if rest:
                self._lines[index, event.kind] = rest
            if lines:
                show_lines(event.kind, engine, lines)
        elif event.kind == "display":
            self._show_rest(index)
            show_display(engine, event.value)

    def _show_rest(self, index: int) -> None:
        """Shows lines that have not ended."""
        for stream in ("stdout", "stderr"):
            rest = self._lines.pop((index, stream), "")
            if rest:
                show_lines(stream, self._engine_of(index), [rest])

    def _show_failure(self, index: int) -> None:
        failure = None if self._failure_of is None else self._failure_of(index)
        if failure is None:
            return
        engine = self._engine_of(index)
        entry = entry_of(failure, {"engine_id": engine, "method": "execute"})[0]
        engines = self._same.setdefault(kind_of(entry), [])
        engines.append(engine)
        if len(engines) == 1:
            ename, evalue, text, info = entry
            show_error([*error.RemoteError(ename, evalue, text, info).render_traceback(), ""])


def show_outputs(
    metadata: Sequence[Metadata], values: Sequence[Any], groupby: str, result_only: bool
) -> None:
    """Shows what ended tasks wrote and displayed, and the values of executed code.

    Grouped by `"type"` (all output, then all displays, then all values), by `"engine"` (all of one, then
    all of the next), or by `"order"` (as type, but the first display of each, then the second of each).
    """
    check_group(groupby)
    order = range(len(metadata))
    if groupby == "engine":
        for index in order:
            if not result_only:
                _show_streams(metadata[index])
                _show_displays(metadata[index])
            _show_value(metadata[index], values[index])
        return
    if not result_only:
        for stream in ("stdout", "stderr"):
            for index in order:
                _show_stream(metadata[index], stream)
        if groupby == "order":
            most = max((len(each["outputs"]) for each in metadata), default=0)
            for number in range(most):
                for index in order:
                    _show_displays(metadata[index], slice(number, number + 1))
        else:
            for index in order:
                _show_displays(metadata[index])
    for index in order:
        _show_value(metadata[index], values[index])


def show_output(metadata: Metadata, value: Any, result_only: bool) -> None:
    """The same of the one task of a call to one engine: what it wrote is shown as it is."""
    if not result_only:
        for stream in ("stdout", "stderr"):
            show_plain(stream, metadata[stream])
        _show_displays(metadata)
    _show_value(metadata, value)


def check_group(groupby: str) -> None:
    """Raises `ValueError` for what is no way of grouping outputs.

    >>> check_group("engine")
    """
    if groupby not in GROUPS:
        raise ValueError(f"outputs are grouped by one of {', '.join(GROUPS)}, not by {groupby!r}")


def _show_streams(metadata: Metadata) -> None:
    for stream in ("stdout", "stderr"):
        _show_stream(metadata, stream)


def _show_stream(metadata: Metadata, stream: str) -> None:
    if metadata[stream].rstrip("\n"):
        show_text(stream, metadata["engine_id"], metadata[stream])


def _show_displays(metadata: Metadata, which: slice = slice(None)) -> None:
    for number, message in enumerate(metadata["outputs"][which]):
        show_display(metadata["engine_id"], message, head=number == 0)


def _show_value(metadata: Metadata, value: Any) -> None:
    result = getattr(value, "execute_result", None)
    if result:
        show_result(metadata["engine_id"], result)
