"""What the hub knows of a task, as a dict with ipyparallel's keys.

Facts come from the hub's record; what a task printed and how it failed comes with its outcome, and is
added by `with_outcome` only where somebody asks for it. Who may use it: the queries of a client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from phalanx.results.metadata import instant, status_of
from phalanx.results.msg_ids import msg_id

__all__ = [
    "BUFFER_KEYS",
    "OPEN",
    "OUTCOME_KEYS",
    "READERS",
    "RECORD_KEYS",
    "record_of",
    "with_outcome",
]

OPEN = frozenset(("waiting", "ready", "assigned", "running"))
"""The statuses of tasks that have not ended."""

RECORD_KEYS = (
    "msg_id",
    "header",
    "metadata",
    "content",
    "buffers",
    "submitted",
    "client_uuid",
    "engine_uuid",
    "engine_id",
    "started",
    "completed",
    "resubmitted",
    "received",
    "result_header",
    "result_metadata",
    "result_content",
    "result_buffers",
    "queue",
    "status",
    "execute_input",
    "execute_result",
    "error",
    "stdout",
    "stderr",
    "label",
)
"""The keys of a record."""

BUFFER_KEYS = frozenset(("buffers", "result_buffers"))
"""Keys that are left out unless they are asked for."""

OUTCOME_KEYS = frozenset(("result_content", "result_buffers", "error", "stdout", "stderr"))
"""Keys whose values come with the outcome of a task, and not with its record."""

_KINDS = {"python.execute": "execute", "python.apply": "apply"}


def _status(facts: Mapping[str, Any]) -> str | None:
    status: str = facts["status"]
    return status if status in OPEN else status_of(status)


def _engine_uuid(facts: Mapping[str, Any]) -> str | None:
    engine = facts.get("engine")
    return None if engine is None else f"e{engine}"


READERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "engine_id": lambda facts: facts.get("engine"),
    "engine_uuid": _engine_uuid,
    "client_uuid": lambda facts: f"c{facts['task'][0]}",
    "label": lambda facts: facts.get("label"),
    "queue": lambda facts: "mux" if facts.get("direct") else "task",
    "status": _status,
    "submitted": lambda facts: _instant_us(facts.get("submitted_us")),
    "started": lambda facts: _times(facts)[0],
    "completed": lambda facts: _times(facts)[1],
    "received": lambda facts: _times(facts)[2],
}
"""Keys that can be told of the facts alone, so that most records need not be made to be passed over."""


def record_of(facts: Mapping[str, Any], resubmitted: str | None = None) -> dict[str, Any]:
    """The record of a task, of what the native module tells of it.

    `resubmitted` is the msg_id of the task that ran it again, if one did. `status` is that of the task's
    metadata once it has ended, and until then its state; `metadata` has the outcome in our own words.

    >>> record = record_of({"task": [1, 2], "status": "ready", "method": "python.apply"})
    >>> record["msg_id"], record["completed"], record["queue"]
    ('c1/2', None, 'task')
    """
    task = (facts["task"][0], facts["task"][1])
    name, method, status = msg_id(task), facts.get("method") or "", facts["status"]
    submitted = READERS["submitted"](facts)
    started, completed, received = _times(facts)
    header = {
        "msg_id": name,
        "msg_type": f"{_KINDS.get(method, method)}_request",
        "session": READERS["client_uuid"](facts),
        "date": submitted,
    }
    ended = status not in OPEN
    record: dict[str, Any] = dict.fromkeys(RECORD_KEYS)
    record.update(
        msg_id=name,
        header=header,
        metadata={
            "direct": facts.get("direct", False),
            "attempts": facts.get("attempts", 0),
            "outcome": status if ended else None,
        },
        content={"method": method},
        buffers=[],
        submitted=submitted,
        client_uuid=header["session"],
        engine_uuid=_engine_uuid(facts),
        engine_id=facts.get("engine"),
        started=started,
        completed=completed,
        resubmitted=resubmitted,
        received=received,
        queue=READERS["queue"](facts),
        status=_status(facts),
        stdout="",
        stderr="",
        label=facts.get("label"),
    )
    if ended:
        answer = {"status": record["status"], "engine_uuid": record["engine_uuid"]}
        reply = f"{_KINDS.get(method, method)}_reply"
        record["result_header"] = {"msg_id": name, "msg_type": reply, "date": completed}
        record["result_metadata"] = {
            **answer,
            "engine_id": record["engine_id"],
            "started": started,
        }
        record["result_content"] = {"status": answer["status"]}
        record["result_buffers"] = []
    return record


def with_outcome(
    record: dict[str, Any], outcome: tuple[Any, ...], facts: Mapping[str, Any], buffers: bool
) -> None:
    """Adds what came with the outcome: what was printed, what went wrong, and the bytes returned."""
    record["stdout"] = facts.get("stdout") or ""
    record["stderr"] = facts.get("stderr") or ""
    match outcome:
        case ("failed", kind, message, text, engine, method):
            record["error"] = record["result_content"] = {
                "status": "error",
                "ename": kind,
                "evalue": message,
                "traceback": text.splitlines(),
                "engine_info": {"engine_id": engine, "method": method},
            }
        case ("done", _, value):
            if (
                buffers
                and hasattr(value, "__getitem__")
                and not isinstance(value, (str, dict, list))
            ):
                record["result_buffers"] = [bytes(part) for part in value]
        case _:
            pass


def _instant_us(microseconds: int | None) -> datetime | None:
    return instant(microseconds / 1e6) if microseconds else None


def _times(
    facts: Mapping[str, Any],
) -> tuple[datetime | None, datetime | None, datetime | None]:
    """When it started, when it was over, and when the hub knew."""
    received = _instant_us(facts.get("ended_us"))
    ran = facts.get("times") or {}
    started = _instant_us(ran.get("started_us"))
    if started is None:
        # It never ran: it was over when the hub said so.
        return None, received, received
    if facts["status"] in OPEN:
        return started, None, None
    completed = started + timedelta(microseconds=ran.get("ran_ns", 0) / 1e3)
    return started, completed, received or completed
