"""The client on an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from itertools import count

import pytest

import phalanx as px


@pytest.fixture
def run(rc):
    """Runs a coroutine function with a connected client."""

    def run(main):
        async def connected():
            async with px.aio.Client(timeout=30) as client:
                await client.wait_for_engines(4, timeout=30)
                return await asyncio.wait_for(main(client), 50)

        return asyncio.run(connected())

    return run


def test_calls_are_awaited(run):
    async def main(rc):
        view, balanced = rc[:], rc.load_balanced_view()
        assert rc.ids == [0, 1, 2, 3]
        assert len(rc) == len(view) == 4
        assert await view.push({"a": 5}) == [None] * 4
        assert await view["a"] == [5] * 4
        await view.execute("b = a + 1")
        assert await view.pull(["a", "b"], targets=0) == [5, 6]
        await view.scatter("x", range(8))
        assert await view.gather("x") == list(range(8))
        assert await rc[1].apply(pow, 2, 3) == 8
        assert await balanced.map(abs, range(-3, 0)) == [3, 2, 1]
        assert await rc.broadcast_view().apply(abs, -1) == [1] * 4
        with pytest.raises(ZeroDivisionError):
            await balanced.apply(divmod, 1, 0)
        with pytest.raises(AttributeError):
            view.apply_sync
        assert set(rc.history) >= rc.outstanding

    run(main)


def test_what_waits_for_the_hub_or_for_tasks_is_awaited_on_views_too(run):
    async def main(rc):
        view = rc.load_balanced_view()
        slow = view.apply(time.sleep, 0.3)
        assert await view.wait(timeout=0.01) is False
        assert await rc.wait(slow.msg_id, timeout=0.01) is False
        assert not slow.ready()
        outside = concurrent.futures.Future()
        outside.cancel()
        assert await rc.wait([slow, outside, rc.history[0]], timeout=30) is True
        assert slow.ready()
        assert await view.wait() is await rc.wait() is True
        counts = await rc[0, 1].queue_status()
        assert set(counts) == {0, 1, "unassigned"}
        assert await (await view.get_result(slow.msg_id)) is None
        await view.purge_results(slow)
        with pytest.raises(KeyError):
            await rc.get_result(slow.msg_id)

    run(main)


def test_engines_are_waited_for_no_longer_than_they_may_come(run, home):
    async def main(rc):
        with pytest.raises(TimeoutError, match="4 of 99 Python engines are there"):
            await rc.wait_for_engines(99, timeout=0.1)

    async def ended():
        cluster = px.Cluster(n=1)
        await cluster.start_cluster()
        rc = await px.aio.Client(cluster.connection_file)
        waiting = asyncio.create_task(rc.wait_for_engines(5))
        await rc.wait_for_engines(1, timeout=30)
        await cluster.stop_cluster()
        with pytest.raises(px.ClosedError):
            await asyncio.wait_for(waiting, 20)

    run(main)
    asyncio.run(ended())


def test_completion_offers_what_is_delegated_and_nothing_that_blocks(run):
    async def main(rc):
        assert {"queue_status", "ping", "wait", "ids"} <= set(dir(rc))
        assert {"execute", "push", "queue_status", "apply"} <= set(dir(rc[:]))
        assert not [name for name in dir(rc[:]) if name.endswith("_sync")]

    run(main)


def test_a_thousand_calls_take_no_thread_each(run):
    async def main(rc):
        view = rc.load_balanced_view()
        await view.apply(abs, -1)
        await rc.ping()
        before = threading.active_count()
        results = [view.apply(abs, -n) for n in range(1000)]
        assert await asyncio.gather(*results) == list(range(1000))
        assert threading.active_count() == before

    run(main)


def test_results_come_as_items(run):
    async def main(rc):
        view = rc.load_balanced_view()
        for options in ({}, {"chunksize": 4}):
            assert [x async for x in view.map(abs, range(-9, 0), **options)] == list(
                range(9, 0, -1)
            )
            items = [x async for x in view.map(abs, range(-9, 0), ordered=False, **options)]
            assert sorted(items) == list(range(1, 10))
        with pytest.raises(px.CompositeError):
            async for _ in view.map(lambda x: 1 // x, [1, 0]):
                pass

    run(main)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [1, 3])
def test_lazy_maps_of_endless_and_asynchronous_inputs(run, ordered, chunksize):
    async def main(rc):
        for view in (rc.load_balanced_view(), rc[:]):
            taken = []
            options = {"ordered": ordered, "chunksize": chunksize, "max_outstanding": 2}
            async for item in view.imap(lambda x: x * x, count(), **options):
                taken.append(item)
                if len(taken) == 20:
                    break
            assert len(set(taken)) == 20
            if ordered:
                assert taken == [n * n for n in range(20)]

            async def numbers():
                for n in range(7):
                    await asyncio.sleep(0)
                    yield n
                raise OSError("the input is broken")

            got = []
            with pytest.raises(OSError, match="broken"):
                async for item in view.imap(abs, numbers(), ordered=ordered):
                    got.append(item)
            assert sorted(got) == list(range(7))

    run(main)


def test_exceptions_in_the_place_of_items(run):
    async def main(rc):
        view = rc.load_balanced_view()
        items = [x async for x in view.imap(lambda x: 1 // x, [1, 0, 2], return_exceptions=True)]
        assert (items[0], items[2]) == (1, 0)
        assert isinstance(items[1], ZeroDivisionError)

    run(main)


def test_waiting_and_giving_up(run):
    async def main(rc):
        import time

        slow = rc[0].apply(time.sleep, 60)
        assert not await rc.wait([slow], timeout=0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow, 0.05)
        slow.abort()
        assert await rc.wait([slow], timeout=30)
        with pytest.raises(px.TaskAborted):
            await slow
        with pytest.raises(TimeoutError):
            await rc.wait_for_engines(99, timeout=0.05)

    run(main)


def test_the_hub_is_asked_without_stopping_the_loop(run):
    async def main(rc):
        assert (await rc.ping()) >= 0
        assert "engines" in str(await rc.status())
        await rc.clear()
        assert repr(rc).startswith("<aio <Client")
        assert repr(rc[0]) == "<aio <DirectView 0>>"

    run(main)


def test_it_must_be_awaited_before_it_is_used():
    client = px.aio.Client("/nowhere/client.json", timeout=0.1)
    assert repr(client) == "<aio Client: not connected>"
    with pytest.raises(AttributeError):
        client.ids

    async def main():
        await client

    with pytest.raises(OSError, match="no connection file"):
        asyncio.run(main())


def test_an_ordinary_client_asked_to_be_asynchronous_is_one(cluster):
    async def main():
        async with px.Client(cluster.connection_file, asynchronous=True) as rc:
            entered = await rc[:].apply(abs, -1)
        rc = await px.Client(cluster_id=cluster.cluster_id, asynchronous=True)
        awaited = await rc.load_balanced_view().apply(abs, -2)
        await rc.close()
        return type(rc), entered, awaited

    assert asyncio.run(main()) == (px.aio.Client, [1] * 4, 2)
    with px.Client(cluster.connection_file, asynchronous=False) as rc:
        assert type(rc) is px.Client
