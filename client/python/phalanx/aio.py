"""`px.aio`: a client for programs on an event loop. Everything that waits is awaited; no call takes a thread.

Results are AsyncResults, which can be awaited; the completion of tasks wakes the loop. What asks the hub and
waits for its answer runs in one thread that all of it shares. Who may use it: programs with asyncio. It is
the ordinary client underneath (`rc.client`), and adds nothing to what that can do.

>>> import asyncio
>>> async def main():
...     async with px.aio.Client() as rc:
...         await rc.wait_for_engines(4)
...         results = await asyncio.gather(*(rc.load_balanced_view().apply(abs, -n) for n in range(3)))
...         return results, await rc[:].apply(abs, -1)
>>> asyncio.run(main())
([0, 1, 2], [1, 1, 1, 1])
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from phalanx.client import Client as SyncClient
from phalanx.client.arrivals import missing
from phalanx.results.futures import Arrival, T, TaskFuture, seconds
from phalanx.results.mapresult import part_items
from phalanx.views.lazymap import Rows, check_chunksize, outstanding_max, rows_of

if TYPE_CHECKING:
    from typing import Self

    from phalanx.results.asyncresult import AsyncResult
    from phalanx.results.history import History
    from phalanx.results.mapresult import AsyncMapResult

__all__ = ["Client", "View"]

ENGINES_POLL_S = 0.02
"""Between two looks for engines that are waited for: they are news that come without asking."""

HELD_MAX = 64
"""Results of a lazy map that may wait to be taken, beside those under way."""

VIEW_ASKS = frozenset({"get_result", "purge_results", "queue_status", "shutdown"})
"""Methods of views that wait for the hub's answer."""

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="phalanx-aio")


async def _aside(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls what waits for the hub, in the one thread for that."""
    return await asyncio.get_running_loop().run_in_executor(_thread, lambda: f(*args, **kwargs))


def _awaited(waits: Callable[..., Any]) -> Callable[..., Any]:
    """The same as a coroutine function."""

    @functools.wraps(waits)
    async def method(*args: Any, **kwargs: Any) -> Any:
        return await _aside(waits, *args, **kwargs)

    return method


async def _wait_for(client: SyncClient, jobs: Any, history: History, timeout: float | None) -> bool:
    """As `wait_for_jobs` of the client; only who a msg_id names is asked of the hub."""
    wanted = client.outstanding if jobs is None else jobs
    found = await _aside(lambda: list(client._jobs(wanted, history)))
    try:
        async with asyncio.timeout(seconds(timeout)):
            for job in found:
                if isinstance(job, TaskFuture):
                    await Arrival(job._batch, None)
                elif isinstance(job, Future):
                    await asyncio.wait([asyncio.wrap_future(job)])
                else:
                    await Arrival(job, None)
    except TimeoutError:
        return False
    return True


class Client:
    """As `phalanx.Client`, to be awaited or entered: `rc = await px.aio.Client()`.

    It takes the same options. `rc[...]`, `direct_view`, `load_balanced_view` and `broadcast_view` give views;
    all else that asks the hub is a coroutine of the same name.

    >>> async def main():
    ...     rc = await Client()
    ...     try:
    ...         return rc.ids, (await rc.ping()) < 10
    ...     finally:
    ...         await rc.close()
    >>> asyncio.run(main())
    ([0, 1, 2, 3], True)
    """

    client: SyncClient

    def __init__(self, connection_info: Any = None, **options: Any) -> None:
        self._info = connection_info
        self._options = options

    def __await__(self) -> Generator[Any, None, Self]:
        return self._connect().__await__()

    async def _connect(self) -> Self:
        self.client = await _aside(SyncClient, self._info, **self._options)
        return self

    async def __aenter__(self) -> Self:
        return await self._connect()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------ what is known without asking

    @property
    def ids(self) -> list[int]:
        """The ids of the engines that run Python."""
        return self.client.ids

    @property
    def engines(self) -> list[dict[str, Any]]:
        """All engines."""
        return self.client.engines

    @property
    def history(self) -> list[str]:
        """The msg_ids of everything submitted."""
        return self.client.history

    @property
    def outstanding(self) -> set[str]:
        """The msg_ids of the tasks that have not ended."""
        return self.client.outstanding

    def __len__(self) -> int:
        return len(self.client)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: Any) -> View:
        return View(self.client[key])

    def direct_view(self, targets: Any = "all", **flags: Any) -> View:
        """A view of these engines, one by one."""
        return View(self.client.direct_view(targets, **flags))

    def load_balanced_view(self, targets: Any = None, **flags: Any) -> View:
        """A view on which each call is one task."""
        return View(self.client.load_balanced_view(targets, **flags))

    def broadcast_view(self, targets: Any = "all", **flags: Any) -> View:
        """A direct view for the same call to very many engines."""
        return View(self.client.broadcast_view(targets, **flags))

    # ------------------------------------------------------------------ what waits

    async def wait_for_engines(self, n: int | None = None, *, timeout: float | None = None) -> None:
        """Waits until `n` engines are there; what it raises and `n` by default are as in `phalanx.Client`."""
        if n is None:
            n = self.client.cluster.n if self.client.cluster is not None else 1
        allowed = seconds(timeout)
        end = None if allowed is None else time.monotonic() + allowed
        while not self.client.are_there(n):
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(missing(self.client.engines, n, allowed))
            await asyncio.sleep(ENGINES_POLL_S)

    async def wait(self, jobs: Any = None, timeout: float | None = None) -> bool:
        """Waits for jobs, by default for all that are outstanding; whether they ended in time.

        It raises nothing of what went wrong. Jobs are what `phalanx.Client.wait` takes.
        """
        return await _wait_for(self.client, jobs, self.client._history, timeout)

    async def close(self) -> None:
        """Leaves the cluster once the hub has recorded everything submitted."""
        await _aside(self.client.close)

    def __getattr__(self, name: str) -> Any:
        """Anything else of the client: values as they are, methods as coroutines."""
        if name.startswith("_") or name == "client":
            raise AttributeError(name)
        value = getattr(self.client, name)
        if not callable(value):
            return value

        return _awaited(value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(n for n in dir(SyncClient) if not n.startswith("_"))})

    def __repr__(self) -> str:
        return (
            f"<aio {self.client!r}>" if "client" in self.__dict__ else "<aio Client: not connected>"
        )


class View:
    """A view that never waits: each call gives an AsyncResult, to be awaited.

    Every method of the view underneath (`view.view`) is here, with `block` always off; what asks the hub, as
    `queue_status`, and `wait` are coroutines. `map` gives results for `async for`, too; `imap` takes endless
    and asynchronous iterables.

    >>> async def main():
    ...     async with Client() as rc:
    ...         view = rc.load_balanced_view()
    ...         return [item async for item in view.map(abs, [-1, -2])]
    >>> asyncio.run(main())
    [1, 2]
    """

    def __init__(self, view: Any) -> None:
        flags = {name: getattr(view, name) for name in view.flag_names if name != "targets"}
        fresh = type(view)(view.client, view.targets)
        self.view = fresh.set_flags(**{**flags, "block": False})

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Calls `f(*args, **kwargs)` on the engines."""
        result: AsyncResult = self.view.apply_async(f, *args, **kwargs)
        return result

    apply_async = apply

    def map(
        self, f: Callable[..., T], /, *sequences: Iterable[Any], **options: Any
    ) -> AsyncMapResult[T]:
        """Calls `f` for each item; the result can be awaited, or gone through by `async for`."""
        result: AsyncMapResult[T] = self.view.map_async(f, *sequences, **options)
        return result

    map_async = map  # noqa: A003 - the view's own, just above

    async def imap(
        self,
        f: Callable[..., Any],
        /,
        *sequences: Any,
        ordered: bool = True,
        max_outstanding: int | str | None = "auto",
        chunksize: int = 1,
        return_exceptions: bool = False,
    ) -> AsyncIterator[Any]:
        """As `imap` of the view, for `async for`; one asynchronous iterable works too.

        >>> async def numbers():
        ...     for n in range(3):
        ...         yield n
        >>> async def main():
        ...     async with Client() as rc:
        ...         return [x async for x in rc.load_balanced_view().imap(abs, numbers())]
        >>> asyncio.run(main())
        [0, 1, 2]
        """
        check_chunksize(chunksize)
        send, engines = self.view._row_sender(f)
        rows = Rows(send, engines, is_chunked=chunksize > 1, return_exceptions=return_exceptions)
        limit = outstanding_max(max_outstanding, len(self.view))
        source = _rows(sequences, chunksize)
        async for result in _in_flight(source, rows, limit, ordered=ordered):
            try:
                value = result.get(0)
            except Exception as failure:
                if not return_exceptions:
                    raise
                yield failure
                continue
            for item in part_items(value) if chunksize > 1 else (value,):
                yield item

    async def wait(self, jobs: Any = None, timeout: float | None = None) -> bool:
        """Waits for jobs of this view, by default for all that are outstanding; as `Client.wait`."""
        wanted = self.view.outstanding if jobs is None else jobs
        return await _wait_for(self.view.client, wanted, self.view._history, timeout)

    def get(self, key: str) -> AsyncResult:
        """The object of this name, for each engine."""
        result: AsyncResult = self.view.pull(key)
        return result

    def __getitem__(self, key: str) -> AsyncResult:
        return self.get(key)

    def __len__(self) -> int:
        return len(self.view)

    def __bool__(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        """Anything else of the view; what would block is not there, or a coroutine."""
        if name.startswith("_") or name == "view" or name.endswith("_sync"):
            raise AttributeError(f"{name!r} would block the event loop, or is not there")
        value = getattr(self.view, name)
        return _awaited(value) if name in VIEW_ASKS else value

    def __dir__(self) -> list[str]:
        names = (n for n in dir(self.view) if not n.startswith("_") and not n.endswith("_sync"))
        return sorted({*super().__dir__(), *names})

    def __repr__(self) -> str:
        return f"<aio {self.view!r}>"


async def _rows(sequences: tuple[Any, ...], chunksize: int) -> AsyncIterator[tuple[Any, ...]]:
    """The rows of a lazy map, of ordinary iterables or of one asynchronous one."""
    if len(sequences) == 1 and hasattr(sequences[0], "__aiter__"):
        chunk: list[Any] = []
        async for item in sequences[0]:
            chunk.append(item)
            if len(chunk) == chunksize:
                yield (chunk[0],) if chunksize == 1 else (chunk,)
                chunk = []
        if chunk:
            yield (chunk,)
        return
    if not sequences:
        raise TypeError("there must be at least one sequence")
    for row in rows_of(sequences, chunksize):
        yield row


async def _in_flight(
    source: AsyncIterator[tuple[Any, ...]], rows: Rows, limit: int, *, ordered: bool
) -> AsyncIterator[AsyncResult]:
    """Submits rows, at most `limit` under way, and gives the results that have ended."""
    results: dict[asyncio.Future[None], AsyncResult] = {}
    running: set[asyncio.Future[None]] = set()
    failure: Exception | None = None
    is_open = True
    while True:
        while is_open and not (
            limit and (len(running) >= limit or len(results) > limit + HELD_MAX)
        ):
            try:
                row = await anext(source)
            except StopAsyncIteration:
                is_open = False
                break
            except Exception as raised:  # it comes out after the results before it
                is_open, failure = False, raised
                break
            result = rows(row)
            waiting = asyncio.ensure_future(_arrival(result))
            results[waiting] = result
            running.add(waiting)
        if not results:
            break
        first = next((each for each in results if each.done()), next(iter(results)))
        if ordered:
            first = next(iter(results))
        if not first.done():
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running -= done
            for each in done:
                rows.ended(results[each])
            continue
        if first in running:
            running.discard(first)
            rows.ended(results[first])
        yield results.pop(first)
    if failure is not None:
        raise failure


async def _arrival(result: AsyncResult) -> None:
    await Arrival(result._batch, None)
