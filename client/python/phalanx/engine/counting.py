"""How far a task is that calls a function for many items, told now and then while it runs.

Counting costs the loop over the items nothing: a thread looks at what its iterator has left. Who may use it:
`operations`. What is told may be lost; what counts is the result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from operator import length_hint
from typing import Any

__all__ = ["ItemCounter"]

LOOK_S = 0.2
"""Between two looks: a task that takes less tells nothing."""

STEPS_MAX = 100
"""How often one task tells, so that this takes little of the room for its output."""


class ItemCounter:
    """Looks at the items of the running task; `tell(done)` says how many are done.

    >>> counter = ItemCounter(print)
    >>> [item for item in counter.over([1, 2])]
    [1, 2]
    >>> counter.end()
    """

    def __init__(self, tell: Callable[[int], object]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._begun = threading.Event()
        self._watched: tuple[Iterator[Any], int] | None = None
        self._thread: threading.Thread | None = None

    def over(self, items: Any) -> Iterator[Any]:
        """An iterator over the items of a task, which is looked at from now on."""
        iterator: Iterator[Any] = iter(items)
        total = length_hint(iterator, 0)
        if total > 1:
            self._watched = (iterator, total)
            self._begun.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="phalanx-items", daemon=True)
                self._thread.start()
        return iterator

    def end(self) -> None:
        """The task is through its items: nothing more is told of it."""
        if self._watched is not None:
            with self._lock:
                self._watched = None

    def _run(self) -> None:
        while True:
            self._begun.wait()
            self._begun.clear()
            self._watch()

    def _watch(self) -> None:
        """Follows one task to its end."""
        watched = self._watched
        if watched is None:
            return
        iterator, total = watched
        told = 0
        step = max(1, total // STEPS_MAX)
        while self._watched is watched:
            time.sleep(LOOK_S)
            # The item that was taken last is being worked on.
            done = total - length_hint(iterator, 0) - 1
            if done >= told + step:
                with self._lock:
                    if self._watched is watched:
                        self._tell(done)
                        told = done
