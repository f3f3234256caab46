"""What tasks write, display and publish, read while they run and completed once they have ended.

Live pieces may be lost on the way; when a task has ended, what is kept of its output fills in what was
missing at the end. Who may use it: results, and what shows their output. It prints nothing.
"""

from __future__ import annotations

import codecs
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from phalanx import _phalanx
from phalanx.results.batches import Batch
from phalanx.values.frames import DATA, DISPLAY, PROGRESS, FrameReader, Told
from phalanx.values.packing import unpack_value

__all__ = ["Event", "TaskOutput", "kept_displays"]

RECORD_LEN_MAX = 256 * 1024
"""Characters and bytes remembered of one task's live output; the oldest goes first."""

STREAMS = {1: "stdout", 2: "stderr"}
"""The numbers under which text travels."""


class Event(NamedTuple):
    """Something that a task did: `kind` is stdout, stderr (text), or display, data (dicts)."""

    kind: str
    value: Any


class TaskOutput:
    """The output of one task, as a record that grows. Any number may read it, from any thread.

    What was written before the object was made is told too, as far as the client has held it: the newest
    64 KiB of a running task. The rest is told once the task has ended.
    """

    def __init__(
        self,
        batch: Batch,
        index: int,
        told: Callable[[int], Told | None] = lambda index: None,
        reader: Any = None,
    ) -> None:
        self._batch = batch
        self._index = index
        self._told = told
        self._reader = batch.follow_output(index) if reader is None else reader
        self._lock = threading.RLock()
        self._record: deque[tuple[Event, int]] = deque()
        self._first = 0
        self._len = 0
        self._is_complete = False
        self.data: dict[str, Any] = {}
        self._begin(0)

    def _begin(self, attempt: int) -> None:
        self._attempt = attempt
        self._position = 0
        self._items_done = 0
        self._missing: list[tuple[int, float]] = []
        self._decoders: dict[int, codecs.IncrementalDecoder] = {}
        self._frames = {DISPLAY: FrameReader(), DATA: FrameReader()}
        self._seen: set[int] = set()

    def events(self, start: int) -> tuple[list[Event], int]:
        """The events from number `start` on, and the number of the next; reads what has come."""
        with self._lock:
            self._read()
            start = max(start, self._first)
            events = [event for event, _ in list(self._record)[start - self._first :]]
            return events, self._first + len(self._record)

    def items_done(self) -> int:
        """How many items of a map's part are done, as far as the running task has told."""
        with self._lock:
            self._read()
            return self._items_done

    def text(self, stream: str) -> str:
        """What is known of a stream by now."""
        events, _ = self.events(0)
        return "".join(event.value for event in events if event.kind == stream)

    def _read(self) -> None:
        """Takes what has come; and all, once the task has ended."""
        if self._is_complete:
            return
        has_ended = self._batch.ready(self._index)
        while self._reader is not None and (piece := self._reader.next(0)) is not None:
            attempt, offset, stream, data = piece
            if attempt != self._attempt:
                self._begin(attempt)
            if offset > self._position:
                self._missing.append((self._position, offset))
                self._decoders.clear()
            self._position = offset + len(data)
            self._take(stream, data)
        if has_ended:
            self._complete()

    def _complete(self) -> None:
        """The task has ended: adds what is kept and did not come."""
        self._is_complete = True
        self._reader = None
        if self._attempt not in (0, self._batch.metadata(self._index).get("attempts", 0)):
            self._begin(0)
        missing = [*self._missing, (self._position, math.inf)]
        position, self._frames = 0, {DISPLAY: FrameReader(), DATA: FrameReader()}
        for stream, data in self._batch.output(self._index):
            end = position + len(data)
            parts = [(0, math.inf)] if stream in self._frames else missing
            for first, last in parts:
                if first < end and last > position:
                    self._take(
                        stream, data[max(0, first - position) : int(min(end, last)) - position]
                    )
            position = end
        told = self._told(self._index) if self._seen or position else None
        if told is not None:
            self.data.update(told.data)

    def _take(self, stream: int, data: bytes) -> None:
        if stream in STREAMS:
            if stream not in self._decoders:
                self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
            text = self._decoders[stream].decode(data)
            if text:
                self._note(Event(STREAMS[stream], text), len(text))
        elif stream in self._frames:
            for number, body in self._frames[stream].feed(data):
                if number not in self._seen:
                    self._take_frame(stream, number, body)

    def _take_frame(self, stream: int, number: int, body: bytes) -> None:
        if stream == DATA:
            self._seen.add(number)
            data = _value(body)
            self.data.update(data)
            self._note(Event("data", data), len(body))
            return
        message = _phalanx.decode_value(body)
        if message["type"] == PROGRESS:
            self._seen.add(number)
            self._items_done = max(self._items_done, message["done"])
            return
        if message.get("is_shortened"):
            if not self._is_complete:
                return  # the whole comes with the result
            told = self._told(self._index)
            message = told.displays.get(number, message) if told is not None else message
        self._seen.add(number)
        self._note(Event("display", message), len(body))

    def _note(self, event: Event, length: int) -> None:
        self._record.append((event, length))
        self._len += length
        while self._len > RECORD_LEN_MAX and len(self._record) > 1:
            self._len -= self._record.popleft()[1]
            self._first += 1


def _value(body: bytes) -> Any:
    parts: Any = _phalanx.unpack(body)
    return unpack_value(parts)


def kept_displays(
    output: list[tuple[int, bytes]], told: Callable[[], Told | None]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The displays and the published data that are kept with a task that has ended.

    >>> kept_displays([(1, b"text")], lambda: None)
    ([], {})
    """
    frames = {DISPLAY: FrameReader(), DATA: FrameReader()}
    displays: list[dict[str, Any]] = []
    data: dict[str, Any] = {}
    has_any = False
    for stream, piece in output:
        if stream not in frames:
            continue
        has_any = True
        for number, body in frames[stream].feed(piece):
            if stream == DATA:
                data.update(_value(body))
                continue
            message: Mapping[str, Any] = _phalanx.decode_value(body)
            if message["type"] == PROGRESS:
                continue
            if message.get("is_shortened") and (whole := told()) is not None:
                message = whole.displays.get(number, message)
            displays.append(dict(message))
    if has_any and (whole := told()) is not None:
        data.update(whole.data)
    return displays, data
