"""A `concurrent.futures.Future` over native tasks, whose locks are made only when somebody asks for them.

Who may use it: `AsyncResult` is built on it. It knows when tasks have ended, not what they returned.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Future,
    InvalidStateError,
)
from typing import TYPE_CHECKING, Any

from phalanx.results.batches import Batch

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from typing_extensions import TypeVar

    # What is not said is anything: `AsyncResult` is `AsyncResult[Any]`.
    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Arrival", "T", "TaskFuture", "check_return_when", "seconds", "tell"]

_FUTURE_PARTS = frozenset({"_condition", "_state", "_result", "_waiters", "_done_callbacks"})
"""What `Future.__init__` makes; here only when first asked for."""

_FINISHED = "FINISHED"


class TaskFuture(Future[T]):
    """A Future that is done when every task of a batch has ended.

    So `concurrent.futures.wait`, `as_completed`, `add_done_callback` and `await` work. Callbacks are
    called from a thread for that, never from the one that receives.
    """

    _batch: Batch
    _exception: BaseException | None = None

    def get(self, timeout: float | None = None) -> T:
        """Waits for the result and returns it, or raises what went wrong."""
        raise NotImplementedError

    def result(self, timeout: float | None = None) -> T:
        """The same as `get(timeout)`.

        >>> rc[0].apply_async(abs, -1).result(timeout=10)
        1
        """
        return self.get(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits, and returns what went wrong; `None` if nothing did.

        >>> rc[0].apply_async(abs, -1).exception() is None
        True
        >>> rc[0].apply_async(divmod, 1, 0).exception()
        <RemoteError[0]:ZeroDivisionError(integer division or modulo by zero)>
        """
        if not self._batch.wait(seconds(timeout)):
            raise TimeoutError("Result not ready.")
        try:
            self.get(0)
        except Exception as failure:
            return failure
        return None

    def done(self) -> bool:
        """Whether it has ended; the same as `ready()`.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), ar.done()
        (True, True)
        """
        return self._batch.ready()

    def running(self) -> bool:
        """Whether it has not ended yet.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), ar.running()
        (True, False)
        """
        return not self._batch.ready()

    def cancel(self) -> bool:
        """Aborts what has not ended; False if all has.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), ar.cancel()
        (True, False)
        """
        if self._batch.ready():
            return False
        self._batch.abort()
        return True

    def cancelled(self) -> bool:
        """Whether every task of it was aborted.

        >>> import time
        >>> ar = rc[0].apply_async(time.sleep, 60)
        >>> ar.cancel(), ar.wait(), ar.cancelled()
        (True, True, True)
        """
        batch = self._batch
        return batch.ready() and all(batch.outcome(i)[0] == "aborted" for i in range(len(batch)))

    def set_running_or_notify_cancel(self) -> bool:
        """Not to be called: the hub decides when a task runs."""
        raise InvalidStateError("a task is started by the hub")

    def set_result(self, result: T) -> None:
        """Not to be called: the engine sets the result."""
        raise InvalidStateError("the result of a task is set by its engine")

    def set_exception(self, exception: BaseException | None) -> None:
        """Not to be called: the engine sets the exception."""
        raise InvalidStateError("the exception of a task is set by its engine")

    def when_ready(self, callback: Callable[[], object]) -> None:
        """Has `callback()` called once all has ended, in the thread for that; cheaper than a Future's."""
        self._batch.add_callback(None, callback)

    def has_failed(self, index: int) -> bool:
        """Whether that task has ended otherwise than by returning."""
        return self._batch.ready(index) and self._batch.outcome(index)[0] != "done"

    def __await__(self) -> Generator[Any, None, T]:
        yield from Arrival(self._batch, None).__await__()
        return self.get()

    def _complete(self) -> None:
        """Called once all has ended, from the thread for that: makes the Future finished."""
        with self._condition:
            if self._state == _FINISHED:
                return
            self._state = _FINISHED
            failed = any(map(self.has_failed, range(len(self._batch))))
            for waiter in self._waiters:
                waiter.add_exception(self) if failed else waiter.add_result(self)
            self._condition.notify_all()
        self._invoke_callbacks()

    def __getattr__(self, name: str) -> Any:
        """Makes what a Future has beside."""
        if name not in _FUTURE_PARTS or "_batch" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        kept = self._exception
        Future.__init__(self)
        self._exception = kept
        if self._batch.ready():
            self._state = _FINISHED
        else:
            self._state = "RUNNING"
            self._batch.add_callback(None, self._complete)
        return self.__dict__[name]


def seconds(timeout: float | None) -> float | None:
    """A timeout as the native module takes it: `None` is for ever, and so is a negative one.

    >>> seconds(-1), seconds(2)
    (None, 2)
    """
    return None if timeout is None or timeout < 0 else timeout


def check_return_when(return_when: str | None) -> None:
    """`ValueError` for what is no condition of `concurrent.futures`.

    >>> check_return_when("FIRST_COMPLETED"), check_return_when(None)
    (None, None)
    """
    if return_when not in (None, FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(
            f"return_when is one of {FIRST_COMPLETED}, {FIRST_EXCEPTION} and {ALL_COMPLETED}, "
            f"not {return_when!r}"
        )


class Arrival:
    """Awaits the end of one task of a batch, or of all. It raises nothing of what went wrong."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: Batch, index: int | None) -> None:
        self._batch = batch
        self._index = index

    def __await__(self) -> Generator[Any, None, None]:
        if self._batch.ready(self._index):
            return
        from asyncio import get_running_loop  # not everybody's: it takes longer than all else

        loop = get_running_loop()
        arrived = loop.create_future()

        def wake() -> None:
            if not arrived.done():
                arrived.set_result(None)

        self._batch.add_callback(self._index, lambda: tell(loop, wake))
        yield from arrived


def tell(loop: AbstractEventLoop, wake: Callable[[], object]) -> None:
    """Calls something on an event loop, from any thread; nothing if the loop is closed by now."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(wake)
