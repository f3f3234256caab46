"""`ClusterManager`: the clusters of this user that run, and those that a program has made.

Who may use it: users, and front ends that list clusters. It starts and stops nothing by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from phalanx import _phalanx
from phalanx.cluster.cluster import Cluster
from phalanx.cluster.shared import CLUSTER_FILE
from phalanx.error import ClusterError

__all__ = ["ClusterManager", "clean_cluster_files"]


class ClusterManager:
    """Clusters by a key of their own, `profile:cluster_id`.

    >>> manager = px.ClusterManager()
    >>> key, mine = manager.new_cluster(n=2, cluster_id="mine")
    >>> key, manager.get_cluster(key) is mine
    ('default:mine', True)
    """

    def __init__(self) -> None:
        self.clusters: dict[str, Cluster] = {}

    def load_clusters(
        self,
        *,
        profile_dirs: Iterable[str] | None = None,
        profile_dir: str | None = None,
        profiles: Iterable[str] | None = None,
        profile: str | None = None,
        init_default_clusters: bool = False,
    ) -> dict[str, Cluster]:
        """Finds the clusters that run, and forgets those that have ended. All that are known now.

        Looked through are the given directories and profiles, by default the default one. With
        `init_default_clusters` a profile without any gets one that is not started.

        >>> loaded = px.ClusterManager().load_clusters()
        >>> cluster.cluster_id in [each.cluster_id for each in loaded.values()]
        True
        """
        homes = [*(profile_dirs or []), *([profile_dir] if profile_dir else [])]
        names = [*(profiles or []), *([profile] if profile else [])]
        places: list[tuple[str | None, str | None]] = [
            *((home, None) for home in homes),
            *((None, name) for name in names),
        ]
        for key, cluster in list(self.clusters.items()):
            if cluster.has_ended:
                del self.clusters[key]
        for home, name in places or [(None, None)]:
            found = _phalanx.list_clusters(home, name)
            for facts in found:
                self._load(facts, home, name)
            if not found and init_default_clusters:
                fresh = Cluster(cluster_id="", profile=name, home=home)
                self.clusters.setdefault(self._key(fresh), fresh)
        return self.clusters

    def _load(self, facts: dict[str, Any], home: str | None, name: str | None) -> None:
        key = f"{name or 'default'}:{facts['cluster_id']}"
        if key in self.clusters:
            return
        try:
            path = os.path.join(facts["dir"], CLUSTER_FILE)
            self.clusters[key] = Cluster.from_file(path, profile=name, profile_dir=home)
        except (ClusterError, OSError):
            return  # it has ended since

    def new_cluster(self, **options: Any) -> tuple[str, Cluster]:
        """A cluster that is not started, and its key; takes the options of `Cluster`.

        `KeyError` if there is one of this key.

        >>> px.ClusterManager().new_cluster(n=2, cluster_id="another")[0]
        'default:another'
        """
        cluster = Cluster(**options)
        key = self._key(cluster)
        if key in self.clusters:
            raise KeyError(f"there is a cluster {key!r} already")
        self.clusters[key] = cluster
        return key, cluster

    def get_cluster(self, key: str) -> Cluster:
        """The cluster of this key. `KeyError` if there is none.

        >>> manager = px.ClusterManager()
        >>> key, mine = manager.new_cluster(n=2)
        >>> manager.get_cluster(key) is mine
        True
        """
        if key not in self.clusters:
            raise KeyError(f"there is no cluster {key!r}: there are {sorted(self.clusters)}")
        return self.clusters[key]

    def remove_cluster(self, key: str) -> None:
        """Forgets a cluster; it goes on if it runs. `KeyError` if there is none.

        >>> manager = px.ClusterManager()
        >>> key, _ = manager.new_cluster(n=2)
        >>> manager.remove_cluster(key)
        >>> manager.clusters
        {}
        """
        self.get_cluster(key)
        del self.clusters[key]

    def _key(self, cluster: Cluster) -> str:
        number = len(self.clusters)
        return f"{cluster.profile}:{cluster.cluster_id or f'new-{number}'}"


def clean_cluster_files(
    profile_dirs: Iterable[str] | None = None, *, log: Any = None, force: bool = False
) -> None:
    """Removes what clusters that have ended left behind: directories with their logs.

    Looked through are the given homes, by default that of this user. With `force`, clusters that run are
    stopped first. `log`, if given, is told of each by its `info`.

    >>> px.clean_cluster_files()
    """
    import subprocess  # not everybody's

    from phalanx.cluster import command

    homes: list[str | None] = [*profile_dirs] if profile_dirs is not None else [None]
    program = command.find()
    if program is None:
        raise ClusterError("the command phalanx is not found: set PHALANX_BIN to it")
    for home in homes:
        for facts in _phalanx.list_clusters(home) if force else []:
            Cluster.from_file(os.path.join(facts["dir"], CLUSTER_FILE)).stop_cluster_sync()
        place = [] if home is None else ["--home", home]
        done = subprocess.run(
            [program, *place, "clean"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ClusterError(f"phalanx clean failed: {done.stderr.strip()}")
        if log is not None:
            for line in (done.stdout + done.stderr).splitlines():
                log.info(line)
