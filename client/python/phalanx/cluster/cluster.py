"""`Cluster`: a cluster of this machine, started and stopped from Python.

It ends with its object, with the program that started it, or when told to. Who may use it: users. It
runs no task; that is what the client of it is for.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from phalanx import _phalanx
from phalanx.client import Client
from phalanx.client.console import signal_number
from phalanx.cluster.engine_sets import Controller, EngineSet
from phalanx.cluster.facts import Facts
from phalanx.cluster.hosting import Host, ProcessState
from phalanx.cluster.shared import Shared
from phalanx.cluster.starting import (
    awaited,
    check_launcher,
    check_options,
    engine_count,
    import_path_in_environment,
    listen_address,
)
from phalanx.error import ClosedError, ClusterError, ConnectError

if TYPE_CHECKING:
    from phalanx._phalanx import NativeCluster

__all__ = ["Cluster"]

ENGINE_TIMEOUT_S = 60
"""How long engines may take to start."""

STOP_TIMEOUT_S = 30
"""How long a cluster that another program has started may take to end."""


class Cluster(Facts, Shared):
    """Hub and `n` engines on this machine. `n` is the number of processors if not given.

    `scheme` says which engine a balanced task goes to while several have room: `leastload` (the one
    with the fewest tasks, the default), `lru` (the one that was given a task longest ago),
    `plainrandom`, `twobin` (the less loaded of two drawn at random), `weighted` (two drawn by inverse
    load, the less loaded of them) or `pure` (in turn, and tasks without dependencies, targets and
    needs only). `hwm` is how many tasks an engine has at once; 0 is no limit; not given, the hub
    measures how long tasks take, and sends short ones ahead.

    Every method that takes time has two forms: `start_cluster()` to be awaited, and
    `start_cluster_sync()`. As a context manager, with `with` or `async with`, it gives a connected
    client and stops at the end.

    The hub listens on loopback, for this machine alone, unless `controller_ip` names an address of this
    machine, or `"*"` for all of them; a port may follow the address. With `scheduler_process` scheduler and
    dependencies run in a process beside the hub's.

    `cluster_id` names it, by default with a name of its own. `profile` is a directory of clusters, and
    `profile_dir` or `home` where they are. Each engine runs `startup_script` (a file) and
    `startup_command` (code) before it takes tasks, also after a restart; `engine_args` are further
    arguments of `python -m phalanx.engine`. With `shutdown_atexit=False` it is not stopped when the
    program ends in order, but it does not outlive the program.

    >>> import phalanx as px
    >>> with px.Cluster(n=4) as rc:
    ...     rc[:].apply_sync(lambda: 42)
    [42, 42, 42, 42]
    """

    def __init__(
        self,
        *,
        n: int | None = None,
        engines: Any = None,
        controller: Any = None,
        cluster_id: str | None = None,
        profile: str | None = None,
        profile_dir: str | None = None,
        home: str | None = None,
        python: str | None = None,
        engine_args: Iterable[str] = (),
        startup_script: str | os.PathLike[str] | None = None,
        startup_command: str | None = None,
        scheme: str | None = None,
        hwm: int | None = None,
        controller_ip: str | None = None,
        scheduler_process: bool = False,
        engine_timeout: float = ENGINE_TIMEOUT_S,
        shutdown_atexit: bool = True,
        progress: Callable[[str], object] | None = None,
        engine_launcher_class: Any = None,
        controller_launcher_class: Any = None,
        **kept: Any,
    ) -> None:
        check_options("a Cluster", kept)
        check_launcher("engines", engines, engine_launcher_class)
        check_launcher("controller", controller, controller_launcher_class)
        self.n = os.cpu_count() or 1 if n is None else engine_count(n)
        self.profile = profile or "default"
        self.home = home if home is not None else profile_dir
        self.python = python
        self.engine_args = tuple(engine_args)
        self.startup_script = None if startup_script is None else os.path.abspath(startup_script)
        self.startup_command = startup_command
        self.scheme = scheme
        self.hwm = hwm
        self.controller_ip = listen_address(controller_ip)
        self.scheduler_process = scheduler_process
        self.engine_timeout = engine_timeout
        self.shutdown_atexit = shutdown_atexit
        self.progress = progress
        self._cluster_id = cluster_id or ("default" if cluster_id == "" else None)
        self._native: NativeCluster | None = None
        self._host: Host | None = None
        self._client: Client | None = None
        self.clients: WeakSet[Client] = WeakSet()  # of this program; each adds itself
        self._connection_file: str | None = None
        self._engine_sets: dict[str, EngineSet] = {}
        self._pid = os.getpid()

    # ------------------------------------------------------------------ start

    def start_cluster_sync(self, n: int | None = None) -> Cluster:
        """Starts hub and engines, and waits until they are there.

        `ClusterError` says which step failed, and shows the log.

        >>> px.Cluster(n=2).start_cluster_sync()                         # doctest: +SKIP
        <Cluster(cluster_id='local-12345-0', profile='default', controller=<running>, engine_sets=['1f2e'])>
        """
        if n is not None:
            self.n = engine_count(n)
        host = self._start(self.n)
        if self.n:
            self._add_set(None, host.engines())
        return self

    start_cluster = awaited(start_cluster_sync)

    def start_controller_sync(self, **options: Any) -> None:
        """Starts the hub without engines; `start_engines` brings them.

        `RuntimeError` if it runs already.

        >>> px.Cluster().start_controller_sync()                         # doctest: +SKIP
        """
        check_options("start_controller", options)
        self._start(0)

    start_controller = awaited(start_controller_sync)

    def start_engines_sync(self, n: int | None = None, engine_set_id: str | None = None) -> str:
        """Starts `n` more engines, as the first were; waits until they take tasks. Their set's id.

        May be called again and again. `ClusterError`, with the end of the log, if one does not start;
        then none of them stays. `KeyError` for an id that there is already.

        >>> cluster.start_engines_sync(1)                                # doctest: +SKIP
        '1f2e3d4c'
        """
        host = self._running_host()
        if engine_set_id in self._engine_sets:
            raise KeyError(f"there is an engine set {engine_set_id!r} already")
        names = host.add(self.n if n is None else engine_count(n))
        try:
            self._wait_until(names, lambda _, process: process["state"] == "running", "started")
        except BaseException:
            host.stop(names)
            raise
        return self._add_set(engine_set_id, names)

    start_engines = awaited(start_engines_sync)

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

    start_and_connect = awaited(start_and_connect_sync)

    def connect_client_sync(self, **options: Any) -> Client:
        """A client of this cluster; takes the options of `Client`.

        >>> rc = cluster.connect_client_sync(block=True)
        """
        return Client(self.connection_file, cluster=self, **options)

    connect_client = awaited(connect_client_sync)

    def _start(self, n: int) -> Host:
        if self._connection_file is not None:
            raise RuntimeError(f"{self!r} runs already")
        startup: list[str] = []
        if self.startup_script is not None:
            startup += ["--startup-script", self.startup_script]
        if self.startup_command is not None:
            startup += ["--startup-command", self.startup_command]
        with import_path_in_environment():
            self._native = _phalanx.start_cluster(
                n,
                cluster_id=self._cluster_id,
                home=self.home,
                profile=None if self.profile == "default" else self.profile,
                python=self.python,
                engine_args=[*startup, *self.engine_args],
                scheme=self.scheme,
                hwm=self.hwm,
                listen=self.controller_ip,
                scheduler_process=self.scheduler_process,
                timeout=self.engine_timeout,
                progress=self.progress,
            )
        self._pid = os.getpid()
        self._cluster_id = self._native.cluster_id
        self._connection_file = self._native.connection_file
        self._host = Host(self._native.dir)
        if self.shutdown_atexit:
            _to_stop.add(self)
        self.write_cluster_file()
        return self._host

    def _add_set(self, engine_set_id: str | None, names: Iterable[str]) -> str:
        name = engine_set_id if engine_set_id is not None else os.urandom(4).hex()
        self._engine_sets[name] = EngineSet(self._running_host(), names)
        self.update_cluster_file()
        return name

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
        file, self._connection_file = self._connection_file, None
        host, self._host = self._host, None
        self._engine_sets.clear()
        if native is not None:
            native.stop()
        elif host is not None and file is not None:
            _stop_from_afar(host, file)

    stop_cluster = awaited(stop_cluster_sync)

    def stop_controller_sync(self) -> None:
        """Ends the hub, and with it the engines: they do not outlive it. As `stop_cluster_sync`.

        >>> cluster.stop_controller_sync()                               # doctest: +SKIP
        """
        self.stop_cluster_sync()

    stop_controller = awaited(stop_controller_sync)

    def stop_engines_sync(self, engine_set_id: str | None = None) -> None:
        """Ends a set of engines, by default all. What runs on them directly is lost.

        `KeyError` for an unknown set; without sets it does nothing.

        >>> cluster.stop_engines_sync("my set")                          # doctest: +SKIP
        """
        for name in self._set_names(engine_set_id):
            self._end(self._engine_sets[name].names)
            del self._engine_sets[name]
        self.update_cluster_file()

    stop_engines = awaited(stop_engines_sync)

    def stop_engine_sync(self, engine_id: int) -> None:
        """Ends one engine, named as `Client.ids` names it. `KeyError` if there is none.

        >>> cluster.stop_engine_sync(3)                                  # doctest: +SKIP
        """
        name = self._engine_name(engine_id)
        self._end([name])
        for engine_set in self._engine_sets.values():
            if name in engine_set.names:
                engine_set.names.remove(name)
        self.update_cluster_file()

    stop_engine = awaited(stop_engine_sync)

    def _end(self, names: list[str]) -> None:
        if names and self._host is not None:
            self._host.stop(names)
            self._host.wait_until(
                names, lambda _, process: process["pid"] is None, "ended", self.engine_timeout
            )

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

    def restart_engines_sync(self, engine_set_id: str | None = None) -> None:
        """Ends engines, by default all, and starts them again under their ids, their namespaces empty.

        What runs or waits on them directly is lost; load-balanced tasks run again. Returns once they
        take tasks, and this cluster's clients know them. `KeyError` for an unknown set.

        >>> cluster.restart_engines_sync()                               # doctest: +SKIP
        """
        for name in self._set_names(engine_set_id):
            self._restart(self._engine_sets[name].names)

    restart_engines = awaited(restart_engines_sync)

    def restart_engine_sync(self, engine_id: int) -> None:
        """Ends one engine, and starts it again under its id. `KeyError` if there is none.

        >>> cluster.restart_engine_sync(3)                               # doctest: +SKIP
        """
        self._restart([self._engine_name(engine_id)])

    restart_engine = awaited(restart_engine_sync)

    def _restart(self, names: list[str]) -> None:
        host = self._running_host()
        before = {name: process["pid"] for name, process in host.engines().items()}
        host.restart(names)
        self._wait_until(
            names,
            lambda name, process: process["state"] == "running" and process["pid"] != before[name],
            "started again",
        )

    def _wait_until(
        self, names: list[str], is_so: Callable[[str, ProcessState], bool], what: str
    ) -> None:
        """Waits until it is so for each of the engines, and this program's clients know it."""
        self._running_host().wait_until(names, is_so, what, self.engine_timeout)
        for client in list(self.clients):
            with suppress(ClosedError, ConnectError):
                client.ping()  # the answer comes behind what the hub told of its engines

    def signal_engines_sync(
        self, signum: int | str | signal.Signals, engine_set_id: str | None = None
    ) -> None:
        """Sends engines, by default all, a signal; SIGINT interrupts the task that runs.

        >>> cluster.signal_engines_sync(signal.SIGINT)                   # doctest: +SKIP
        """
        for name in self._set_names(engine_set_id):
            self._running_host().signal(self._engine_sets[name].names, signal_number(signum))

    signal_engines = awaited(signal_engines_sync)

    def signal_engine_sync(self, signum: int | str | signal.Signals, engine_id: int) -> None:
        """Sends one engine a signal. `KeyError` if there is none.

        >>> cluster.signal_engine_sync("SIGINT", 0)
        """
        self._running_host().signal([self._engine_name(engine_id)], signal_number(signum))

    signal_engine = awaited(signal_engine_sync)

    def _set_names(self, engine_set_id: str | None) -> list[str]:
        if engine_set_id is None:
            return list(self._engine_sets)
        if engine_set_id not in self._engine_sets:
            raise KeyError(f"there is no engine set {engine_set_id!r}: {list(self._engine_sets)}")
        return [engine_set_id]

    def _engine_name(self, engine_id: int) -> str:
        with self.connect_client_sync() as client:
            names = {engine["id"]: engine["name"] for engine in client.engines}
        if engine_id not in names:
            raise KeyError(f"there is no engine {engine_id}: there are {sorted(names)}")
        return str(names[engine_id])

    def __repr__(self) -> str:
        facts = f"cluster_id={self._cluster_id!r}, profile={self.profile!r}"
        if self._host is not None:
            facts += f", controller=<{Controller(self._host).state}>"
        if self._engine_sets:
            facts += f", engine_sets={list(self._engine_sets)}"
        return f"<{type(self).__name__}({facts})>"


def _stop_from_afar(host: Host, connection_file: str) -> None:
    """Ends a cluster that another process has started, and waits until it has."""
    if not Controller(host).running:
        return
    with Client(connection_file) as client:
        client.shutdown(hub=True)
    end = time.monotonic() + STOP_TIMEOUT_S
    home = os.path.dirname(os.path.dirname(host.directory))
    while any(each["dir"] == host.directory for each in _phalanx.list_clusters(home)):
        if time.monotonic() > end:
            raise ClusterError(
                f"the cluster in {host.directory} has not ended in {STOP_TIMEOUT_S} s"
            )
        time.sleep(0.02)


_to_stop: WeakSet[Cluster] = WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stops what this process has started; not what came to it by fork."""
    for cluster in list(_to_stop):
        if cluster._pid == os.getpid():
            cluster.stop_cluster_sync()
