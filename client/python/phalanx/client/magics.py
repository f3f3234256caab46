"""`phalanx.client.magics`: the magics, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.magics import activate

__all__ = ["activate"]
