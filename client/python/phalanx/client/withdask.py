"""`WithDask`: a client's engines as workers of `dask.distributed`.

Who may use it: `Client` is one. What it does is in `phalanx.dask_workers`, which is loaded when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.client.dask_workers import Deployment

__all__ = ["WithDask"]


class WithDask:
    """What a client can do with Dask. `self` is a `Client` always."""

    _dask: Deployment | None = None

    def become_dask(
        self: Any,
        targets: Any = "all",
        port: int = 0,
        nanny: bool = False,
        scheduler_args: Mapping[str, Any] | None = None,
        **worker_args: Any,
    ) -> Any:
        """Makes engines workers of Dask, one thread each, and gives a `distributed.Client` of them.

        The scheduler runs in this process and ends with it, or with `stop_dask`. Its connections are
        encrypted, with a certificate for this one time. Engines take our tasks all the same. Needs the
        packages `distributed` and `cryptography`.

        >>> dask = rc.become_dask()                                   # doctest: +SKIP
        >>> dask.gather(dask.map(abs, [-1, -2]))                       # doctest: +SKIP
        [1, 2]
        >>> rc.stop_dask()                                             # doctest: +SKIP
        """
        if nanny:
            raise NotImplementedError(
                "an engine is watched by its host: a nanny would make another process of it"
            )
        from phalanx.client.dask_workers import Deployment

        view = self.direct_view(self._engines_for(targets))
        if self._dask is None:
            chosen = set(view.targets)
            hosts = {engine["host"] for engine in self.engines if engine["id"] in chosen}
            self._dask = Deployment(hosts, port, scheduler_args)
        self._dask.add(view, worker_args)
        return self._dask.connect()

    def stop_dask(self: Any, targets: Any = "all") -> None:
        """Has engines be workers no more; with the last of them the scheduler ends.

        >>> rc.stop_dask()                                            # doctest: +SKIP
        """
        if self._dask is None:
            return
        self._dask.remove(self.direct_view(self._engines_for(targets)))
        if not self._dask.engines:
            deployment, self._dask = self._dask, None
            deployment.close()

    become_distributed = become_dask
    stop_distributed = stop_dask

    def _engines_for(self: Any, targets: Any) -> list[int]:
        resolved = self.resolve(targets)
        if resolved == "all":
            resolved = self.ids
        return [resolved] if isinstance(resolved, int) else list(resolved)
