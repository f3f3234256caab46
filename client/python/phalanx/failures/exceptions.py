"""From the facts of a failure to the exception that is raised for it, and back.

`error` has the classes; here they are made. Who may use it: results, the engine's `operations`, and users
by the names in `phalanx.error`. It talks to nobody.

>>> try:
...     raise remote_error("ValueError", "no", "", {"engine_id": 0, "method": "apply"})
... except ValueError as e:
...     e
<RemoteError[0]:ValueError(no)>
"""

from __future__ import annotations

import sys
import traceback as tracebacks
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from phalanx.error import (
    CompositeError,
    ErrorEntry,
    PhalanxError,
    RemoteError,
    TaskRejectError,
    UnmetDependency,
)
from phalanx.failures import originals

__all__ = [
    "collect_exceptions",
    "composite_error",
    "entry_of",
    "remote_error",
    "told_error",
    "unwrap_exception",
    "wrap_exception",
]


REFUSALS: dict[str, type[RemoteError]] = {
    "UnmetDependency": originals.combine(RemoteError, UnmetDependency),
    "TaskRejectError": originals.combine(RemoteError, TaskRejectError),
}
"""What tasks raise that do not want to run where they are."""


def remote_error(
    ename: str,
    evalue: str,
    text: str = "",
    info: Mapping[str, Any] | None = None,
    packed: bytes | None = None,
) -> RemoteError:
    """A `RemoteError` that can also be caught as what it was, if that can be rebuilt.

    `packed` is the exception itself, as the engine has sent it; its `args` and attributes are kept, and
    it is the `__cause__`. Without it, Python's own exceptions are known by their names.

    >>> from phalanx.failures import originals
    >>> e = remote_error("KeyError", "'a'", "", {}, originals.pack(KeyError("a")))
    >>> isinstance(e, KeyError), e.args, e.__cause__
    (True, ('a',), KeyError('a'))
    """
    kind = REFUSALS.get(ename, RemoteError)
    original = originals.unpack(packed) or originals.by_name(ename, evalue)
    made: RemoteError | None = None
    if original is not None:
        made = originals.same(
            kind, original, lambda e: RemoteError.__init__(e, ename, evalue, text, info)
        )
    if made is None:
        made = kind(ename, evalue, text, info)
        made.__cause__ = original if packed else None
    made.packed = packed
    return made


def told_error(original: Exception, info: Mapping[str, Any] | None = None) -> RemoteError:
    """A `RemoteError` for what the hub tells of a task or a request: nobody's code has raised it.

    It can be caught as what it is too, and has no cause beside itself.

    >>> from phalanx.error import EngineError
    >>> e = told_error(EngineError("engine 1 died"), {"engine_id": 1, "method": "apply"})
    >>> str(e), isinstance(e, EngineError)
    ('[1:apply] EngineError: engine 1 died', True)
    """
    said = original.args[0] if len(original.args) == 1 else original
    packed = originals.pack(original)
    made = remote_error(type(original).__name__, str(said), "", info, packed)
    made.__cause__ = None
    return made


def composite_error(
    message: str, failures: Iterable[tuple[BaseException, Mapping[str, Any]]]
) -> CompositeError:
    """One error for several, each with where it happened. Nested ones are flattened.

    If all of them can be caught as the same class, so can it.

    >>> info = {"engine_id": 0, "method": "apply"}
    >>> both = [(remote_error("ValueError", "no", "", info), info)] * 2
    >>> isinstance(composite_error("two", both), ValueError)
    True
    """
    flat: list[tuple[BaseException, ErrorEntry]] = []
    for failure, info in failures:
        entries = entry_of(failure, info)
        each: list[BaseException] = [failure]
        if isinstance(failure, CompositeError):
            each = failure.originals or [remote_error(*entry) for entry in entries]
        flat += zip(each, entries, strict=True)
    kinds = {_caught_as(failure) for failure, _ in flat}
    kind = kinds.pop() if len(kinds) == 1 else None
    made = originals.combine(CompositeError, kind) if kind else CompositeError
    entries = [entry for _, entry in flat]
    try:
        error = made.__new__(made)
        CompositeError.__init__(error, message, entries)
    except Exception:  # a class of the user's that cannot be made so
        error = CompositeError(message, entries)
    error.originals = [failure for failure, _ in flat]
    return error


def _caught_as(failure: BaseException) -> type[BaseException] | None:
    """The class of the original, or of the error itself if it is none that came as text."""
    if isinstance(failure, RemoteError):
        bases = type(failure).__bases__
        return bases[1] if len(bases) == 2 and issubclass(bases[0], RemoteError) else None
    return type(failure)


def entry_of(exception: BaseException, engine_info: Mapping[str, Any]) -> list[ErrorEntry]:
    """What a `CompositeError` keeps of an exception; nested ones are flattened.

    >>> from phalanx.error import TaskAborted
    >>> entry_of(TaskAborted("task c1/2 was aborted"), {"engine_id": 1, "method": "apply"})[0][:2]
    ('TaskAborted', 'task c1/2 was aborted')
    """
    if isinstance(exception, CompositeError):
        return list(exception.elist)
    if isinstance(exception, RemoteError):
        info = exception.engine_info or dict(engine_info)
        return [(exception.ename, exception.evalue, exception.traceback, info)]
    return [(type(exception).__name__, str(exception), "", dict(engine_info))]


def collect_exceptions(results: Iterable[Any], method: str = "unspecified") -> list[Any]:
    """The results as a list; raises a `CompositeError` if there are exceptions among them.

    >>> collect_exceptions([1, 2])
    [1, 2]
    """
    values = list(results)
    failures: list[tuple[PhalanxError, dict[str, Any]]] = [
        (value, {}) for value in values if isinstance(value, PhalanxError)
    ]
    if failures:
        raise composite_error(f"one or more exceptions raised in: {method}", failures)
    return values


def wrap_exception(engine_info: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The exception being handled as a dict of texts, which `unwrap_exception` makes an error of.

    >>> try:
    ...     1 / 0
    ... except ZeroDivisionError:
    ...     content = wrap_exception({"engine_id": 0, "method": "apply"})
    >>> content["status"], content["ename"], content["evalue"]
    ('error', 'ZeroDivisionError', 'division by zero')
    """
    kind, value, _ = sys.exc_info()
    if kind is None or value is None:
        raise RuntimeError("no exception is being handled")
    return {
        "status": "error",
        "ename": kind.__name__,
        "evalue": str(value),
        "traceback": tracebacks.format_exception(value),
        "engine_info": dict(engine_info or {}),
    }


def unwrap_exception(content: Mapping[str, Any]) -> RemoteError:
    """The error of a dict that `wrap_exception` has made. It is returned, not raised.

    >>> unwrap_exception({"ename": "ValueError", "evalue": "no", "traceback": ["ValueError: no"]})
    <RemoteError[?]:ValueError(no)>
    """
    text: str | Sequence[str] = content.get("traceback") or ""
    if not isinstance(text, str):
        text = "\n".join(line.rstrip("\n") for line in text)
    info = content.get("engine_info") or {}
    return remote_error(content["ename"], content["evalue"], text, info)
