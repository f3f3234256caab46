"""A scheduler for Dask's graphs: `dask.compute(..., scheduler=phalanx.dask.get)`.

Each task of a graph that is ready goes to an engine as a task; what it needs goes along, large buffers out
of band. Functions go by value with the globals they use, as Dask has it. Who may use it: Dask, and users
that give it to Dask. It needs Dask here and on the engines; `distributed` it does not need.

>>> import dask
>>> total = dask.delayed(sum)([dask.delayed(pow)(n, 2) for n in range(4)])
>>> total.compute(scheduler=get, view=rc.load_balanced_view())
14
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dask.local

from phalanx.cluster.bydefault import default_view
from phalanx.values.packing import PrePickled

if TYPE_CHECKING:
    from phalanx.views.load_balanced import LoadBalancedView

__all__ = ["get"]

AHEAD = 2
"""Tasks under way for each engine: one runs, one is on its way."""


def get(
    dsk: Mapping[Any, Any],
    keys: Any,
    *,
    view: LoadBalancedView | None = None,
    num_workers: int | None = None,
    chunksize: int | None = None,
    **options: Any,
) -> Any:
    """Computes keys of a graph on the engines of `view`, by default of the default cluster.

    `num_workers` is how many tasks may be under way (default: two for each engine), `chunksize` how
    many go in one message. Dask's callbacks, such as its progress bar, work.

    >>> get({"a": 1, "b": (abs, -2), "c": (pow, "b", 3)}, ["a", "c"], view=rc.load_balanced_view())
    (1, 8)
    """
    view = view or default_view()
    options.pop("pool", None)
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
