"""Lazy maps, executors, and maps of very many items."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import threading
import time
import warnings
from collections import deque
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import phalanx as px
from phalanx.views import lazymap, load_balanced
from support import children, command_line, start_python


@pytest.fixture(params=["direct", "balanced"])
def any_view(request, dview, lview):
    return dview if request.param == "direct" else lview


class Counted:
    """An endless input that knows how much of it was read."""

    def __init__(self):
        self.read = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.read += 1
        return self.read - 1


def test_an_endless_input_is_read_as_results_are_taken(any_view):
    numbers = Counted()
    squares = any_view.imap(lambda x: x * x, numbers, max_outstanding=3)
    assert [next(squares) for _ in range(10)] == [x * x for x in range(10)]
    assert numbers.read <= 10 + 3 + lazymap.HELD_MIN
    squares.cancel()
    read = numbers.read
    rest = list(squares)
    assert rest == [x * x for x in range(10, read)]
    assert numbers.read == read


def test_no_more_are_under_way_than_allowed(rc, lview):
    gate = rc.load_balanced_view()
    under_way = []
    numbers = lview.imap(abs, (under_way.append(len(rc.outstanding)) or n for n in range(40)))
    assert list(numbers) == list(range(40))
    assert max(under_way) <= 4
    everything = gate.imap(abs, range(40), max_outstanding=0)
    assert everything._submitted == 40
    assert list(everything) == list(range(40))


def test_unordered_results_come_as_they_arrive(dview):
    def wait_for(n):
        import time

        while n == 0 and "go" not in globals():
            time.sleep(0.005)
        return n

    numbers = dview.client[0, 1].imap(wait_for, [0, 1, 2, 3], ordered=False)
    assert [next(numbers) for _ in range(2)] == [1, 2]
    # Engine 0 waits in its task; what it was sent comes last.
    numbers.cancel(abort=True)
    rest = list(zip(range(2), iter(lambda: _outcome(numbers), None), strict=False))
    assert {type(outcome) for _, outcome in rest} <= {int, px.TaskAborted}


def _outcome(numbers):
    try:
        return next(numbers)
    except StopIteration:
        return None
    except px.TaskAborted as aborted:
        return aborted


def test_an_exception_of_the_input_comes_at_its_place(any_view):
    def numbers():
        yield from range(5)
        raise OSError("the input is broken")

    results = any_view.imap(abs, numbers(), max_outstanding=2)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="the input is broken"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_an_exception_of_a_task_comes_at_its_place(any_view):
    results = any_view.imap(lambda x: 1 // x, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(px.RemoteError, match="ZeroDivisionError"):
        next(results)
    assert next(results) == 0
    for chunksize in (1, 2):
        results = any_view.imap(
            lambda x: 1 // x, [1, 0, 2], return_exceptions=True, chunksize=chunksize
        )
        first, second, third = results
        assert (first, third) == (1, 0)
        assert isinstance(second, px.RemoteError)


def test_chunks_and_several_sequences(any_view):
    results = any_view.imap(lambda a, b: a + b, count(), range(7), chunksize=3)
    assert list(results) == [2 * n for n in range(7)]
    with pytest.raises(ValueError, match="chunksize"):
        any_view.imap(abs, [1], chunksize=0)
    with pytest.raises(TypeError, match="at least one sequence"):
        any_view.imap(abs)
    with pytest.raises(ValueError, match="max_outstanding"):
        any_view.imap(abs, [1], max_outstanding=-1)


def test_a_result_that_does_not_come_in_time(lview):
    results = lview.imap(__import__("time").sleep, [30], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    results.cancel(abort=True)
    with pytest.raises((px.TaskAborted, TimeoutError)):
        next(results)


def test_a_direct_lazy_map_uses_all_its_engines(dview):
    def engine():
        return __import__("os").getpid()

    pids = set(dview.apply_sync(engine))
    assert set(dview.imap(lambda _: __import__("os").getpid(), range(40))) == pids


# ------------------------------------------------------------------ executors


def test_an_executor_for_programs_that_take_one(rc):
    with rc.executor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        futures = {executor.submit(pow, n, 2): n for n in range(8)}
        for future in concurrent.futures.as_completed(futures, timeout=30):
            assert isinstance(future, px.AsyncResult)
            assert future.result() == futures[future] ** 2
        assert list(executor.map(pow, range(4), [2] * 4, chunksize=3)) == [0, 1, 4, 9]
        done, pending = concurrent.futures.wait(
            [executor.submit(abs, -1), executor.submit(divmod, 1, 0)],
            return_when=concurrent.futures.ALL_COMPLETED,
        )
        assert len(done) == 2
        assert not pending
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(abs, 1)
    assert rc.executor().submit(abs, -1).result() == 1
    mine = rc.load_balanced_view().executor
    with rc.executor() as executor:
        executor.submit(abs, -1)
    assert mine.submit(abs, -2).result() == 2  # that somebody is done with another leaves it open
    assert len(rc) == 4


def test_an_executor_on_an_event_loop(lview):
    async def run():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(lview.executor, abs, -n) for n in range(5))
        )

    assert asyncio.run(run()) == list(range(5))


def test_a_cancelled_future_raises_what_futures_raise(lview):
    future = lview.executor.submit(__import__("time").sleep, 60)
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(timeout=30)
    assert future.cancelled()


def test_shutting_down_cancels_if_asked(lview):
    executor = lview.executor
    futures = [executor.submit(__import__("time").sleep, 60) for _ in range(8)]
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)


def test_the_views_have_one_executor_each_while_it_is_open(dview):
    assert dview.executor is dview.executor
    assert dview.executor.view is dview
    assert dview.executor._max_workers == 4
    assert dview.executor.submit(abs, -1).result() == [1] * 4


# ------------------------------------------------------------------ maps


def test_maps_over_what_has_a_length(dview, lview):
    for view in (dview, lview):
        assert view.map_sync(lambda x: x * 2, np.arange(10)) == list(range(0, 20, 2))
        rows = view.map_sync(sum, np.arange(6).reshape(3, 2))
        assert [int(row) for row in rows] == [1, 5, 9]
        assert view.map_sync(str.upper, "abc") == ["A", "B", "C"]
        assert view.map_sync(abs, deque([-1, -2, -3])) == [1, 2, 3]
        assert sorted(view.map_sync(abs, {-1, -2})) == [1, 2]
        assert view.map_sync(lambda k: k, {"a": 1, "b": 2}) == ["a", "b"]
        assert view.map_sync(lambda a, b: a * b, np.arange(5), range(3)) == [0, 1, 4]


def test_options_of_a_balanced_map(lview):
    ar = lview.map_async(
        lambda x: 1 // x, [1, 0, 2, 0], chunksize=2, ordered=False, return_exceptions=True
    )
    items = list(ar)
    assert sum(isinstance(item, px.RemoteError) for item in items) == 2
    assert sorted(item for item in items if isinstance(item, int)) == [0, 1]
    results = ar.get()
    assert [isinstance(item, px.RemoteError) for item in results] == [False, True, False, True]
    with pytest.raises(TypeError):
        lview.map_async(abs, [1], chunks=2)


def _rss_kb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no memory line")


def _hub_pid():
    """The hub of this run's cluster."""
    for pid in children(os.getpid()):
        if command_line(pid)[1:2] == [b"hub"]:
            return pid
    raise AssertionError("there is no hub")


def test_a_million_items_take_no_memory_but_their_own(lview, record_property):
    """With the default chunks: few tasks, no thread, and a hub that keeps nothing."""
    lview.map_sync(abs, range(100_000))
    hub = _hub_pid()
    before = (_rss_kb("self"), _rss_kb(hub))
    threads = threading.active_count()
    ar = lview.map_async(abs, range(-1_000_000, 0))
    assert threading.active_count() == threads
    assert len(ar) == 1_000_000
    assert len(ar.msg_ids) <= load_balanced.MAP_TASKS_MAX
    total = sum(ar)
    during = (_rss_kb("self"), _rss_kb(hub))
    assert total == 1_000_000 * 1_000_001 // 2
    del ar
    lview.map_sync(abs, range(-1_000_000, 0))
    after = (_rss_kb("self"), _rss_kb(hub))
    for name, values in (("before", before), ("during", during), ("after", after)):
        record_property(f"rss_kb_{name}_client_hub", values)
    # The numbers themselves take 40 MB here.
    assert after[0] - before[0] < 150_000
    assert after[1] - before[1] < 60_000


def test_warnings_are_for_what_is_odd(lview):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(lview.executor.map(abs, [-1], timeout=30)) == [1]


@pytest.mark.parametrize(
    "call",
    [
        "next(view.imap(time.sleep, [60]))",
        "next(rc.executor().map(time.sleep, [60]))",
        "rc.executor().submit(time.sleep, 60).result()",
        "next(iter(view.map_async(time.sleep, [60])))",
        "next(rc[0].imap(time.sleep, [60]))",
    ],
)
def test_ctrl_c_ends_a_wait_within_a_second(cluster, call):
    code = f"""
import sys, time
import phalanx as px
rc = px.Client(sys.argv[1])
rc.wait_for_engines(4, timeout=30)
view = rc.load_balanced_view()
try:
    print("waiting", flush=True)
    {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
rc.abort()
assert rc.wait(timeout=20)
print(rc[:].apply_sync(abs, -1), flush=True)
"""
    with start_python(code, cluster.connection_file) as program:
        assert program.stdout.readline() == "waiting\n"
        program.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert program.stdout.readline() == "interrupted\n"
        assert time.monotonic() - sent < 1.5
        assert program.stdout.readline() == "[1, 1, 1, 1]\n"
    assert program.returncode == 0
