"""How outcomes of tasks, as the native module tells them, become exceptions. The one place for that.

Who may use it: results. It knows nothing of views and batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from phalanx.error import (
    DependencyTimeout,
    Disconnected,
    EngineError,
    HubForgot,
    ImpossibleDependency,
    InvalidDependency,
    KernelError,
    NoEnginesRegistered,
    PoisonTask,
    TaskAborted,
    TaskRejectError,
)
from phalanx.failures.exceptions import remote_error, told_error
from phalanx.failures.originals import STREAM

__all__ = ["from_outcome"]


def from_outcome(
    outcome: Sequence[Any],
    msg_id: str,
    method: str = "",
    output: Iterable[tuple[int, bytes]] = (),
) -> Exception:
    """The exception that the outcome of a task is to its caller.

    `outcome` is what `Batch.outcome` of the native module gives, of a task that is not done, `output` what
    `Batch.output` does: the exception itself may be in it.

    >>> from_outcome(("aborted",), "c1/2")
    TaskAborted('task c1/2 was aborted')
    """
    match tuple(outcome):
        case ("failed", kind, message, text, engine, where):
            info = {
                "engine_id": engine,
                "engine_uuid": None,
                "method": short_method(where or method),
            }
            packed = b"".join(data for stream, data in output if stream == STREAM)
            return remote_error(kind, message, text, info, packed or None)
        case ("aborted",):
            return TaskAborted(f"task {msg_id} was aborted")
        case ("engine_lost", engine, cause):
            text = f"engine {engine} died while running task {msg_id}: {cause}"
            return told_error(EngineError(text), {"engine_id": engine, "method": method})
        case ("poison", losses):
            causes = "; ".join(f"engine {engine}: {cause}" for engine, cause in losses)
            return told_error(
                PoisonTask(
                    f"task {msg_id} is not run again: {len(losses)} engines died under it ({causes}). "
                    "What they said last is in their logs (`phalanx logs`)"
                )
            )
        case ("dependency_failed", text, _, _):
            return told_error(ImpossibleDependency(f"task {msg_id} can never run: {text}"))
        case ("dependency_timeout",):
            text = f"task {msg_id} has not run: its dependencies were not met in time"
            return told_error(DependencyTimeout(text))
        case ("rejected", code, text):
            return rejection(code, text, msg_id)
        case ("forgotten",):
            return HubForgot(
                f"task {msg_id} is not on the hub's record any more; submit it again if it may run twice"
            )
        case ("disconnected", text):
            return Disconnected(f"task {msg_id} has no outcome: {text}; it may have run")
    return KernelError(f"task {msg_id} ended in a way that this client does not know: {outcome[0]}")


def rejection(code: str | None, text: str, msg_id: str) -> Exception:
    """The exception for a task that the hub did not take.

    >>> isinstance(rejection("InvalidDependency", "", "c1/2"), InvalidDependency)
    True
    """
    message = f"task {msg_id} was rejected: {text}"
    if code in ("InvalidDependency", "InvalidGraph", "Purged"):
        return told_error(InvalidDependency(message))
    if code == "NoSuchMethod":
        return NoEnginesRegistered(message)
    return TaskRejectError(message)


def short_method(method: str) -> str:
    """A method's name as errors show it: Python's own without their prefix.

    >>> short_method("python.apply"), short_method("census.count")
    ('apply', 'census.count')
    """
    return method.removeprefix("python.")
