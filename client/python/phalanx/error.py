"""Every error that a user of `phalanx` can catch, and how it prints.

What user code raised on an engine arrives as a `RemoteError` for one task, a `CompositeError` for several.
Each can also be caught as what it was: `except ValueError` (how, is in the room `failures`). What happened to a
task otherwise (aborted, lost, never able to run) has a class of its own here. Outcomes of the native
module become exceptions in `outcomes`. It does not talk to anybody.

>>> from phalanx import error
>>> e = error.RemoteError("ZeroDivisionError", "division by zero", "", {"engine_id": 0, "method": "apply"})
>>> str(e), repr(e)
('[0:apply] ZeroDivisionError: division by zero', '<RemoteError[0]:ZeroDivisionError(division by zero)>')
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from phalanx._phalanx import ClosedError, ClusterError, ConnectError, PhalanxError, RefusedError
from phalanx.failures.folding import fold, same_on

__all__ = [
    "AbortedTask",
    "AlreadyDisplayedError",
    "ClosedError",
    "ClusterError",
    "CompositeError",
    "ConnectError",
    "DependencyTimeout",
    "Disconnected",
    "EngineError",
    "HubForgot",
    "IPythonError",
    "ImpossibleDependency",
    "InvalidDependency",
    "KernelError",
    "NoEnginesRegistered",
    "PhalanxError",
    "PoisonTask",
    "RefusedError",
    "RemoteError",
    "ResultError",
    "TaskAborted",
    "TaskRejectError",
    "TaskTimeout",
    "TimeoutError",
    "UnmetDependency",
    "UnmetDependencyError",
    "collect_exceptions",
    "unwrap_exception",
    "wrap_exception",
]

RULE = "-" * 75
"""The line above each remote traceback."""

ErrorEntry: TypeAlias = "tuple[str, str, str, dict[str, Any]]"
"""One error of a `CompositeError`: `(ename, evalue, traceback, engine_info)`."""

TimeoutError = builtins.TimeoutError  # noqa: A001 - the same class, also under this module's name
IPythonError = PhalanxError


class KernelError(PhalanxError):
    """Base of what can become of a task or a request.

    >>> issubclass(KernelError, PhalanxError)
    True
    """


class EngineError(KernelError):
    """An engine died while it had the task.

    >>> raise EngineError("engine 1 died while running task c1/4: killed by SIGKILL")
    Traceback (most recent call last):
    ...
    phalanx.error.EngineError: engine 1 died while running task c1/4: killed by SIGKILL
    """


class PoisonTask(EngineError):
    """Engines died under the task until its crash budget of three was used up.

    It names each engine and what it died of. Whose doing the first death was cannot be known for sure;
    a task that was there then runs alone on an engine from then on, so the last ones were its own.

    >>> issubclass(PoisonTask, EngineError)
    True
    """


class NoEnginesRegistered(KernelError):
    """The operation needs engines, and there are none.

    >>> issubclass(NoEnginesRegistered, KernelError)
    True
    """


class TaskAborted(KernelError, CancelledError):
    """The task was aborted, before or while it ran.

    >>> AbortedTask is TaskAborted
    True
    """


AbortedTask = TaskAborted


class TaskTimeout(KernelError):
    """The task could not start in the time it was given.

    >>> issubclass(DependencyTimeout, TaskTimeout)
    True
    """


class UnmetDependency(KernelError):
    """A dependency of the task is not met, so it was not run.

    >>> UnmetDependencyError is UnmetDependency
    True
    """


UnmetDependencyError = UnmetDependency


class ImpossibleDependency(UnmetDependency):
    """A dependency of the task can never be met.

    >>> issubclass(ImpossibleDependency, UnmetDependency)
    True
    """


class InvalidDependency(ImpossibleDependency):
    """A dependency names a task that the hub does not know, or the task itself.

    >>> issubclass(InvalidDependency, ImpossibleDependency)
    True
    """


class DependencyTimeout(ImpossibleDependency, TaskTimeout):
    """The task's dependencies were not met within its `timeout`.

    >>> issubclass(DependencyTimeout, ImpossibleDependency)
    True
    """


class TaskRejectError(KernelError):
    """The hub did not take the task; or raised by a task that wants no part in it.

    >>> issubclass(TaskRejectError, KernelError)
    True
    """


class HubForgot(KernelError):
    """The hub has no record of the task: it was restarted, or the client was away for too long.

    >>> issubclass(HubForgot, KernelError)
    True
    """


class Disconnected(KernelError, ConnectionError):
    """The client was closed or lost its hub before the task's outcome came. The task may have run.

    >>> issubclass(Disconnected, ConnectionError)
    True
    """


class ResultError(KernelError):
    """What the task returned cannot be unpickled here; the cause says why.

    >>> issubclass(ResultError, KernelError)
    True
    """


class RemoteError(KernelError):
    """An exception that user code raised on one engine.

    `ename` is its class, `evalue` what it says, `traceback` the rendered remote traceback and
    `engine_info` a dict with `engine_id` and `method`. If the exception itself could be sent, the error
    is of its class too, with its `args` and attributes, and it is the `__cause__`. Not so for
    `TimeoutError` and `StopIteration`, which would be taken for those of the client, nor for `SyntaxError`,
    of which Python shows no more than the line: they are only the cause.

    >>> e = RemoteError("ValueError", "no", "", {"engine_id": 2, "method": "apply"})
    >>> e.ename, e.evalue, e.engine_info["engine_id"]
    ('ValueError', 'no', 2)
    """

    ename: str
    evalue: str
    traceback: str
    engine_info: dict[str, Any]
    packed: bytes | None = None

    def __init__(
        self,
        ename: str,
        evalue: str,
        traceback: str = "",
        engine_info: Mapping[str, Any] | None = None,
    ) -> None:
        # Not super(): what comes next may be a class of the user's.
        Exception.__init__(self, ename, evalue, traceback, engine_info)
        self.ename = ename
        self.evalue = evalue
        self.traceback = traceback
        self.engine_info = dict(engine_info or {})
        self.remember_traceback()

    def remember_traceback(self) -> None:
        """Keeps the remote traceback as a note, so that an uncaught error shows it."""
        if type(self).render_traceback is RemoteError.render_traceback and self.traceback:
            self.__notes__ = ["\n".join(self.render_traceback())]

    @property
    def header(self) -> str:
        """Where it happened, e.g. `[0:apply]`; empty if nobody said.

        >>> RemoteError("E", "", "", {"engine_id": 3, "method": "execute"}).header
        '[3:execute]'
        """
        return header(self.engine_info)

    def __str__(self) -> str:
        text = describe(self.ename, self.evalue)
        return f"{self.header} {text}" if self.header else text

    def __repr__(self) -> str:
        engine = self.engine_info.get("engine_id", "?")
        return f"<{type(self).__name__}[{engine}]:{self.ename}({self.evalue})>"

    def __reduce__(self) -> tuple[Any, ...]:
        from phalanx.failures.exceptions import remote_error  # which needs this module

        facts = (self.ename, self.evalue, self.traceback, self.engine_info)
        if type(self) is RemoteError and self.packed is None:
            return (RemoteError, facts)
        return (remote_error, (*facts, self.packed))

    def render_traceback(self) -> list[str]:
        """The remote traceback as lines, after a line that says where it is from.

        >>> RemoteError("E", "no", "E: no", {"engine_id": 3, "method": "apply"}).render_traceback()
        ['[3:apply]', 'E: no']
        """
        lines = self.traceback.splitlines() or [describe(self.ename, self.evalue)]
        return [self.header, *lines] if self.header else lines

    def print_traceback(self, excid: int | None = None) -> None:
        """Prints the remote traceback; `excid` is for `CompositeError`.

        >>> RemoteError("E", "no", "", {"engine_id": 3, "method": "apply"}).print_traceback()
        [3:apply]
        E: no
        """
        print("\n".join(self.render_traceback()))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of the local traceback."""
        return self.render_traceback()


FOLDED_ABOVE = 16
"""Up to so many errors are printed one by one, as far as `tb_limit` goes; of more, equal ones are told once."""


class CompositeError(RemoteError):
    """Exceptions that one call raised on several engines.

    `elist` has a tuple `(ename, evalue, traceback, engine_info)` for each. At most `tb_limit` of the
    tracebacks are printed; set it on the class or on one error; if there are
    more, equal ones are told once, with the engines that they are from. `originals` has the errors themselves
    where they are known. If all are of one class, it can be caught as that class.

    >>> info = {"engine_id": 0, "method": "apply"}
    >>> e = CompositeError("one or more exceptions raised in: f", [("ValueError", "no", "", info)])
    >>> e
    CompositeError(1)
    >>> print(e)
    one or more exceptions raised in: f
    [0:apply]ValueError: no
    """

    tb_limit: int = 4
    msg: str
    elist: list[ErrorEntry]
    originals: list[BaseException]

    def __init__(self, message: str, elist: Iterable[ErrorEntry]) -> None:
        entries = [(str(en), str(ev), str(tb), dict(info)) for en, ev, tb, info in elist]
        Exception.__init__(self, message, entries)
        self.msg = message
        self.elist = entries
        self.ename = "CompositeError"
        self.evalue = message
        self.engine_info = {}
        self.originals = []
        self.__notes__ = ["\n".join(self.render_traceback()).rstrip()]

    @property
    def message(self) -> str:
        """What the error says first; the same as `msg`.

        >>> CompositeError("several", []).message
        'several'
        """
        return self.msg

    @property
    def traceback(self) -> str:  # type: ignore[override]
        """What `print_traceback` prints.

        >>> CompositeError("several", []).traceback
        ''
        """
        return "\n".join(self.render_traceback())

    def __str__(self) -> str:
        lines = [f"{header(info)}{describe(en, ev)}" for en, ev, _, info in self.elist]
        shown = lines[: self.tb_limit]
        if len(lines) > len(shown):
            shown.append(f".... {len(lines) - len(shown)} more exceptions ...")
        return "\n".join([self.msg, *shown])

    def __repr__(self) -> str:
        return f"CompositeError({len(self.elist)})"

    def __reduce__(self) -> tuple[Any, ...]:
        from phalanx.failures.exceptions import composite_error

        if self.originals:
            each = [(one, entry[3]) for one, entry in zip(self.originals, self.elist, strict=True)]
            return (composite_error, (self.msg, each))
        return (CompositeError, (self.msg, self.elist))

    def render_traceback(self, excid: int | None = None) -> list[str]:
        """The remote tracebacks as lines, or the one of number `excid`.

        Over `tb_limit` the others are counted. Of more than `FOLDED_ABOVE` equal ones are told once.

        >>> e = CompositeError("m", [("E", "no", "", {"engine_id": 1, "method": "apply"})] * 6)
        >>> e.render_traceback()[-3:]
        ['E: no', '', '... 2 more exceptions ...']
        >>> many = [("E", "no", "", {"engine_id": i, "method": "apply"}) for i in range(20)]
        >>> CompositeError("m", many).render_traceback()
        ['[0:apply]:', 'E: no', '', 'the same on engines 1-19', '', '... 19 more exceptions ...']
        """
        if excid is not None:
            return self._render_one(excid)
        if len(self.elist) > max(self.tb_limit, FOLDED_ABOVE):
            return self._render_folded()
        lines: list[str] = []
        for index in range(min(len(self.elist), self.tb_limit)):
            lines += [*self._render_one(index), ""]
        more = len(self.elist) - self.tb_limit
        return [*lines, f"... {more} more exceptions ..."] if more > 0 else lines

    def _render_folded(self) -> list[str]:
        groups = fold(self.elist)[: self.tb_limit]
        lines: list[str] = []
        for first, *others in groups:
            lines += [*self._render_one(first), ""]
            if others:
                lines += [same_on(self.elist[each][3].get("engine_id") for each in others), ""]
        return [*lines, f"... {len(self.elist) - len(groups)} more exceptions ..."]

    def print_traceback(self, excid: int | None = None) -> None:
        """Prints the remote tracebacks, or the one of number `excid`.

        >>> CompositeError("m", [("E", "no", "", {"engine_id": 1, "method": "apply"})]).print_traceback(0)
        [1:apply]:
        E: no
        """
        print("\n".join(self.render_traceback(excid)))

    def raise_exception(self, excid: int = 0) -> NoReturn:
        """Raises one of the errors as a `RemoteError`.

        >>> try:
        ...     CompositeError("m", [("E", "no", "", {"engine_id": 1, "method": "apply"})]).raise_exception()
        ... except RemoteError as e:
        ...     print(e)
        [1:apply] E: no
        """
        from phalanx.failures.exceptions import remote_error

        ename, evalue, text, info = self._entry(excid)
        one = self.originals[excid] if self.originals else None
        packed = one.packed if isinstance(one, RemoteError) else None
        raise remote_error(ename, evalue, text, info, packed)

    def _entry(self, excid: int) -> ErrorEntry:
        try:
            return self.elist[excid]
        except IndexError:
            raise IndexError(
                f"there is no exception {excid}: there are {len(self.elist)}"
            ) from None

    def _render_one(self, excid: int) -> list[str]:
        ename, evalue, text, info = self._entry(excid)
        return [f"{header(info)}:", *(text.splitlines() or [describe(ename, evalue)])]


class AlreadyDisplayedError(RemoteError):
    """Stands for errors whose tracebacks were shown while the output was streamed.

    >>> print(AlreadyDisplayedError(CompositeError("m", [("E", "", "", {})] * 3)))
    3 errors
    """

    def __init__(self, original_error: RemoteError) -> None:
        Exception.__init__(self, original_error)
        self.original_error = original_error
        self.ename = original_error.ename
        self.evalue = original_error.evalue
        self.engine_info = original_error.engine_info
        self.traceback = ""

    def __str__(self) -> str:
        original = self.original_error
        count = len(original.elist) if isinstance(original, CompositeError) else 1
        return f"{count} error{'' if count == 1 else 's'}"

    def __repr__(self) -> str:
        return f"AlreadyDisplayedError({self})"

    def render_traceback(self) -> list[str]:
        """One line: how many errors there were.

        >>> AlreadyDisplayedError(RemoteError("E", "no")).render_traceback()
        ['1 error']
        """
        return [str(self)]


def describe(ename: str, evalue: str) -> str:
    """An error in one line, as IPython prints it.

    >>> describe("ValueError", "no"), describe("KeyboardInterrupt", "")
    ('ValueError: no', 'KeyboardInterrupt: ')
    """
    return f"{ename}: {evalue}"


def header(engine_info: Mapping[str, Any]) -> str:
    """Where an error is from, e.g. `[0:apply]`.

    >>> header({"engine_id": 0, "method": "apply"})
    '[0:apply]'
    """
    if not engine_info:
        return ""
    engine = engine_info.get("engine_id")
    return f"[{'?' if engine is None else engine}:{engine_info.get('method', '')}]"


if TYPE_CHECKING:
    from phalanx.failures.exceptions import collect_exceptions, unwrap_exception, wrap_exception
else:

    def __getattr__(name: str) -> Any:
        """What makes errors of facts has a module of its own, and its public names here."""
        if name in ("collect_exceptions", "unwrap_exception", "wrap_exception"):
            from phalanx.failures import exceptions as failures

            return getattr(failures, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
