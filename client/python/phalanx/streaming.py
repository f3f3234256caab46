"""Showing what tasks write: while they run, and afterwards.

Who may use it: `AsyncResult`. It reads; what is kept with a task is not touched by it.
"""

from __future__ import annotations

import codecs
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

from phalanx.batches import Batch
from phalanx.metadata import Metadata

__all__ = ["OutputStreamer", "show_outputs"]

POLL_S = 0.05
"""Between two looks at tasks that have written nothing."""

STREAMS = {1: "stdout", 2: "stderr"}
"""The numbers under which text travels."""


class Reader(Protocol):
    """Reads what one task writes."""

    def next(self, timeout: float | None = None) -> tuple[int, int, int, bytes] | None:
        """The next piece: attempt, offset, stream, bytes; `None` if nothing came in time."""


class OutputStreamer:
    """Prints each line of each task as it comes, with the engine before it: `[stdout:3] hello`.

    A context manager: at its end everything is printed that has been written by then; if the tasks
    have ended, that is all.
    """

    def __init__(self, batch: Batch, engine_of: Callable[[int], int | None]) -> None:
        self._batch = batch
        self._engine_of = engine_of
        followed = ((index, batch.follow_output(index)) for index in range(len(batch)))
        self._readers: dict[int, Reader] = {i: reader for i, reader in followed if reader}
        self._shown_len = dict.fromkeys(self._readers, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="phalanx-output", daemon=True)
        self._decoders: dict[tuple[int, int], codecs.IncrementalDecoder] = {}
        self._lines: dict[tuple[int, int], str] = {}

    def __enter__(self) -> OutputStreamer:
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
            if not self._read():
                self._stop.wait(POLL_S)
        while self._read():
            pass
        for number in self._readers:
            if self._batch.ready(number):
                self._show_rest(number)
        for (number, stream), rest in self._lines.items():
            if rest:
                self._show(number, stream, rest)

    def _read(self) -> bool:
        """Prints what is there; whether there was any."""
        found = False
        for number, reader in self._readers.items():
            while (piece := reader.next(0)) is not None:
                found = True
                _, offset, stream, data = piece
                self._shown_len[number] = offset + len(data)
                self._take(number, stream, data)
        return found

    def _show_rest(self, number: int) -> None:
        """Prints what is kept of an ended task and did not come while it ran."""
        start = 0
        for stream, data in self._batch.output(number):
            known = max(0, self._shown_len[number] - start)
            if known < len(data):
                self._take(number, stream, data[known:])
            start += len(data)

    def _take(self, number: int, stream: int, data: bytes) -> None:
        if stream not in STREAMS:
            return
        key = (number, stream)
        if key not in self._decoders:
            self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        text = self._lines.get(key, "") + self._decoders[key].decode(data)
        *lines, self._lines[key] = text.split("\n")
        for line in lines:
            self._show(number, stream, line)

    def _show(self, number: int, stream: int, line: str) -> None:
        name = STREAMS[stream]
        engine = self._engine_of(number)
        out = sys.stdout if stream == 1 else sys.stderr
        print(f"[{name}:{'?' if engine is None else engine}] {line}", file=out, flush=True)


def show_outputs(
    metadata: Sequence[Metadata], values: Sequence[Any], groupby: str, result_only: bool
) -> None:
    """Prints what ended tasks wrote, each under its engine, and the values of executed code.

    Grouped by `"type"` (all output, then all values), or by `"engine"` or `"order"`: task by task.
    """
    streams = ("",) if result_only else ("stdout", "stderr", "")
    order = range(len(metadata))
    if groupby == "type":
        pairs = [(stream, index) for stream in streams for index in order]
    else:
        pairs = [(stream, index) for index in order for stream in streams]
    for stream, index in pairs:
        if stream:
            text = metadata[index][stream].rstrip("\n")
            if text:
                gap = "\n" if "\n" in text else ""
                print(f"[{stream}:{metadata[index]['engine_id']}] {gap}{text}")
        elif getattr(values[index], "text", ""):
            print(values[index])
