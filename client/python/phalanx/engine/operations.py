"""What an engine does when it is asked: one method for each kind of task.

Who may use it: the engine's process calls `Operations` for each task. It sends nothing: what it returns
is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType
from typing import Any, Protocol

from phalanx.engine.counting import ItemCounter
from phalanx.engine.execution import Execution
from phalanx.engine.interrupts import AbortRequested, Interrupts
from phalanx.engine.namespace import Namespace
from phalanx.engine.outlet import Outlet
from phalanx.engine.rendering import render, text_of
from phalanx.engine.streams import TaskStream
from phalanx.error import TaskRejectError, UnmetDependency
from phalanx.failures import originals
from phalanx.failures.exceptions import remote_error
from phalanx.values import functions
from phalanx.values.inputs import given
from phalanx.values.packing import FunctionCache, pack_value, unpack_value

__all__ = ["METHODS", "Operations"]

METHODS = ("python.apply", "python.execute", "python.push", "python.pull", "python.clear")
"""What an engine that runs Python offers."""

MISSING_MODULE = (
    "The function or an argument needs this module, and this engine does not find it: install it where "
    "the engine runs, or send what is in it by value (cloudpickle.register_pickle_by_value)"
)
"""What to do about a module that the client has and the engine has not."""


BASES_MAX = 32
"""Names of base classes that are told of an exception; the hub keeps no more."""


class Task(Protocol):
    """What is needed of the native module's task."""

    @property
    def method(self) -> str: ...
    @property
    def function(self) -> tuple[bytes, Any] | None: ...
    @property
    def parts(self) -> Any: ...
    @property
    def inputs(self) -> Sequence[Sequence[Any]]: ...


class Operations:
    """The operations over one namespace. Calling it with a task gives the task's answer."""

    def __init__(
        self,
        namespace: Namespace,
        interrupts: Interrupts,
        streams: tuple[TaskStream, ...] = (),
        engine_id: Callable[[], int | None] = lambda: None,
        write: Callable[[int, bytes], object] = lambda kind, data: None,
        outlet: Outlet | None = None,
    ) -> None:
        self._namespace = namespace
        self._interrupts = interrupts
        self._streams = streams
        self._engine_id = engine_id
        self._write = write
        self._outlet = outlet
        self._counter = None if outlet is None else ItemCounter(outlet.count)
        self._functions = FunctionCache()
        self._execution = Execution(namespace)
        self._operations: dict[str, Callable[[Task], Any]] = {
            "python.apply": self._apply,
            "python.execute": self._execute,
            "python.push": self._push,
            "python.pull": self._pull,
            "python.clear": self._clear,
        }

    def __call__(self, task: Task) -> tuple[Any, ...]:
        """Runs a task. What it raises is an answer, never an exception of this call."""
        interrupts = self._interrupts
        try:
            if self._outlet is not None:
                self._outlet.begin()
            interrupts.arm()
            try:
                result = self._operations[task.method](task)
                if self._outlet is not None:
                    result = self._outlet.end(result)
                parts = pack_value(result)
            finally:
                interrupts.disarm()
            for stream in self._streams:
                stream.flush()
            return ("done", parts)
        except AbortRequested:
            self._flush()
            return ("aborted",)
        except (UnmetDependency, TaskRejectError) as raised:
            self._flush()
            return ("refused", *described(raised))
        except BaseException as raised:  # user code may raise anything, SystemExit too
            self._flush()
            self._send_original(raised)
            return ("failed", *described(raised))

    def _flush(self) -> None:
        self._interrupts.disarm()
        if self._outlet is not None:
            self._outlet.end(None)
        for stream in self._streams:
            stream.flush()

    def _send_original(self, raised: BaseException) -> None:
        """Has the exception itself go along with its text."""
        packed = originals.pack(raised)
        if packed is not None:
            self._write(originals.STREAM, packed)

    # ------------------------------------------------------------------ the methods

    def _apply(self, task: Task) -> Any:
        digest, blob = task.function  # type: ignore[misc]
        with unpickling():
            f, borrowed = self._functions.load(digest, blob)
            call = self._arguments(task)
        from_arguments = functions.take_fallbacks()
        if from_arguments:
            borrowed = {**from_arguments, **(borrowed or {})}
        if type(f) is BuiltinFunctionType:
            f = self._namespace.seen_by(f)
        try:
            if not borrowed:
                return self._call(f, call)
            lent = self._namespace.lend(borrowed)
            try:
                return self._call(f, call)
            finally:
                self._namespace.take_back(lent, borrowed)
        finally:
            self._namespace.show_figures()

    def _arguments(self, task: Task) -> Any:
        inputs = task.inputs
        if not inputs:
            return unpack_value(task.parts)
        with given(inputs):
            return unpack_value(task.parts)

    def _call(self, f: Any, call: tuple[Any, ...]) -> Any:
        if len(call) == 1:
            return f(*call[0])
        if len(call) == 2:
            args, kwargs = call
            # Without even empty keywords it is a chunk of a map that has one item.
            return [f(*args)] if kwargs is None else f(*args, **kwargs)
        columns, _, return_exceptions = call
        first, *others = columns
        items_of_first = self._counter.over(first) if self._counter is not None else iter(first)
        try:
            if return_exceptions:
                rows = zip(items_of_first, *others, strict=False)
                return [self._call_item(f, items) for items in rows]
            if not others:
                return [f(item) for item in items_of_first]
            return [f(*items) for items in zip(items_of_first, *others, strict=False)]
        finally:
            if self._counter is not None:
                self._counter.end()

    def _call_item(self, f: Any, items: tuple[Any, ...]) -> Any:
        try:
            return f(*items)
        except Exception as raised:
            info = {"engine_id": self._engine_id(), "engine_uuid": None, "method": "apply"}
            packed = originals.pack(raised)
            return remote_error(
                type(raised).__name__, text_of(raised), render(raised), info, packed
            )

    def _execute(self, task: Task) -> Any:
        code, silent = unpack_value(task.parts)
        return self._execution(code, silent)

    def _push(self, task: Task) -> None:
        with unpickling():
            values = unpack_value(task.parts)
        # What pushed functions need stays with them.
        borrowed = functions.take_fallbacks()
        if borrowed:
            self._namespace.lend(borrowed)
        for name, value in values.items():
            self._namespace.assign(name, value)

    def _pull(self, task: Task) -> Any:
        names = unpack_value(task.parts)
        if isinstance(names, str):
            return self._namespace.look_up(names)
        return [self._namespace.look_up(name) for name in names]

    def _clear(self, task: Task) -> None:
        self._namespace.clear()
        self._functions.clear()


@contextmanager
def unpickling() -> Iterator[None]:
    """For what comes from a client: if it fails nothing of it stays, and a missing module is told of."""
    try:
        yield
    except BaseException as raised:
        functions.take_fallbacks()
        if isinstance(raised, ModuleNotFoundError):
            raised.add_note(MISSING_MODULE)
        raise


def described(raised: BaseException) -> tuple[str, str, str, list[str]]:
    """An exception as text: its class, what it says, its traceback, and the classes it derives from.

    >>> kind, message, _, bases = described(ConnectionError("cut"))
    >>> kind, message, bases
    ('ConnectionError', 'cut', ['OSError', 'Exception', 'BaseException'])
    """
    bases = [kind.__name__ for kind in type(raised).__mro__[1:-1]][:BASES_MAX]
    return type(raised).__name__, text_of(raised), render(raised), bases
