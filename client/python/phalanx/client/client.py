"""`Client`: the connection to a cluster, from which views are made.

Who may use it: users. It submits nothing itself; views do. Receiving goes on in a thread of the native
module that never runs Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from phalanx.client.connecting import check_old_options, connect
from phalanx.client.console import Console
from phalanx.client.jobs import Jobs
from phalanx.client.lowlevel import LowLevel
from phalanx.client.withdask import WithDask
from phalanx.error import ClosedError, NoEnginesRegistered
from phalanx.executor import ViewExecutor
from phalanx.hub.queries import HubQueries
from phalanx.results.msg_ids import msg_id, msg_ids, parse_msg_id
from phalanx.values import versions
from phalanx.views.broadcast import BroadcastView
from phalanx.views.direct import DirectView
from phalanx.views.load_balanced import LoadBalancedView
from phalanx.views.placing import with_amounts

if TYPE_CHECKING:
    from inspect import Signature
    from typing import Self

    from phalanx.cluster import Cluster
    from phalanx.views.view import View

__all__ = ["Client"]

V = TypeVar("V", DirectView, LoadBalancedView, BroadcastView)


class _Signature:
    """What `help` tells that a class takes: its `__init__` does, and `__new__` would hide it."""

    def __get__(self, instance: object, owner: type[Client]) -> Signature:
        import inspect  # only who looks needs it

        whole = inspect.signature(owner.__init__)
        return whole.replace(parameters=list(whole.parameters.values())[1:])


class Client(Jobs, HubQueries, LowLevel, Console, WithDask):
    """A connection to a cluster.

    `connection_info` is the path of a client's connection file, or a dict with its contents. Without
    it, the newest running cluster is taken, or that of `cluster_id`; `profile` names a directory of
    clusters. Waits up to `timeout` seconds for the file and for the hub. With `writable_results` the
    arrays in results are copies that can be written to; otherwise they are read-only. What old programs
    set for ZeroMQ (`packer`, `context`, `debug` and so on) is taken, and does nothing.

    Raises `OSError` if there is no connection file, `ConnectError` or `TimeoutError` if there is no hub.

    With `asynchronous` it is a `phalanx.aio.Client`, to be awaited or entered by `async with`.

    >>> import phalanx as px
    >>> rc = px.Client()
    >>> rc.ids
    [0, 1, 2, 3]
    """

    __signature__ = _Signature()

    def __new__(cls, *args: Any, asynchronous: bool = False, **options: Any) -> Any:
        """A client, or one for an event loop."""
        if asynchronous:
            from phalanx.aio import Client as AsyncClient  # not everybody's: it imports asyncio

            return AsyncClient(*args, **options)
        return super().__new__(cls)

    def __init__(
        self,
        connection_info: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        url_file: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        cluster_id: str | None = None,
        timeout: float = 10,
        cluster: Cluster | None = None,
        block: bool = False,
        writable_results: bool = False,
        name: str | None = None,
        asynchronous: bool = False,
        **old_options: Any,
    ) -> None:
        check_old_options(old_options)
        self.block = block
        self.cluster = cluster
        self.profile = profile or "default"
        self.writable_results = writable_results
        self._begin_jobs()
        self._forgotten: set[tuple[int, int]] = set()  # whose results are purged here
        self._shown_from = 0  # the place in the history before which all are
        self._views: WeakValueDictionary[Any, View] = WeakValueDictionary()
        name = name or f"python-{os.getpid()}"
        info = connection_info if connection_info is not None else url_file
        self.native = connect(info, cluster_id or None, profile, name, timeout)
        if cluster is not None:
            cluster.clients.add(self)
        self._complaint = versions.warn_of(self.engines)
        self._activate_if_first()

    # ------------------------------------------------------------------ engines and views

    @property
    def ids(self) -> list[int]:
        """The ids of the engines that run Python, in order. Costs no request: the hub tells of changes.

        >>> rc.ids
        [0, 1, 2, 3]
        """
        return self.native.engine_ids("python")

    @property
    def engines(self) -> list[dict[str, Any]]:
        """All engines: `id`, `name`, `kind`, `host`, `pid`, `slots`, `methods`, `labels`, `resources`, `state`.

        >>> [engine["kind"] for engine in rc.engines]
        ['python', 'python', 'python', 'python']
        """
        return with_amounts(self.native.engines())

    def __len__(self) -> int:
        return len(self.ids)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[DirectView]:
        """A view of each engine, in order."""
        return (self.direct_view(engine) for engine in self.ids)

    def __getitem__(self, key: Any) -> DirectView:
        """A direct view: `rc[0]`, `rc[-1]`, `rc[::2]`, `rc[0, 2]`, `rc[[0, 2]]`, `rc[range(2)]`.

        Negative numbers and slices count in `ids` as they are now.
        """
        if isinstance(key, range):
            key = list(key)
        is_index = isinstance(key, (slice, tuple, list)) or hasattr(key, "__index__")
        if not is_index or isinstance(key, bool):
            raise TypeError(
                f"a client is indexed by int, slice, tuple or list, not {type(key).__name__}"
            )
        return self.direct_view(key)

    def direct_view(self, targets: Any = "all", **flags: Any) -> DirectView:
        """A view of these engines, one by one. `"all"` means those that are there at each call.

        The same request gives the same object, as long as its flags are as they were made.

        >>> rc.direct_view([0, 1])
        <DirectView [0, 1]>
        """
        return self._view(DirectView, self._some(targets), flags)

    def load_balanced_view(self, targets: Any = None, **flags: Any) -> LoadBalancedView:
        """A view over all engines, or some, on which each call is one task.

        >>> rc.load_balanced_view([0, 1])
        <LoadBalancedView [0, 1]>
        """
        if targets is not None:
            targets = self.resolve(targets)
            targets = [targets] if isinstance(targets, int) else targets
            targets = None if targets == "all" else targets
            if targets == []:
                raise NoEnginesRegistered(
                    "a view of no engines can run nothing: name some, or none"
                )
        return self._view(LoadBalancedView, targets, flags)

    def broadcast_view(
        self, targets: Any = "all", is_coalescing: bool = False, **flags: Any
    ) -> BroadcastView:
        """A direct view for the same call to very many engines.

        >>> rc.broadcast_view().apply_sync(abs, -1)
        [1, 1, 1, 1]
        """
        targets = self._some(targets)
        return self._view(BroadcastView, targets, {"is_coalescing": is_coalescing, **flags})

    def executor(self, targets: Any = None) -> ViewExecutor:
        """A `concurrent.futures.Executor` over all engines, or some, balanced.

        >>> rc.executor([0, 1])
        <ViewExecutor of <LoadBalancedView [0, 1]>>
        """
        return ViewExecutor(self.load_balanced_view(targets))

    def view(self, targets: Any = None, balanced: bool | None = None) -> View:
        """An older way to say `direct_view` or `load_balanced_view`.

        >>> rc.view([0, 1], balanced=True)
        <LoadBalancedView [0, 1]>
        """
        if balanced or (balanced is None and targets is None):
            return self.load_balanced_view(targets)
        return self.direct_view("all" if targets is None else targets)

    def resolve(self, targets: Any) -> Any:
        """Targets with slices and negative numbers resolved: an id, a list of ids, or `"all"`.

        >>> rc.resolve(slice(2)), rc.resolve(-1)
        ([0, 1], 3)
        """
        if targets is None or (isinstance(targets, str) and targets == "all"):
            return "all"
        if self.closed:
            raise ClosedError("the client is closed: it knows no engines any more")
        ids = self.ids
        if isinstance(targets, slice):
            return ids[targets]
        if hasattr(targets, "__index__") and not getattr(targets, "shape", ()):
            return _one_id(targets, ids)
        if isinstance(targets, str) or not isinstance(targets, Iterable):
            raise TypeError(f"targets are 'all', an id or ids, not {targets!r}")
        return [_one_id(target, ids) for target in targets]

    def _some(self, targets: Any) -> Any:
        """The same; `NoEnginesRegistered` if these are none."""
        targets = self.resolve(targets)
        if isinstance(targets, list) and not targets:
            raise NoEnginesRegistered(
                f"a view of no engines can run nothing: there are {self.ids}"
                if self.ids
                else "there are no engines for a view: wait_for_engines waits for some"
            )
        return targets

    def _view(self, kind: type[V], targets: Any, flags: dict[str, Any]) -> V:
        fresh = kind(self, targets)
        fresh.set_flags(**flags)
        key = (kind, fresh.flags())
        known = self._views.get(key)
        if isinstance(known, kind) and known.flags() == key[1]:
            return known
        self._views[key] = fresh
        return fresh

    def spin(self) -> None:
        """Does nothing: results come in by themselves.

        >>> rc.spin()
        """

    def spin_thread(self, interval: float = 1) -> None:
        """Does nothing: results come in by themselves.

        >>> rc.spin_thread(0.1)
        """

    def stop_spin_thread(self) -> None:
        """Does nothing: results come in by themselves.

        >>> rc.stop_spin_thread()
        """

    # ------------------------------------------------------------------ the cluster

    def call(self, method: str, value: Any = None, *, block: bool | None = None) -> Any:
        """Calls a typed handler of a Rust engine by its name, on whichever engine offers it.

        >>> rc.call("text.length", "hello", block=True)                  # doctest: +SKIP
        5
        """
        return self.load_balanced_view().call(
            method, value, block=self.block if block is None else block
        )

    def clear(self, targets: Any = None, block: bool | None = None) -> Any:
        """Empties the namespaces of engines, by default of all.

        >>> rc.clear(block=True)
        """
        view = self.direct_view("all" if targets is None else targets)
        return view.clear(block=self.block if block is None else block)

    def status(self) -> dict[str, Any]:
        """The cluster as the hub sees it.

        >>> [engine["info"]["id"] for engine in rc.status()["engines"]]
        [0, 1, 2, 3]
        """
        return self.native.status()

    def explain(self, job: Any) -> dict[str, Any]:
        """Why a task is where it is: what it waits for, what engines are busy with, how it ended.

        Takes an AsyncResult of one task or a msg_id, of whichever client. `text` says all in words;
        beside it are `state`, `reasons`, `waits_for` (msg_ids), `engine` and `position`.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.get(), rc.explain(ar)["state"]
        (1, 'done')
        """
        ids = msg_ids(job)
        if len(ids) != 1:
            raise ValueError(f"explain takes one task, not {len(ids)}")
        told = self.native.explain(parse_msg_id(ids[0]))
        return {
            "msg_id": ids[0],
            "state": told["state"],
            "reasons": list(told["reasons"]),
            "waits_for": [msg_id(tuple(task)) for task in told["waits_for"]],
            "engine": told["engine"],
            "position": told["position"],
            "text": told["text"],
        }

    def ping(self) -> float:
        """Seconds until the hub's answer.

        >>> rc.ping() < 10
        True
        """
        return self.native.ping()

    def shutdown(
        self,
        targets: Any = "all",
        restart: bool = False,
        hub: bool = False,
        block: bool | None = None,
    ) -> None:
        """Ends engines, by default all; with `hub` the whole cluster, and then this client is closed.

        >>> rc.shutdown(hub=True)                                        # doctest: +SKIP
        """
        if restart:
            raise NotImplementedError(
                "engines are restarted by their cluster: Cluster.restart_engines"
            )
        if hub:
            self.native.shutdown(None)
            self.close()
            return
        resolved = self.resolve(targets)
        ids = (
            self.ids if resolved == "all" else [resolved] if isinstance(resolved, int) else resolved
        )
        if ids:
            self.native.shutdown(ids)

    def close(self, linger: float | None = None) -> None:
        """Leaves the cluster once the hub has recorded everything submitted. Open tasks go on.

        >>> rc.close()                                                   # doctest: +SKIP
        """
        if not self.native.closed:
            self.native.close(5.0 if linger is None else linger)

    @property
    def closed(self) -> bool:
        """Whether the client was closed, or gave up on its hub.

        >>> rc.closed
        False
        """
        return self.native.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self!r} cannot be sent: it is the connection of this program; a task that needs one makes a "
            "client of its own (px.Client())"
        )

    def _repr_html_(self) -> str:
        from phalanx.display.html import of_client  # only notebooks need it

        return of_client(self)

    def __repr__(self) -> str:
        state = "closed" if self.native.closed else f"{len(self)} engines"
        return f"<Client c{self.native.id}: {state}>"


def _one_id(target: Any, ids: list[int]) -> int:
    """An id that is there; a negative number counts from the end."""
    if isinstance(target, bool) or not hasattr(target, "__index__"):
        raise TypeError(f"an engine id is an int, not {target!r}")
    number = int(target)
    if number < 0:
        if -number > len(ids):
            raise IndexError(f"there are {len(ids)} engines: {ids}, none at {number}")
        return ids[number]
    if number not in ids:
        raise IndexError(f"there is no engine {number}: there are {ids}")
    return number
