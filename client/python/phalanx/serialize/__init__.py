"""`phalanx.serialize`: how values become bytes and come back, by the names that ipyparallel has for it.

It only names again what lives in `phalanx.values`; nothing in `phalanx` imports it.

>>> from phalanx.serialize import deserialize_object, serialize_object
>>> deserialize_object(serialize_object({"a": 1}))[0]
{'a': 1}
"""

from __future__ import annotations

from phalanx.values.buffers import (
    deserialize_object,
    pack_apply_message,
    serialize_object,
    unpack_apply_message,
)
from phalanx.values.canning import can, can_map, uncan, uncan_map
from phalanx.values.functions import interactive
from phalanx.values.packing import PrePickled
from phalanx.values.picklers import use_cloudpickle, use_dill, use_pickle
from phalanx.values.reference import Reference

__all__ = [
    "PrePickled",
    "Reference",
    "can",
    "can_map",
    "deserialize_object",
    "interactive",
    "pack_apply_message",
    "serialize_object",
    "uncan",
    "uncan_map",
    "unpack_apply_message",
    "use_cloudpickle",
    "use_dill",
    "use_pickle",
]
