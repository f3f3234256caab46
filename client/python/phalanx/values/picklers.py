"""Which pickler this process uses: its own rules, or another pickler for everything.

By default values are pickled by plain pickle where it can, and functions and classes of the session by
the rules of `functions`. `use_cloudpickle` and `use_dill` have that pickler do all of it, as a whole
process: globals of a function then go along as that pickler has it, and the engine's namespace is
not what the function sees. What it makes is read by plain pickle. Who may use it: everybody;
`view.use_dill()` switches the view's engines too.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

__all__ = ["use_cloudpickle", "use_dill", "use_pickle"]

Dump: TypeAlias = "Callable[[Any, Callable[[pickle.PickleBuffer], object] | None], bytes]"

_chosen: Dump | None = None


def chosen() -> Dump | None:
    """What pickles everything; `None` for our own rules.

    >>> chosen()
    """
    return _chosen


def use_pickle() -> None:
    """Goes back to our own rules, which is how every process begins.

    >>> use_pickle()
    """
    global _chosen
    _chosen = None


def use_cloudpickle() -> None:
    """Has cloudpickle pickle all that this process sends.

    >>> use_cloudpickle()
    >>> factor = 3
    >>> rc[0].apply_sync(lambda x: factor * x, 2)
    6
    >>> use_pickle()
    """
    global _chosen
    import cloudpickle  # noqa: F401 - here it is missed at once

    _chosen = by_cloudpickle


def use_dill() -> None:
    """Has dill pickle all that this process sends; the engines must have it too.

    >>> use_dill()
    >>> rc[0].apply_sync(lambda x: x + 1, 2)
    3
    >>> use_pickle()
    """
    global _chosen
    import dill

    # Of a function's globals only those that it uses go along, not all of its module.
    _chosen = _dump_with(partial(dill.Pickler, recurse=True))


def by_cloudpickle(value: Any, take: Callable[[pickle.PickleBuffer], object] | None) -> bytes:
    """The pickle of a value as cloudpickle makes it."""
    import cloudpickle

    return _dump_with(cloudpickle.Pickler)(value, take)


def _dump_with(pickler: Any) -> Dump:
    def dump(value: Any, take: Callable[[pickle.PickleBuffer], object] | None) -> bytes:
        with io.BytesIO() as file:
            pickler(file, protocol=5, buffer_callback=take).dump(value)
            return file.getvalue()

    return dump
