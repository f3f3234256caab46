"""A client's own tasks: which there were, which have not ended, waiting for them and ending them.

Who may use it: `Client` is built on it; views tell it of each submit. It submits nothing, and holds results
only as long as they have not come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import TYPE_CHECKING, Any

from phalanx.error import PhalanxError
from phalanx.hub.asking import known_records
from phalanx.results.asyncresult import AsyncResult
from phalanx.results.batches import Batch, Picked
from phalanx.results.futures import seconds
from phalanx.results.history import History
from phalanx.results.msg_ids import msg_id, parse_msg_id

if TYPE_CHECKING:
    from phalanx._phalanx import NativeClient

__all__ = ["Jobs"]

OPEN_LOOK_MIN = 64
"""Submits after which tasks that nobody waits for are first looked through for ended ones."""


class Jobs:
    """The part of a client that knows its tasks.

    >>> isinstance(rc, Jobs)
    True
    """

    native: NativeClient

    if TYPE_CHECKING:  # what the client has
        resolve: Callable[[Any], Any]

    def _begin_jobs(self) -> None:
        self._history = History()
        self._open: dict[int, Batch] = {}  # by the id of the object
        self._look_at = OPEN_LOOK_MIN

    @property
    def history(self) -> list[str]:
        """The msg_ids of everything this client has submitted, in order.

        >>> rc[0].apply_async(abs, -1).msg_id == rc.history[-1]
        True
        """
        return list(self._history)

    @property
    def outstanding(self) -> set[str]:
        """The msg_ids of the tasks that have not ended, also of one whose submit Ctrl-C cut off.

        >>> rc.outstanding
        set()
        """
        self._look()
        return {msg_id(task) for task in self.native.open_ids()}

    def wait(self, jobs: Any = None, timeout: float | None = -1) -> bool:
        """Waits for jobs, by default for all that are outstanding. Whether they ended in time.

        Jobs are AsyncResults, msg_ids, places in the history, other Futures, or collections of these.

        >>> rc.wait([rc[0].apply_async(abs, -1), rc[1].push({"a": 1})], timeout=10)
        True
        """
        return self.wait_for_jobs(jobs, timeout, self._history)

    def wait_for_jobs(self, jobs: Any, timeout: float | None, history: History) -> bool:
        """As `wait`; numbers are places in `history`."""
        left = seconds(timeout)
        end = None if left is None else time.monotonic() + left
        if jobs is None:
            jobs = [*self._open.values(), *self._cut_off()]
        for job in self._jobs(jobs, history):
            left = None if end is None else max(0.0, end - time.monotonic())
            if isinstance(job, AsyncResult):
                is_done = bool(job.wait(left))
            elif isinstance(job, Future):
                is_done = not wait_for_futures([job], left).not_done
            else:
                is_done = job.wait(left)
            if not is_done:
                return False
        return True

    def _cut_off(self) -> list[Batch]:
        """Open tasks that nobody was told of: Ctrl-C came between their submit and the note of it."""
        lost = [task for task in self.native.open_ids() if task not in self._history]
        return [self.native.watch(lost)] if lost else []

    def abort(
        self,
        jobs: Any = None,
        targets: Any = None,
        block: bool | None = None,
        kill_after: float | None = None,
    ) -> None:
        """Aborts jobs, by default all that are outstanding: those that wait never start.

        Running ones are interrupted. Their results raise `TaskAborted`. With `targets`, only what is at
        these engines is aborted. With `kill_after`, the engine of one that has not ended so many seconds
        later is killed, as by `AsyncResult.abort`.

        >>> ar = rc[0].apply_async(__import__("time").sleep, 60)
        >>> rc.abort(ar)
        >>> ar.wait()
        True
        """
        self.abort_jobs(jobs, self._history, kill_after, targets)

    def abort_jobs(
        self, jobs: Any, history: History, kill_after: float | None = None, targets: Any = None
    ) -> None:
        """As `abort`; numbers are places in `history`."""
        if jobs is None and targets is None:
            # The native module knows them all, also one whose submit Ctrl-C cut off half-way.
            self.native.abort(None, kill_after)
            return
        tasks = self.native.open_ids() if jobs is None else self._tasks(jobs, history)
        if targets is not None:
            tasks = self._at(targets, tasks)
        self.abort_tasks(tasks, kill_after)

    def _tasks(self, jobs: Any, history: History) -> list[tuple[int, int]]:
        """The names of the tasks of jobs."""
        tasks: list[tuple[int, int]] = []
        for job in self._jobs(jobs, history):
            if isinstance(job, AsyncResult):
                tasks += job.task_ids()
            elif isinstance(job, Future):
                raise TypeError(f"{job!r} is no job of this client")
            else:
                tasks += [job.id(i) for i in range(len(job)) if not job.ready(i)]
        return tasks

    def _at(self, targets: Any, tasks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those that are at one of these engines, or wait for it."""
        resolved = self.resolve(targets)
        if resolved == "all" or not tasks:
            return list(tasks)
        engines = {resolved} if isinstance(resolved, int) else set(resolved)
        known = known_records(self, tasks)
        return [task for task, facts in known.items() if facts["engine"] in engines]

    def abort_tasks(
        self, tasks: Sequence[tuple[int, int]], kill_after: float | None = None
    ) -> None:
        """Wants tasks to end, by their names as the native module has them."""
        if tasks:
            self.native.abort(tasks, kill_after)

    def _jobs(self, jobs: Any, history: History) -> Iterator[Any]:
        """AsyncResults, Futures and batches, of whatever names jobs."""
        if isinstance(jobs, (Future, Picked)) or hasattr(jobs, "nth_done"):
            yield jobs
        elif isinstance(jobs, int) and not isinstance(jobs, bool):
            yield from self._named(history[jobs])
        elif isinstance(jobs, str):
            yield from self._named(jobs)
        elif isinstance(jobs, Iterable) and not isinstance(jobs, bytes):
            for job in jobs:
                yield from self._jobs(job, history)
        else:
            raise TypeError(
                f"a job is an AsyncResult, a msg_id or a place in the history, not {jobs!r}"
            )

    def _named(self, name: str) -> Iterator[Batch]:
        """The task of this name, of any client, if it has not ended yet."""
        task = parse_msg_id(name)
        place = self.open_place(task)
        if place is not None:
            yield Picked([place], self.abort_tasks)
        elif task not in self._history:
            if not self.native.records_of([task]):
                raise KeyError(f"{name} is not on the hub's record")
            yield self.native.watch([task])

    def open_place(self, task: tuple[int, int]) -> tuple[Batch, int] | None:
        """Where the outcome of an own task will come, if that is known: its batch and the place there."""
        client, seq = task
        for batch in list(self._open.values()):
            first = batch.id(0)
            if first[0] == client and first[1] <= seq < first[1] + len(batch):
                return batch, seq - first[1]
        return None

    def engine_of(self, task: tuple[int, int]) -> int | None:
        """The engine that has an open task, as the hub knows it; None if none has, or nobody can be asked."""
        try:
            records = self.native.records_of([task])
        except PhalanxError:
            return None
        return records[0]["engine"] if records else None

    def note(self, batch: Batch, count: int, history: History) -> None:
        """Remembers a submit of so many tasks; views call it for each."""
        first = batch.id(0)
        self._history.add(first, count)
        history.add(first, count)
        self._open[id(batch)] = batch
        if len(self._open) >= self._look_at:
            self._look()

    def forget_open(self, batch: Batch) -> None:
        """Somebody has seen that all of it has ended."""
        self._open.pop(id(batch), None)

    def _look(self) -> None:
        """Drops what has ended. Rarely enough that it costs little for each submit."""
        for key, batch in list(self._open.items()):
            if batch.ready():
                self._open.pop(key, None)
        self._look_at = max(OPEN_LOOK_MIN, 2 * len(self._open))
