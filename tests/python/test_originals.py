"""Remote errors are caught as what they were, and keep what the original had."""

from __future__ import annotations

import json
import pickle

import pytest

import phalanx as px
from phalanx import error
from phalanx.failures import originals


class Rejected(Exception):
    """One whose constructor does not take its `args`."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


@px.interactive
def fail(kind, *args):
    raise kind(*args)


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        (ValueError, ("no", 5)),
        (KeyError, ("a",)),
        (ZeroDivisionError, ()),
        (FileNotFoundError, (2, "none", "here.txt")),
        (UnicodeDecodeError, ("utf-8", b"\xff", 0, 1, "bad")),
        (ImportError, ("no module",)),
        (json.JSONDecodeError, ("bad", "{", 0)),
        (ExceptionGroup, ("both", [ValueError(1), KeyError(2)])),
    ],
)
def test_it_is_caught_as_what_it_was(rc, kind, args):
    with pytest.raises(kind) as caught:
        rc[0].apply_sync(fail, kind, *args)
    e = caught.value
    here = kind(*args)
    assert isinstance(e, px.RemoteError)
    assert type(e).__name__ == "RemoteError"
    assert str(e.args) == str(here.args)
    assert (e.ename, e.evalue, e.engine_info["engine_id"]) == (kind.__name__, str(here), 0)
    assert str(e) == f"[0:apply] {error.describe(kind.__name__, str(here))}"
    assert type(e.__cause__) is kind
    assert str(e.__cause__) == str(here)
    for name in ("errno", "filename", "start", "lineno", "name", "doc"):
        assert getattr(e, name, None) == getattr(here, name, None)


def test_a_class_of_the_users_keeps_its_attributes(rc, lview):
    for view in (rc[1], lview):
        with pytest.raises(Rejected) as caught:
            view.apply_sync(fail, Rejected, 404, "gone")
        assert (caught.value.code, caught.value.reason) == (404, "gone")
        assert caught.value.args == ("404: gone",)

    class Local(ValueError):
        pass

    def raise_local():
        raise Local("here")

    with pytest.raises(Local, match="here"):
        rc[0].apply_sync(raise_local)


@pytest.mark.parametrize("kind", [TimeoutError, StopIteration, SyntaxError])
def test_what_the_client_raises_itself_is_only_the_cause(rc, kind):
    with pytest.raises(px.RemoteError) as caught:
        rc[0].apply_sync(fail, kind, "late")
    assert not isinstance(caught.value, kind)
    assert caught.value.ename == kind.__name__
    assert type(caught.value.__cause__) is kind


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_programs_is_text_only(rc, kind):
    with pytest.raises(px.RemoteError) as caught:
        rc[0].apply_sync(fail, kind, "stop")
    assert not isinstance(caught.value, kind)
    assert caught.value.__cause__ is None


def test_what_cannot_be_sent_is_still_caught_by_its_name(rc):
    def fail_with_a_lock():
        import threading

        raise ValueError(threading.Lock())

    with pytest.raises(ValueError, match="lock"):
        rc[0].apply_sync(fail_with_a_lock)

    def fail_with_much():
        raise KeyError("x" * 1_000_000)

    with pytest.raises(KeyError):
        rc[0].apply_sync(fail_with_much)

    def fail_strangely():
        class Strange(Exception):
            ename = property(lambda self: "mine")

        raise Strange("s")

    with pytest.raises(px.RemoteError, match="Strange: s"):
        rc[0].apply_sync(fail_strangely)


def test_several_of_one_class_are_caught_as_it(view):
    with pytest.raises(ZeroDivisionError) as caught:
        view.apply_sync(fail, ZeroDivisionError, "zero")
    e = caught.value
    assert isinstance(e, px.CompositeError)
    assert repr(e) == "CompositeError(4)"
    assert [type(one.__cause__) for one in e.originals] == [ZeroDivisionError] * 4
    with pytest.raises(ZeroDivisionError) as one:
        e.raise_exception(2)
    assert one.value.engine_info["engine_id"] == 2
    assert one.value.args == ("zero",)
    with pytest.raises(IndexError):
        e.raise_exception(4)
    with pytest.raises(ValueError, match="three"):
        view.map_sync(lambda x: int(x) if x != "3" else fail(ValueError, "three"), "1234")


def test_several_of_different_classes_are_one_composite_error(rc, view):
    view.scatter("kind", [ValueError, KeyError, ValueError, OSError], flatten=True)
    with pytest.raises(px.CompositeError) as caught:
        view.apply_sync(px.interactive(lambda: fail(kind, "k")))  # noqa: F821
    assert type(caught.value) is px.CompositeError
    with pytest.raises(KeyError):
        caught.value.raise_exception(1)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_exceptions_in_place_of_items_are_what_they_were(lview, chunksize):
    results = lview.map_sync(
        lambda x: 1 // x, [1, 0, 2], return_exceptions=True, chunksize=chunksize
    )
    assert isinstance(results[1], ZeroDivisionError)
    assert isinstance(results[1], px.RemoteError)
    assert results[1].args == ("integer division or modulo by zero",)


def test_errors_can_be_pickled(rc, view):
    for call in (rc[0].apply_sync, view.apply_sync):
        with pytest.raises(Rejected) as caught:
            call(fail, Rejected, 404, "gone")
        e = caught.value
        again = pickle.loads(pickle.dumps(e))
        assert isinstance(again, Rejected)
        assert (str(again), repr(again), again.args) == (str(e), repr(e), e.args)
        assert getattr(again, "elist", None) == getattr(e, "elist", None)
    plain = px.CompositeError("m", [("E", "no", "tb", {"engine_id": 1})])
    assert pickle.loads(pickle.dumps(plain)).elist == plain.elist


def test_wrapping_and_unwrapping():
    try:
        1 / 0
    except ZeroDivisionError:
        content = error.wrap_exception({"engine_id": 3, "method": "apply"})
    e = error.unwrap_exception(json.loads(json.dumps(content)))
    assert isinstance(e, ZeroDivisionError)
    assert str(e) == "[3:apply] ZeroDivisionError: division by zero"
    assert "1 / 0" in e.traceback
    with pytest.raises(RuntimeError, match="no exception"):
        error.wrap_exception()
    with pytest.raises(ZeroDivisionError) as caught:
        error.collect_exceptions([1, e, e], "both")
    assert repr(caught.value) == "CompositeError(2)"
    assert error.collect_exceptions([1, 2]) == [1, 2]


def test_bytes_that_are_no_exception_are_text_only():
    assert originals.unpack(b"nonsense") is None
    e = error.unwrap_exception({"ename": "Unheard", "evalue": "of"})
    assert type(e) is px.RemoteError
    assert error.AlreadyDisplayedError(e).original_error is e


def test_an_aborted_call_of_several_engines_is_caught_as_that(view):
    ar = view.apply_async(__import__("time").sleep, 60)
    ar.abort()
    with pytest.raises(px.TaskAborted):
        ar.get(timeout=30)
