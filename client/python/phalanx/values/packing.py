"""How values become bytes and come back: arguments, functions and results.

A value becomes *parts*: a pickle (protocol 5), and its large buffers beside it, uncopied. numpy arrays,
`bytes`, `bytearray`, `memoryview` and whatever supports out-of-band buffers travel so, and arrive
read-only. Functions are packed apart from their arguments, once for each function object as long as
its bytes cannot change, and are known by a digest of their bytes.

Who may use it: views and results on the client, the operations of the engine. It sends nothing.

>>> unpack_value(pack_value({"a": 1}))
{'a': 1}
"""

from __future__ import annotations

import io
import pickle
import sys
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from phalanx.values import canning, functions, picklers
from phalanx.values.canning import can, can_map, uncan, uncan_map
from phalanx.values.functions import interactive
from phalanx.values.picklers import use_cloudpickle, use_dill, use_pickle

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "PrePickled",
    "can",
    "can_map",
    "function_ref",
    "interactive",
    "pack_value",
    "uncan",
    "uncan_map",
    "unpack_value",
    "use_cloudpickle",
    "use_dill",
    "use_pickle",
]

Buffer: TypeAlias = "bytes | bytearray | memoryview"
Parts: TypeAlias = "list[Buffer]"
FunctionRef: TypeAlias = "tuple[bytes, bytes]"

OUT_OF_BAND_MIN = 1024
"""Bytes from which `bytes` and `bytearray` travel beside the pickle: shorter ones cost less inside."""

SEARCH_ITEMS_MAX = 64
"""Containers with more items are not searched for large `bytes`, only pickled."""

SEARCH_DEPTH_MAX = 8
"""How deep containers are searched."""

FUNCTIONS_MAX = 1024
"""Functions kept unpickled on an engine; the one unused for longest goes first."""

PACKED_MAX = 4096
"""Functions whose bytes a client keeps; then all are forgotten and it begins anew."""

KEEP, FRESH = b"K", b"F"
"""The first byte of a function's bytes: may the engine use one copy for all calls?"""

_PLAIN = frozenset({int, float, complex, str, bool, type(None)})


# ---------------------------------------------------------------------------------------------
# Values


class _LargeBytes:
    """Has bytes travel beside the pickle. Rebuilt as what they were; all but memoryviews by one copy."""

    __slots__ = ("value",)

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self.value), (pickle.PickleBuffer(self.value),))


def pack_value(value: Any) -> Parts:
    """The parts of a value: its pickle, then its buffers, which are not copied.

    >>> [len(part) for part in pack_value(b"x" * 5000)][1:]
    [5000]
    """
    if type(value) in _PLAIN:
        return [pickle.dumps(value, 5)]
    value = set_apart(value, SEARCH_DEPTH_MAX)
    buffers: list[pickle.PickleBuffer] = []
    data = dumps(value, buffers)
    if not buffers:
        return [data]
    return [data, *(buffer.raw() for buffer in buffers)]


def dumps(value: Any, buffers: list[pickle.PickleBuffer] | None = None) -> bytes:
    """The pickle of a value, which plain `pickle.loads` reads; its buffers in `buffers` if there is one.

    >>> pickle.loads(dumps(lambda x: x + 1))(1)
    2
    """
    take = None if buffers is None else buffers.append
    other = picklers.chosen()
    if other is not None:
        return other(value, take)
    data = None
    if not (functions.by_value_modules() or canning.can_map):
        try:
            data = pickle.dumps(value, 5, buffer_callback=take)
        except Exception:  # whatever plain pickle cannot do, cloudpickle may
            data = None
    # Plain pickle names what is in `__main__`, but `__main__` is another one elsewhere.
    if data is None or b"__main__" in data:
        from phalanx.values.pickling import Pickler  # cloudpickle is loaded by those who need it

        if buffers is not None:
            buffers.clear()
        with io.BytesIO() as file:
            Pickler(file, take).dump(value)
            data = file.getvalue()
    return data


def set_apart(value: Any, depth: int) -> Any:
    """The value, with large `bytes` and non-contiguous arrays made ready to travel as buffers.

    Containers are copied only if something in them is replaced.
    """
    kind = type(value)
    if kind in _PLAIN or depth == 0:
        return value
    if kind is bytes or kind is bytearray:
        return _LargeBytes(value) if len(value) >= OUT_OF_BAND_MIN else value
    if kind is memoryview:
        return _LargeBytes(value if value.contiguous else memoryview(value.tobytes()))
    if kind is tuple or kind is list:
        if len(value) >= SEARCH_ITEMS_MAX:
            return value
        items = [set_apart(item, depth - 1) for item in value]
        if all(map(_is, items, value)):
            return value
        return tuple(items) if kind is tuple else items
    if kind is dict:
        if len(value) >= SEARCH_ITEMS_MAX:
            return value
        changed = {key: set_apart(item, depth - 1) for key, item in value.items()}
        return value if all(map(_is, changed.values(), value.values())) else changed
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ndarray:
        flags = value.flags
        return value if flags.c_contiguous or flags.f_contiguous else numpy.ascontiguousarray(value)
    return value


def _is(one: object, other: object) -> bool:
    return one is other


def unpack_value(parts: Sequence[Any], *, copy: bool = False) -> Any:
    """The value of parts that `pack_value` made. Arrays are read-only unless `copy`.

    >>> unpack_value(pack_value(["a", b"b" * 2000]))[1][:3]
    b'bbb'
    """
    count = len(parts)
    if count == 1:
        return pickle.loads(parts[0])
    if copy:
        return pickle.loads(parts[0], buffers=[bytearray(parts[i]) for i in range(1, count)])
    return pickle.loads(
        parts[0], buffers=[memoryview(parts[i]).toreadonly() for i in range(1, count)]
    )


class PrePickled:
    """A value pickled once, to be sent many times. It arrives as the value itself.

    >>> unpack_value(pack_value([PrePickled("big")]))
    ['big']
    """

    __slots__ = ("parts",)

    def __init__(self, value: Any) -> None:
        self.parts = pack_value(value)

    @classmethod
    def by_value(cls, value: Any) -> Self:
        """The same with cloudpickle's rules: a function's globals go along, and it sees these.

        >>> factor = 3
        >>> rc[0].apply_sync(lambda f: f(2), PrePickled.by_value(lambda x: factor * x))
        6
        """
        buffers: list[pickle.PickleBuffer] = []
        data = picklers.by_cloudpickle(set_apart(value, SEARCH_DEPTH_MAX), buffers.append)
        made = cls.__new__(cls)
        made.parts = [data, *(buffer.raw() for buffer in buffers)]
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpack_pre_pickled, tuple(map(pickle.PickleBuffer, self.parts)))


def _unpack_pre_pickled(*parts: Any) -> Any:
    return unpack_value(parts)


# ---------------------------------------------------------------------------------------------
# Calls


def pack_call(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Parts:
    """The parts of the arguments of one call.

    >>> unpack_value(pack_call((1, 2), {}))
    ((1, 2),)
    >>> unpack_value(pack_call((), {"a": 1}))
    ((), {'a': 1})
    """
    if kwargs:
        return pack_value((args, kwargs))
    for arg in args:
        if type(arg) not in _PLAIN:
            return pack_value((args,))
    return [pickle.dumps((args,), 5)]


def pack_items(argss: Iterable[tuple[Any, ...]]) -> list[Parts]:
    """The parts of chunks of a map that have one item each: cheaper than `pack_chunk`, with the same answer.

    >>> [unpack_value(parts) for parts in pack_items([(1,), (2,)])]
    [((1,), None), ((2,), None)]
    """
    dumps, plain = pickle.dumps, _PLAIN
    packed: list[Parts] = []
    for args in argss:
        if len(args) == 1 and type(args[0]) in plain:
            packed.append([dumps((args, None), 5)])
        else:
            packed.append(pack_value((args, None)))
    return packed


def pack_chunk(columns: Sequence[Any], return_exceptions: bool) -> Parts:
    """The parts of a chunk of a map: the function is called for each item.

    >>> unpack_value(pack_chunk([range(3)], False))
    ((range(0, 3),), None, False)
    """
    return pack_value((tuple(columns), None, return_exceptions))


# ---------------------------------------------------------------------------------------------
# Functions


class _Packed:
    """A function's bytes, and what must hold for them to be still right."""

    __slots__ = ("by_value", "facts", "function", "ref")

    def __init__(
        self,
        function: weakref.ref[Any],
        ref: FunctionRef,
        facts: functions.Facts,
        by_value: set[str],
    ) -> None:
        self.function = function
        self.ref = ref
        self.facts = facts
        self.by_value = by_value

    def holds(self, function: Any, by_value: set[str]) -> bool:
        """Whether the function would be packed like this again."""
        return (
            self.function() is function
            and self.by_value == by_value
            and (not self.facts.uses or self.facts.hold())
        )


_packed: dict[int, _Packed] = {}
"""By the `id` of the function. Entries leave with their function."""


def function_ref(f: Any) -> FunctionRef:
    """The digest and the bytes of a function; kept as long as they cannot change.

    >>> function_ref(len) == function_ref(len)
    True
    >>> load_function(function_ref(lambda x: x + 1)[1])(1)
    2
    """
    other = picklers.chosen()
    if other is not None:
        blob = FRESH + other(f, None)
        return blake2b(blob, digest_size=16).digest(), blob
    known = _packed.get(id(f))
    by_value = functions.by_value_modules()
    if known is not None and known.holds(f, by_value):
        return known.ref
    facts = functions.Facts()
    ref = _pack_function(f, facts)
    if facts.keep and type(f) in (FunctionType, BuiltinFunctionType):
        key = id(f)
        if len(_packed) >= PACKED_MAX:
            _packed.clear()
        # `_packed` itself may be gone when the last functions go, at the end of the process.
        watch = weakref.ref(f, partial(_forget, _packed, key))
        _packed[key] = _Packed(watch, ref, facts, by_value)
    return ref


def _forget(packed: dict[int, _Packed], key: int, _: object) -> None:
    packed.pop(key, None)


def _pack_function(f: Any, facts: functions.Facts) -> FunctionRef:
    if type(f) not in (FunctionType, BuiltinFunctionType):
        facts.keep = False
    if type(f) is BuiltinFunctionType and not isinstance(f.__self__, (ModuleType, type)):
        # A method, such as `random.random` is: each call has the object as it is here now.
        facts.keep = False
        blob = FRESH + pickle.dumps(f, 5)
        return blake2b(blob, digest_size=16).digest(), blob
    if type(f) is BuiltinFunctionType or (type(f) is FunctionType and functions.is_importable(f)):
        blob = KEEP + pickle.dumps(f, 5)
        return blake2b(blob, digest_size=16).digest(), blob
    from phalanx.values.pickling import Pickler  # cloudpickle is loaded by those who need it

    with io.BytesIO() as file:
        file.write(FRESH)
        Pickler(file, facts=facts).dump(f)
        if facts.keep:
            file.seek(0)
            file.write(KEEP)
        blob = file.getvalue()
    return blake2b(blob, digest_size=16).digest(), blob


def load_function(blob: Any) -> Any:
    """The function that these bytes are.

    >>> load_function(function_ref(abs)[1]) is abs
    True
    """
    return pickle.loads(memoryview(blob)[1:])


class FunctionCache:
    """The functions that an engine has unpickled, by digest; those that may be used again.

    >>> cache = FunctionCache()
    >>> f, fallbacks = cache.load(*function_ref(abs))
    >>> f(-1), cache.load(*function_ref(abs))[0] is f
    (1, True)
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[Any, dict[str, Any] | None]] = OrderedDict()

    def load(self, digest: bytes, blob: Any) -> tuple[Any, dict[str, Any] | None]:
        """The function, and the names it needs while it runs, if any."""
        kept = self._kept.get(digest)
        if kept is not None:
            self._kept.move_to_end(digest)
            return kept
        functions.take_fallbacks()
        loaded = (load_function(blob), functions.take_fallbacks())
        if memoryview(blob)[:1] == KEEP:
            self._kept[digest] = loaded
            if len(self._kept) > FUNCTIONS_MAX:
                self._kept.popitem(last=False)
        return loaded

    def clear(self) -> None:
        """Forgets all of them."""
        self._kept.clear()
