"""`LazyMapIterator`: a map that takes its input as results are taken from it.

So the input may be endless, or larger than memory: only so many tasks are under way, and only so many
results wait to be taken. The input is read in the thread that iterates, never in another one. Who may use
it: views make it for `imap`, and executors for their `map`. It submits by what its view gives it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from phalanx.results.futures import T
from phalanx.results.mapresult import part_items
from phalanx.values.packing import pack_call, pack_chunk

if TYPE_CHECKING:
    from typing import Self

    from phalanx.results.asyncresult import AsyncResult

__all__ = ["LazyMapIterator", "rows_of"]

HELD_MIN = 64
"""Results that may wait to be taken while others run, however few tasks may be under way."""

HELD_FACTOR = 4
"""The same, for each task that may be under way. More would let an endless input fill the memory."""


class Rows:
    """Sends the rows of a lazy map by its view; with `engines`, each to the one that has the fewest.

    >>> Rows(lambda parts, engine: engine, engines=[3, 4])((1,))
    3
    """

    def __init__(
        self,
        send: Callable[[Any, int | None], AsyncResult],
        engines: Iterable[int] | None = None,
        *,
        is_chunked: bool = False,
        return_exceptions: bool = False,
    ) -> None:
        self._send = send
        self._under_way = None if engines is None else dict.fromkeys(engines, 0)
        self.is_chunked = is_chunked
        self.return_exceptions = return_exceptions

    def __call__(self, row: tuple[Any, ...]) -> AsyncResult:
        """Sends one."""
        parts = pack_chunk(row, self.return_exceptions) if self.is_chunked else pack_call(row, None)
        if self._under_way is None:
            return self._send(parts, None)
        engine = min(self._under_way, key=self._under_way.__getitem__)
        self._under_way[engine] += 1
        return self._send(parts, engine)

    def ended(self, result: AsyncResult) -> None:
        """That one has ended: its engine has one less."""
        if self._under_way is not None:
            for engine in result.engines_of_call():
                self._under_way[engine] -= 1


class LazyMapIterator(Iterator[T]):
    """The results of `imap`, as they are taken. Not to be shared by threads.

    An exception of a task is raised at its place, and the iterator goes on after it; so does one of the
    input, after which nothing more is read.

    >>> from itertools import count
    >>> squares = balanced.imap(lambda x: x * x, count())
    >>> [next(squares) for _ in range(4)]
    [0, 1, 4, 9]
    >>> squares.cancel()
    """

    def __init__(
        self,
        source: Iterable[tuple[Any, ...]],
        rows: Rows,
        *,
        ordered: bool = True,
        max_outstanding: int = 0,
        timeout: float | None = None,
    ) -> None:
        self._source: Iterator[tuple[Any, ...]] | None = iter(source)
        self._rows = rows
        self._ordered = ordered
        self._open_max = max_outstanding
        self._held_max = max(HELD_MIN, HELD_FACTOR * max_outstanding)
        self._end = None if timeout is None else time.monotonic() + timeout
        self._failure: Exception | None = None
        self._open: dict[int, AsyncResult] = {}
        self._held: dict[int, AsyncResult] = {}
        self._items: deque[Any] = deque()
        self._submitted = 0
        self._given = 0
        self._arrived: SimpleQueue[int] = SimpleQueue()
        self._fill()

    def cancel(self, abort: bool = False) -> None:
        """Reads no more of the input. What is under way still comes, unless it is aborted.

        >>> numbers = balanced.imap(abs, iter([-1, -2, -3]), max_outstanding=1)
        >>> numbers.cancel()
        >>> list(numbers)
        [1]
        """
        self._source = None
        if abort:
            for result in list(self._open.values()):
                result.cancel()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._items:
            result = self._take()
            if result is None:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                raise StopIteration
            self._fill()
            self._open_up(result)
        item = self._items.popleft()
        if isinstance(item, _Raise):
            raise item.exception
        value: T = item
        return value

    def _fill(self) -> None:
        """Submits as much as may be under way."""
        while self._source is not None:
            if self._open_max and len(self._open) >= self._open_max:
                return
            if self._open_max and len(self._held) >= self._held_max:
                return
            try:
                row = next(self._source)
            except StopIteration:
                self._source = None
                return
            except Exception as failure:  # it comes out after the results before it
                self._source = None
                self._failure = failure
                return
            number = self._submitted
            result = self._rows(row)
            self._submitted = number + 1
            self._open[number] = result
            result.when_ready(partial(self._arrived.put, number))

    def _take(self) -> AsyncResult | None:
        """The next result, once it is there; `None` if there are no more."""
        while True:
            self._note_arrived()
            self._fill()
            if not self._ordered and self._held:
                return self._held.pop(next(iter(self._held)))
            if self._ordered and self._given in self._held:
                self._given += 1
                return self._held.pop(self._given - 1)
            if not self._open:
                return None
            self._wait()

    def _wait(self) -> None:
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        try:
            self._note(self._arrived.get(timeout=left))
        except Empty:
            raise TimeoutError("Result not ready.") from None

    def _note_arrived(self) -> None:
        while not self._arrived.empty():
            self._note(self._arrived.get())

    def _note(self, number: int) -> None:
        result = self._open.pop(number)
        self._held[number] = result
        self._rows.ended(result)

    def _open_up(self, result: AsyncResult) -> None:
        """The items of a result, to be given one by one."""
        try:
            value = result.get(0)
        except Exception as failure:
            self._items.append(failure if self._rows.return_exceptions else _Raise(failure))
            return
        if self._rows.is_chunked:
            self._items.extend(part_items(value))
        else:
            self._items.append(value)

    def __repr__(self) -> str:
        state = "reading" if self._source is not None else "read to its end"
        return f"<LazyMapIterator: {len(self._open)} under way, input {state}>"


class _Raise:
    """Stands for a result that is to be raised."""

    __slots__ = ("exception",)

    def __init__(self, exception: Exception) -> None:
        self.exception = exception


def rows_of(sequences: tuple[Iterable[Any], ...], chunksize: int) -> Iterator[tuple[Any, ...]]:
    """The rows of the sequences, to the end of the shortest; of chunks, rows of lists. Reads no further.

    >>> list(rows_of(("abc", [1, 2, 3]), 1)), list(rows_of(("abc", [1, 2, 3]), 2))
    ([('a', 1), ('b', 2), ('c', 3)], [(['a', 'b'], [1, 2]), (['c'], [3])])
    """
    rows = zip(*sequences, strict=False)
    if chunksize == 1:
        yield from rows
        return
    while chunk := list(islice(rows, chunksize)):
        yield tuple(map(list, zip(*chunk, strict=True)))


def outstanding_max(max_outstanding: Any, engines: int) -> int:
    """How many tasks may be under way: as many as there are engines if `"auto"`, 0 for no limit.

    >>> outstanding_max("auto", 4), outstanding_max(2, 4)
    (4, 2)
    """
    if max_outstanding in ("auto", None):
        return max(1, engines)
    if isinstance(max_outstanding, bool) or not isinstance(max_outstanding, int):
        raise TypeError(f"max_outstanding is 'auto' or an int, not {max_outstanding!r}")
    if max_outstanding < 0:
        raise ValueError(f"max_outstanding is at least 0, not {max_outstanding}")
    return max_outstanding


def check_chunksize(chunksize: int) -> int:
    """A number of items for each task.

    >>> check_chunksize(0)
    Traceback (most recent call last):
    ...
    ValueError: chunksize is at least 1, not 0
    """
    if isinstance(chunksize, bool) or not isinstance(chunksize, int):
        raise TypeError(f"chunksize is an int, not {type(chunksize).__name__}")
    if chunksize < 1:
        raise ValueError(f"chunksize is at least 1, not {chunksize}")
    return chunksize
