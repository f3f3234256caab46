"""`View`: what the two ways of addressing engines have in common.

Flags (`block`, `targets` and so on) are attributes; a keyword overrides one for the length of a call.
Who may use it: `DirectView` and `LoadBalancedView` are built on it; users get those from a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.executor import ViewExecutor
from phalanx.hub.queries import HubViewQueries
from phalanx.results.asyncresult import AsyncResult
from phalanx.results.futures import T
from phalanx.results.history import History
from phalanx.views.flags import check_label, check_switch
from phalanx.views.remotefunction import ParallelFunction, RemoteFunction, parallel, remote

if TYPE_CHECKING:
    from typing import Self

    from phalanx.client import Client
    from phalanx.results.batches import Batch
    from phalanx.results.mapresult import AsyncMapResult
    from phalanx.views.lazymap import LazyMapIterator

__all__ = ["View"]

REPR_TARGETS_MAX = 16
"""Characters of the targets that a view shows of itself."""


class View(HubViewQueries):
    """A way of addressing engines, with flags that hold for its calls.

    >>> isinstance(rc[:], View), isinstance(rc.load_balanced_view(), View)
    (True, True)

    `block` (bool, default that of the client): wait for results instead of returning an AsyncResult.
    `track` (bool, default False): kept for old programs; what is sent may always be edited at once.
    `targets`: the engines. `label` (str): kept in the metadata of each task.
    """

    flag_names: ClassVar[tuple[str, ...]] = ("block", "track", "targets", "label")

    block: bool
    track: bool
    label: str | None
    targets: Any
    _executor: ViewExecutor | None = None

    def __init__(self, client: Client) -> None:
        self.client = client
        self.block = client.block
        self.track = False
        self.label = None
        self._history = History()

    # ------------------------------------------------------------------ flags

    def set_flags(self, **flags: Any) -> Self:
        """Sets flags, and returns the view. `KeyError` for a name that is no flag. If one is wrong none is set.

        >>> view.set_flags(block=True, label="first")
        <DirectView [0, 1]>
        """
        for name in flags:
            if name not in self.flag_names:
                raise KeyError(
                    f"{name!r} is no flag of a {type(self).__name__}: it has {self.flag_names}"
                )
        before = {name: getattr(self, name) for name in flags}
        try:
            for name, value in flags.items():
                setattr(self, name, value)
        except BaseException:
            self._restore(before)
            raise
        return self

    def _restore(self, before: dict[str, Any]) -> None:
        for name, value in before.items():
            # Not checked again: engines that were targets may have left meanwhile.
            super().__setattr__(name, value)

    def check_flag(self, name: str, value: Any) -> Any:
        """The value to keep for a flag; raises `TypeError`, `ValueError` or `IndexError` for a wrong one.

        >>> view.check_flag("targets", slice(2))
        [0, 1]
        """
        if name in ("block", "track"):
            return check_switch(name, value)
        if name == "label":
            return check_label(name, value)
        if name == "targets":
            return self.client.resolve(value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.flag_names:
            value = self.check_flag(name, value)
        super().__setattr__(name, value)

    @contextmanager
    def temp_flags(self, **flags: Any) -> Iterator[Self]:
        """Sets flags for the length of a `with` block.

        >>> first = balanced.apply_async(abs, -1)
        >>> with balanced.temp_flags(after=first):
        ...     second = balanced.apply_async(abs, -2)
        >>> second.get()
        2
        """
        before = {name: getattr(self, name) for name in self.flag_names if name in flags}
        try:
            yield self.set_flags(**flags)
        finally:
            self._restore(before)

    def flags(self) -> tuple[Any, ...]:
        """The values of all flags, to be compared."""
        return tuple(_comparable(getattr(self, name)) for name in self.flag_names)

    # ------------------------------------------------------------------ apply

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Calls `f(*args, **kwargs)` on the engines; waits for the result if `block`.

        >>> view.apply(lambda x: x + 1, 41)
        [42, 42]
        """
        result = self._apply(f, args, kwargs)
        return self.settle(result, self.block)

    def apply_async(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Calls `f(*args, **kwargs)` on the engines, and returns an AsyncResult at once.

        >>> view.apply_async(lambda: 42).get()
        [42, 42]
        """
        return self._apply(f, args, kwargs)

    def apply_sync(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Calls `f(*args, **kwargs)` on the engines, and waits for the result.

        Interrupted by Ctrl-C, it returns the AsyncResult instead.

        >>> view.apply_sync(lambda: 42)
        [42, 42]
        """
        return self.settle(self._apply(f, args, kwargs), True)

    def call(self, method: str, value: Any = None, *, block: bool | None = None) -> Any:
        """Calls a typed handler of a Rust engine by its name, with a value that MessagePack can express.

        >>> balanced.call("text.length", "hello", block=True)             # doctest: +SKIP
        5
        """
        return self.settle(self._call(method, value), block)

    def _apply(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncResult:
        raise NotImplementedError

    def _call(self, method: str, value: Any) -> AsyncResult:
        raise NotImplementedError

    # ------------------------------------------------------------------ map

    def map(self, f: Callable[..., Any], /, *sequences: Iterable[Any], **options: Any) -> Any:
        """Calls `f` for each item, as the builtin `map`; waits for the list if `block`."""
        raise NotImplementedError

    def map_async(
        self, f: Callable[..., T], /, *sequences: Iterable[Any], **options: Any
    ) -> AsyncMapResult[T]:
        """As `map`, and returns an `AsyncMapResult` at once.

        >>> list(view.map_async(abs, [-1, -2]))
        [1, 2]
        """
        _refuse_block(options)
        result: AsyncMapResult[T] = self.map(f, *sequences, block=False, **options)
        return result

    def map_sync(
        self, f: Callable[..., T], /, *sequences: Iterable[Any], **options: Any
    ) -> list[T]:
        """As `map`, and waits for the list.

        >>> view.map_sync(lambda x: x**10, range(3))
        [0, 1, 1024]
        """
        _refuse_block(options)
        items: list[T] = self.map(f, *sequences, block=True, **options)
        return items

    def imap(
        self,
        f: Callable[..., T],
        /,
        *sequences: Iterable[Any],
        ordered: bool = True,
        max_outstanding: int | str | None = "auto",
        chunksize: int = 1,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> LazyMapIterator[T]:
        """As `map`, but takes items from the sequences as results are taken: these may be endless.

        At most `max_outstanding` tasks are under way (default: as many as there are engines; 0: no
        limit), each of `chunksize` items. With `ordered=False` results come as they arrive. An
        exception of a sequence comes out at its place. `TimeoutError` if a result is not there
        `timeout` seconds after the call.

        >>> list(view.imap(abs, iter([-1, -2, -3])))
        [1, 2, 3]
        """
        from phalanx.views import lazymap  # not everybody's

        if not sequences:
            raise TypeError("there must be at least one sequence")
        lazymap.check_chunksize(chunksize)
        send, engines = self._row_sender(f)
        rows = lazymap.Rows(
            send, engines, is_chunked=chunksize > 1, return_exceptions=return_exceptions
        )
        return lazymap.LazyMapIterator(
            lazymap.rows_of(sequences, chunksize),
            rows,
            ordered=ordered,
            max_outstanding=lazymap.outstanding_max(max_outstanding, len(self)),
            timeout=timeout,
        )

    def _row_sender(
        self, f: Callable[..., Any]
    ) -> tuple[Callable[[Any, int | None], AsyncResult], list[int] | None]:
        """What sends a row of a lazy map, as the flags are now; and the engines to choose from."""
        raise NotImplementedError

    @property
    def executor(self) -> ViewExecutor:
        """This view as a `concurrent.futures.Executor`; a new one after it was shut down.

        >>> view.executor.submit(abs, -1).result()
        [1, 1]
        """
        if self._executor is None or self._executor.is_shut_down:
            self._executor = ViewExecutor(self)
        return self._executor

    # ------------------------------------------------------------------ decorators

    def remote(
        self, block: bool | None = None, **flags: Any
    ) -> Callable[[Callable[..., Any]], RemoteFunction]:
        """Decorates a function so that calling it runs it on this view.

        >>> @view.remote(block=True)
        ... def getpid():
        ...     import os
        ...     return os.getpid()
        """
        return remote(self, block=block, **flags)

    def parallel(
        self, dist: str = "b", block: bool | None = None, **flags: Any
    ) -> Callable[[Callable[..., Any]], ParallelFunction]:
        """Decorates a function so that calling it cuts its arguments in parts, one for each engine.

        >>> @view.parallel(block=True)
        ... def pmul(a, b):
        ...     return a * b
        """
        return parallel(self, dist=dist, block=block, **flags)

    # ------------------------------------------------------------------ results and control

    @property
    def history(self) -> list[str]:
        """The msg_ids of what this view has submitted, in order.

        >>> ar = view.apply_async(abs, -1)
        >>> view.history[-2:] == ar.msg_ids
        True
        """
        return list(self._history)

    @property
    def outstanding(self) -> set[str]:
        """The msg_ids of this view's tasks that have not ended.

        >>> ar = view.apply_async(abs, -1)
        >>> ar.wait(), view.outstanding
        (True, set())
        """
        return self.client.outstanding.intersection(self._history)

    def wait(self, jobs: Any = None, timeout: float | None = -1) -> bool:
        """Waits for jobs of this view; for all by default. Whether they ended in time.

        Numbers are places in the view's history.

        >>> ar = view.apply_async(abs, -1)
        >>> view.wait(timeout=10), ar.ready()
        (True, True)
        """
        if jobs is None:
            jobs = self.outstanding
        return self.client.wait_for_jobs(jobs, timeout, self._history)

    def spin(self) -> None:
        """Does nothing: results come in by themselves.

        >>> view.spin()
        """

    def abort(
        self,
        jobs: Any = None,
        targets: Any = None,
        block: bool | None = None,
        kill_after: float | None = None,
    ) -> None:
        """Aborts jobs of this view; by default all that have not ended. As `Client.abort`.

        >>> import time
        >>> ar = view.apply_async(time.sleep, 60)
        >>> view.abort()
        >>> ar.wait(10)
        True
        """
        jobs = self.outstanding if jobs is None else jobs
        self.client.abort_jobs(jobs, self._history, kill_after, targets)

    def shutdown(
        self,
        targets: Any = None,
        restart: bool = False,
        hub: bool = False,
        block: bool | None = None,
    ) -> None:
        """Ends this view's engines, and with `hub` the whole cluster.

        >>> rc[1].shutdown()                                             # doctest: +SKIP
        """
        self.client.shutdown(self.targets if targets is None else targets, restart, hub, block)

    def settle(self, result: AsyncResult, block: bool | None) -> Any:
        """The result if the call blocks, else the AsyncResult. Ctrl-C while waiting gives the latter."""
        if not (self.block if block is None else block):
            return result
        try:
            return result.get()
        except KeyboardInterrupt:
            return result

    def note(self, batch: Batch, count: int) -> None:
        """Remembers what was submitted."""
        self.client.note(batch, count, self._history)

    def __repr__(self) -> str:
        targets = str(self.targets)
        if len(targets) > REPR_TARGETS_MAX:
            targets = targets[:12] + "...]"
        return f"<{type(self).__name__} {targets}>"

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self!r} cannot be sent: it belongs to the client of this program; a task that needs a view "
            "makes a client of its own (px.Client())"
        )

    def _repr_html_(self) -> str:
        from phalanx.display.html import of_view  # only notebooks need it

        return of_view(self)

    def __len__(self) -> int:
        """How many engines it addresses."""
        targets = self.targets
        if isinstance(targets, int):
            return 1
        if targets is None or isinstance(targets, str):
            return len(self.client)
        return len(targets)

    def __bool__(self) -> bool:
        return True


def _refuse_block(options: dict[str, Any]) -> None:
    if "block" in options:
        raise TypeError("map_async and map_sync take no block: it is in their names")


def _comparable(value: Any) -> Any:
    """A value of a flag as something that can be compared and hashed."""
    if isinstance(value, (list, set, frozenset)):
        return tuple(value)
    return value if value.__hash__ is not None else id(value)
