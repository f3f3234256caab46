"""What a client asks of the hub: queues, results and records of any client's tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import phalanx as px
from phalanx.hub import queries
from phalanx.hub.records import READERS, record_of

Until = Callable[..., None]


@pytest.fixture
def other(rc: px.Client, cluster: px.Cluster) -> Iterator[px.Client]:
    """A second client of the same cluster."""
    with px.Client(cluster.connection_file) as client:
        yield client


def say_and_add(a: int, b: int) -> int:
    """Prints, and returns the sum."""
    print("adding")
    return a + b


def on_record(client: px.Client, *results: px.AsyncResult) -> Callable[[], bool]:
    """Whether the hub has these tasks: a question may overtake another client's submit."""
    names = [name for result in results for name in result.msg_ids]
    return lambda: len(client.db_query({"msg_id": {"$in": names}}, keys=[])) == len(names)


# ---------------------------------------------------------------------- results of others


@pytest.mark.req(9)
@pytest.mark.req(83)
@pytest.mark.req(93)
def test_a_client_gets_the_result_of_another_ones_task(rc: px.Client, other: px.Client) -> None:
    ar = rc[0].apply_async(say_and_add, 1, 2)
    assert ar.get(timeout=10) == 3
    result = other.get_result(ar.msg_id)
    assert isinstance(result, px.AsyncHubResult)
    assert result.get(timeout=10) == 3
    assert result.metadata.stdout == "adding\n"
    assert result.metadata.engine_id == 0
    assert result.msg_ids == ar.msg_ids
    assert other.get_result([ar.msg_id]).get(timeout=10) == [3]
    assert result.successful() and repr(result) == "<AsyncHubResult(get_result): finished>"


def test_the_result_of_a_task_that_has_ended_is_ready_at_once(
    rc: px.Client, other: px.Client
) -> None:
    ar = rc.load_balanced_view().map_async(say_and_add, range(40), range(40), chunksize=2)
    ar.get(timeout=10)
    for client in (rc, other):
        for name in ar.msg_ids:
            result = client.get_result(name)
            assert (result.ready(), result.stdout) == (True, "adding\nadding\n")
            assert result.engine_id in rc.ids


@pytest.mark.req(115)
def test_another_client_sees_what_a_running_task_writes(
    rc: px.Client, other: px.Client, tmp_path: Path, until: Until
) -> None:
    @px.interactive
    def talk(path: str) -> None:
        import os
        import time

        for number in range(3):
            while not os.path.exists(f"{path}/{number}"):
                time.sleep(0.005)
            print(number)

    ar = rc[0].apply_async(talk, str(tmp_path))
    until(on_record(other, ar))
    result = other.get_result(ar.msg_id)
    assert result.stdout == ""
    for number in range(2):
        (tmp_path / str(number)).touch()
        until(lambda last=f"{number}\n": result.stdout.endswith(last))
        assert not result.ready()
    late = other.get_result(ar.msg_id)
    (tmp_path / "2").touch()
    for each in (ar, result, late):
        each.get(10)
    assert (ar.stdout, result.stdout, late.stdout) == ("0\n1\n2\n",) * 3


def test_a_task_of_a_map_gives_the_list_of_its_chunk(
    rc: px.Client, dview: px.DirectView, other: px.Client
) -> None:
    lview = rc.load_balanced_view()
    for ar, chunks in (
        (lview.map_async(lambda x: 2 * x, range(3)), [[0], [2], [4]]),
        (lview.map_async(lambda x, y: (x, y), "ab", "cd"), [[("a", "c")], [("b", "d")]]),
        (lview.map_async(lambda x: 2 * x, range(3), chunksize=2), [[0, 2], [4]]),
        (dview.map_async(lambda x: 2 * x, range(2)), [[0], [2]]),
    ):
        ar.wait(10)
        for client in (rc, other):
            assert client.get_result(ar.msg_ids[0]).get(timeout=10) == chunks[0]
            assert client.get_result(ar.msg_ids).get(timeout=10) == chunks
        assert rc.results[ar.msg_ids[-1]] == chunks[-1]
        assert [part.get(timeout=10) for part in ar.split()] == chunks


@pytest.mark.req(115)
def test_a_result_is_fetched_later_when_its_client_is_gone(
    other: px.Client, cluster: px.Cluster
) -> None:
    with px.Client(cluster.connection_file) as first:
        msg_ids = first[:2].apply_async(pow, 2, 5).msg_ids
    assert other.get_result(msg_ids).get(timeout=10) == [32, 32]


def test_waiting_for_another_ones_task_ends_when_it_ends(
    rc: px.Client, other: px.Client, until: Until
) -> None:
    ar = rc[0].apply_async(time.sleep, 60)
    until(lambda: rc.queue_status(0)["queue"] == 1)
    result = other.get_result(ar.msg_id)
    assert not result.ready()
    with pytest.raises(TimeoutError, match="Result not ready"):
        result.get(timeout=0.05)
    assert other.outstanding == set(), "it is not its own"
    result.abort()
    with pytest.raises(px.TaskAborted):
        result.get(timeout=10)
    with pytest.raises(px.TaskAborted):
        ar.get(timeout=10)


def test_what_went_wrong_is_raised_to_whoever_asks(rc: px.Client, other: px.Client) -> None:
    ar = rc[1].apply_async(divmod, 1, 0)
    assert ar.wait(10)
    with pytest.raises(px.RemoteError, match="ZeroDivisionError"):
        other.get_result(ar.msg_id).get(timeout=10)
    assert other.get_result(ar.msg_id, block=True).metadata.status == "error"


def test_executed_code_gives_its_reply_to_whoever_asks(rc: px.Client, other: px.Client) -> None:
    ar = rc[0].execute("6 * 7", silent=False, block=True)
    reply = other.get_result(ar.msg_id).get(timeout=10)
    assert isinstance(reply, px.ExecuteReply)
    assert repr(reply) == repr(ar.get())


@pytest.mark.req(83)
def test_results_are_named_by_place_in_the_history_too(rc: px.Client) -> None:
    view = rc.direct_view([0])
    for number in range(3):
        view.apply_async(abs, -number).wait(10)
    assert rc.get_result().get(timeout=10) == 2
    assert rc.get_result(-2).get(timeout=10) == 1
    assert view.get_result(0).get(timeout=10) == 0
    assert rc.get_result([-2, -1]).get(timeout=10) == [1, 2]


def test_an_own_task_that_runs_gives_an_ordinary_result(rc: px.Client) -> None:
    ar = rc[0].apply_async(time.sleep, 60)
    result = rc.get_result(ar.msg_id)
    assert type(result) is px.AsyncResult
    ar.abort()
    with pytest.raises(px.TaskAborted):
        result.get(timeout=10)


def test_get_result_waits_if_it_is_to_block(rc: px.Client, other: px.Client, until: Until) -> None:
    ar = rc[0].apply_async(time.sleep, 0.05)
    until(on_record(other, ar))
    assert other.get_result(ar.msg_id, block=True).ready()


@pytest.mark.parametrize("name", ["c4000000000/1", "no such task"])
def test_a_task_that_is_not_on_record_is_a_key_error(rc: px.Client, name: str) -> None:
    with pytest.raises(KeyError):
        rc.get_result(name)
    with pytest.raises(KeyError):
        rc.result_status([name])
    with pytest.raises(KeyError):
        rc.resubmit(name)
    with pytest.raises(px.RemoteError) as caught:
        rc.get_result(name)
    assert caught.value.ename == "KeyError"


@pytest.mark.req(83)
def test_results_and_metadata_by_name(rc: px.Client) -> None:
    done = rc[0].apply_async(say_and_add, 2, 2)
    assert done.wait(10)
    running = rc[1].apply_async(time.sleep, 60)
    assert rc.results[done.msg_id] == 4
    assert rc.metadata[done.msg_id].stdout == "adding\n"
    assert done.msg_id in rc.results and running.msg_id not in rc.results
    assert done.msg_id in list(rc.results)
    with pytest.raises(KeyError):
        rc.results["c9/9"]
    running.abort()
    running.wait(10)


# ---------------------------------------------------------------------- status


@pytest.mark.req(94)
@pytest.mark.req(95)
def test_result_status_tells_pending_from_completed(
    rc: px.Client, other: px.Client, until: Until
) -> None:
    done = rc[0].apply_async(abs, -3)
    failed = rc[0].apply_async(divmod, 1, 0)
    done.wait(10), failed.wait(10)
    running = rc[1].apply_async(time.sleep, 60)
    assert rc.result_status(running.msg_id)["pending"] == [running.msg_id], "also at once"
    until(on_record(other, running))
    names = [done.msg_id, failed.msg_id, running.msg_id]
    status = other.result_status(names)
    assert status == {"completed": names[:2], "pending": names[2:]}
    full = other.result_status(names, status_only=False)
    assert full[done.msg_id] == 3
    assert isinstance(full[failed.msg_id], px.RemoteError)
    assert running.msg_id not in full
    running.abort()
    running.wait(10)


@pytest.mark.req(94)
def test_queue_status_counts_and_names_what_engines_have(
    rc: px.Client, other: px.Client, until: Until
) -> None:
    rc[:].apply_sync(abs, -1)
    before = other.queue_status()
    assert set(before) == {*rc.ids, "unassigned"}
    direct = [rc[0].apply_async(time.sleep, 60) for _ in range(3)]
    balanced = rc.load_balanced_view([1]).map_async(time.sleep, [60] * 3)
    until(lambda: other.queue_status(1)["tasks"] >= 1)
    now = other.queue_status()
    assert now[0]["queue"] == 3 and now[0]["tasks"] == 0
    assert now[0]["completed"] >= before[0]["completed"]
    assert now[1]["tasks"] + now["unassigned"] == 3
    assert other.queue_status(0) == now[0]
    assert set(other.queue_status([0])) == {0, "unassigned"}
    assert rc[0].queue_status()["queue"] == 3
    names = other.queue_status(verbose=True)
    assert sorted(names[0]["queue"]) == sorted(ar.msg_id for ar in direct)
    assert sorted(names[1]["tasks"] + names["unassigned"]) == sorted(balanced.msg_ids)
    assert len(names[0]["completed"]) >= 1
    rc.abort()
    assert rc.wait(timeout=10)


# ---------------------------------------------------------------------- records


def test_a_narrow_query_makes_only_the_records_that_it_may_pick(
    rc: px.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = rc.load_balanced_view().map_async(abs, range(300), chunksize=1)
    few = rc.direct_view([1], label="few").apply_async(abs, -1)
    many.get(10), few.get(10)
    made: list[dict[str, object]] = []

    def note(facts: Mapping[str, object], again: str | None) -> dict[str, object]:
        made.append(record_of(facts, again))
        return made[-1]

    monkeypatch.setattr(queries, "record_of", note)
    (picked,) = rc.db_query({"label": "few", "status": "ok", "completed": {"$exists": True}})
    assert [record["msg_id"] for record in made] == [picked["msg_id"]] == few.msg_ids
    # What is told of the facts alone is what the record says.
    facts = rc.native.records_of([*few.task_ids(), *many.task_ids()[:9]])
    for each in facts:
        record = record_of(each)
        assert {key: record[key] for key in READERS} == {
            key: read(each) for key, read in READERS.items()
        }


@pytest.mark.req(93)
def test_the_hub_history_has_all_tasks_in_the_order_submitted(
    rc: px.Client, other: px.Client
) -> None:
    ids = []
    for client in (rc, other, rc):
        ar = client[0].apply_async(abs, -1)
        ar.wait(10)
        ids.append(ar.msg_id)
    history = rc.hub_history()
    assert history[-3:] == ids == other.hub_history()[-3:]


@pytest.mark.req(93)
def test_a_record_has_the_keys_and_facts_of_a_task(rc: px.Client, other: px.Client) -> None:
    view = rc.direct_view([0]).set_flags(label="the label")
    before = datetime.now(UTC)
    ar = view.apply_async(say_and_add, 1, 2)
    ar.wait(10)
    (record,) = other.db_query({"msg_id": ar.msg_id})
    assert record["stdout"] == "adding\n" and record["label"] == "the label"
    assert record["engine_id"] == 0 and record["queue"] == "mux" and record["status"] == "ok"
    assert record["metadata"]["outcome"] == "done" and ar.metadata[0].status == record["status"]
    assert before - timedelta(seconds=1) < record["submitted"] <= record["started"]
    assert record["started"] <= record["completed"]
    assert record["client_uuid"] == ar.msg_id.split("/")[0]
    assert record["header"]["msg_type"] == "apply_request"
    assert record["result_content"] == {"status": "ok"} and record["error"] is None
    assert "buffers" not in record and "result_buffers" not in record
    (asked,) = other.db_query({"msg_id": ar.msg_id}, keys=["result_buffers", "engine_uuid"])
    assert set(asked) == {"msg_id", "result_buffers", "engine_uuid"}
    assert asked["result_buffers"]
    failed = rc[0].apply_async(divmod, 1, 0)
    failed.wait(10)
    (error,) = other.db_query({"msg_id": failed.msg_id}, keys="error")
    assert error["error"]["ename"] == "ZeroDivisionError"


def test_a_query_picks_by_every_operator(rc: px.Client) -> None:
    view = rc.direct_view([0, 1]).set_flags(label="operators")
    start = datetime.now(UTC)
    first = view.apply_async(say_and_add, 1, 1)
    first.wait(10)
    middle = datetime.now(UTC)
    second = rc[0].set_flags(label="operators too").apply_async(divmod, 1, 0)
    second.wait(10)
    both = [*first.msg_ids, *second.msg_ids]

    def ids(**query: object) -> list[str]:
        query.setdefault("submitted", {"$gte": start})
        return [record["msg_id"] for record in rc.db_query(query, keys="msg_id")]

    assert ids() == both
    assert ids(submitted={"$gt": start, "$lt": middle}) == first.msg_ids
    assert ids(submitted={"$gt": middle.astimezone().replace(tzinfo=None)}) == second.msg_ids
    assert ids(engine_id={"$gt": 0}) == first.msg_ids[1:], "greater is greater"
    assert ids(engine_id={"$lte": 0}) == [first.msg_ids[0], *second.msg_ids]
    assert ids(engine_id=1) == ids(engine_id={"$eq": 1}) == first.msg_ids[1:]
    assert ids(engine_id={"$ne": 1}) == ids(engine_id={"$nin": [1, 2]})
    assert ids(label={"$glob": "operators*"}) == both
    assert ids(label={"$in": ["operators", "x"]}) == first.msg_ids
    assert ids(engine_id={"$mod": [2, 1]}) == first.msg_ids[1:]
    assert ids(error={"$exists": True}) == second.msg_ids
    assert ids(stdout={"$glob": "add*"}) == first.msg_ids
    assert ids(metadata={"$all": ["direct"]}) == both
    assert ids(completed=None) == []
    assert ids(msg_id={"$in": [*both, "nonsense"]}) == sorted(both)


def test_a_query_that_no_record_could_meet_is_refused(rc: px.Client) -> None:
    with pytest.raises(ValueError, match="no operator"):
        rc.db_query({"label": {"$near": 1}})
    with pytest.raises(KeyError, match="colour"):
        rc.db_query({"colour": "red"})
    with pytest.raises(KeyError, match="colour"):
        rc.db_query({}, keys=["colour"])
    with pytest.raises(TypeError, match="dict"):
        rc.db_query("label")  # type: ignore[arg-type]


def test_more_records_than_a_page_holds_are_all_found(rc: px.Client) -> None:
    view = rc.load_balanced_view().set_flags(label="many")
    ar = view.map_async(abs, range(3_000), chunksize=1)
    assert ar.wait(60)
    found = rc.db_query({"label": "many"}, keys=[])
    assert [record["msg_id"] for record in found] == ar.msg_ids


# ---------------------------------------------------------------------- again


def test_tasks_run_again_from_the_hubs_record(rc: px.Client, other: px.Client) -> None:
    ar = rc.direct_view([0, 1]).set_flags(label="twice").apply_async(say_and_add, 20, 22)
    assert ar.get(timeout=10) == [42, 42]
    again = other.resubmit(ar)
    assert isinstance(again, px.AsyncHubResult)
    assert again.get(timeout=10) == [42, 42]
    assert set(again.msg_ids).isdisjoint(ar.msg_ids)
    assert [md.engine_id for md in again.metadata] == [0, 1]
    assert other.history[-2:] == again.msg_ids
    records = other.db_query({"label": "twice"}, keys="resubmitted")
    named = {record["msg_id"]: record["resubmitted"] for record in records}
    assert [named[name] for name in ar.msg_ids] == again.msg_ids
    once_more = rc.resubmit(ar.msg_ids[0], metadata={"label": "thrice"}, block=True)
    assert once_more.ready() and once_more.get() == [42]
    assert rc.db_query({"msg_id": once_more.msg_ids[0]}, "label")[0]["label"] == "thrice"


def test_a_function_of_main_runs_again(rc: px.Client) -> None:
    ar = rc.load_balanced_view().apply_async(lambda x: x * 2, 21)
    assert ar.get(timeout=10) == 42
    assert rc.resubmit(ar).get(timeout=10) == [42]


# ---------------------------------------------------------------------- forgetting


@pytest.mark.req(94)
def test_purged_results_are_gone_here_and_in_the_hub(rc: px.Client, other: px.Client) -> None:
    kept, purged = (rc[0].apply_async(abs, -n) for n in (1, 2))
    kept.wait(10), purged.wait(10)
    rc.purge_local_results(purged)
    assert purged.msg_id not in rc.results and kept.msg_id in rc.results
    assert other.get_result(purged.msg_id).get(timeout=10) == 2, "the hub has it still"
    rc.purge_results(jobs=[purged])
    with pytest.raises(KeyError):
        other.get_result(purged.msg_id)
    assert purged.msg_id not in rc.hub_history()
    assert other.get_result(kept.msg_id).get(timeout=10) == 1
    assert purged.get() == 2, "whoever holds it, holds it"


def test_what_ran_on_an_engine_is_purged_together(rc: px.Client) -> None:
    zero, one = rc[0].apply_async(abs, -1), rc[1].apply_async(abs, -1)
    zero.wait(10), one.wait(10)
    rc.purge_results(targets=0)
    assert zero.msg_id not in rc.hub_history() and one.msg_id in rc.hub_history()
    assert zero.msg_id not in rc.results and one.msg_id in rc.results


def test_tasks_that_have_not_ended_are_not_purged(
    rc: px.Client, other: px.Client, until: Until
) -> None:
    ar = rc[0].apply_async(time.sleep, 60)
    until(on_record(other, ar))
    with pytest.raises(RuntimeError, match="not ended"):
        rc.purge_local_results("all")
    with pytest.raises(RuntimeError, match="has not ended"):
        other.purge_hub_results(ar.msg_id)
    with pytest.raises(ValueError, match="'all'"):
        rc.purge_results()
    ar.abort()
    ar.wait(10)


def test_everything_is_purged(rc: px.Client) -> None:
    view = rc[0]
    ar = view.apply_async(abs, -1)
    ar.wait(10)
    rc.purge_everything()
    assert rc.history == [] == view.history
    assert rc.hub_history() == [] and len(rc.results) == 0
    assert rc[0].apply_sync(abs, -1) == 1 and len(rc.history) == 1


# ---------------------------------------------------------------------- by name everywhere


@pytest.mark.req(80)
def test_tasks_of_others_are_waited_for_and_aborted_by_name(
    rc: px.Client, other: px.Client, until: Until
) -> None:
    ar = rc[0].apply_async(time.sleep, 60)
    until(on_record(other, ar))
    assert not other.wait(ar.msg_id, timeout=0.05)
    other.abort(ar.msg_id)
    assert other.wait(ar.msg_id, timeout=10) and ar.wait(10)
    with pytest.raises(px.TaskAborted):
        ar.get()
    with pytest.raises(KeyError):
        other.wait("c4000000000/1", timeout=1)
