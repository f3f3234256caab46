"""`phalanx.client.asyncresult`: results, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.hub.result import AsyncHubResult
from phalanx.results.asyncresult import AsyncResult
from phalanx.results.executereply import ExecuteReply
from phalanx.results.mapresult import AsyncMapResult
from phalanx.results.metadata import Metadata

__all__ = ["AsyncHubResult", "AsyncMapResult", "AsyncResult", "ExecuteReply", "Metadata"]
