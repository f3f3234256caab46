"""The cluster that is meant when nobody has said which: the newest that runs, else one of this process.

Who may use it: what other libraries call by name (`phalanx.joblib`, `phalanx.dask`). It keeps one client for
all of them; the cluster that it starts ends with this process.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from phalanx.error import ClusterError

if TYPE_CHECKING:
    from phalanx.client import Client
    from phalanx.views.load_balanced import LoadBalancedView

__all__ = ["default_view"]

_lock = threading.Lock()
_client: Client | None = None
_pid = 0


def default_view() -> LoadBalancedView:
    """A view of its own, over all engines of the default cluster.

    >>> default_view().apply_sync(abs, -1)
    1
    """
    from phalanx.views.load_balanced import LoadBalancedView

    return LoadBalancedView(default_client())


def default_client() -> Client:
    """The client of the default cluster. Started if there is none.

    >>> default_client() is default_client()
    True
    """
    global _client, _pid
    with _lock:
        if _client is None or _client.closed or _pid != os.getpid():
            _client = _connect_or_start()
            _pid = os.getpid()
        return _client


def _connect_or_start() -> Client:
    from phalanx.client import Client
    from phalanx.cluster import Cluster

    try:
        client = Client(timeout=0.1)
        client.wait_for_engines(1, timeout=10)
    except (FileNotFoundError, ClusterError):
        return Cluster().start_and_connect_sync()
    return client
