"""`phalanx.client.map`: how sequences are cut into parts, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.values.partition import chunks, join, join_dealt, split

__all__ = ["chunks", "join", "join_dealt", "split"]
