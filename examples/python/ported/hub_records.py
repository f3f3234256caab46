"""What the hub remembers: tasks by name, of another client, by query; run again, and forgotten.

A long computation was started in one notebook, which is gone; in another one its results are looked up.

    python examples/python/ported/hub_records.py
"""

from datetime import UTC, datetime, timedelta, timezone

import phalanx as ipp


def collatz(n):
    """How many steps it takes to come to 1."""
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def main():
    """Submits by one client, asks by another one."""
    began = datetime.now(UTC)
    cluster = ipp.Cluster(n=2)
    first = cluster.start_and_connect_sync()
    first.wait_for_engines(2)
    lview = first.load_balanced_view()
    numbers = [27, 97, 871, 6171]
    tasks = lview.map_async(collatz, numbers)
    failing = lview.apply_async(collatz, "x")
    steps = tasks.get(timeout=30)
    failing.wait(timeout=30)
    names, bad = list(tasks.msg_ids), failing.msg_ids[0]
    assert first.history[-1] == bad and first.history[: len(names)] == names
    assert first.get_result(-1).msg_ids == [bad]
    first.close()

    rc = cluster.connect_client_sync()
    assert rc.history == [] and set(names) <= set(rc.hub_history())
    status = rc.result_status(names)
    assert sorted(status["completed"]) == sorted(names) and not status["pending"]
    again = rc.get_result(names)
    assert again.get(timeout=30) == steps or again.get() == [[n] for n in steps]
    one = rc.get_result(names[0], block=True)
    assert one.get() in (steps[0], [steps[0]])

    # By query.
    recent = rc.db_query({"submitted": {"$gte": began - timedelta(minutes=1)}}, keys=["msg_id"])
    assert {record["msg_id"] for record in recent} >= {*names, bad}
    assert rc.db_query({"msg_id": "no such task"}) == []
    records = rc.db_query({"msg_id": {"$in": names}}, keys=["started", "completed", "engine_uuid"])
    assert sorted(records[0]) == ["completed", "engine_uuid", "msg_id", "started"]
    assert all(began < record["started"] <= record["completed"] for record in records)
    engines = {record["engine_uuid"] for record in records}
    by_engine = [
        rc.db_query({"engine_uuid": engine, "msg_id": {"$in": names}}) for engine in engines
    ]
    assert sum(map(len, by_engine)) == len(names)

    # What has failed says how, and can be run again.
    try:
        rc.get_result(bad).get(timeout=30)
    except ipp.RemoteError as e:
        assert e.ename == "TypeError"
    else:
        raise AssertionError("it failed")
    rerun = rc.resubmit(names[:2])
    assert rerun.get(timeout=30) in (steps[:2], [[n] for n in steps[:2]])
    assert not set(rerun.msg_ids) & set(names)

    # Queues are empty now; what is not needed any more is forgotten.
    queues = rc.queue_status()
    assert queues["unassigned"] == 0 and all(queues[i]["queue"] == 0 for i in rc.ids)
    assert rc.queue_status(rc.ids[0])["tasks"] == 0
    rc.purge_hub_results(names[0])
    assert names[0] not in rc.hub_history() and names[1] in rc.hub_history()
    try:
        rc.purge_results()
    except ValueError:
        pass
    else:
        raise AssertionError("there was nothing to purge")
    rc.purge_everything()
    assert rc.hub_history() == [] and rc.history == []
    rc.close()
    cluster.stop_cluster_sync()
    print(f"steps to 1: {dict(zip(numbers, steps, strict=True))}")


if __name__ == "__main__":
    main()
