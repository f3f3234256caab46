"""Messages inside a task's output: rich displays and published data, each in a frame of its own.

Output travels as bytes that may have gaps, so a frame says where it begins, how long it is, and what its
bytes add up to: a reader finds the next whole one after whatever is missing. Who may use it: the engine
writes frames, `live` reads them. It knows nothing of what is in them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["DATA", "DISPLAY", "FRAME_LEN_MAX", "PROGRESS", "FrameReader", "Told", "frame"]

DISPLAY = 3
"""The number under which rich output travels, beside 1 and 2 for the standard streams."""

DATA = 4
"""The number under which published data travels."""

PROGRESS = "progress"
"""The type of a display that shows nothing: it says how many items of the task are done."""

FRAME_LEN_MAX = 48 * 1024
"""Longest frame: an engine holds 64 KiB of live output. What is longer comes with the result."""

_HEAD = struct.Struct(">4sIII")
_MAGIC = b"\x00px\x01"


def frame(number: int, body: bytes) -> bytes:
    """One frame; frames of a task are numbered from 0.

    >>> list(FrameReader().feed(frame(7, b"body")))
    [(7, b'body')]
    """
    return _HEAD.pack(_MAGIC, number, len(body), zlib.crc32(body)) + body


class FrameReader:
    """Takes bytes as they come and gives whole frames; what is broken or cut is skipped.

    >>> reader = FrameReader()
    >>> whole = frame(0, b"one") + frame(1, b"two")
    >>> list(reader.feed(whole[:20])) + list(reader.feed(whole[20:]))
    [(0, b'one'), (1, b'two')]
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are whole with these bytes."""
        self._held += data
        while (start := self._held.find(_MAGIC)) >= 0:
            self._held = self._held[start:]
            if len(self._held) < _HEAD.size:
                return
            _, number, length, checksum = _HEAD.unpack_from(self._held)
            end = _HEAD.size + length
            if length <= FRAME_LEN_MAX and len(self._held) < end:
                return
            body = self._held[_HEAD.size : end]
            if length > FRAME_LEN_MAX or zlib.crc32(body) != checksum:
                self._held = self._held[1:]
                continue
            self._held = self._held[end:]
            yield number, body
        self._held = self._held[-(len(_MAGIC) - 1) :]


class Told:
    """What a task returns that has published more than its output holds: the value, and the rest.

    >>> Told(42, data={"step": 3}, displays={}).value
    42
    """

    __slots__ = ("data", "displays", "value")

    def __init__(
        self, value: Any, data: Mapping[str, Any], displays: Mapping[int, Mapping[str, Any]]
    ) -> None:
        self.value = value
        self.data = dict(data)
        self.displays = dict(displays)

    def __reduce__(self) -> Any:
        return Told, (self.value, self.data, self.displays)
