"""Engines as workers of `dask.distributed`: what is behind `Client.become_dask`.

The scheduler of Dask runs in the process of the client that asked, a worker in a thread of each engine; they
talk over connections of Dask's own, with TLS and a certificate made for this one time. Engines go on
taking tasks of ours beside. Who may use it: `Client`. It needs `distributed` and `cryptography`, here and on
the engines.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import distributed
from distributed.security import Security
from distributed.utils import get_ip

from phalanx.error import EngineError

if TYPE_CHECKING:
    from phalanx.views.direct import DirectView

__all__ = ["Deployment", "start_worker", "stop_worker"]

START_S = 60.0
"""How long a worker may take to reach its scheduler."""


class Deployment:
    """A scheduler here, and the engines that are its workers.

    >>> dask = rc.become_dask([0, 1])                                 # doctest: +SKIP
    >>> dask.submit(pow, 2, 10).result()                               # doctest: +SKIP
    1024
    >>> rc.stop_dask()                                                 # doctest: +SKIP
    """

    def __init__(self, hosts: set[str], port: int, options: Mapping[str, Any] | None) -> None:
        try:
            self.security = Security.temporary()
        except ImportError as missing:
            raise ImportError(
                "become_dask needs the package cryptography for the certificate of Dask's connections: "
                "pip install cryptography"
            ) from missing
        host = "127.0.0.1" if len(hosts) == 1 else get_ip()
        self._cluster = distributed.SpecCluster(
            workers={},
            # It is in this program, and its daily work is not the user's.
            silence_logs=logging.WARNING,  # pyright: ignore[reportArgumentType]
            scheduler={
                "cls": distributed.Scheduler,
                "options": {
                    "host": host,
                    "port": port,
                    "dashboard": False,
                    "dashboard_address": ":0",
                    "security": self.security,
                    **(options or {}),
                },
            },
            security=self.security,
        )
        self.address: str = self._cluster.scheduler_address
        self.engines: set[int] = set()
        self._clients: list[distributed.Client] = []

    def add(self, view: DirectView, options: Mapping[str, Any]) -> None:
        """Makes engines workers; those that are some already stay as they are."""
        new = [engine for engine in view.targets if engine not in self.engines]
        if new:
            # Only what a worker needs: its own key, not that of the scheduler.
            fields = {
                "tls_ca_file": self.security.tls_ca_file,
                "tls_worker_key": self.security.tls_worker_key,
                "tls_worker_cert": self.security.tls_worker_cert,
            }
            view.client.direct_view(new).apply_sync(
                start_worker, self.address, fields, dict(options)
            )
            self.engines.update(new)

    def connect(self) -> Any:
        """A client of Dask's, which is from now on the default one."""
        client = distributed.Client(self._cluster.scheduler_address, security=self.security)
        client.wait_for_workers(len(self.engines), timeout=START_S)
        self._clients.append(client)
        return client

    def remove(self, view: DirectView) -> None:
        """Has engines be workers no more."""
        gone = [engine for engine in view.targets if engine in self.engines]
        if gone:
            view.client.direct_view(gone).apply_sync(stop_worker)
            self.engines.difference_update(gone)

    def close(self) -> None:
        """Ends the scheduler and the clients that `connect` gave."""
        for client in self._clients:
            client.close()
        self._cluster.close()


class _Running:
    """The worker of this process."""

    def __init__(self, address: str, fields: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._address = address
        self._security = Security(require_encryption=True, **fields)
        self._options = {"nthreads": 1, "dashboard": False, **options}
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: Any = None
        thread = threading.Thread(target=self._run, name="phalanx-dask-worker", daemon=True)
        thread.start()
        if not self._started.wait(START_S):
            raise EngineError(f"the scheduler of Dask at {address} was not reached in {START_S} s")
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._worker = await distributed.Worker(
                self._address, security=self._security, **self._options
            )
        except Exception as failure:  # raised where the worker was asked for
            self._failure = failure
            return
        finally:
            self._started.set()
        await self._worker.finished()

    def stop(self) -> None:
        """Has the worker leave its scheduler."""
        if self._loop is not None and not self._loop.is_closed():
            closing = asyncio.run_coroutine_threadsafe(
                self._worker.close(reason="stop_dask"), self._loop
            )
            closing.result(START_S)


_running: _Running | None = None


def start_worker(address: str, fields: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Makes this process a worker; on an engine."""
    global _running
    stop_worker()
    _running = _Running(address, fields, options)


def stop_worker() -> None:
    """Ends the worker of this process, if there is one; on an engine.

    >>> stop_worker()
    """
    global _running
    running, _running = _running, None
    if running is not None:
        running.stop()
