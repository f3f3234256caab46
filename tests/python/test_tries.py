"""What is tried again on another engine: after errors if asked for, after refusals always; run limits."""

from __future__ import annotations

import pytest

import phalanx as px


@px.interactive
def where():
    import os

    return os.getpid()


@px.interactive
def flaky(path, times, kind="ValueError"):
    """Raises as long as it was called less often than that."""
    import builtins

    with open(path, "a") as file:
        file.write("x")
    with open(path) as file:
        calls = len(file.read())
    if calls <= times:
        raise getattr(builtins, kind)(f"call {calls}")
    return calls


@px.interactive
def fail():
    raise ValueError("no")


@px.interactive
def endless():
    while True:
        pass


def test_a_task_that_raises_is_tried_on_other_engines(lview, tmp_path):
    with lview.temp_flags(retries=3):
        ar = lview.apply_async(flaky, str(tmp_path / "calls"), 3)
    assert ar.get() == 4
    assert ar.attempts == 4
    assert len({*ar.tried, ar.engine_id}) == 4


def test_without_retries_one_error_is_enough(lview, tmp_path):
    ar = lview.apply_async(flaky, str(tmp_path / "calls"), 1)
    with pytest.raises(px.RemoteError):
        ar.get()
    assert (ar.attempts, ar.tried) == (1, [])


def test_a_task_that_fails_everywhere_ends_with_its_last_error(lview, tmp_path):
    with lview.temp_flags(retries=9), pytest.raises(px.RemoteError, match="call 10"):
        lview.apply_sync(flaky, str(tmp_path / "calls"), 100)


def test_only_the_errors_named_are_retried_derived_ones_too(lview, tmp_path):
    with lview.temp_flags(retries=2, retry_on=OSError):
        first = lview.apply_async(flaky, str(tmp_path / "first"), 1, "ConnectionResetError")
        second = lview.apply_async(flaky, str(tmp_path / "second"), 1, "ValueError")
    assert first.get() == 2
    with pytest.raises(px.RemoteError, match="call 1"):
        second.get()


def test_retries_pause_if_asked_to(lview, tmp_path):
    with lview.temp_flags(retries=2, retry_backoff=0.1):
        ar = lview.apply_async(flaky, str(tmp_path / "calls"), 2)
    assert ar.get() == 3
    assert (ar.started - ar.submitted).total_seconds() >= 0.3


def test_a_retried_task_of_a_map_keeps_its_place(lview, tmp_path):
    paths = [str(tmp_path / name) for name in "abc"]
    with lview.temp_flags(retries=2):
        assert lview.map_sync(flaky, paths, [0, 1, 2]) == [1, 2, 3]


def test_flags_are_checked(lview):
    for flag, value in (("retries", 1.5), ("retries", True), ("retry_on", 3), ("run_limit", "s")):
        with pytest.raises(TypeError):
            lview.set_flags(**{flag: value})
    for flag in ("retries", "retry_backoff", "run_limit"):
        with pytest.raises(ValueError, match="at least 0"):
            lview.set_flags(**{flag: -1})


@pytest.mark.req(90)
def test_an_unmet_condition_sends_the_task_to_another_engine(rc, lview):
    chosen = rc[2].apply_sync(where)

    @px.depend(lambda pid: where_am_i() == pid, chosen)  # noqa: F821
    def f():
        return where_am_i()  # noqa: F821

    rc[:].push({"where_am_i": where}, block=True)
    results = [lview.apply_async(px.interactive(f)) for _ in range(4)]
    assert [ar.get() for ar in results] == [chosen] * 4
    assert {ar.engine_id for ar in results} == {2}


@pytest.mark.req(90)
def test_a_condition_that_holds_nowhere_is_an_unmet_dependency(lview):
    @px.depend(lambda: False)
    def f():
        return 1

    ar = lview.apply_async(f)
    with pytest.raises(px.UnmetDependency):
        ar.get()
    assert ar.attempts == 4
    assert len({*ar.tried, ar.engine_id}) == 4


@pytest.mark.req(90)
def test_a_direct_task_whose_condition_does_not_hold_fails_there(rc):
    @px.depend(lambda: False)
    def f():
        return 1

    with pytest.raises(px.UnmetDependency):
        rc[0].apply_sync(f)


def test_a_missing_module_is_a_reason_to_go_elsewhere(lview):
    @px.require("no_such_module_anywhere")
    def f():
        return 1

    ar = lview.apply_async(f)
    with pytest.raises(px.UnmetDependency, match="no_such_module_anywhere"):
        ar.get()
    assert ar.attempts == 4


def test_a_task_may_reject_itself(rc, lview):
    @px.interactive
    def picky(pid):
        import os

        import phalanx

        if os.getpid() != pid:
            raise phalanx.error.TaskRejectError("not on this engine")
        return pid

    chosen = rc[3].apply_sync(where)
    assert lview.apply_sync(picky, chosen) == chosen
    with pytest.raises(px.error.TaskRejectError, match="not on this engine"):
        lview.apply_sync(picky, -1)


def test_dependents_of_a_retried_task_wait_for_its_end(lview, tmp_path):
    with lview.temp_flags(retries=3, retry_backoff=0.05):
        first = lview.apply_async(flaky, str(tmp_path / "calls"), 2)
    with lview.temp_flags(after=first):
        second = lview.apply_async(where)
    second.get()
    assert first.get() == 3
    assert second.started >= first.completed


def test_a_task_over_its_run_limit_is_interrupted_and_says_so(lview):
    with lview.temp_flags(run_limit=0.2):
        ar = lview.apply_async(endless)
    with pytest.raises(px.RemoteError, match=r"TimeLimitExceeded.*limit of 200ms"):
        ar.get()
    assert lview.apply_sync(abs, -1) == 1


def test_a_task_within_its_run_limit_is_left_alone(lview):
    with lview.temp_flags(run_limit=20):
        assert lview.apply_sync(abs, -3) == 3


def test_a_retry_is_aborted_while_it_pauses(lview, tmp_path):
    with lview.temp_flags(retries=5, retry_backoff=60):
        ar = lview.apply_async(fail)
    ar.abort()
    with pytest.raises(px.PhalanxError):
        ar.get(timeout=20)
