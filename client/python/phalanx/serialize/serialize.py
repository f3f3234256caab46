"""`phalanx.serialize.serialize`: values as buffers, under ipyparallel's name for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.values.buffers import (
    deserialize_object,
    pack_apply_message,
    serialize_object,
    unpack_apply_message,
)
from phalanx.values.packing import PrePickled

__all__ = [
    "PrePickled",
    "deserialize_object",
    "pack_apply_message",
    "serialize_object",
    "unpack_apply_message",
]
