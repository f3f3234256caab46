"""`phalanx.util`: the one helper that programs take from ipyparallel's module of this name.

It only names again what lives elsewhere; nothing in `phalanx` imports it.

>>> from phalanx.util import interactive
>>> interactive is px.interactive
True
"""

from __future__ import annotations

from phalanx.values.functions import interactive

__all__ = ["interactive"]
