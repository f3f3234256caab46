"""What a running task publishes beside what it prints: rich displays, and data by `publish_data`.

Both travel live as frames of the task's output, and are kept with it. A display that is too long for that,
and the last state of the data, go with the result. Who may use it: the shell's display publisher,
`phalanx.datapub`, and `operations`, which begins and ends it with each task.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from phalanx import _phalanx
from phalanx.values.frames import DATA, DISPLAY, FRAME_LEN_MAX, PROGRESS, Told, frame
from phalanx.values.packing import pack_value

__all__ = ["Outlet", "current"]

DATA_INTERVAL_S = 0.05
"""Published data is sent at most this often; what is published meanwhile is merged."""

WHOLE_DATA_LEN_MAX = 4096
"""All that was published is sent again each time as long as it is no longer, for who looks late."""

DISPLAYS_LEN_MAX = 64 * 1024 * 1024
"""Bytes of displays that go with a result because they are too long to be live; more are left out."""


class Outlet:
    """Where the running task publishes. `write(kind, bytes)` hands on to the native module.

    >>> said = []
    >>> outlet = Outlet(lambda kind, data: said.append(kind))
    >>> outlet.begin()
    >>> outlet.display({"data": {"text/plain": "42"}})
    >>> said, outlet.end(1)
    ([3], 1)
    """

    def __init__(self, write: Callable[[int, bytes], object]) -> None:
        self._write = write
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._touched = False
        self.diverted: dict[int, Any] = {}  # by thread: another display publisher
        self._reset()

    def _reset(self) -> None:
        self._number = 0
        self._data: dict[str, Any] = {}
        self._unsent: dict[str, Any] = {}
        self._sent_at = 0.0
        self._long: dict[int, Mapping[str, Any]] = {}
        self._long_len = 0

    def begin(self) -> None:
        """A task begins."""
        if self._touched:
            with self._lock:
                self._touched = False
                self._reset()

    def end(self, value: Any) -> Any:
        """The task has returned this: what is to be sent as its result."""
        if not self._touched:
            return value
        with self._lock:
            self._send_data()
            return Told(value, self._data, self._long) if self._data or self._long else value

    def display(self, message: Mapping[str, Any]) -> None:
        """Publishes a display: a dict with `data` (by MIME type), `metadata` and so on."""
        with self._lock:
            self._touched = True
            body = _phalanx.encode_value(_plain(message))
            number, self._number = self._number, self._number + 1
            if len(body) > FRAME_LEN_MAX:
                self._long_len += len(body)
                if self._long_len <= DISPLAYS_LEN_MAX:
                    self._long[number] = _plain(message)
                body = _phalanx.encode_value(_shortened(message))
            self._write(DISPLAY, frame(number, body))

    def count(self, done: int) -> None:
        """Tells how many items of the task are done."""
        self.display({"type": PROGRESS, "done": done})

    def publish(self, data: Mapping[str, Any]) -> None:
        """Publishes data: it is merged with what the task has published before."""
        with self._lock:
            self._touched = True
            self._data.update(data)
            self._unsent.update(data)
            wait = self._sent_at + DATA_INTERVAL_S - time.monotonic()
            if wait <= 0:
                self._send_data()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._send_late)
                self._timer.daemon = True
                self._timer.start()

    def _send_late(self) -> None:
        with self._lock:
            self._timer = None
            self._send_data()

    def _send_data(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._unsent:
            return
        unsent, self._unsent = self._unsent, {}
        self._sent_at = time.monotonic()
        body = _phalanx.pack(pack_value(self._data))
        if len(body) > WHOLE_DATA_LEN_MAX:
            body = _phalanx.pack(pack_value(unsent))
        if len(body) > FRAME_LEN_MAX:
            body = _phalanx.pack(pack_value({}))  # says that the result brings some
        number, self._number = self._number, self._number + 1
        self._write(DATA, frame(number, body))


current: Outlet | None = None
"""The outlet of this process, if it is an engine."""


def install(outlet: Outlet) -> None:
    """Makes it that of this process."""
    global current
    current = outlet


def _plain(value: Any) -> Any:
    """A message of values that travel without pickling; of others their text."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value)


def _shortened(message: Mapping[str, Any]) -> dict[str, Any]:
    """What stands for a display that is too long, until the result brings it."""
    kinds = sorted(message.get("data", {}))
    text = str(message.get("data", {}).get("text/plain", ""))[:1024]
    if text:
        data = {"text/plain": text}
    else:
        data = {"text/plain": f"<{', '.join(kinds)}: too long to be shown while the task runs>"}
    return {"type": message.get("type", "display_data"), "data": data, "is_shortened": True}
