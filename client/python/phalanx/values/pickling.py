"""The pickler for what plain pickle cannot send: functions and classes by value.

Apart from `packing`, because cloudpickle takes longer to load than all else, and many programs never
need it. Who may use it: `packing`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any
from weakref import WeakValueDictionary

import cloudpickle

from phalanx.values import canning, functions, reference

__all__ = ["Pickler"]


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, with functions by the rules of `functions`."""

    def __init__(
        self,
        file: io.BytesIO,
        buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
        facts: functions.Facts | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.facts = facts or functions.Facts()

    def reducer_override(self, obj: Any) -> Any:
        """Rules of the user's, functions by our own, memoryviews as buffers, all else as cloudpickle."""
        if canning.can_map:
            canned = canning.reduce_by_rule(obj)
            if canned is not NotImplemented:
                return canned
        if type(obj) is FunctionType:
            if functions.is_importable(obj):
                return NotImplemented
            if functions.is_interactive(obj):
                return functions.reduce_interactive(obj, self.facts)
            functions.note_dynamic(obj, self.facts)
        elif type(obj) is memoryview:
            return (memoryview, (pickle.PickleBuffer(obj),))
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) == SENT_WITH_STATE:
            make, arguments, state, _, _, fill = reduced
            if id(obj) not in _received:
                _own[id(obj)] = obj
            if obj.__module__ == "__main__":
                make, arguments = make_class, (obj.__qualname__, make, arguments)
            return (make, arguments, (fill, state), None, None, fill_class)
        return reduced


SENT_WITH_STATE = 6
"""Length of what a reducer returns for a class by value: with its state, and what fills it in."""

_own: WeakValueDictionary[int, type] = WeakValueDictionary()
"""Classes of this process that were sent by value, by their `id`."""

_received: WeakValueDictionary[int, type] = WeakValueDictionary()
"""Classes that came by value, by their `id`."""


def make_class(qualname: str, make: Callable[..., type], arguments: tuple[Any, ...]) -> type:
    """A class of `__main__` that comes by value: the one of that name that was defined here, if there is one.

    So what a program defines on both sides, as it would for plain pickle, is one class on each:
    `isinstance` holds. It is made of the arguments otherwise, still without its methods.
    """
    own = defined_here(qualname)
    if own is None:
        return make(*arguments)
    _own[id(own)] = own
    return own


def defined_here(qualname: str) -> type | None:
    """The class of this name in `__main__`, unless it is one that came by value.

    >>> defined_here("A class of nobody's") is None
    True
    """
    names = reference.namespace()
    first, *others = qualname.split(".")
    found = names.get(first)
    for name in others:
        found = getattr(found, name, None)
    if not isinstance(found, type) or id(found) in _received:
        return None
    return found if (found.__module__, found.__qualname__) == ("__main__", qualname) else None


def fill_class(cls: type, state: tuple[Any, Any]) -> None:
    """Gives a class that came by value its methods and attributes.

    A class of this process that comes back with a result is left as it is: nobody expects that
    looking at a result changes their class.
    """
    if id(cls) in _own:
        return
    _received[id(cls)] = cls
    fill, of_class = state
    fill(cls, of_class)
