"""What a client, or a view, may ask of the hub: queues, results and records, of any client's tasks.

All of it waits for the hub's answer, and takes no `block`. Who may use it: users, by `Client` and the
views, which are these classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phalanx._phalanx import RefusedError
from phalanx.failures.exceptions import told_error
from phalanx.hub.asking import (
    OUTCOMES_AT_ONCE,
    add_outcomes,
    all_records,
    candidates,
    counted_queues,
    known_records,
    named_queues,
    task_of,
    wait_for_ended,
    wanted_keys,
)
from phalanx.hub.filters import check_query, matches
from phalanx.hub.records import OPEN, OUTCOME_KEYS, RECORD_KEYS, record_of
from phalanx.hub.result import AsyncHubResult, Records, rebuilt
from phalanx.results.asyncresult import AsyncResult
from phalanx.results.batches import Batch, Picked
from phalanx.results.msg_ids import msg_id, parse_msg_id

if TYPE_CHECKING:
    from phalanx.results.history import History

__all__ = ["HubQueries", "HubViewQueries", "TaskMapping"]

TaskId = tuple[int, int]


class HubQueries:
    """What a client may ask of the hub. `self` is a `Client` always."""

    # ------------------------------------------------------------------ results

    def get_result(
        self: Any,
        indices_or_msg_ids: Any = None,
        block: bool | None = None,
        owner: bool = True,
    ) -> AsyncResult:
        """The result of tasks by name, also of another client's, or from before.

        Names are msg_ids, AsyncResults, places in this client's history, or a list of them; by default
        the last of the history. An own task that has not ended gives an `AsyncResult`, any other an
        `AsyncHubResult`. With `block` it waits for the end. `KeyError` for a task that is not on record.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> rc.get_result(ar.msg_id).get()
        1
        """
        return _result_of(self, indices_or_msg_ids, block, owner, self._history)

    def resubmit(
        self: Any,
        indices_or_msg_ids: Any = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool | None = None,
    ) -> AsyncHubResult:
        """Runs tasks again, under new names, with what the hub's record says they were given.

        Each goes where it went; one of a load-balanced view to any engine it might have gone to. It keeps
        its label, unless `metadata` has another. What they return is a list, of one task too.

        `KeyError` for a task that is not on record, and `RefusedError` for one whose arguments are not:
        the hub keeps those of the latest only.

        >>> ar = rc[0].apply_async(pow, 2, 5)
        >>> ar.wait(), rc.resubmit(ar).get()
        (True, [32])
        """
        tasks, _ = _tasks_of(indices_or_msg_ids, self._history)
        known = known_records(self, tasks)
        _check_known(tasks, known)
        for task in tasks:
            if not known[task]["repeatable"]:
                raise RefusedError(
                    f"task {msg_id(task)} cannot be run again: its arguments are not kept any more; "
                    f"submit it anew"
                )
        again = [
            (
                task,
                known[task]["number"],
                known[task]["method"],
                (metadata or {}).get("label", known[task]["label"]),
            )
            for task in tasks
        ]
        batch = self.native.resubmit(again)
        self.note(batch, len(tasks), self._history)
        result = AsyncHubResult(self, batch, "resubmit", Records(self), single=False)
        _wait_if(self, result, block)
        return result

    def result_status(self: Any, msg_ids: Any, status_only: bool = True) -> dict[Any, Any]:
        """Which of these tasks are pending and which are completed.

        With `status_only=False` the results of those completed are there too, by msg_id; an exception
        for one that failed. `KeyError` for a task that is not on record.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), rc.result_status(ar.msg_ids)["pending"]
        (True, [])
        """
        tasks, _ = _tasks_of(msg_ids, self._history)
        known = known_records(self, tasks)
        _check_known(tasks, known)
        answer: dict[Any, Any] = {"pending": [], "completed": []}
        for task in tasks:
            kind = "pending" if known[task]["status"] in OPEN else "completed"
            answer[kind].append(msg_id(task))
        if not status_only and answer["completed"]:
            done = self.get_result(answer["completed"])
            values = done.get(return_exceptions=True)
            answer.update(zip(answer["completed"], values, strict=True))
        return answer

    @property
    def results(self: Any) -> TaskMapping:
        """The results of this client's tasks that have ended, by msg_id.

        Nothing is kept here: what is asked for comes from the hub, as long as that has it.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), rc.results[ar.msg_id]
        (True, 1)
        """
        return TaskMapping(self, self._history, lambda result: result.get())

    @property
    def metadata(self: Any) -> TaskMapping:
        """The metadata of this client's tasks that have ended, by msg_id, as `results`.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), rc.metadata[ar.msg_id].engine_id
        (True, 0)
        """
        return TaskMapping(self, self._history, _metadata_of)

    # ------------------------------------------------------------------ queues and history

    def queue_status(self: Any, targets: Any = "all", verbose: bool = False) -> dict[Any, Any]:
        """What engines have to do: `{id: {"queue", "completed", "tasks"}, "unassigned"}`.

        `queue` are tasks sent to the engine by a direct view, `tasks` those that the scheduler gave it,
        `unassigned` those that no engine has yet. Numbers, or with `verbose` lists of msg_ids as far as
        they are on record. One engine's dict for one target.

        >>> rc.queue_status()["unassigned"]
        0
        """
        targets = self.resolve(targets)
        answer = named_queues(self) if verbose else counted_queues(self)
        if isinstance(targets, int):
            return dict(answer[targets])
        if targets == "all":
            return answer
        return {key: answer[key] for key in [*targets, "unassigned"]}

    def hub_history(self: Any) -> list[str]:
        """The msg_ids of all clients' tasks on record, in the order in which they were submitted.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), ar.msg_id == rc.hub_history()[-1]
        (True, True)
        """
        return [msg_id(task_of(facts)) for facts in all_records(self)]

    def db_query(
        self: Any, query: Mapping[str, Any], keys: str | Iterable[str] | None = None
    ) -> list[dict[str, Any]]:
        """The records that a MongoDB-style query picks, of all clients' tasks.

        A query is a dict of conditions by key: a value, or a dict of operators, of `$lt $gt $lte $gte $eq
        $ne $in $nin $glob $all $mod $exists`. With `keys` records have only these, and `msg_id`; without,
        all but the buffers. Records are those of open tasks and of the latest that ended; `engine_id` and
        `status` (`ok`, `error`, `aborted`, or the state of an open task) are beside ipyparallel's keys.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), rc.db_query({"msg_id": ar.msg_id}, keys="engine_id")
        (True, [{'msg_id': 'c.../...', 'engine_id': 0}])
        """
        check_query(query, RECORD_KEYS)
        wanted = wanted_keys(keys)
        late = {key: condition for key, condition in query.items() if key in OUTCOME_KEYS}
        early = {key: condition for key, condition in query.items() if key not in OUTCOME_KEYS}
        facts, again = candidates(self, query)
        picked = []
        for each in facts:
            record = record_of(each, again.get(task_of(each)))
            if matches(record, early):
                picked.append((each, record))
        if late or not OUTCOME_KEYS.isdisjoint(wanted):
            add_outcomes(self, picked, "result_buffers" in wanted or "result_buffers" in late)
        return [
            {key: record[key] for key in wanted} for _, record in picked if matches(record, late)
        ]

    # ------------------------------------------------------------------ forgetting

    def purge_local_results(self: Any, jobs: Any = (), targets: Any = ()) -> None:
        """Has this client forget results: of these jobs, of those that these engines ran, or `"all"`.

        Then `results` and `metadata` have them no more; the hub still has. `RuntimeError` if one of them
        has not ended.

        >>> rc.purge_local_results("all")
        """
        _, tasks = _purged(self, jobs, targets)
        chosen = self._history if tasks is None else tasks
        _check_ended(self, tasks)
        if tasks is None:
            self._forgotten.clear()
            self._shown_from = len(chosen)
        else:
            self._forgotten.update(task for task in tasks if task in self._history)

    def purge_hub_results(self: Any, jobs: Any = (), targets: Any = ()) -> None:
        """Has the hub forget tasks: these jobs, those that these engines ran, or `"all"` that ended.

        What its owner has not yet got stays until it has. `RuntimeError` if one of the jobs has not
        ended.

        >>> rc.purge_hub_results("all")
        """
        engines, tasks = _purged(self, jobs, targets)
        try:
            if tasks is None:
                self.native.purge()
                return
            for start in range(0, len(tasks), OUTCOMES_AT_ONCE):
                self.native.purge(ids=tasks[start : start + OUTCOMES_AT_ONCE])
            if engines:
                self.native.purge(engines=engines)
        except RefusedError as refused:
            raise RuntimeError(str(refused)) from None

    def purge_results(self: Any, jobs: Any = (), targets: Any = ()) -> None:
        """As `purge_local_results` and `purge_hub_results`. `ValueError` if nothing is named.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait()
        True
        >>> rc.purge_results(ar)
        """
        if _is_nothing(jobs) and _is_nothing(targets):
            raise ValueError("name jobs or targets whose results are to be purged, or 'all'")
        self.purge_local_results(jobs, targets)
        self.purge_hub_results(jobs, targets)

    def purge_everything(self: Any) -> None:
        """Forgets all results here and in the hub, and the history of this client and its views.

        >>> rc.purge_everything()
        >>> rc.history
        []
        """
        self.purge_results("all")
        self._history.clear()
        self._shown_from = 0
        for view in list(self._views.values()):
            view.forget_history()


class HubViewQueries:
    """What a view may ask of the hub. `self` is a `View` always."""

    def get_result(
        self: Any,
        indices_or_msg_ids: Any = None,
        block: bool | None = None,
        owner: bool = False,
    ) -> AsyncResult:
        """As `Client.get_result`; numbers are places in this view's history.

        >>> view.apply_async(abs, -1).get()
        [1, 1]
        >>> view.get_result(-1).get()
        1
        """
        return _result_of(self.client, indices_or_msg_ids, block, owner, self._history)

    def queue_status(self: Any, targets: Any = None, verbose: bool = False) -> dict[Any, Any]:
        """As `Client.queue_status`, by default for this view's targets.

        >>> view.queue_status()[0]["queue"]
        0
        """
        if targets is None:
            targets = "all" if self.targets is None else self.targets
        answer: dict[Any, Any] = self.client.queue_status(targets, verbose)
        return answer

    def purge_results(self: Any, jobs: Any = (), targets: Any = ()) -> None:
        """As `Client.purge_results`; numbers are places in this view's history.

        >>> view.purge_results(targets="all")
        """
        if not _is_nothing(jobs) and not isinstance(jobs, str):
            tasks, _ = _tasks_of(jobs, self._history)
            jobs = [msg_id(task) for task in tasks]
        self.client.purge_results(jobs, targets)

    @property
    def results(self: Any) -> TaskMapping:
        """The results of this view's tasks that have ended, by msg_id, as `Client.results`.

        >>> ar = view.apply_async(abs, -1)
        >>> ar.wait(), view.results[ar.msg_id]
        (True, 1)
        """
        return TaskMapping(self.client, self._history, lambda result: result.get())

    def forget_history(self: Any) -> None:
        """Forgets which tasks it submitted."""
        self._history.clear()


class TaskMapping(Mapping[str, Any]):
    """Something by msg_id, for the tasks of one history that have ended; asked of the hub."""

    def __init__(self, client: Any, history: History, read: Any) -> None:
        self._client = client
        self._history = history
        self._read = read

    def __getitem__(self, name: str) -> Any:
        """For this task; `KeyError` if it has not ended, or is not known any more."""
        try:
            task = parse_msg_id(name)
        except (ValueError, AttributeError):
            raise KeyError(name) from None
        if task not in self._history or not self._is_shown(task):
            raise KeyError(name)
        if self._client.result_status(name)["pending"]:
            raise KeyError(f"task {name} has not ended")
        return self._read(self._client.get_result(name))

    def __contains__(self, name: object) -> bool:
        """Whether that task is one of them, ended, and on record; fetches nothing."""
        return name in list(self)

    def __iter__(self) -> Iterator[str]:
        """The names of the tasks that have ended, in the order of the history."""
        tasks = [task for task in map(parse_msg_id, self._history) if self._is_shown(task)]
        known = self._client.native.records_of(tasks)
        ended = {task_of(facts) for facts in known if facts["status"] not in OPEN}
        return iter([msg_id(task) for task in tasks if task in ended])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<TaskMapping of {len(self)} tasks that have ended>"

    def _is_shown(self, task: TaskId) -> bool:
        client = self._client
        return task not in client._forgotten and client._history.index(task) >= client._shown_from


# ---------------------------------------------------------------------- which tasks


def _tasks_of(jobs: Any, history: History) -> tuple[list[TaskId], bool]:
    """The tasks that something names, and whether it names one only."""
    if jobs is None:
        jobs = -1
    if isinstance(jobs, bool):
        raise TypeError("a job is an AsyncResult, a msg_id or a place in the history, not a bool")
    if isinstance(jobs, int):
        return [parse_msg_id(history[jobs])], True
    if isinstance(jobs, str):
        return [_parsed(jobs)], True
    if isinstance(jobs, AsyncResult):
        return jobs.task_ids(), len(jobs) == 1
    if isinstance(jobs, Iterable):
        return [task for job in jobs for task in _tasks_of(job, history)[0]], False
    raise TypeError(f"a job is an AsyncResult, a msg_id or a place in the history, not {jobs!r}")


def _parsed(name: str) -> TaskId:
    try:
        return parse_msg_id(name)
    except ValueError:
        raise told_error(KeyError(f"no task is called {name!r}")) from None


def _check_known(tasks: Sequence[TaskId], known: Mapping[TaskId, Any]) -> None:
    missing = [msg_id(task) for task in tasks if task not in known]
    if missing:
        raise told_error(KeyError(f"not on the hub's record: {', '.join(missing)}"))


def _is_nothing(jobs: Any) -> bool:
    return jobs is None or (isinstance(jobs, (list, tuple, set)) and not jobs)


def _purged(client: Any, jobs: Any, targets: Any) -> tuple[list[int], list[TaskId] | None]:
    """The engines and the tasks that are to be forgotten; `None` instead of tasks: all."""
    if (isinstance(jobs, str) and jobs == "all") or (isinstance(targets, str) and targets == "all"):
        return [], None
    tasks = [] if _is_nothing(jobs) else _tasks_of(jobs, client._history)[0]
    if _is_nothing(targets):
        return [], tasks
    engines = client.resolve(targets)
    engines = [engines] if isinstance(engines, int) else list(engines)
    there = [
        task_of(facts)
        for facts in all_records(client)
        if facts["engine"] in engines and facts["status"] not in OPEN
    ]
    return engines, tasks + there


def _check_ended(client: Any, tasks: list[TaskId] | None) -> None:
    open_ones = client.outstanding
    if tasks is not None:
        open_ones = open_ones.intersection(map(msg_id, tasks))
    if open_ones:
        names = ", ".join(sorted(open_ones)[:3])
        raise RuntimeError(
            f"{len(open_ones)} of these tasks have not ended: {names}; wait or abort"
        )


# ---------------------------------------------------------------------- results


def _result_of(
    client: Any, jobs: Any, block: bool | None, owner: bool, history: History
) -> AsyncResult:
    tasks, single = _tasks_of(jobs, history)
    local = _local_batches(client, tasks)
    if local is not None:
        batch = Picked(local, client.abort_tasks)
        convert = rebuilt(Records(client), tasks)
        result = AsyncResult(client, batch, "get_result", single=single, convert=convert)
    else:
        known = known_records(client, tasks)
        _check_known(tasks, known)
        records = Records(client, list(known.values()))
        watched = client.native.watch(tasks)
        wait_for_ended(watched, [known[task]["status"] not in OPEN for task in tasks])
        result = AsyncHubResult(client, watched, "get_result", records, single=single)
    result.owner = owner
    _wait_if(client, result, block)
    return result


def _local_batches(client: Any, tasks: Sequence[TaskId]) -> list[tuple[Batch, int]] | None:
    """Where the outcomes of these tasks will come by themselves; `None` if not all of them will."""
    found = []
    for task in tasks:
        if task not in client._history:
            return None
        place = client.open_place(task)
        if place is None:
            return None
        found.append(place)
    return found


def _metadata_of(result: AsyncResult) -> Any:
    result.wait()
    return result.metadata


def _wait_if(client: Any, result: AsyncResult, block: bool | None) -> None:
    if client.block if block is None else block:
        result.wait()
