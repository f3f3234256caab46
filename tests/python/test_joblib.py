"""Phalanx under joblib, scikit-learn and Dask."""

from __future__ import annotations

import os
import time

import dask
import dask.callbacks
import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

import phalanx as px
from phalanx import dask as px_dask
from phalanx.cluster import bydefault
from phalanx.joblib import PhalanxBackend

FACTOR = 3


def scaled(x):
    return FACTOR * x


def pid(_=None):
    import os

    return os.getpid()


def in_turn(x):
    if x == 3:
        raise KeyError("three")
    return x


@pytest.fixture
def backend(rc, cluster, monkeypatch):
    """Registered on the shared cluster."""
    rc.load_balanced_view().register_joblib_backend()
    with parallel_config(backend="phalanx"):
        yield


@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
@pytest.mark.timeout(170)
def test_results_in_every_form(backend, return_as):
    results = Parallel(return_as=return_as)(delayed(scaled)(n) for n in range(300))
    assert sorted(results) == [3 * n for n in range(300)]


def test_a_view_is_named_where_the_backend_is_chosen(rc):
    px.register_joblib_backend()
    with parallel_config(backend="phalanx", view=rc.load_balanced_view([1, 2])):
        used = set(Parallel()(delayed(os.getpid)() for _ in range(40)))
    assert used <= set(rc[1, 2].apply_sync(os.getpid))


def test_it_runs_on_engines_and_batches_small_calls(rc, backend):
    before = len(rc.history)
    pids = Parallel()(delayed(pid)() for _ in range(2000))
    assert set(pids) <= set(rc[:].apply_sync(pid))
    assert len(rc.history) - before < 1000


def test_the_number_of_jobs_limits_the_engines(rc, backend):
    assert joblib.effective_n_jobs(-1) == 4
    assert joblib.effective_n_jobs(-2) == 3
    assert joblib.effective_n_jobs(99) == 4
    assert len(set(Parallel(n_jobs=2)(delayed(pid)() for _ in range(50)))) <= 2
    with pytest.raises(ValueError, match="n_jobs"):
        Parallel(n_jobs=0)(delayed(pid)() for _ in range(2))


def test_errors_are_what_they_were_and_end_the_rest(rc, backend):
    with pytest.raises(KeyError) as caught:
        Parallel()(delayed(in_turn)(n) for n in range(100))
    assert isinstance(caught.value, px.RemoteError)
    assert Parallel()(delayed(abs)(-n) for n in range(3)) == [0, 1, 2]


def test_a_timeout(rc, backend, until):
    with pytest.raises((TimeoutError, joblib.parallel.TimeoutError)):
        Parallel(timeout=0.2)(delayed(time.sleep)(60) for _ in range(2))
    until(lambda: not rc.outstanding)


def test_nested_calls_do_not_hang(backend):
    def outer(n):
        return sum(Parallel(n_jobs=2)(delayed(abs)(-i) for i in range(n)))

    assert Parallel()(delayed(outer)(n) for n in (2, 3)) == [1, 3]


def test_arrays_travel_beside_the_pickle(backend):
    data = np.arange(300_000.0)
    sums = Parallel()(delayed(np.sum)(data * n) for n in range(4))
    assert sums == [n * data.sum() for n in range(4)]


def test_both_names_and_the_default(rc, monkeypatch):
    monkeypatch.setattr(bydefault, "_client", rc)
    monkeypatch.setattr(bydefault, "_pid", __import__("os").getpid())
    px.register_joblib_backend()
    for name in ("phalanx", "ipyparallel"):
        assert Parallel(n_jobs=2, backend=name)(delayed(scaled)(n) for n in range(3)) == [0, 3, 6]
    monkeypatch.setattr(joblib.parallel, "DEFAULT_BACKEND", "loky")
    px.register_joblib_backend("mine", make_default=True)
    assert joblib.parallel.DEFAULT_BACKEND == "mine"
    assert isinstance(joblib.parallel.BACKENDS["mine"](), PhalanxBackend)


def test_the_default_cluster_is_the_one_that_runs(rc, monkeypatch):
    monkeypatch.setattr(bydefault, "_client", None)
    view = bydefault.default_view()
    assert set(view.map_sync(pid, range(20))) <= set(rc[:].apply_sync(pid))
    assert bydefault.default_client() is view.client
    view.client.close()


@pytest.mark.timeout(170)
def test_grid_search_of_scikit_learn(backend):
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    x, y = load_iris(return_X_y=True)
    search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [0.1, 1]}, cv=3, n_jobs=-1)
    search.fit(x, y)
    with parallel_config(backend="sequential"):
        serial = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [0.1, 1]}, cv=3).fit(x, y)
    assert search.best_params_ == serial.best_params_
    assert search.best_score_ == serial.best_score_


# ------------------------------------------------------------------ Dask


def test_dask_computes_on_engines(rc, lview):
    parts = [dask.delayed(scaled)(n) for n in range(20)]
    total = dask.delayed(sum)(parts)
    assert total.compute(scheduler=px_dask.get, view=lview) == 3 * sum(range(20))
    pids = dask.compute(
        *[dask.delayed(pid)() for _ in range(20)], scheduler=px_dask.get, view=lview
    )
    assert set(pids) <= set(rc[:].apply_sync(pid))


def test_dask_graphs_of_arrays(lview):
    da = pytest.importorskip("dask.array")
    x = da.arange(100_000, chunks=10_000)
    with dask.config.set(scheduler=px_dask.get):
        assert (x**2).sum().compute(view=lview) == sum(n * n for n in range(100_000))


def test_dask_errors_and_executors(lview):
    with pytest.raises(KeyError) as caught:
        dask.delayed(in_turn)(3).compute(scheduler=px_dask.get, view=lview)
    assert isinstance(caught.value, px.RemoteError)
    assert "in_turn" in caught.value.traceback
    assert dask.delayed(abs)(-5).compute(scheduler=lview.executor) == 5


class Traveller:
    """Knows the processes in which it was unpickled."""

    def __init__(self):
        self.seen = []

    def __getstate__(self):
        return self.seen

    def __setstate__(self, seen):
        self.seen = [*seen, pid()]


def same(traveller):
    return traveller


def seen_by(traveller):
    return traveller.seen


def test_values_go_from_task_to_task_of_a_dask_graph_and_not_through_the_client(rc, lview):
    traveller = dask.delayed(Traveller)()
    for _ in range(3):
        traveller = dask.delayed(same)(traveller)
    seen = dask.delayed(seen_by)(traveller)
    engines = set(rc[:].apply_sync(pid))
    before = len(rc.history)
    pids = seen.compute(scheduler=px_dask.get, view=lview)
    assert len(pids) == 4
    assert set(pids) <= engines
    assert len(rc.history) - before == 5
    # Nor do bytes of it come here: only what was asked for does.
    for name in rc.history[before:-1]:
        with pytest.raises(px.ResultError, match="stays in the cluster"):
            rc.get_result(name).get(10)
    # Where Dask drives, each value comes back and goes out again.
    pids = seen.compute(scheduler=px_dask.get, view=lview, num_workers=2)
    assert pids.count(pid()) == 4


def test_dask_sees_each_task_where_it_has_to(lview):
    ended = []

    class Ended(dask.callbacks.Callback):
        def _posttask(self, key, result, dsk, state, worker_id):
            ended.append(result)

    with Ended():
        total = dask.delayed(sum)([dask.delayed(abs)(-n) for n in range(4)])
        assert total.compute(scheduler=px_dask.get, view=lview) == 6
    assert sorted(ended) == [0, 1, 2, 3, 6]


def test_a_dask_graph_runs_what_is_asked_for_and_raises_what_its_task_raised(rc, lview):
    graph = {"a": 1, "b": (in_turn, 3), "c": (abs, "b"), "d": (scaled, "a"), "same": "d"}
    before = len(rc.history)
    assert px_dask.get(graph, [["same"], "d"], view=lview) == ((3,), 3)
    assert len(rc.history) - before == 2  # "a" and "d"
    with pytest.raises(KeyError, match="three"):
        px_dask.get(graph, "c", view=lview)
    assert not rc.outstanding


@pytest.mark.timeout(170)
def test_engines_become_workers_of_dask_and_stop(rc, capfd):
    pytest.importorskip("distributed")
    client = rc.become_dask([0, 1, 2])
    try:
        assert client.scheduler.address.startswith("tls://127.0.0.1")
        assert set(client.run(pid).values()) == set(rc[0, 1, 2].apply_sync(pid))
        assert client.gather(client.map(scaled, range(5))) == [0, 3, 6, 9, 12]
        # Engines take our tasks all the same.
        assert rc[:].apply_sync(abs, -1) == [1] * 4
        rc.stop_dask([0])
        assert len(rc.become_dask([1, 2, 3]).scheduler_info()["workers"]) == 3
    finally:
        rc.stop_dask()
    assert (
        rc[:].apply_sync(
            lambda: __import__("phalanx.client.dask_workers").client.dask_workers._running is None
        )
        == [True] * 4
    )
    rc.stop_dask()
    assert "INFO" not in capfd.readouterr().err
    with pytest.raises(NotImplementedError, match="nanny"):
        rc.become_dask(nanny=True)
