"""`phalanx.client.view`: the views, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.broadcast_view import BroadcastView
from phalanx.direct_view import DirectView
from phalanx.executor import ViewExecutor
from phalanx.lazymap import LazyMapIterator
from phalanx.load_balanced_view import LoadBalancedView
from phalanx.view import View

__all__ = [
    "BroadcastView",
    "DirectView",
    "LazyMapIterator",
    "LoadBalancedView",
    "View",
    "ViewExecutor",
]
