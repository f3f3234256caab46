"""Objects and calls as lists of buffers, for programs that carry them by ways of their own.

The names and the meaning are ipyparallel's; the bytes are our own. Who may use it: everybody. Views do not
need it: they pack with `packing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from phalanx.values import reference
from phalanx.values.packing import Buffer, function_ref, load_function, pack_value, unpack_value

__all__ = [
    "deserialize_object",
    "pack_apply_message",
    "serialize_object",
    "unpack_apply_message",
]

COUNT_LEN = 4
"""Bytes before a pickle that say how many buffers follow it."""


def serialize_object(
    obj: Any, buffer_threshold: int = 1024, item_threshold: int = 64
) -> list[Buffer]:
    """The object as buffers: what is large in it is not copied. The thresholds are kept for old programs.

    >>> buffers = serialize_object({"a": b"x" * 5000})
    >>> len(buffers), deserialize_object([*buffers, b"more"])[1]
    (2, [b'more'])
    """
    first, *rest = pack_value(obj)
    return [len(rest).to_bytes(COUNT_LEN, "little") + bytes(first), *rest]


def deserialize_object(
    buffers: Sequence[Buffer], g: dict[str, Any] | None = None
) -> tuple[Any, list[Buffer]]:
    """The object of buffers that `serialize_object` made, and the buffers after it.

    Functions and references in it see the namespace `g`, if one is given.

    >>> deserialize_object(serialize_object([1, 2]))
    ([1, 2], [])
    """
    if not buffers:
        raise ValueError("there is no buffer to make an object of")
    first = memoryview(buffers[0])
    end = 1 + int.from_bytes(first[:COUNT_LEN], "little")
    if len(buffers) < end:
        raise ValueError(f"the object has {end} buffers, and here are {len(buffers)}")
    with reference.namespace_is(g):
        value = unpack_value([first[COUNT_LEN:], *buffers[1:end]])
    return value, list(buffers[end:])


def pack_apply_message(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    buffer_threshold: int = 1024,
    item_threshold: int = 64,
) -> list[Buffer]:
    """A call as buffers.

    >>> f, args, kwargs = unpack_apply_message(pack_apply_message(lambda x, y: x - y, [3], {"y": 1}))
    >>> f(*args, **kwargs)
    2
    """
    _, blob = function_ref(f)
    return [blob, *serialize_object((tuple(args), dict(kwargs)))]


def unpack_apply_message(
    buffers: Sequence[Buffer], g: dict[str, Any] | None = None, copy: bool = True
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The function, the arguments and the keywords of a call that `pack_apply_message` made.

    >>> unpack_apply_message(pack_apply_message(abs, [-1], {}))
    (<built-in function abs>, (-1,), {})
    """
    if not buffers:
        raise ValueError("there is no buffer to make a call of")
    blob, *rest = buffers
    with reference.namespace_is(g):
        f: Callable[..., Any] = load_function(blob)
    (args, kwargs), _ = deserialize_object(rest, g)
    return f, args, kwargs
