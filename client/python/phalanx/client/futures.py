"""`phalanx.client.futures`: the Future that results are, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.results.futures import TaskFuture

__all__ = ["TaskFuture"]
