"""What is known of a task beside its result: when it ran, where, and what it printed.

Who may use it: results and the client. It asks nobody: the facts come with the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from phalanx.results.msg_ids import msg_id

__all__ = ["KEYS", "Metadata"]

KEYS = (
    "msg_id",
    "submitted",
    "started",
    "completed",
    "received",
    "engine_uuid",
    "engine_id",
    "attempts",
    "tried",
    "follow",
    "after",
    "status",
    "execute_input",
    "execute_result",
    "error",
    "stdout",
    "stderr",
    "outputs",
    "data",
    "label",
)
"""The keys of every `Metadata`; no others can be added."""

_STATUS = {None: None, "done": "ok", "aborted": "aborted"}


def status_of(outcome: str | None) -> str | None:
    """How a task ended, in ipyparallel's words: `ok`, `error` or `aborted`; `None` if it has not.

    >>> status_of("done"), status_of("lost"), status_of(None)
    ('ok', 'error', None)
    """
    return _STATUS.get(outcome, "error")


class Metadata(dict[str, Any]):
    """A dict with fixed keys, which are attributes too. Times are timezone-aware datetimes.

    >>> md = Metadata({"stdout": "hello"})
    >>> md.stdout, md["engine_id"]
    ('hello', None)
    >>> md["colour"] = "red"
    Traceback (most recent call last):
    ...
    KeyError: 'colour'
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__(dict.fromkeys(KEYS))
        self.update(
            attempts=0, tried=[], follow=[], after=[], stdout="", stderr="", outputs=[], data={}
        )
        for key, value in (values or {}).items():
            self[key] = value

    def __getattr__(self, key: str) -> Any:
        if key in self:
            return self[key]
        raise AttributeError(key)

    def __setattr__(self, key: str, value: Any) -> None:
        if key not in self:
            raise AttributeError(key)
        self[key] = value

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self:
            raise KeyError(key)
        super().__setitem__(key, value)


def instant(seconds: float | None) -> datetime | None:
    """A point in time, of seconds since 1970.

    It tells the time of this machine's zone, as clocks on its walls do.

    >>> instant(0) == datetime(1970, 1, 1, tzinfo=UTC)
    True
    """
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).astimezone()


def metadata_of(facts: Mapping[str, Any], label: str | None = None) -> Metadata:
    """The metadata of a task, of what the native module knows of it.

    >>> metadata_of({"task": (1, 2), "outcome": "done", "started": 1.0, "ran": 0.5}).completed.timestamp()
    1.5
    """
    started = instant(facts.get("started"))
    ran = facts.get("ran")
    outcome = facts.get("outcome")
    engine = facts.get("engine")
    return Metadata(
        {
            "msg_id": msg_id(facts["task"]),
            "submitted": instant(facts.get("submitted")),
            "started": started,
            "completed": started + timedelta(seconds=ran) if started and ran is not None else None,
            "received": instant(facts.get("received")),
            "engine_uuid": None if engine is None else f"e{engine}",
            "engine_id": engine,
            "attempts": facts.get("attempts", 0),
            "tried": facts.get("tried", []),
            "status": status_of(outcome),
            "stdout": facts.get("stdout") or "",
            "stderr": facts.get("stderr") or "",
            "label": label,
        }
    )
