"""`can` and `uncan`: objects in a form that plain pickle can send, and rules of your own for your types.

`can_map` and `uncan_map` are ipyparallel's way to add types: `can_map[Kind] = lambda obj: canned` on the side
that sends, `uncan_map[type(canned)] = lambda canned, g: obj` on the side that receives (`g` is the
namespace). A canned object with a method `get_object(g)` needs no entry there. They hold for objects
anywhere in arguments and results. Who may use it: everybody; `packing` looks here when there are rules.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

from phalanx.values import reference

__all__ = ["CannedObject", "can", "can_map", "uncan", "uncan_map"]

can_map: dict[type | str, Callable[[Any], Any]] = {}
"""What makes of an object of that type (itself, or its dotted name) one that can be sent."""

uncan_map: dict[type | str, Callable[[Any, Any], Any]] = {}
"""What makes the object again, of the canned one and the namespace."""

ITEMS_MAX = 64
"""Containers with more items are not looked through by `can`; they are pickled as a whole."""


class CannedObject:
    """An object as bytes. Subclasses may hold what they like, if `get_object` gives the object again.

    >>> CannedObject([1, 2]).get_object({})
    [1, 2]
    """

    def __init__(self, obj: Any) -> None:
        from phalanx.values.packing import dumps  # which needs this module

        self.data = dumps(obj)

    def get_object(self, g: dict[str, Any] | None = None) -> Any:
        """The object; functions and references in it see the namespace `g`."""
        with reference.namespace_is(g):
            return pickle.loads(self.data)


def can(obj: Any) -> Any:
    """The object in a form that plain pickle can send; itself if that is already so.

    >>> can(5), type(can(lambda: 1)).__name__
    (5, 'CannedObject')
    >>> uncan(can([lambda x: x + 1, "a"]))[0](1)
    2
    """
    if can_map:
        rule = _rule(can_map, obj)
        if rule is not None:
            return rule(obj)
    kind = type(obj)
    if kind in (list, tuple) and len(obj) < ITEMS_MAX:
        return kind(map(can, obj))
    if kind is dict and len(obj) < ITEMS_MAX:
        return {key: can(value) for key, value in obj.items()}
    if isinstance(obj, (FunctionType, partial, reference.Reference)):
        return CannedObject(obj)
    if isinstance(obj, type) and obj.__module__ == "__main__":
        return CannedObject(obj)
    return obj


def uncan(obj: Any, g: dict[str, Any] | None = None) -> Any:
    """The object that `can` was given. With a namespace `g`, functions and references see that one.

    >>> uncan(can(px.Reference("a + 1")), {"a": 1})
    2
    """
    rule = _rule(uncan_map, obj) if uncan_map else None
    if rule is not None:
        return rule(obj, g)
    kind = type(obj)
    if kind in (list, tuple) and len(obj) < ITEMS_MAX:
        return kind(uncan(item, g) for item in obj)
    if kind is dict and len(obj) < ITEMS_MAX:
        return {key: uncan(value, g) for key, value in obj.items()}
    get_object = getattr(obj, "get_object", None)
    if get_object is not None and not isinstance(obj, type):
        return get_object(g)
    return obj


def reduce_by_rule(obj: Any) -> Any:
    """How an object that has a rule of the user's is pickled; `NotImplemented` if it has none."""
    rule = _rule(can_map, obj)
    if rule is None:
        return NotImplemented
    canned = rule(obj)
    if type(canned) is type(obj):
        return NotImplemented
    return (uncan_here, (canned,))


def uncan_here(canned: Any) -> Any:
    """The object again, with the namespace of this process: on an engine, its own."""
    return uncan(canned, sys.modules["__main__"].__dict__)


def _rule(rules: dict[type | str, Callable[..., Any]], obj: Any) -> Callable[..., Any] | None:
    """The rule for the object's own type, else the first for one that it is an instance of."""
    for dotted in [key for key in rules if isinstance(key, str)]:
        module, _, name = dotted.rpartition(".")
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type):
            rules[kind] = rules.pop(dotted)
    exact = rules.get(type(obj))
    if exact is not None:
        return exact
    for key, rule in rules.items():
        if isinstance(key, type) and isinstance(obj, key):
            return rule
    return None
