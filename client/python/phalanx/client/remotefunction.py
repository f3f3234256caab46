"""`phalanx.client.remotefunction`: functions that run on engines, under ipyparallel's name for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.views.remotefunction import ParallelFunction, RemoteFunction, parallel, remote

__all__ = ["ParallelFunction", "RemoteFunction", "parallel", "remote"]
