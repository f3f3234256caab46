"""Several tasks of several submits, as if they were one.

`Batch` says what a result needs of the native module's batch; `Picked` offers the same for tasks picked
from any batches. Who may use it: results and the client. It submits nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

__all__ = ["Batch", "Picked"]


class Batch(Protocol):
    """The tasks of one submit, and their outcomes as they come. Indices are from 0."""

    def __len__(self) -> int: ...

    def ids(self) -> list[tuple[int, int]]:
        """Their names."""
        ...

    def id(self, index: int) -> tuple[int, int]:
        """The name of one."""
        ...

    def ready(self, index: int | None = None) -> bool:
        """Whether that one, or each, has ended."""
        ...

    def done_count(self) -> int:
        """How many have ended."""
        ...

    def wait(
        self, timeout: float | None = None, index: int | None = None, count: int | None = None
    ) -> bool:
        """Waits for that one, for so many, or for all; whether it came to pass in time."""
        ...

    def nth_done(self, n: int) -> int | None:
        """Which one was the nth (from 0) to end, if so many have."""
        ...

    def outcome(self, index: int) -> tuple[Any, ...]:
        """How that one ended."""
        ...

    def metadata(self, index: int) -> dict[str, Any]:
        """What is known of that one."""
        ...

    def output(self, index: int) -> list[tuple[int, bytes]]:
        """What it wrote, as far as it is kept, in the order written: `(stream, bytes)`."""
        ...

    def follow_output(self, index: int) -> Any:
        """Reads what it writes while it runs; `None` if somebody does already."""
        ...

    def add_callback(self, index: int | None, callback: Callable[[], object]) -> None:
        """Has `callback()` called once that one, or each, has ended; at once if it has."""

    def abort(self, kill_after: float | None = None) -> None:
        """Wants those to end that have not; engines of those that do not in so many seconds are killed."""


class Picked:
    """Tasks picked from batches, in the order given.

    The order in which they end is told by `nth_done` only as far as it was looked at.
    """

    def __init__(
        self, tasks: Sequence[tuple[Batch, int]], abort: Callable[[list[Any], float | None], object]
    ) -> None:
        self._tasks = list(tasks)
        self._abort = abort
        self._done: list[int] = []
        self._is_done = [False] * len(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def ids(self) -> list[tuple[int, int]]:
        """Their names."""
        return [batch.id(index) for batch, index in self._tasks]

    def id(self, index: int) -> tuple[int, int]:
        """The name of one."""
        batch, of_batch = self._tasks[index]
        return batch.id(of_batch)

    def ready(self, index: int | None = None) -> bool:
        """Whether that one, or each, has ended."""
        if index is None:
            return all(batch.ready(of_batch) for batch, of_batch in self._tasks)
        batch, of_batch = self._tasks[index]
        return batch.ready(of_batch)

    def done_count(self) -> int:
        """How many have ended."""
        self._look()
        return len(self._done)

    def nth_done(self, n: int) -> int | None:
        """Which one was the nth that was seen to have ended."""
        if n >= len(self._done):
            self._look()
        return self._done[n] if n < len(self._done) else None

    def wait(
        self, timeout: float | None = None, index: int | None = None, count: int | None = None
    ) -> bool:
        """Waits for that one, for so many, or for all; whether it came to pass in time."""
        if index is not None:
            batch, of_batch = self._tasks[index]
            return batch.wait(timeout, of_batch)
        if count is not None and count < len(self._tasks):
            return self._wait_for(count, timeout)
        end = None if timeout is None else time.monotonic() + timeout
        for batch, of_batch in self._tasks:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not batch.wait(left, of_batch):
                return False
        return True

    def _wait_for(self, count: int, timeout: float | None) -> bool:
        """Waits for any so many of them: each that is open tells when it has ended."""
        arrived = threading.Semaphore(0)
        missing = count - self.done_count()
        for index, (batch, of_batch) in enumerate(self._tasks):
            if not self._is_done[index]:
                batch.add_callback(of_batch, arrived.release)
        end = None if timeout is None else time.monotonic() + timeout
        for _ in range(missing):
            left = None if end is None else max(0.0, end - time.monotonic())
            if not arrived.acquire(timeout=left):
                return False
        return True

    def outcome(self, index: int) -> tuple[Any, ...]:
        """How that one ended."""
        batch, of_batch = self._tasks[index]
        return batch.outcome(of_batch)

    def metadata(self, index: int) -> dict[str, Any]:
        """What is known of that one."""
        batch, of_batch = self._tasks[index]
        return batch.metadata(of_batch)

    def output(self, index: int) -> list[tuple[int, bytes]]:
        """What that one wrote, as far as it is kept, in the order written."""
        batch, of_batch = self._tasks[index]
        return batch.output(of_batch)

    def follow_output(self, index: int) -> Any:
        """Reads what that one writes while it runs; `None` if somebody does already."""
        batch, of_batch = self._tasks[index]
        return batch.follow_output(of_batch)

    def add_callback(self, index: int | None, callback: Callable[[], object]) -> None:
        """Has `callback()` called once that one, or each, has ended."""
        if index is not None:
            batch, of_batch = self._tasks[index]
            batch.add_callback(of_batch, callback)
            return
        missing = [len(self._tasks)]

        def one_less() -> None:
            missing[0] -= 1
            if missing[0] == 0:
                callback()

        for batch, of_batch in self._tasks:
            batch.add_callback(of_batch, one_less)

    def abort(self, kill_after: float | None = None) -> None:
        """Wants those to end that have not; engines of those that do not in so many seconds are killed."""
        open_ones = [batch.id(index) for batch, index in self._tasks if not batch.ready(index)]
        self._abort(open_ones, kill_after)

    def _look(self) -> None:
        for index, (batch, of_batch) in enumerate(self._tasks):
            if not self._is_done[index] and batch.ready(of_batch):
                self._is_done[index] = True
                self._done.append(index)
