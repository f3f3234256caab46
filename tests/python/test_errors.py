"""Errors: what they are, what they say, how they print."""

from __future__ import annotations

import pickle
import re
import traceback

import pytest

import phalanx as px
from phalanx import error
from phalanx.failures.exceptions import composite_error
from phalanx.failures.outcomes import from_outcome


@px.interactive
def divide(a, b):
    return a / b


@pytest.mark.req(101)
def test_several_engines_raise_one_composite_error(view):
    with pytest.raises(px.CompositeError) as caught:
        view.apply(divide, 1, 0)
    e = caught.value
    assert e.args[0] == e.msg == e.message == "one or more exceptions raised in: divide"
    assert [(en, ev) for en, ev, _, _ in e.elist] == [("ZeroDivisionError", "division by zero")] * 4
    assert [info["engine_id"] for *_, info in e.elist] == [0, 1, 2, 3]
    assert str(e).splitlines()[1] == "[0:apply]ZeroDivisionError: division by zero"


@pytest.mark.req(101)
def test_only_some_of_them(rc, view):
    view.scatter("rank", range(4), flatten=True)
    with pytest.raises(px.CompositeError) as caught:
        view.apply(px.interactive(lambda: 1 / (rank % 2)))  # noqa: F821
    assert [info["engine_id"] for *_, info in caught.value.elist] == [0, 2]


@pytest.mark.req(102)
def test_it_prints_each_engines_traceback(view, capsys):
    with pytest.raises(px.CompositeError) as caught:
        view.apply(divide, 1, 0)
    caught.value.print_traceback(2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[2:apply]:"
    assert lines[1] == "-" * 75
    assert lines[2] == "ZeroDivisionError                         Traceback (most recent call last)"
    assert lines[3].endswith("in divide(a, b)")
    assert any(line.startswith("---> ") and line.endswith("return a / b") for line in lines)
    assert lines[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.req(103, 113)
def test_the_limit_can_be_set():
    entries = [
        ("ValueError", str(i), f"tb {i}", {"engine_id": i, "method": "apply"}) for i in range(100)
    ]
    e = px.CompositeError("many", entries)
    assert px.CompositeError.tb_limit == 4
    assert str(e).splitlines()[-1] == f".... {len(e.elist) - 4} more exceptions ..."
    assert e.render_traceback()[-1] == "... 96 more exceptions ..."
    assert len(str(e).splitlines()) == 6
    e.tb_limit = 1
    assert e.render_traceback() == ["[0:apply]:", "tb 0", "", "... 99 more exceptions ..."]


@pytest.mark.req(104, 106)
def test_one_of_them_can_be_raised():
    entries = [("ValueError", str(i), "", {"engine_id": i, "method": "apply"}) for i in range(2)]
    e = px.CompositeError("two", entries)
    with pytest.raises(px.RemoteError, match=r"^\[1:apply\] ValueError: 1"):
        e.raise_exception(1)
    with pytest.raises(IndexError):
        e.raise_exception(2)
    with pytest.raises(IndexError):
        e.print_traceback(5)


@pytest.mark.req(105)
def test_repr():
    assert repr(px.CompositeError("m", [("E", "", "", {})] * 4)) == "CompositeError(4)"


@pytest.mark.req(108)
def test_one_engine_raises_a_remote_error(rc, capsys):
    with pytest.raises(px.RemoteError) as caught:
        rc[3].apply_sync(divide, 1, 0)
    e = caught.value
    assert str(e) == "[3:apply] ZeroDivisionError: division by zero"
    assert repr(e) == "<RemoteError[3]:ZeroDivisionError(division by zero)>"
    assert e.engine_info["method"] == "apply"
    e.print_traceback()
    assert capsys.readouterr().out.splitlines()[0] == "[3:apply]"
    assert e._render_traceback_() == e.render_traceback()


def test_an_uncaught_error_shows_the_remote_traceback(rc):
    try:
        rc[0].apply_sync(divide, 1, 0)
    except px.RemoteError as e:
        text = "".join(traceback.format_exception(e))
    assert "in divide(a, b)" in text
    assert "return a / b" in text


def test_causes_are_shown(rc):
    def f():
        try:
            {}["key"]
        except KeyError as e:
            raise ValueError("outer") from e

    with pytest.raises(px.RemoteError) as caught:
        rc[0].apply_sync(f)
    text = caught.value.traceback
    places = [
        text.index(part)
        for part in ("KeyError: 'key'", "was the direct cause", "ValueError: outer")
    ]
    assert places == sorted(places)


def test_errors_that_are_hard_to_render(rc):
    def recursive(n):
        return recursive(n + 1)

    with pytest.raises(px.RemoteError, match="RecursionError") as caught:
        rc[0].apply_sync(recursive, 0)
    assert "frames left out" in caught.value.traceback
    assert len(caught.value.traceback) < 100_000

    def awkward():
        class Awkward(Exception):
            def __str__(self):
                raise RuntimeError("not even this")

            def __reduce__(self):
                raise RuntimeError("nor this")

        raise Awkward

    with pytest.raises(px.RemoteError, match="Awkward"):
        rc[0].apply_sync(awkward)

    def exits():
        raise SystemExit(3)

    with pytest.raises(px.RemoteError, match="SystemExit: 3"):
        rc[0].apply_sync(exits)
    with pytest.raises(px.RemoteError, match="ValueError") as caught:
        rc[0].apply_sync(lambda: int("x" * 1_000_000))
    assert len(pickle.dumps(caught.value)) < 4_000_000


def test_syntax_errors(rc):
    with pytest.raises(px.RemoteError) as caught:
        rc[0].execute("a = = 1", block=True)
    assert caught.value.ename == "SyntaxError"
    shown = caught.value.traceback.splitlines()
    assert shown[0].startswith("  Cell In[")
    assert shown[0].endswith("], line 1")
    assert shown[1:] == ["    a = = 1", "        ^", "SyntaxError: invalid syntax"]


SHOWN = """\
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)
Cell In[N], line 5, in Ratio.of(self, x, *more)
      3 def of(self, x, *more):
      4     try:
----> 5         return x / 0
      6     except ZeroDivisionError:
      7         assert not x

ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

AssertionError                            Traceback (most recent call last)
Cell In[N], line 9
      6         except ZeroDivisionError:
      7             assert not x
      8|
----> 9 Ratio().of(1)

Cell In[N], line 7, in Ratio.of(self, x, *more)
      5     return x / 0
      6 except ZeroDivisionError:
----> 7     assert not x

AssertionError:|
"""
"""A bar stands for the blank that ends a line."""

EXECUTED = """\

class Ratio:
    def of(self, x, *more):
        try:
            return x / 0
        except ZeroDivisionError:
            assert not x

Ratio().of(1)
"""


def test_tracebacks_of_executed_code_are_laid_out_as_ipython_does(rc):
    with pytest.raises(px.RemoteError) as caught:
        rc[0].execute(EXECUTED, block=True)
    shown = re.sub(r"In\[\d+\]", "In[N]", caught.value.traceback)
    assert shown + "\n" == SHOWN.replace("|", " ")
    assert str(caught.value) == "[0:execute] AssertionError: "


def test_executed_code_is_called_by_the_number_that_it_has(rc):
    number = rc[0].execute("1", silent=False, block=True).get().execution_count
    with pytest.raises(px.RemoteError) as silent:
        rc[0].execute("1 / 0", block=True)
    assert f"\nCell In[{number + 1}], line 1\n----> 1 1 / 0\n" in silent.value.traceback
    with pytest.raises(px.RemoteError) as heard:
        rc[0].execute("1 / 0", silent=False, block=True).get()
    assert f"\nCell In[{number + 1}], line 1\n----> 1 1 / 0\n" in heard.value.traceback


@px.require("a_module_that_nobody_has")
def needs_a_module():
    return 1


def test_an_unmet_dependency_has_the_name_of_a_remote_error(rc):
    with pytest.raises(error.UnmetDependency) as caught:
        rc[0].apply_sync(needs_a_module)
    assert type(caught.value).__name__ == "RemoteError"
    assert type(pickle.loads(pickle.dumps(caught.value))).__name__ == "RemoteError"


def test_lines_of_executed_code(rc):
    with pytest.raises(px.RemoteError) as caught:
        rc[0].execute("def f(x):\n    y = x\n    return y / 0\n\nf(1)", block=True)
    text = caught.value.traceback
    assert "----> 5 f(1)" in text
    assert "----> 3     return y / 0" in text
    assert "in f(x)" in text


@pytest.mark.req(109)
def test_names_and_their_order():
    assert error.AbortedTask is px.TaskAborted
    assert error.UnmetDependencyError is px.UnmetDependency
    assert error.TimeoutError is TimeoutError
    assert issubclass(px.DependencyTimeout, px.TaskTimeout)
    assert issubclass(px.DependencyTimeout, px.ImpossibleDependency)
    assert issubclass(px.ImpossibleDependency, px.UnmetDependency)
    assert issubclass(px.CompositeError, px.RemoteError)
    for name in error.__all__:
        thing = getattr(error, name)
        if isinstance(thing, type) and thing is not TimeoutError:
            assert issubclass(thing, px.PhalanxError)


@pytest.mark.parametrize(
    ("outcome", "kind", "said"),
    [
        (
            ("failed", "ValueError", "no", "", 2, "python.apply"),
            px.RemoteError,
            "[2:apply] ValueError: no",
        ),
        (("failed", "X", "", "", None, "count"), px.RemoteError, "[?:count] X"),
        (("aborted",), px.TaskAborted, "task c1/2 was aborted"),
        (
            ("engine_lost", 3, "killed by SIGKILL"),
            px.EngineError,
            "engine 3 died while running task c1/2",
        ),
        (
            ("poison", [(0, "SIGSEGV"), (1, "SIGSEGV")]),
            px.PoisonTask,
            "engine 0: SIGSEGV; engine 1",
        ),
        (("dependency_failed", "it depends", None, None), px.ImpossibleDependency, "it depends"),
        (("dependency_timeout",), px.DependencyTimeout, "were not met in time"),
        (("rejected", "InvalidDependency", "unknown"), px.InvalidDependency, "unknown"),
        (("rejected", "NoSuchMethod", "nobody"), px.NoEnginesRegistered, "nobody"),
        (("rejected", "TooLarge", "big"), px.TaskRejectError, "big"),
        (("forgotten",), px.HubForgot, "c1/2"),
        (("disconnected", "closed"), px.Disconnected, "closed"),
        (("something new",), px.KernelError, "something new"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_every_outcome_has_its_exception(outcome, kind, said):
    e = from_outcome(outcome, "c1/2")
    assert isinstance(e, kind)
    assert kind.__name__ in {type(e).__name__, getattr(e, "ename", None)}
    assert said in str(e)


@pytest.mark.parametrize(
    "outcome",
    [
        ("engine_lost", 3, "killed by SIGKILL"),
        ("poison", [(0, "SIGSEGV"), (1, "SIGSEGV")]),
        ("dependency_failed", "it depends", None, None),
        ("dependency_timeout",),
        ("rejected", "InvalidDependency", "unknown"),
    ],
    ids=lambda outcome: outcome[0],
)
def test_what_the_hub_tells_of_a_task_is_a_remote_error_too(outcome, capsys):
    e = from_outcome(outcome, "c1/2", "f")
    assert isinstance(e, px.RemoteError)
    assert e.__cause__ is None
    assert issubclass(getattr(px, e.ename), px.KernelError)
    assert isinstance(e, getattr(px, e.ename))
    assert str(e).endswith(f"{e.ename}: {e.evalue}")
    e.print_traceback()
    assert e.evalue in capsys.readouterr().out
    back = pickle.loads(pickle.dumps(e))
    assert (str(back), type(back).__mro__[1:]) == (str(e), type(e).__mro__[1:])
    both = composite_error("two", [(e, {"engine_id": 1, "method": "f"})] * 2)
    assert isinstance(both, getattr(px, e.ename))
    assert [entry[0] for entry in both.elist] == [e.ename] * 2


def test_errors_can_be_pickled():
    entry = ("ValueError", "1", "tb", {"engine_id": 1, "method": "apply"})
    for e in (px.RemoteError(*entry), px.CompositeError("m", [entry]), px.TaskAborted("a")):
        back = pickle.loads(pickle.dumps(e))
        assert (type(back), str(back)) == (type(e), str(e))


def test_nested_composite_errors_are_flattened():
    entry = ("ValueError", "1", "tb", {"engine_id": 1, "method": "apply"})
    inner = px.CompositeError("inner", [entry, entry])
    with pytest.raises(px.CompositeError) as caught:
        error.collect_exceptions([1, inner, px.RemoteError(*entry)], "f")
    assert len(caught.value.elist) == 3
    assert str(error.AlreadyDisplayedError(caught.value)) == "3 errors"
