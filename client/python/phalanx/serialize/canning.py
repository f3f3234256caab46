"""`phalanx.serialize.canning`: values that travel in another form, under ipyparallel's name for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.values.canning import can, can_map, uncan, uncan_map
from phalanx.values.picklers import use_cloudpickle, use_dill, use_pickle
from phalanx.values.reference import Reference

__all__ = [
    "Reference",
    "can",
    "can_map",
    "uncan",
    "uncan_map",
    "use_cloudpickle",
    "use_dill",
    "use_pickle",
]
