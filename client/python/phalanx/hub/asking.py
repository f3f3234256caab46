"""The hub's records and queues, as a client asks for them, page by page.

Who may use it: `queries`. It keeps nothing, and chooses nothing but by a query.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from phalanx.hub.filters import check_query, matches
from phalanx.hub.records import BUFFER_KEYS, OPEN, READERS, RECORD_KEYS, with_outcome
from phalanx.results.batches import Batch
from phalanx.results.msg_ids import msg_id, parse_msg_id

__all__ = [
    "OUTCOMES_AT_ONCE",
    "add_outcomes",
    "all_records",
    "candidates",
    "counted_queues",
    "known_records",
    "named_queues",
    "task_of",
    "wait_for_ended",
    "wanted_keys",
]

OUTCOMES_AT_ONCE = 4_096
"""Outcomes that a query of records asks for at a time: bounds what is in memory beside the answer."""

RECORDED_WITHIN_S = 10.0
"""How long an own task may be on its way to the hub before it counts as not on record."""

OTHERS_RECORDED_WITHIN_S = 0.1
"""The same for another client's task: long beside the way to the hub, short for a name that is wrong."""

FETCHED_WITHIN_S = 5.0
"""How long results of tasks that have ended are waited for: they are on their way, and may be long."""

RECORDED_PAUSE_S = 0.002
"""Before it is asked for again."""

TaskId = tuple[int, int]


def task_of(facts: Mapping[str, Any], key: str = "task") -> TaskId:
    """The task that facts name."""
    return facts[key][0], facts[key][1]


def _pages(client: Any) -> Iterator[Mapping[str, Any]]:
    place = None
    while True:
        page, place = client.native.records(place)
        yield from page
        if place is None:
            return


def all_records(client: Any) -> list[Mapping[str, Any]]:
    """The facts of every task on record, in the order of the submits."""
    # One that ends meanwhile comes twice: what was said later holds.
    latest = {task_of(facts): facts for facts in _pages(client)}
    return _in_order(latest.values())


def _in_order(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The facts of tasks in the order in which these were submitted."""
    return sorted(records, key=lambda facts: (facts["submitted_us"], task_of(facts)))


def candidates(
    client: Any, query: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], dict[TaskId, str]]:
    """The facts of the tasks that a query may pick, and by which others tasks were run again.

    Of tasks that it names the hub is asked for these, else for all: page by page, of which only what may
    be picked is kept.
    """
    named = query.get("msg_id")
    if isinstance(named, Mapping):
        named = named.get("$in", named.get("$eq"))
    names = [named] if isinstance(named, str) else named
    if names is None or not isinstance(names, (list, tuple, set, frozenset)):
        return _sifted(_pages(client), query)
    tasks = []
    for name in names:
        try:
            tasks.append(parse_msg_id(name))
        except (ValueError, AttributeError):
            continue
    return _sifted(client.native.records_of(tasks), query)


def _sifted(
    pages: Iterable[Mapping[str, Any]], query: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], dict[TaskId, str]]:
    early = {key: condition for key, condition in query.items() if key in READERS}
    again: dict[TaskId, str] = {}
    latest: dict[TaskId, Mapping[str, Any]] = {}
    for facts in pages:
        task = task_of(facts)
        if facts["again"]:
            again[task_of(facts, "again")] = msg_id(task)
        if matches({key: READERS[key](facts) for key in early}, early):
            latest[task] = facts
        else:
            # One that ends meanwhile comes twice: what was said later holds.
            latest.pop(task, None)
    return _in_order(latest.values()), again


def wanted_keys(keys: str | Iterable[str] | None) -> list[str]:
    """The keys of an answer: all but the buffers, or these and the msg_id."""
    if keys is None:
        return [key for key in RECORD_KEYS if key not in BUFFER_KEYS]
    names = [keys] if isinstance(keys, str) else list(keys)
    check_query(dict.fromkeys(names), RECORD_KEYS)
    return ["msg_id", *(name for name in names if name != "msg_id")]


def add_outcomes(
    client: Any, picked: Sequence[tuple[Mapping[str, Any], dict[str, Any]]], buffers: bool
) -> None:
    """Adds to records what comes with the outcomes that the hub has whole."""
    whole = [(task_of(facts), record) for facts, record in picked if facts["whole"]]
    for start in range(0, len(whole), OUTCOMES_AT_ONCE):
        some = whole[start : start + OUTCOMES_AT_ONCE]
        batch = client.native.watch([task for task, _ in some])
        batch.wait()
        for index, (_, record) in enumerate(some):
            with_outcome(record, batch.outcome(index), batch.metadata(index), buffers)


# ---------------------------------------------------------------------- queues


def known_records(client: Any, tasks: Sequence[TaskId]) -> dict[TaskId, Mapping[str, Any]]:
    """The facts of these tasks, as far as they are on record.

    A question overtakes what was submitted before it, so what is not there is asked for again: own tasks
    that are on their way, and for a moment any.
    """
    start = time.monotonic()
    while True:
        known = {task_of(facts): facts for facts in client.native.records_of(tasks)}
        late = [task for task in tasks if task not in known]
        is_own = any(map(client.open_place, late))
        limit = RECORDED_WITHIN_S if is_own else OTHERS_RECORDED_WITHIN_S
        if not late or time.monotonic() > start + limit:
            return known
        time.sleep(RECORDED_PAUSE_S)


def wait_for_ended(batch: Batch, has_ended: Sequence[bool]) -> None:
    """Waits for what the hub has already, so that a result of ended tasks is ready when it is made."""
    end = time.monotonic() + FETCHED_WITHIN_S
    for index, ended in enumerate(has_ended):
        if ended:
            batch.wait(max(0.0, end - time.monotonic()), index)


def counted_queues(client: Any) -> dict[Any, Any]:
    """What engines have to do, in numbers."""
    status = client.status()
    answer: dict[Any, Any] = {}
    held = 0
    for engine in status["engines"]:
        held += engine["held"]
        if engine["info"]["state"] != "lost":
            answer[engine["info"]["id"]] = {
                "queue": engine["direct"] + engine["held"],
                "completed": engine["ended"],
                "tasks": engine["assigned"] - engine["direct"],
            }
    tasks = status["tasks"]
    answer["unassigned"] = max(0, tasks["waiting"] + tasks["ready"] - held)
    return answer


def named_queues(client: Any) -> dict[Any, Any]:
    """What engines have to do, by name, as far as it is on record."""
    answer: dict[Any, Any] = {
        engine: {"queue": [], "completed": [], "tasks": []} for engine in client.ids
    }
    unassigned: list[str] = []
    for facts in all_records(client):
        engine, is_open = facts["engine"], facts["status"] in OPEN
        name = msg_id(task_of(facts))
        if engine is None:
            if is_open:
                unassigned.append(name)
        elif engine in answer:
            kind = ("queue" if facts["direct"] else "tasks") if is_open else "completed"
            answer[engine][kind].append(name)
    answer["unassigned"] = unassigned
    return answer
