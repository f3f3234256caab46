"""Standard output and error of user code: each line goes with the task that printed it.

Who may use it: `operations`. It does not wait: the native module passes the text on.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["TaskStream"]

HELD_MAX = 8192
"""Characters held back for a line to become whole."""


class TaskStream(io.TextIOBase):
    """A text stream that hands on whole lines, and what is left when it is flushed.

    >>> said = []
    >>> stream = TaskStream(said.append, None)
    >>> print("hello", file=stream)
    >>> said
    ['hello\\n']
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None

    def __init__(self, hand_on: Callable[[str], object], original: Any) -> None:
        self._hand_on = hand_on
        self._original = original
        self._held: list[str] = []
        self._held_len = 0
        self._lock = threading.RLock()
        self.buffer = _Bytes(self)
        self.diverted: dict[int, Any] = {}  # by thread: another stream

    def write(self, text: str) -> int:
        """Takes text; a whole line goes out at once."""
        if not isinstance(text, str):
            raise TypeError(f"a text stream takes str, not {type(text).__name__}")
        if self.diverted and (other := self.diverted.get(threading.get_ident())) is not None:
            return int(other.write(text))
        with self._lock:
            self._held.append(text)
            self._held_len += len(text)
            if "\n" in text or self._held_len >= HELD_MAX:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Hands on what is held back."""
        if self.diverted and (other := self.diverted.get(threading.get_ident())) is not None:
            other.flush()
            return
        with self._lock:
            if self._held:
                text = "".join(self._held)
                self._held = []
                self._held_len = 0
                self._hand_on(text)

    def fileno(self) -> int:
        """The descriptor of the process's own stream, which is the log."""
        if self._original is None:
            raise io.UnsupportedOperation("fileno")
        return int(self._original.fileno())

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """False."""
        return False


class _Bytes(io.RawIOBase):
    """The bytes below the text, for code that writes to `sys.stdout.buffer`."""

    def __init__(self, text: TaskStream) -> None:
        self._text = text

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._text.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)

    def writable(self) -> bool:
        return True
