"""Which tasks a client or a view has submitted, in order.

Kept as ranges, because a client numbers its tasks in a row: a million of them cost no more than one.
Who may use it: client and views.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["History"]


class History:
    """Names of tasks in the order of their submits.

    >>> history = History()
    >>> history.add((1, 0), 2)
    >>> history.add((1, 2), 1)
    >>> list(history), len(history), history[-1]
    (['c1/0', 'c1/1', 'c1/2'], 3, 'c1/2')
    """

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        self._ranges: list[list[int]] = []

    def add(self, first: tuple[int, int], count: int) -> None:
        """Adds so many tasks, from that one on."""
        client, seq = first
        ranges = self._ranges
        if ranges:
            last = ranges[-1]
            if last[2] == seq and last[0] == client:
                last[2] = seq + count
                return
        ranges.append([client, seq, seq + count])

    def clear(self) -> None:
        """Forgets all of them."""
        self._ranges.clear()

    def __contains__(self, task: object) -> bool:
        """Whether that task, a pair of client and number, is in it."""
        if not isinstance(task, tuple):
            return False
        client, seq = task
        return any(c == client and start <= seq < stop for c, start, stop in self._ranges)

    def index(self, task: tuple[int, int]) -> int:
        """The place of a task that is in it.

        >>> history = History()
        >>> history.add((1, 0), 2)
        >>> history.index((1, 1))
        1
        """
        place = 0
        client, seq = task
        for known, start, stop in self._ranges:
            if known == client and start <= seq < stop:
                return place + seq - start
            place += stop - start
        raise ValueError(f"task {task} is not in this history")

    def __len__(self) -> int:
        return sum(stop - start for _, start, stop in self._ranges)

    def __iter__(self) -> Iterator[str]:
        for client, start, stop in self._ranges:
            for seq in range(start, stop):
                yield f"c{client}/{seq}"

    def __getitem__(self, index: int) -> str:
        """The name of one, by its place; from the end if negative."""
        place = index + len(self) if index < 0 else index
        if place >= 0:
            for client, start, stop in self._ranges:
                if place < stop - start:
                    return f"c{client}/{start + place}"
                place -= stop - start
        raise IndexError(f"there is no task {index} in this history of {len(self)}")
