"""Exceptions that cross from an engine to a client as themselves, not only as text.

The engine packs an exception's class, arguments and attributes; the client makes from them the exception
itself, and a class that is `RemoteError` and the original's class at once, so that `except ValueError`
catches a remote one. No constructor of the class is called: many cannot be called with `args`. Who may
use it: `exceptions` and the engine's `operations`. What cannot be packed or rebuilt stays text; nothing here
raises.

>>> unpack(pack(OSError(2, "none here"))).errno
2
"""

from __future__ import annotations

import builtins
import pickle
import types
from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any, TypeVar

__all__ = ["by_name", "combine", "pack", "same", "unpack"]

E = TypeVar("E", bound=BaseException)

STREAM = 5
"""The kind of output as which an engine sends a packed exception, beside the text."""

PACKED_LEN_MAX = 32 * 1024
"""Bytes of a packed exception; a longer one stays text, so that it leaves room for the task's output."""

COMBINED_MAX = 256
"""Combined classes that are kept for the next error of the same; then all are made anew."""

NEVER_AS = (StopIteration, StopAsyncIteration, TimeoutError, SyntaxError)
"""Classes as which a remote error is not caught: generators and loops around `get(timeout)` would take it
for their own, and who shows a `SyntaxError` shows the line that it names instead of what it says. The
original is its `__cause__` all the same."""


def pack(exception: BaseException) -> bytes | None:
    """The exception as bytes; `None` if it cannot be sent, or is none that user code catches.

    >>> pack(KeyboardInterrupt()), len(pack(ValueError("no"))) < 100
    (None, True)
    """
    if not isinstance(exception, Exception) or hasattr(exception, "engine_info"):
        return None
    from phalanx.values.packing import dumps

    kind, args = type(exception), exception.args
    attributes = {key: value for key, value in exception.__dict__.items() if key != "__notes__"}
    ways: list[tuple[Any, ...]] = [
        (kind, args, attributes, _members(exception)),
        (kind, args, {}, {}),
        (kind, tuple(map(str, args)), {}, {}),
    ]
    for facts in ways:
        try:
            packed = dumps(facts)
        except Exception:  # whatever a user's exception holds
            continue
        if len(packed) <= PACKED_LEN_MAX:
            return packed
    return None


def unpack(packed: bytes | None) -> Exception | None:
    """The exception of these bytes; `None` if its class is not here.

    >>> unpack(pack(KeyError("a")))
    KeyError('a')
    """
    if packed is None:
        return None
    try:
        kind, args, attributes, members = pickle.loads(packed)
        return _make(kind, args, attributes, members)  # type: ignore[no-any-return]
    except Exception:  # a module that is not here, or a class that has changed
        return None


def by_name(ename: str, evalue: str) -> Exception | None:
    """The exception of that name among Python's own, for errors that came as text only.

    >>> by_name("ValueError", "no"), by_name("Surprise", "")
    (ValueError('no'), None)
    """
    kind = getattr(builtins, ename, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    try:
        return _make(kind, (evalue,) if evalue else (), {}, {})
    except Exception:  # one that needs more than a text
        return None


def _members(exception: BaseException) -> dict[str, Any]:
    """What the exception holds in slots, as `errno` of an `OSError`."""
    found: dict[str, Any] = {}
    for kind in type(exception).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and not name.startswith("__"):
                value = getattr(exception, name, None)
                if value is not None:
                    found.setdefault(name, value)
    return found


def _make(
    kind: type[E], args: tuple[Any, ...], attributes: dict[str, Any], members: dict[str, Any]
) -> E:
    make: Callable[..., E] = kind.__new__
    try:
        exception = make(kind, *args)
    except TypeError:
        exception = make(kind)
    exception.args = args
    for name, value in members.items():
        try:
            setattr(exception, name, value)
        except (AttributeError, TypeError):  # a member that is fixed when it is made
            continue
    exception.__dict__.update(attributes)
    return exception


_combined: dict[tuple[type, type], type] = {}


def combine(base: type[E], kind: type[BaseException]) -> type[E]:
    """A class that is both; `base` itself if there can be none, or there had better be none.

    >>> issubclass(combine(RuntimeError, ValueError), ValueError), combine(ValueError, TimeoutError)
    (True, <class 'ValueError'>)
    """
    if issubclass(kind, NEVER_AS) or not issubclass(kind, Exception) or issubclass(base, kind):
        return base
    known = _combined.get((base, kind))
    if known is not None:
        return known
    names = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    try:
        made: type[E] = types.new_class(
            base.__name__, (base, kind), {}, lambda ns: ns.update(names)
        )
    except (
        Exception
    ):  # classes whose instances have different layouts, or that refuse to be inherited from
        made = base
    if len(_combined) >= COMBINED_MAX:
        _combined.clear()
    _combined[base, kind] = made
    return made


def same(base: type[E], original: BaseException, init: Callable[[E], object]) -> E | None:
    """An exception that is a `base` and what the original is, filled by `init` and then by the original.

    `None` if that cannot be.
    """
    kind = combine(base, type(original))
    if kind is base:
        return None
    try:
        exception = _make(kind, original.args, original.__dict__, _members(original))
        init(exception)
        exception.args = original.args
    except Exception:  # a class with properties or slots of the same names
        return None
    exception.__cause__ = original
    return exception
