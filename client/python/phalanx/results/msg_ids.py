"""What tasks are called: `(7, 42)` here and on the wire, `c7/42` where users see it.

Who may use it: whatever shows tasks to users or takes their names. It asks nobody whether there is such a task.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

__all__ = ["TaskId", "msg_id", "msg_ids", "parse_msg_id", "task_ids"]

TaskId: TypeAlias = "tuple[int, int]"
"""The client part, and the number among that client's tasks."""


def msg_ids(jobs: Any) -> list[str]:
    """The msg_ids of an AsyncResult, a msg_id, a Dependency, or a collection of these.

    >>> msg_ids(["c1/0", {"c1/1"}])
    ['c1/0', 'c1/1']
    """
    return [msg_id(task) for task in task_ids(jobs)]


def task_ids(jobs: Any) -> list[TaskId]:
    """The tasks of an AsyncResult, a msg_id, a Dependency, or a collection of these.

    >>> task_ids(["c1/0", {"c1/1"}])
    [(1, 0), (1, 1)]
    """
    if isinstance(jobs, str):
        return [parse_msg_id(jobs)]
    own: Callable[[], list[TaskId]] | None = getattr(jobs, "task_ids", None)
    if own is not None:
        return own()
    names = getattr(jobs, "msg_ids", None)
    if names is not None:
        return [parse_msg_id(name) for name in names]
    if isinstance(jobs, Collection) and not isinstance(jobs, (bytes, Mapping)):
        return [task for job in jobs for task in task_ids(job)]
    raise ValueError(
        f"a dependency is an AsyncResult, a msg_id, a Dependency or a collection of them, not {jobs!r}"
    )


def msg_id(task: TaskId) -> str:
    """A task's name as users see it.

    >>> msg_id((7, 42))
    'c7/42'
    """
    return f"c{task[0]}/{task[1]}"


def parse_msg_id(text: str) -> TaskId:
    """The task of this name.

    >>> parse_msg_id("c7/42")
    (7, 42)
    >>> parse_msg_id("seven")
    Traceback (most recent call last):
    ...
    ValueError: a msg_id looks like 'c7/42', not 'seven'
    """
    client, slash, seq = text.partition("/")
    if not slash or client[:1] != "c" or not client[1:].isdecimal() or not seq.isdecimal():
        raise ValueError(f"a msg_id looks like 'c7/42', not {text!r}")
    return int(client[1:]), int(seq)
