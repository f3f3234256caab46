"""Results as arguments: an `AsyncResult` among the arguments of a task stands for its value.

The client sends its place and names the task; the hub puts the task's result beside the arguments when it
is there, and the engine puts it in its place. The bytes do not pass through the client. Who may use it:
views when they pack a call, `AsyncResult` when it is pickled, the engine's `operations`.

>>> with collecting() as inputs:
...     inputs.place((7, 42)), inputs.place((7, 43)), inputs.place((7, 42))
(0, 1, 0)
>>> inputs.tasks
[(7, 42), (7, 43)]
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from phalanx._phalanx import FORMAT_PICKLE5
from phalanx.values.frames import Told
from phalanx.values.packing import pack_call, unpack_value

if TYPE_CHECKING:
    from phalanx.values.packing import Parts

__all__ = ["Inputs", "collecting", "given", "graph", "pack_call_with_inputs", "stand_in", "take"]

TaskId: TypeAlias = "tuple[int, int]"

_PLAIN = frozenset({int, float, complex, str, bool, bytes, type(None)})

_here = threading.local()


class Inputs:
    """The tasks whose results stand among the arguments of one call, each once."""

    __slots__ = ("_places", "tasks")

    def __init__(self) -> None:
        self.tasks: list[TaskId] = []
        self._places: dict[TaskId, int] = {}

    def place(self, task: TaskId) -> int:
        """Which one it is."""
        place = self._places.get(task)
        if place is None:
            place = self._places[task] = len(self.tasks)
            self.tasks.append(task)
        return place


@contextmanager
def collecting() -> Iterator[Inputs]:
    """What is pickled in this thread meanwhile may hold results of tasks."""
    before = getattr(_here, "inputs", None)
    _here.inputs = inputs = Inputs()
    try:
        yield inputs
    finally:
        _here.inputs = before


def pack_call_with_inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Parts, list[TaskId]]:
    """The parts of the arguments of one call, and the tasks whose results stand among them.

    >>> parts, tasks = pack_call_with_inputs((1, "a"), {})
    >>> tasks
    []
    """
    if not kwargs:
        for arg in args:
            if type(arg) not in _PLAIN:
                break
        else:
            return pack_call(args, kwargs), []
    with collecting() as inputs:
        return pack_call(args, kwargs), inputs.tasks


@contextmanager
def within(graph: Any) -> Iterator[None]:
    """What is pickled in this thread meanwhile belongs to this graph."""
    _here.graph = graph
    try:
        yield
    finally:
        _here.graph = None


def graph() -> Any:
    """The graph to which belongs what is pickled now, if any."""
    return getattr(_here, "graph", None)


def stand_in(task: TaskId) -> tuple[Any, ...] | None:
    """How the result of a task is pickled now; `None` if nobody collects results."""
    inputs: Inputs | None = getattr(_here, "inputs", None)
    return None if inputs is None else (take, (inputs.place(task),))


def take(place: int) -> Any:
    """The value of a result among the arguments that are being unpickled; on an engine.

    >>> take(0)
    Traceback (most recent call last):
    ...
    RuntimeError: the result of a task is an argument only of a task
    """
    values: Callable[[int], Any] | None = getattr(_here, "values", None)
    if values is None:
        raise RuntimeError("the result of a task is an argument only of a task")
    return values(place)


@contextmanager
def given(results: Sequence[Sequence[Any]]) -> Iterator[None]:
    """What is unpickled in this thread meanwhile may take these results, each unpickled once.

    >>> from phalanx.values.packing import pack_value
    >>> with given([("done", FORMAT_PICKLE5, pack_value([1]))]):
    ...     take(0)
    [1]
    """
    known: dict[int, Any] = {}

    def value(place: int) -> Any:
        if place not in known:
            _, kind, result = results[place]
            known[place] = unpack_value(result) if kind == FORMAT_PICKLE5 else result
            if type(known[place]) is Told:
                known[place] = known[place].value
        return known[place]

    before = getattr(_here, "values", None)
    _here.values = value
    try:
        yield
    finally:
        _here.values = before
