"""`phalanx.client.asyncresult`: results, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.asyncresult import AsyncResult
from phalanx.mapresult import AsyncMapResult
from phalanx.metadata import Metadata

__all__ = ["AsyncMapResult", "AsyncResult", "Metadata"]
