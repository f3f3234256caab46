"""`AsyncMapResult`: what a map, or a call that was cut into parts, will return.

Who may use it: views make it. It submits nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from phalanx.failures.exceptions import composite_error
from phalanx.results.asyncresult import AsyncResult
from phalanx.results.batches import Batch
from phalanx.results.futures import Arrival, T, seconds, tell
from phalanx.results.watching import FOLLOWED_MAX
from phalanx.values.partition import BLOCKS, ROUND_ROBIN, join, join_dealt

if TYPE_CHECKING:
    from phalanx.client import Client

__all__ = ["AsyncMapResult"]


class AsyncMapResult(AsyncResult["list[T]"]):
    """The results of a map in the order of its items, whichever task had which of them.

    `lengths` are those of the parts, if it is known that a part gives an item for each that it has.
    Iterating gives items while others still run: in order, or as they come if the map was not
    `ordered`. `get()` joins the parts: a list, or an array if every part is one.

    >>> import phalanx as px
    >>> view = px.Client().load_balanced_view()
    >>> list(view.map_async(abs, [-1, -2]))
    [1, 2]
    """

    def __init__(
        self,
        client: Client,
        batch: Batch,
        fname: str,
        *,
        lengths: Sequence[int] | None = None,
        ordered: bool = True,
        dist: str = BLOCKS,
        targets: list[int] | None = None,
        label: str | None = None,
        return_exceptions: bool = False,
    ) -> None:
        super().__init__(client, batch, fname, single=False, targets=targets, label=label)
        self.ordered = ordered
        self._lengths = lengths
        self._dist = dist
        self._return_exceptions = return_exceptions

    def get(
        self,
        timeout: float | None = None,
        return_exceptions: bool | None = None,
        return_when: str | None = None,
        *,
        copy: bool = False,
    ) -> list[T]:
        """As `AsyncResult.get`; with `return_exceptions` errors stand where their items would.

        >>> balanced.map_async(lambda x: 1 // x, [1, 0]).get(return_exceptions=True)
        [1, <RemoteError[...]:ZeroDivisionError(...)>]
        """
        if return_exceptions is None:
            return_exceptions = self._return_exceptions
        return super().get(timeout, return_exceptions, return_when, copy=copy)

    def has_failed(self, index: int) -> bool:
        """As for every result; with `return_exceptions` what the function raises is no failure."""
        if self._return_exceptions and self._batch.ready(index):
            return self._batch.outcome(index)[0] not in ("done", "failed")
        return super().has_failed(index)

    def _shape(self, values: list[Any], failures: Mapping[int, Exception]) -> Any:
        """The items of all parts, joined. A part that failed has its error for each item."""
        parts = list(values)
        for index in failures:
            parts[index] = [values[index]] * (1 if self._lengths is None else self._lengths[index])
        return join_dealt(parts) if self._dist == ROUND_ROBIN else join(parts)

    def __len__(self) -> int:
        return len(self._batch) if self._lengths is None else sum(self._lengths)

    @property
    def progress(self) -> int:
        """How many items are done, of running parts too as far as they have told.

        A part tells five times a second at most, from the first time on that somebody looks.

        >>> ar = balanced.map_async(abs, range(5))
        >>> ar.wait(), ar.progress
        (True, 5)
        """
        done = self._batch.done_count()
        if self._lengths is None:
            return done
        indices = (self._batch.nth_done(n) for n in range(done))
        finished = sum(self._lengths[index] for index in indices if index is not None)
        return finished + self._items_under_way(len(self._batch) - done)

    def _items_under_way(self, parts: int) -> int:
        lengths = self._lengths or ()
        if not 0 < parts <= FOLLOWED_MAX:
            return 0
        return sum(
            min(length, self._output_of(index).items_done())
            for index, length in enumerate(lengths)
            if length > 1 and not self._batch.ready(index)
        )

    def __iter__(self) -> Iterator[T]:
        """The items, each as soon as its part is there."""
        for index in self._in_order() if self.ordered else self._as_they_come():
            yield from self._items_of(index)

    async def __aiter__(self) -> AsyncIterator[T]:
        """The same for `async for`: no thread waits."""
        if self.ordered:
            for index in range(len(self._batch)):
                await Arrival(self._batch, index)
                for item in self._items_of(index):
                    yield item
            return
        from asyncio import Queue, get_running_loop  # not everybody's

        loop = get_running_loop()
        arrived: Queue[int] = Queue()
        for index in range(len(self._batch)):
            note = partial(arrived.put_nowait, index)
            self._batch.add_callback(index, partial(tell, loop, note))
        for _ in range(len(self._batch)):
            for item in self._items_of(await arrived.get()):
                yield item

    def _items_of(self, index: int) -> Iterable[T]:
        """The items of a part that has ended; raises what went wrong unless that is wanted in their place."""
        value, failure = self._fetch(index)
        if failure is not None:
            if not self._return_exceptions:
                text = f"one or more exceptions raised in: {self._fname}"
                raise composite_error(text, [(failure, self._info_of(index))])
            in_place: Any = failure
            return [in_place] * (1 if self._lengths is None else self._lengths[index])
        items: Iterable[T] = part_items(value)
        return items

    def _in_order(self) -> Iterator[int]:
        for index in range(len(self._batch)):
            self._batch.wait(None, index)
            yield index

    def _as_they_come(self) -> Iterator[int]:
        for n in range(len(self._batch)):
            self._batch.wait(seconds(None), None, n + 1)
            index = self._batch.nth_done(n)
            if index is not None:
                yield index


def part_items(part: Any) -> Any:
    """What there is to iterate over in a part: its items, or itself if it has none.

    >>> part_items([1, 2]), part_items(3)
    ([1, 2], (3,))
    """
    if isinstance(part, (list, tuple, range)):
        return part
    shape = getattr(part, "shape", None)
    return part if shape else (part,)
