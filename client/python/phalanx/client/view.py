"""`phalanx.client.view`: the views, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from phalanx.executor import ViewExecutor
from phalanx.views.broadcast import BroadcastView
from phalanx.views.direct import DirectView
from phalanx.views.lazymap import LazyMapIterator
from phalanx.views.load_balanced import LoadBalancedView
from phalanx.views.view import View

__all__ = [
    "BroadcastView",
    "DirectView",
    "LazyMapIterator",
    "LoadBalancedView",
    "View",
    "ViewExecutor",
]
