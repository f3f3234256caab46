"""`AsyncHubResult`: the result of tasks by their names, whoever submitted them.

The hub tells when a task ends: waiting costs no polling. What the owner of a task would get, this gives
too. Who may use it: users, who get one by `get_result` and `resubmit`; it submits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phalanx.results.asyncresult import AsyncResult
from phalanx.results.executereply import ExecuteReply
from phalanx.results.metadata import Metadata, instant

if TYPE_CHECKING:
    from phalanx.client import Client
    from phalanx.results.batches import Batch

__all__ = ["AsyncHubResult", "Records", "rebuilt"]


class Records:
    """What the hub's records said of some tasks, and how to ask again."""

    def __init__(self, client: Client, known: Sequence[Mapping[str, Any]] = ()) -> None:
        self._client = client
        self._known = {_task(facts): facts for facts in known}

    def __contains__(self, task: tuple[int, int]) -> bool:
        return task in self._known

    def of(self, task: tuple[int, int], ended: bool = False) -> Mapping[str, Any]:
        """The facts of a task, asked again if they are of before its end; empty if it is not known."""
        facts = self._known.get(task)
        if facts is None or (ended and not facts.get("ended_us")):
            for fresh in self._client.native.records_of([task]):
                self._known[task] = facts = fresh
        return facts or {}


def _task(facts: Mapping[str, Any]) -> tuple[int, int]:
    return facts["task"][0], facts["task"][1]


def rebuilt(
    records: Records, tasks: Sequence[tuple[int, int]]
) -> Callable[[Any, int | None, Any], Any]:
    """Makes of what tasks returned what their view would have made of it: code gives a reply."""

    def convert(value: Any, engine: int | None, facts: Callable[[], Mapping[str, Any]]) -> Any:
        if not (isinstance(value, dict) and "execution_count" in value):
            return value
        is_code = any(records.of(task).get("method") == "python.execute" for task in tasks)
        return ExecuteReply(value, engine, "", facts) if is_code else value

    return convert


class AsyncHubResult(AsyncResult):
    """As an `AsyncResult`, for tasks by name: of another client, or ended long ago.

    `submitted` in its metadata is when the hub had the task. What a running task writes from now on is seen
    as it does, what it wrote before once it has ended. `abort()` aborts them for everybody.

    >>> ar = rc[0].apply_async(abs, -1)
    >>> ar.get()
    1
    >>> with px.Client() as other:
    ...     other.get_result(ar.msg_id).get()
    1
    """

    def __init__(
        self,
        client: Client,
        batch: Batch,
        fname: str,
        records: Records,
        *,
        single: bool = True,
    ) -> None:
        convert = rebuilt(records, batch.ids())
        super().__init__(client, batch, fname, single=single, convert=convert)
        self._records = records

    def _facts(self, index: int) -> Metadata:
        facts = super()._facts(index)
        known = self._records.of(self._batch.id(index), self._batch.ready(index))
        submitted, ended = known.get("submitted_us"), known.get("ended_us")
        if submitted:
            facts["submitted"] = instant(submitted / 1e6)
        if ended:
            facts["received"] = instant(ended / 1e6)
        if facts["label"] is None:
            facts["label"] = known.get("label")
        if facts["engine_id"] is None:
            facts["engine_id"] = known.get("engine")
        return facts
