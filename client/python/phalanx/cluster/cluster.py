"""`Cluster`: a cluster of this machine, started and stopped from Python.

It ends with its object, with the program that started it, or when told to. Who may use it: users. It
runs no task; that is what the client of it is for.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from phalanx import _phalanx
from phalanx.client import Client
from phalanx.error import ClusterError

if TYPE_CHECKING:
    from phalanx._phalanx import NativeCluster

__all__ = ["Cluster"]

T = TypeVar("T")

ENGINE_TIMEOUT_S = 60
"""How long a cluster may take to start, all engines included."""

PATH_ENV = "PHALANX_PYTHON_PATH"
"""Where engines look for modules, as the program that starts them does; a JSON list."""


class Cluster:
    """Hub and `n` engines on this machine. `n` is the number of processors if not given.

    Every method that takes time has two forms: `start_cluster()` to be awaited, and
    `start_cluster_sync()`. As a context manager, with `with` or `async with`, it gives a connected
    client and stops at the end.

    >>> import phalanx as px
    >>> with px.Cluster(n=4) as rc:
    ...     rc[:].apply_sync(lambda: 42)
    [42, 42, 42, 42]
    """

    def __init__(
        self,
        *,
        n: int | None = None,
        cluster_id: str | None = None,
        home: str | None = None,
        python: str | None = None,
        engine_args: tuple[str, ...] | list[str] = (),
        engine_timeout: float = ENGINE_TIMEOUT_S,
        shutdown_atexit: bool = True,
        progress: Callable[[str], object] | None = None,
    ) -> None:
        if n is not None and (isinstance(n, bool) or not isinstance(n, int)):
            raise TypeError(f"n is a number of engines, not {n!r}")
        if n is not None and n < 0:
            raise ValueError(f"n is at least 0, not {n}")
        self.n = n if n is not None else os.cpu_count() or 1
        self.home = home
        self.python = python
        self.engine_args = tuple(engine_args)
        self.engine_timeout = engine_timeout
        self.shutdown_atexit = shutdown_atexit
        self.progress = progress
        self._cluster_id = cluster_id
        self._native: NativeCluster | None = None
        self._client: Client | None = None
        self._connection_file: str | None = None
        self._pid = os.getpid()

    # ------------------------------------------------------------------ start

    def start_cluster_sync(self, n: int | None = None) -> Cluster:
        """Starts hub and engines, and waits until they are there.

        `ClusterError` says which step failed, and shows the log.

        >>> px.Cluster(n=2).start_cluster_sync()                         # doctest: +SKIP
        <Cluster(cluster_id='local-12345-0', engines=2, running)>
        """
        if self._connection_file is not None:
            raise RuntimeError(f"{self!r} runs already")
        if n is not None:
            self.n = n
        with _import_path_in_environment():
            self._native = _phalanx.start_cluster(
                self.n,
                cluster_id=self._cluster_id,
                home=self.home,
                python=self.python,
                engine_args=self.engine_args,
                timeout=self.engine_timeout,
                progress=self.progress,
            )
        self._pid = os.getpid()
        self._cluster_id = self._native.cluster_id
        self._connection_file = self._native.connection_file
        if self.shutdown_atexit:
            _to_stop.add(self)
        return self

    async def start_cluster(self, n: int | None = None) -> Cluster:
        """As `start_cluster_sync`, to be awaited."""
        return await _in_thread(self.start_cluster_sync, n)

    def start_and_connect_sync(self, n: int | None = None, activate: bool = False) -> Client:
        """Starts the cluster, and gives a client of it; with `activate`, `%px` works on all engines.

        >>> rc = px.Cluster(n=4).start_and_connect_sync()                # doctest: +SKIP
        """
        self.start_cluster_sync(n)
        try:
            client = self.connect_client_sync()
            client.wait_for_engines(self.n, timeout=self.engine_timeout)
        except BaseException:
            self.stop_cluster_sync()
            raise
        if activate:
            client.activate()
        return client

    async def start_and_connect(self, n: int | None = None, activate: bool = False) -> Client:
        """As `start_and_connect_sync`, to be awaited."""
        return await _in_thread(self.start_and_connect_sync, n, activate)

    def connect_client_sync(self, **options: Any) -> Client:
        """A client of this cluster; takes the options of `Client`.

        >>> rc = cluster.connect_client_sync(block=True)
        """
        return Client(self.connection_file, cluster=self, **options)

    async def connect_client(self, **options: Any) -> Client:
        """As `connect_client_sync`, to be awaited."""
        return await _in_thread(lambda: self.connect_client_sync(**options))

    # ------------------------------------------------------------------ stop

    def stop_cluster_sync(self) -> None:
        """Ends every process of the cluster. A second time it does nothing.

        >>> cluster.stop_cluster_sync()                                  # doctest: +SKIP
        """
        _to_stop.discard(self)
        client, self._client = self._client, None
        if client is not None:
            client.close()
        native, self._native = self._native, None
        self._connection_file = None
        if native is not None:
            native.stop()

    async def stop_cluster(self) -> None:
        """As `stop_cluster_sync`, to be awaited."""
        await _in_thread(self.stop_cluster_sync)

    def __enter__(self) -> Client:
        self._client = self.start_and_connect_sync()
        return self._client

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_cluster_sync()

    async def __aenter__(self) -> Client:
        self._client = await self.start_and_connect()
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop_cluster()

    # ------------------------------------------------------------------ engines

    def restart_engines_sync(self) -> None:
        """Kills all engines; the cluster starts each again under the same id, with an empty namespace.

        What runs or waits on them directly is lost; load-balanced tasks run again.

        >>> cluster.restart_engines_sync()                               # doctest: +SKIP
        """
        with self.connect_client_sync() as client:
            before = {engine["id"]: engine["pid"] for engine in client.engines}
            for pid in before.values():
                os.kill(pid, signal.SIGKILL)
            _wait_for_new(client, before, self.engine_timeout)

    async def restart_engines(self) -> None:
        """As `restart_engines_sync`, to be awaited."""
        await _in_thread(self.restart_engines_sync)

    def signal_engines_sync(self, signum: int) -> None:
        """Sends a signal to every engine; SIGINT interrupts the task that runs.

        >>> cluster.signal_engines_sync(signal.SIGINT)                   # doctest: +SKIP
        """
        with self.connect_client_sync() as client:
            for engine in client.engines:
                os.kill(engine["pid"], signum)

    async def signal_engines(self, signum: int) -> None:
        """As `signal_engines_sync`, to be awaited."""
        await _in_thread(self.signal_engines_sync, signum)

    # ------------------------------------------------------------------ what is known of it

    @property
    def cluster_id(self) -> str | None:
        """The cluster's name; its own choice, once it runs, if none was given."""
        return self._cluster_id

    @property
    def connection_file(self) -> str:
        """The connection file of a client; `ClusterError` if the cluster does not run."""
        if self._connection_file is None:
            raise ClusterError(f"{self!r} is not running: start it, or enter it with `with`")
        return self._connection_file

    @property
    def is_running(self) -> bool:
        """Whether the cluster was started, and its host process lives."""
        return self._native is not None and self._native.is_running()

    @property
    def has_ended(self) -> bool:
        """Whether it was started, and has ended without being asked to from here."""
        return self._native is not None and not self._native.is_running()

    @property
    def cluster_dir(self) -> str | None:
        """The directory of the cluster, with its logs; None if it does not run."""
        return None if self._native is None else self._native.dir

    def __repr__(self) -> str:
        state = "running" if self._connection_file is not None else "stopped"
        return f"<Cluster(cluster_id={self._cluster_id!r}, engines={self.n}, {state})>"


async def _in_thread(f: Callable[..., T], *args: Any) -> T:
    """What blocks, off the event loop."""
    from asyncio import to_thread  # not everybody's: it takes longer to import than all else

    return await to_thread(f, *args)


_to_stop: WeakSet[Cluster] = WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stops what this process has started; not what came to it by fork."""
    for cluster in list(_to_stop):
        if cluster._pid == os.getpid():
            cluster.stop_cluster_sync()


@contextmanager
def _import_path_in_environment() -> Iterator[None]:
    """Tells engines where this program finds modules: they are to find them too."""
    own = [os.getcwd() if entry == "" else entry for entry in sys.path]
    before = os.environ.get(PATH_ENV)
    os.environ[PATH_ENV] = json.dumps([entry for entry in own if os.path.isabs(entry)])
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(PATH_ENV, None)
        else:
            os.environ[PATH_ENV] = before


def _wait_for_new(client: Client, before: dict[int, int], timeout: float) -> None:
    """Waits until each engine is there again as another process."""
    end = time.monotonic() + timeout
    seen = -1
    while time.monotonic() < end:
        if client.native.changes() != seen:
            seen = client.native.changes()
            now = {engine["id"]: engine["pid"] for engine in client.engines}
            if all(now.get(engine) not in (None, pid) for engine, pid in before.items()):
                client.wait_for_engines(len(before), timeout=max(0.1, end - time.monotonic()))
                return
        time.sleep(0.02)
    raise TimeoutError(f"the engines have not come back within {timeout} s")
