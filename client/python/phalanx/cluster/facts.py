"""What a cluster knows of itself: its name, its parts, whether it runs.

Who may use it: `Cluster` is built on it. It starts and ends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phalanx.cluster.engine_sets import Controller, EngineSet
from phalanx.cluster.hosting import Host
from phalanx.error import ClusterError

if TYPE_CHECKING:
    from phalanx._phalanx import NativeCluster

__all__ = ["Facts"]


class Facts:
    """The part of a cluster that can be looked at.

    >>> isinstance(cluster, Facts)
    True
    """

    _cluster_id: str | None
    _connection_file: str | None
    _native: NativeCluster | None
    _host: Host | None
    _engine_sets: dict[str, EngineSet]

    @property
    def cluster_id(self) -> str | None:
        """The cluster's name; its own choice, once it runs, if none was given.

        >>> cluster.cluster_id.startswith("local-"), px.Cluster(cluster_id="lab").cluster_id
        (True, 'lab')
        """
        return self._cluster_id

    @property
    def engines(self) -> dict[str, EngineSet]:
        """The sets of engines, by their ids.

        >>> [each.n for each in cluster.engines.values()]
        [4]
        """
        return dict(self._engine_sets)

    @property
    def engine_set(self) -> EngineSet | None:
        """The first of them.

        >>> cluster.engine_set
        <EngineSet(n=4, running)>
        """
        return next(iter(self._engine_sets.values()), None)

    @property
    def controller(self) -> Controller | None:
        """The hub and its host; None if the cluster was not started.

        >>> cluster.controller
        <Controller(running)>
        """
        return None if self._host is None else Controller(self._host)

    @property
    def connection_file(self) -> str:
        """The connection file of a client; `ClusterError` if the cluster does not run.

        >>> cluster.connection_file.endswith("client.json")
        True
        """
        if self._connection_file is None:
            raise ClusterError(f"{self!r} is not running: start it, or enter it with `with`")
        return self._connection_file

    @property
    def is_running(self) -> bool:
        """Whether the cluster was started, and serves.

        >>> cluster.is_running, px.Cluster().is_running
        (True, False)
        """
        if self._native is not None and not self._native.is_running():
            return False
        return self._host is not None and Controller(self._host).running

    @property
    def has_ended(self) -> bool:
        """Whether it was started, and has ended without being asked to from here.

        >>> cluster.has_ended
        False
        """
        return self._host is not None and not self.is_running

    def failure(self) -> str | None:
        """Why engines that are waited for may never come, if that is known.

        >>> cluster.failure() is None
        True
        """
        if self.has_ended:
            return "the cluster has ended"
        try:
            engines = {} if self._host is None else self._host.engines()
        except ClusterError:
            return "the cluster has ended"
        for name, process in engines.items():
            if process["state"] == "failed":
                return f"engine {name} was given up: {process['last_exit']}"
        return None

    def _running_host(self) -> Host:
        if self._host is None:
            raise ClusterError(f"{self!r} is not running: start it, or enter it with `with`")
        return self._host
