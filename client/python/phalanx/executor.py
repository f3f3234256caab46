"""`ViewExecutor`: a view as a `concurrent.futures.Executor`.

Whatever takes an executor (`loop.run_in_executor`, libraries built on `concurrent.futures`) runs on the
cluster by it. Who may use it: users, who get one by `view.executor` or `rc.executor()`. It ends no
engines, and submits by its view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.results.asyncresult import AsyncResult
    from phalanx.views.view import View

__all__ = ["ViewExecutor"]


class ViewExecutor(Executor):
    """Submits to a view. Futures are AsyncResults.

    >>> with rc.executor() as executor:
    ...     future = executor.submit(pow, 2, 10)
    ...     list(executor.map(abs, [-1, -2]))
    [1, 2]
    >>> future.result()
    1024
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._is_shut_down = False

    @property
    def _max_workers(self) -> int:
        return max(1, len(self.view))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Calls `fn(*args, **kwargs)` on the view's engines; the AsyncResult is a Future.

        >>> rc.executor().submit(pow, 2, 10).result(timeout=10)
        1024
        """
        self._must_be_open()
        return self.view.apply_async(fn, *args, **kwargs)

    def map(  # type: ignore[override]
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        **options: Any,
    ) -> Iterator[Any]:
        """The results of `fn` for each item, in order, as `imap` of the view gives them.

        It reads the input as results are taken: `buffersize` tasks may be under way (default: one
        for each engine). `TimeoutError` if a result is not there `timeout` seconds after the call.

        >>> list(rc.executor().map(pow, [2, 3], [3, 2], chunksize=2))
        [8, 9]
        """
        self._must_be_open()
        if buffersize is not None:
            options["max_outstanding"] = buffersize
        return self.view.imap(fn, *iterables, timeout=timeout, chunksize=chunksize, **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more; waits until what the view has submitted has ended. Engines go on.

        >>> rc.executor().shutdown()
        """
        self._is_shut_down = True
        if cancel_futures:
            self.view.abort()
        if wait:
            self.view.wait()

    @property
    def is_shut_down(self) -> bool:
        """Whether it takes no more.

        >>> view.executor.is_shut_down
        False
        """
        return self._is_shut_down

    def _must_be_open(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("this executor was shut down: view.executor gives another one")

    def __repr__(self) -> str:
        return f"<ViewExecutor of {self.view!r}>"
