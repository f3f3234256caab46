"""A task farm whose results are dealt with one by one, as they finish, with all that is known of them.

A map gives results in order; this farm takes them out of order, prints what each task has written,
keeps who ran what and for how long, and hands in more work while results come in.

    python examples/python/ported/task_farm.py
"""

import random
from collections import defaultdict

import phalanx as ipp

TASKS = 24


def sleep_here(count, t):
    """Takes a while, and says so: what is written travels with the task."""
    import sys
    import time

    print(f"hi from task {count}")
    sys.stdout.flush()
    time.sleep(t)
    return count, t


def more_work(count):
    """What a finished task may bring: a smaller one for each that divides by six."""
    return count // 6 if count and count % 6 == 0 else None


def main():
    """Submits a map, then follows its messages until none is left."""
    random.seed(7)
    with ipp.Cluster(n=3) as rc:
        view = rc.load_balanced_view()
        amr = view.map_async(
            sleep_here, range(TASKS), [random.random() * 0.05 for _ in range(TASKS)], chunksize=2
        )
        pending = set(amr.msg_ids)
        assert len(pending) == TASKS // 2, "two items to a task"

        by_engine = defaultdict(list)
        seen, extra = [], []
        while pending:
            try:
                rc.wait(pending, 1e-3)
            except TimeoutError:
                pass  # an older client raised it here
            finished = pending.difference(rc.outstanding)
            pending = pending.difference(finished)
            for msg_id in finished:
                ar = rc.get_result(msg_id)
                for count, t in ar.get():
                    seen.append(count)
                    by_engine[ar.engine_id].append(t)
                    if (work := more_work(count)) is not None:
                        extra.append(view.apply_async(sleep_here, 100 + work, 0.001))
                assert "hi from task" in ar.stdout

        rc.wait(extra)
        extra_counts = sorted(ar.get()[0] for ar in extra)
        outputs = [ar.stdout for ar in extra]
        times = [(ar.metadata["started"], ar.metadata["completed"]) for ar in extra]

        # What was handed in is in the client's history, in this order.
        assert rc.history[: len(amr.msg_ids)] == amr.msg_ids
        assert not rc.outstanding

    assert sorted(seen) == list(range(TASKS))
    assert extra_counts == [101, 102, 103]
    assert all(text.startswith("hi from task 10") for text in outputs)
    assert all(completed >= started for started, completed in times)
    for engine, spent in sorted(by_engine.items()):
        print(f"engine {engine}: {len(spent)} items, {sum(spent):.2f} s")
    assert len(by_engine) == 3
    print(f"{len(seen)} items out of order, {len(extra_counts)} more from them")


if __name__ == "__main__":
    main()
