"""AsyncResult: waiting, the Future interface, await, what is known of a task."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import threading
import time

import pytest

import phalanx as px
from phalanx.results import metadata


@px.interactive
def sleep(seconds, value=None):
    import time

    time.sleep(seconds)
    return value


def fail(message="no"):
    raise ValueError(message)


@pytest.mark.req(75)
def test_every_call_without_blocking_gives_one(dview, lview):
    for ar in (
        dview.apply_async(sleep, 0),
        dview.execute("1"),
        dview.push({"a": 1}),
        dview.pull("a"),
        dview.scatter("a", [1]),
        dview.gather("a"),
        dview.map(abs, [1]),
        dview.clear(),
        lview.apply(sleep, 0),
        lview.map(abs, [1]),
    ):
        assert isinstance(ar, px.AsyncResult)
        assert isinstance(ar, concurrent.futures.Future)
        for name in ("get", "wait", "ready", "successful"):
            assert callable(getattr(ar, name))
        ar.wait()


@pytest.mark.req(76)
def test_get_times_out(rc):
    ar = rc[0].apply_async(sleep, 0.3, 5)
    with pytest.raises(TimeoutError, match=r"^Result not ready\.$"):
        ar.get(0.01)
    with pytest.raises(px.error.TimeoutError):
        ar.result(timeout=0.01)
    assert ar.get(timeout=30) == 5
    assert ar.get(-1) == 5
    assert ar.get() is ar.get()


def test_a_condition_that_is_none_is_refused_at_once(rc):
    ar = rc[0].apply_async(abs, -1)
    for wait in (ar.get, ar.wait, ar.wait_interactive):
        with pytest.raises(ValueError, match="return_when is one of FIRST_COMPLETED"):
            wait(return_when="FIRST")
    done, pending = ar.wait(return_when=px.ALL_COMPLETED)
    assert (len(done), len(pending)) == (1, 0)


@pytest.mark.req(77)
def test_ready_wait_and_successful(rc):
    ar = rc[0].apply_async(sleep, 0.2)
    assert ar.ready() is False
    with pytest.raises(RuntimeError):
        ar.successful()
    assert ar.wait(0.01) is False
    assert ar.wait() is True
    assert ar.successful() is True
    failed = rc[0].apply_async(fail)
    assert failed.wait() is True
    assert failed.successful() is False


@pytest.mark.req(77, 91)
def test_metadata(rc, dview):
    before = datetime.datetime.now(datetime.UTC)
    ar = rc[1].apply_async(sleep, 0.05)
    assert ar.metadata.status is None
    ar.get()
    md = ar.metadata
    assert set(md) == set(metadata.KEYS)
    assert md["engine_id"] == 1
    assert md.status == "ok"
    assert before <= md.submitted <= md.received
    assert md.started.tzinfo is not None
    assert (md.completed - md.started).total_seconds() >= 0.05
    assert ar["engine_id"] == ar.engine_id == 1
    with pytest.raises(KeyError):
        ar["colour"]
    with pytest.raises(AttributeError):
        ar.colour
    several = dview.apply_async(fail)
    several.wait()
    assert [md.engine_id for md in several.metadata] == several["engine_id"] == [0, 1, 2, 3]
    assert several.status == ["error"] * 4


def test_labels(rc, lview):
    rc[0].set_flags(label="first")
    view = px.DirectView(rc, 0).set_flags(label="mine")
    assert view.apply_async(sleep, 0).label == "mine"
    assert lview.map(abs, [1], label="maps").metadata[0].label == "maps"


@pytest.mark.req(78)
def test_r_is_a_property_and_result_is_a_method(rc):
    ar = rc[0].apply_async(sleep, 0, 3)
    assert ar.r == 3
    assert ar.result() == 3


@pytest.mark.req(79)
def test_get_raises_what_went_wrong(rc, dview):
    with pytest.raises(px.RemoteError) as caught:
        rc[0].apply_async(fail).get()
    assert str(caught.value) == "[0:apply] ValueError: no"
    ar = dview.apply_async(fail)
    with pytest.raises(px.CompositeError):
        ar.get()
    assert isinstance(ar.exception(), px.CompositeError)
    errors = ar.get(return_exceptions=True)
    assert all(isinstance(e, px.RemoteError) for e in errors)
    assert len(errors) == 4


def test_the_first_exception_is_raised_before_the_others_end(rc, dview):
    dview.scatter("rank", [0, 1, 2, 3], flatten=True, block=True)
    ar = dview.apply_async(px.interactive(lambda: 1 / 0 if rank == 2 else sleep_long()))  # noqa: F821
    with pytest.raises(px.PhalanxError):
        ar.get(return_when=px.FIRST_EXCEPTION)
    ar.wait()


@pytest.mark.req(80)
def test_waiting_for_many_kinds_of_jobs(rc, dview, lview):
    slow = rc[0].apply_async(sleep, 0.2)
    assert rc.wait(slow, timeout=0.01) is False
    assert rc.wait([slow, {slow.msg_id}, -1]) is True
    assert rc.wait() is True
    mine = lview.apply_async(sleep, 0.01)
    assert lview.wait(0) is True
    assert mine.ready()
    other = concurrent.futures.Future()
    other.set_result(1)
    assert rc.wait([other, mine]) is True
    by_name = {"a": mine, "b": slow}
    assert rc.wait(by_name.values()) is True
    assert rc.wait(job for job in (slow, mine)) is True
    by_name["c"] = lview.apply_async(fail)
    with lview.temp_flags(after=by_name.values()), pytest.raises(px.ImpossibleDependency):
        lview.apply_sync(sleep, 0)
    with pytest.raises(TypeError):
        rc.wait(1.5)
    with pytest.raises((KeyError, ValueError)):
        rc.wait("c999/0")


@pytest.mark.req(81)
def test_outstanding_and_history(rc):
    rc.wait()
    assert rc.outstanding == set()
    view = rc[0]
    ar = view.apply_async(sleep, 0.2)
    assert rc.outstanding == view.outstanding == {ar.msg_id}
    assert rc.history[-1] == view.history[-1] == ar.msg_id
    ar.get()
    assert rc.outstanding == set()
    batch = rc[:].apply_async(sleep, 0)
    assert rc.history[-4:] == batch.msg_ids


@pytest.mark.req(82)
def test_spin_is_kept(rc):
    assert rc.spin() is None
    assert rc[0].spin() is None
    rc.spin_thread()
    rc.stop_spin_thread()


def test_futures_wait_and_as_completed(rc, lview):
    results = [lview.apply_async(sleep, 0.01 * i, i) for i in range(6)]
    assert sorted(f.result() for f in concurrent.futures.as_completed(results, 30)) == list(
        range(6)
    )
    slow = rc[0].apply_async(sleep, 0.3)
    quick = rc[1].apply_async(sleep, 0)
    done, _ = concurrent.futures.wait([slow, quick], 30, px.FIRST_COMPLETED)
    assert quick in done
    bad = rc[1].apply_async(fail)
    done, _ = concurrent.futures.wait([slow, bad], 30, px.FIRST_EXCEPTION)
    assert bad in done
    assert not concurrent.futures.wait([slow, quick, bad], 30).not_done


def test_callbacks(rc):
    called = threading.Event()
    seen = []

    def on_done(ar):
        seen.append((ar.get(), threading.current_thread()))
        called.set()

    ar = rc[0].apply_async(sleep, 0.05, 7)
    ar.add_done_callback(on_done)
    assert called.wait(30)
    assert seen[0][0] == 7
    ar.add_done_callback(lambda ar: seen.append("at once"))
    assert seen[1] == "at once"


def test_await(rc, lview):
    async def main():
        one = await lview.apply_async(sleep, 0.02, 1)
        many = await asyncio.gather(*(wait_for(i) for i in range(4)))
        with pytest.raises(px.RemoteError):
            await lview.apply_async(fail)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait_for(0, 0.5), 0.01)
        wrapped = await asyncio.wrap_future(lview.apply_async(sleep, 0.02, 5))
        return one, many, wrapped

    async def wait_for(i, seconds=0.01):
        return await lview.apply_async(sleep, seconds, i)

    assert asyncio.run(main()) == (1, [0, 1, 2, 3], 5)


def test_iterating_and_positions(rc, dview):
    ar = dview.apply_async(sleep, 0, 1)
    assert list(ar) == [1] * 4
    assert ar[0] == 1
    assert ar[1:3] == [1, 1]
    assert len(ar) == 4
    bare = rc[0].apply_async(sleep, 0, [10, 20, 30])
    bare.wait()
    assert (bare[0], bare[1:], len(bare)) == (10, [20, 30], 1)
    assert {"stdout", "engine_id", "get"} <= set(dir(ar))
    with pytest.raises(TypeError):
        iter(rc[0].apply_async(sleep, 0)).__next__()


def test_by_engine(dview, lview):
    ar = dview.apply_async(sleep, 0, 1)
    assert ar.get_dict() == ar.result_dict == {0: 1, 1: 1, 2: 1, 3: 1}
    several = px.AsyncResult.join(*(lview.apply_async(sleep, 0) for _ in range(9)))
    with pytest.raises(ValueError, match="several"):
        several.get_dict()
    assert dview.map_async(abs, range(6)).get_dict() == {0: [0, 1], 1: [2, 3], 2: [4], 3: [5]}
    assert lview.apply_async(sleep, 0, "x").get_dict().popitem()[1] == "x"


def test_split_and_join(dview):
    ar = dview.apply_async(sleep, 0.05, 1)
    parts = ar.split()
    assert [part.msg_ids for part in parts] == [[each] for each in ar.msg_ids]
    assert [part.get() for part in parts] == [1] * 4
    joined = px.AsyncResult.join(*parts)
    assert joined.get() == [1] * 4
    assert joined.msg_ids == ar.msg_ids
    done, pending = ar.wait(return_when=px.FIRST_COMPLETED)
    assert done
    assert len(done) + len(pending) == 4


def test_times(dview):
    ar = dview.apply_async(sleep, 0.2)
    with pytest.raises(TimeoutError):
        ar.wall_time
    assert ar.elapsed < 30
    ar.get()
    assert ar.wall_time >= 0.2
    assert ar.serial_time >= 0.8
    assert ar.progress == 4


def test_repr(rc):
    ar = rc[0].apply_async(sleep, 0.1)
    assert repr(ar) == "<AsyncResult(sleep): pending>"
    ar.wait()
    assert repr(ar) == "<AsyncResult(sleep): finished>"
    bad = rc[0].apply_async(fail)
    bad.wait()
    assert repr(bad) == "<AsyncResult(fail): failed>"
    assert repr(rc[0].map_async(abs, [1])).startswith("<AsyncMapResult(abs)")


def test_a_result_that_cannot_be_unpickled_here(rc):
    rc[0].execute(
        "import sys, types\n"
        "m = sys.modules['only_there'] = types.ModuleType('only_there')\n"
        "exec('class C: pass', m.__dict__)\n",
        block=True,
    )
    ar = rc[0].apply_async(px.interactive(lambda: m.C()))  # noqa: F821
    with pytest.raises(px.ResultError, match="only_there"):
        ar.get()
    assert isinstance(ar.exception().__cause__, ModuleNotFoundError)


def test_a_result_that_cannot_be_pickled_there(rc):
    with pytest.raises(px.RemoteError, match="TypeError: cannot pickle"):
        rc[0].apply_sync(lambda: __import__("threading").Lock())
    assert rc[0].apply_sync(lambda: 1) == 1


def test_results_are_waited_for_from_several_threads(lview):
    ar = lview.apply_async(sleep, 0.2, 9)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: ar.get(30), range(4))) == [9] * 4


def test_waiting_costs_no_time_after_the_end(rc):
    ar = rc[0].apply_async(sleep, 0)
    ar.get()
    began = time.monotonic()
    assert ar.wait(10)
    assert time.monotonic() - began < 5
