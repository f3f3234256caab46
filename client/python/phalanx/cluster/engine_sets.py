"""The parts of a cluster that can be looked at: its controller, and its sets of engines.

Who may use it: `Cluster` makes them. They read the host's state and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from phalanx.cluster.hosting import Host
from phalanx.error import ClusterError

__all__ = ["Controller", "EngineSet"]


class EngineSet:
    """Engines that were started together: `names` has their stable names, `n` their number.

    >>> engines = EngineSet(Host(cluster.cluster_dir), Host(cluster.cluster_dir).engines())
    >>> engines.n, engines.running
    (4, True)
    """

    def __init__(self, host: Host, names: Iterable[str]) -> None:
        self._host = host
        self.names = list(names)

    @property
    def n(self) -> int:
        """How many engines it has."""
        return len(self.names)

    @property
    def pids(self) -> list[int]:
        """The process ids of those that live."""
        engines = self._host.engines()
        pids = (engines[name]["pid"] for name in self.names if name in engines)
        return [pid for pid in pids if pid is not None]

    @property
    def running(self) -> bool:
        """Whether each of them takes tasks."""
        try:
            engines = self._host.engines()
        except ClusterError:
            return False
        return all(name in engines and engines[name]["state"] == "running" for name in self.names)

    def get_output(self) -> str:
        """The ends of their logs."""
        processes = (name.rpartition("/")[2] for name in self.names)
        return "".join(self._host.log_end(f"engine-{index}") for index in processes).lstrip("\n")

    def __repr__(self) -> str:
        return f"<EngineSet(n={self.n}, {'running' if self.running else 'not running'})>"


class Controller:
    """The hub of a cluster, and the host that keeps it.

    >>> Controller(Host(cluster.cluster_dir)).running
    True
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def state(self) -> str:
        """How far it is: starting, running, stopping, stopped or failed."""
        try:
            return str(self._host.state()["phase"])
        except ClusterError:
            return "stopped"

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self.state == "running"

    @property
    def pid(self) -> int | None:
        """The process id of the host."""
        pid: int | None = self._host.state()["host_pid"] if self.running else None
        return pid

    def get_output(self) -> str:
        """The end of the hub's log."""
        return self._host.log_end("hub").lstrip("\n")

    def __repr__(self) -> str:
        return f"<Controller({self.state})>"
