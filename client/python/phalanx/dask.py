"""A scheduler for Dask's graphs: `dask.compute(..., scheduler=phalanx.dask.get)`.

A Dask graph is submitted as one graph of ours: the hub has each task run when what it needs is there, and
hands results from task to task; only values that were asked for come to the client. Functions go by value
with the globals they use, as Dask has it. Who may use it: Dask, and users that give it to Dask. It needs
Dask here and on the engines; `distributed` it does not need.

>>> import dask
>>> total = dask.delayed(sum)([dask.delayed(pow)(n, 2) for n in range(4)])
>>> total.compute(scheduler=get, view=rc.load_balanced_view())
14
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dask.config
import dask.local
from dask._task_spec import Alias, convert_legacy_graph
from dask.callbacks import Callback
from dask.core import flatten
from dask.order import order

from phalanx.cluster.bydefault import default_view
from phalanx.error import ImpossibleDependency, PhalanxError
from phalanx.values.packing import PrePickled

if TYPE_CHECKING:
    from phalanx.results.asyncresult import AsyncResult
    from phalanx.views.load_balanced import LoadBalancedView

__all__ = ["get"]

AHEAD = 2
"""Tasks under way for each engine where Dask drives: one runs, one is on its way."""


def get(
    dsk: Any,
    keys: Any,
    *,
    view: LoadBalancedView | None = None,
    num_workers: int | None = None,
    chunksize: int | None = None,
    **options: Any,
) -> Any:
    """Computes keys of a graph on the engines of `view`, by default of the default cluster.

    Where Dask has to know of each task, it drives, and values pass through this process: with its
    callbacks (its progress bar is one), with `num_workers` (how many tasks may be under way), `chunksize`
    (how many go in one message) or `rerun_exceptions_locally`.

    >>> get({"a": 1, "b": (abs, -2), "c": (pow, "b", 3)}, ["a", "c"], view=rc.load_balanced_view())
    (1, 8)
    """
    view = view or default_view()
    options.pop("pool", None)
    wishes = [num_workers, chunksize, *options.values(), *Callback.active]
    if any(wishes) or dask.config.get("rerun_exceptions_locally", False):
        return _driven_by_dask(view, dsk, keys, num_workers, chunksize, options)
    tasks = dsk if isinstance(dsk, Mapping) else dsk.__dask_graph__()
    return _as_one_graph(view, convert_legacy_graph(tasks), keys)


def _as_one_graph(view: LoadBalancedView, dsk: Mapping[Any, Any], keys: Any) -> Any:
    """Submits what the keys need as one graph, and fetches the keys alone."""
    wanted = list(flatten([keys]))
    needed = _needed(dsk, wanted)
    graph = view.graph()
    nodes: dict[Any, Any] = {}
    for key in sorted(needed, key=order(needed).__getitem__):
        task = needed[key]
        names = list(task.dependencies)
        if isinstance(task, Alias) and len(names) == 1:
            nodes[key] = nodes[names[0]]
            continue
        given = [nodes[name] for name in names]
        nodes[key] = graph.apply(computed, PrePickled.by_value(task), names, *given)
    asked_for = {id(nodes[key]) for key in wanted}
    for node in nodes.values():
        if id(node) not in asked_for:
            node.stay()
    results = graph.submit()
    try:
        values = {key: nodes[key].result.get() for key in wanted}
    except PhalanxError as failure:
        raise _cause(results, failure) from None
    finally:
        view.client.abort([result for result in results if not result.ready()])
    return dask.local.nested_get(keys, values)


def _needed(dsk: Mapping[Any, Any], wanted: list[Any]) -> dict[Any, Any]:
    """The part of a graph that these keys need."""
    found: dict[Any, Any] = {}
    left = list(wanted)
    while left:
        key = left.pop()
        if key not in found:
            found[key] = dsk[key]
            left += dsk[key].dependencies
    return found


def computed(task: Callable[[dict[Any, Any]], Any], names: list[Any], *values: Any) -> Any:
    """What a task of Dask makes of the values of these names; on an engine.

    >>> computed(lambda values: values["a"] + 1, ["a"], 1)
    2
    """
    return task(dict(zip(names, values, strict=True)))


def _cause(results: list[AsyncResult], failure: PhalanxError) -> BaseException:
    """What a task of the graph has raised, if that is why others have failed."""
    if not isinstance(failure, ImpossibleDependency):
        return failure
    failed = (result for result in results if result.ready() and not result.successful())
    raised = (result.exception() for result in failed)
    causes = (each for each in raised if each and not isinstance(each, ImpossibleDependency))
    return next(causes, failure)


def _driven_by_dask(
    view: LoadBalancedView,
    dsk: Any,
    keys: Any,
    num_workers: int | None,
    chunksize: int | None,
    options: dict[str, Any],
) -> Any:
    """Has Dask submit each task when it is ready, and take its value."""
    return dask.local.get_async(
        view.apply_async,
        num_workers or AHEAD * max(1, len(view)),
        dsk,
        keys,
        get_id=os.getpid,
        dumps=PrePickled.by_value,
        loads=as_it_is,
        pack_exception=pack_exception,
        raise_exception=raise_exception,
        chunksize=chunksize,
        **options,
    )


def as_it_is(value: Any) -> Any:
    """The value: it has been unpickled on its way already.

    >>> as_it_is(1)
    1
    """
    return value


def pack_exception(exception: BaseException, dumps: Callable[[Any], Any]) -> Any:
    """What goes back for a task that has failed: the error as `RemoteError` that is the original too."""
    from phalanx.engine.rendering import render, text_of
    from phalanx.failures import originals
    from phalanx.failures.exceptions import remote_error

    name = type(exception).__name__
    packed = originals.pack(exception)
    info = {"engine_id": None, "method": "dask"}
    return remote_error(name, text_of(exception), render(exception), info, packed), None


def raise_exception(exception: BaseException, _: Any = None) -> None:
    """Raises what a task has raised.

    >>> raise_exception(ValueError("no"))
    Traceback (most recent call last):
    ...
    ValueError: no
    """
    raise exception
