"""Clusters that several processes use: what one tells the others, by a dict or a file.

Who may use it: `Cluster` is built on it. Nothing in it is secret: it says where the connection file is, not
what is in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from phalanx import _phalanx
from phalanx.cluster.engine_sets import EngineSet
from phalanx.cluster.hosting import Host
from phalanx.error import ClusterError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CLUSTER_FILE", "Shared"]

CLUSTER_FILE = "cluster.json"
"""In the cluster's directory: what `from_file` reads."""


class Shared:
    """The part of a cluster that can be handed to another process.

    >>> isinstance(cluster, Shared)
    True
    """

    n: int
    profile: str
    home: str | None
    engine_timeout: float
    _cluster_id: str | None
    _connection_file: str | None
    _host: Host | None
    _engine_sets: dict[str, EngineSet]
    _written: str | None = None  # where the file for others is, or was

    def __init__(self, **options: Any) -> None:
        raise NotImplementedError

    @property
    def cluster_dir(self) -> str | None:
        """The directory of the cluster, with its logs; None if it does not run.

        >>> import os
        >>> "logs" in os.listdir(cluster.cluster_dir)
        True
        """
        return None if self._host is None else self._host.directory

    def to_dict(self) -> dict[str, Any]:
        """What another process needs to use this cluster: `Cluster.from_dict`.

        >>> px.Cluster.from_dict(cluster.to_dict()).cluster_id == cluster.cluster_id
        True
        """
        return {
            "cluster_id": self._cluster_id,
            "profile": self.profile,
            "home": self.home,
            "n": self.n,
            "engine_timeout": self.engine_timeout,
            "connection_file": self._connection_file,
            "cluster_dir": self.cluster_dir,
            "engine_sets": {name: each.names for name, each in self._engine_sets.items()},
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Self:
        """A cluster that another process has started. It is stopped only when told to.

        >>> px.Cluster.from_dict(cluster.to_dict()).is_running
        True
        """
        kept = ("n", "cluster_id", "profile", "home", "engine_timeout")
        options: dict[str, Any] = {key: d[key] for key in kept if key in d}
        copy = cls(shutdown_atexit=False, **options)
        directory = d.get("cluster_dir")
        if directory is not None:
            copy._host = host = Host(directory)
            copy._connection_file = d["connection_file"]
            sets = d.get("engine_sets", {})
            copy._engine_sets = {name: EngineSet(host, names) for name, names in sets.items()}
        return copy

    @classmethod
    def from_file(
        cls,
        cluster_file: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        profile_dir: str | None = None,
        cluster_id: str = "",
    ) -> Self:
        """A running cluster, by its file or its id; by default the newest. Also one of `phalanx start`.

        `FileNotFoundError` if there is none.

        >>> px.Cluster.from_file(cluster.cluster_file).n
        4
        """
        if cluster_file is None:
            try:
                found = _phalanx.find_cluster(cluster_id or None, profile, profile_dir)
            except ClusterError as missing:
                raise FileNotFoundError(str(missing)) from missing
            cluster_file = os.path.join(os.path.dirname(found), CLUSTER_FILE)
        directory = os.path.dirname(os.path.abspath(cluster_file))
        connection_file = os.path.join(directory, "client.json")
        if os.path.exists(cluster_file) or not os.path.exists(connection_file):
            with open(cluster_file, encoding="utf-8") as file:
                return cls.from_dict(json.load(file))
        host = Host(directory)
        names = list(host.engines())
        return cls.from_dict(
            {
                "cluster_id": host.state()["cluster"],
                "profile": profile,
                "home": profile_dir,
                "n": len(names),
                "connection_file": connection_file,
                "cluster_dir": directory,
                "engine_sets": {"all": names},
            }
        )

    @property
    def cluster_file(self) -> str | None:
        """The file that `from_file` reads: where it was, if the cluster has ended; None before its start.

        >>> cluster.cluster_file.endswith("cluster.json")
        True
        """
        directory = self.cluster_dir
        return self._written if directory is None else os.path.join(directory, CLUSTER_FILE)

    def write_cluster_file(self) -> None:
        """Writes what `from_file` reads, for this user alone. Done by itself at the start.

        >>> cluster.write_cluster_file()
        """
        path = self.cluster_file
        if path is None or self.cluster_dir is None:
            raise ClusterError(f"{self!r} is not running: it has no file")
        self._written = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=2)

    def update_cluster_file(self) -> None:
        """Writes it again, if it is there. Done by itself when engines come or go.

        >>> cluster.update_cluster_file()
        """
        path = self.cluster_file
        if path is not None and os.path.exists(path):
            self.write_cluster_file()

    def remove_cluster_file(self) -> None:
        """Removes it. Done by itself when the cluster ends.

        >>> cluster.remove_cluster_file()
        >>> cluster.write_cluster_file()
        """
        path = self.cluster_file
        if path is not None:
            with suppress(FileNotFoundError):
                os.remove(path)
