"""`phalanx.cluster`: clusters of this machine, and `python -m phalanx.cluster`.

`phalanx.cluster.cluster` is where `Cluster` lives; `__main__` passes its arguments to the command
`phalanx`.

>>> from phalanx.cluster import Cluster
>>> Cluster is px.Cluster
True
"""

from __future__ import annotations

from phalanx.cluster.cluster import Cluster
from phalanx.cluster.manager import ClusterManager, clean_cluster_files

__all__ = ["Cluster", "ClusterManager", "clean_cluster_files"]
