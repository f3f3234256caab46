"""apply, execute, run: what runs where, and what comes back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

import phalanx as px


@pytest.mark.req(26)
def test_arguments_and_keywords(view):
    assert view.apply(lambda a, *, b: (a, b), 1, b=2) == [(1, 2)] * 4
    assert view.apply(lambda f, self: f + self, f=1, self=2) == [3] * 4


@pytest.mark.req(27)
def test_block_decides_for_apply(dview):
    assert isinstance(dview.apply(lambda: 1), px.AsyncResult)
    assert isinstance(dview.apply_async(lambda: 1), px.AsyncResult)
    assert dview.apply_sync(lambda: 1) == [1] * 4
    dview.block = True
    assert dview.apply(lambda: 1) == [1] * 4
    assert isinstance(dview.apply_async(lambda: 1), px.AsyncResult)


@pytest.mark.req(28)
def test_one_target_gives_the_bare_result(rc):
    assert rc[0].apply_sync(lambda: 1) == 1
    assert rc[[0]].apply_sync(lambda: 1) == [1]
    order = px.DirectView(rc, [3, 0, 2])
    order.scatter("i", [3, 0, 2], flatten=True, block=True)
    assert order.apply_sync(px.interactive(lambda: i)) == [3, 0, 2]  # noqa: F821


@pytest.mark.req(29, 30)
def test_a_balanced_call_goes_to_one_of_the_targets(rc):
    view = rc.load_balanced_view([1, 2])
    results = [view.apply_async(lambda: 1) for _ in range(8)]
    assert rc.wait(results)
    assert {ar.metadata.engine_id for ar in results} <= {1, 2}


@pytest.mark.req(31, 32)
def test_globals_are_the_namespace_of_the_engine(view):
    view["a"] = 5
    view["b"] = 10
    assert view.apply(px.interactive(lambda x: a + b + x), 27) == [42] * 4  # noqa: F821
    assert view.apply(px.interactive(lambda: a)) == view.pull("a")  # noqa: F821


@pytest.mark.req(33)
def test_nothing_is_left_behind(view):
    def names():
        return sorted(globals())

    before = view.apply(px.interactive(names))
    view.apply(lambda secret: secret, "x")
    view.map(lambda item: item, range(8))
    assert view.apply(px.interactive(names)) == before
    view.apply(px.interactive(lambda: globals().update(kept=1)))
    assert view["kept"] == [1] * 4


@pytest.mark.req(34)
def test_execute_on_a_slice(rc, view):
    view.push({"a": 5, "b": 10})
    rc[::2].execute("c=a+b", block=True)
    rc[1::2].execute("c=a-b", block=True)
    assert view["c"] == [15, -5, 15, -5]
    view.execute("c=0", targets=[0])
    assert view["c"] == [0, -5, 15, -5]


@pytest.mark.req(35)
def test_run_is_execute_of_a_file(view, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("def f():\n    return 42\nx = f()")
    view.run(script)
    assert view["x"] == [42] * 4


def test_execute_returns_an_async_result_in_both_modes(dview):
    for block in (False, True):
        ar = dview.execute("1 + 1", silent=False, block=block)
        assert isinstance(ar, px.AsyncResult)
        replies = ar.get()
        assert [reply.text for reply in replies] == ["2"] * 4
        assert str(replies[3]) == f"<ExecuteReply[{replies[3].execution_count}]: 2>"


def test_silent_code_is_not_counted(rc):
    before = rc[0].execute("1", silent=False).get().execution_count
    assert rc[0].execute("1").get().execution_count == before
    assert rc[0].execute("1", silent=False).get().execution_count == before + 1


def test_execute_of_code_that_awaits(rc):
    rc[0].execute("import asyncio\nx = await asyncio.sleep(0, 7)", block=True)
    assert rc[0]["x"] == 7


def test_ipython_syntax(rc):
    rc[0].execute("a = 3\n%who", block=True)
    ar = rc[0].execute("%who", block=True)
    assert "a" in ar.stdout.split()
    rc[0].execute("out = !echo hello", block=True)
    assert list(rc[0].apply_sync(px.interactive(lambda: list(out)))) == ["hello"]  # noqa: F821


@pytest.mark.req(38)
def test_imports_happen_where_the_function_runs(view):
    view.execute("import textwrap")
    assert view.apply(px.interactive(lambda: textwrap.dedent("  a"))) == ["a"] * 4  # noqa: F821


@pytest.mark.req(39)
def test_output_comes_with_the_metadata(dview):
    def say():
        import sys

        print("hello")
        print("oh", file=sys.stderr)
        return 1

    ar = dview.apply_async(say)
    assert ar.get() == [1] * 4
    assert ar.stdout == ["hello\n"] * 4
    assert ar.stderr == ["oh\n"] * 4


def test_output_of_a_failing_task_is_kept(rc):
    ar = rc[0].execute("print('before')\n1/0")
    with pytest.raises(px.RemoteError):
        ar.get()
    assert ar.stdout == "before\n"


def test_display_outputs(rc, capsys):
    ar = rc[1].execute("print('one')\n6 * 7", silent=False, block=True)
    ar.display_outputs()
    assert capsys.readouterr().out.startswith("one\nOut[1:")
    rc[[1]].execute("print('one')", block=True).display_outputs()
    assert capsys.readouterr().out == "[stdout:1] \none\n"


def test_metadata_tells_the_executed_code_and_its_value(rc):
    ar = rc[0, 1].execute("6 * 7", silent=False, block=True)
    assert ar.execute_input == ["6 * 7"] * 2
    assert [part.execute_input for part in ar.split()] == ["6 * 7"] * 2
    assert [sorted(each) for each in ar.execute_result] == [
        ["data", "execution_count", "metadata"]
    ] * 2
    assert rc[0].execute("6 * 7", block=True).execute_input is None


def test_times_are_those_of_the_local_zone(rc, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        submitted = rc[0].apply_async(abs, -1).submitted
    finally:
        monkeypatch.undo()
        time.tzset()
    assert submitted.utcoffset() == timedelta(hours=5, minutes=30)
    assert abs(submitted - datetime.now(UTC)) < timedelta(minutes=1)


def test_no_engines_is_an_error_of_its_own(rc):
    with pytest.raises(px.NoEnginesRegistered):
        px.DirectView(rc, []).apply_sync(lambda: 1)


def test_output_is_streamed_while_the_task_runs(rc, capsys, until):
    def talk(path):
        import os
        import time

        def wait_for(path):
            while not os.path.exists(path):
                time.sleep(0.01)

        # What is written before anybody follows it comes with the result, not live.
        wait_for(path + "-followed")
        print("first")
        wait_for(path)
        print("last", end="")

    path = rc[2].apply_sync(lambda: __import__("tempfile").mkdtemp()) + "/go"
    ar = rc[2].apply_async(talk, path)
    shown = []
    with ar.stream_output():
        open(path + "-followed", "w").close()
        until(
            lambda: shown.append(capsys.readouterr().out) or "".join(shown) == "[stdout:2] first\n"
        )
        assert not ar.ready()
        open(path, "w").close()
        ar.get()
    assert capsys.readouterr().out == "[stdout:2] last\n"
