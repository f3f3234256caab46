"""Phalanx: interactive and batch parallel computing, with engines that keep their state.

A cluster is a hub and engines; a client sends work to them by views.

>>> import phalanx as px
>>> with px.Cluster(n=4) as rc:
...     rc[:].apply_sync(lambda x: x + 1, 41)
...     rc.load_balanced_view().map_sync(abs, [-1, -2, -3])
[42, 42, 42, 42]
[1, 2, 3]

Where what is. Modules at the top are names that users import; rooms are sub-packages, each with a map of its
own at its top, and are imported by those below them only:

    values      how arguments, functions and results travel
    failures    errors on their way from an engine to `except`; the classes are in `error`
    display     what is shown: outputs, progress, notebook tables
    results     AsyncResult and its kin: waiting, watching, metadata
    hub         what is asked of the hub: queues, records, results of others
    views       direct, balanced and broadcast views, dependencies, graphs, remote functions
    magics      `%px` and its kin
    client      Client; beside it ipyparallel's names for the modules of its own `client`
    cluster     starting, finding and stopping clusters
    engine      what an engine process runs; beside all this, it needs `values` and `failures` only
    controller  ipyparallel's name for the hub, which is written in Rust
    serialize   ipyparallel's names for what lives in `values`

Other libraries' ways in are modules at the top, loaded by who uses them: `aio`, `dask`, `executor`, `joblib`,
`pytest_plugin`. `datapub` and `util` are ipyparallel's names for what lives in the rooms. The
compiled module `_phalanx` is private.
"""

from __future__ import annotations

import os as _os
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any as _Any

from phalanx import _phalanx, error
from phalanx._phalanx import __version__
from phalanx.client import Client
from phalanx.cluster import Cluster, ClusterManager, clean_cluster_files
from phalanx.engine.binding import bind_kernel
from phalanx.error import (
    AbortedTask,
    AlreadyDisplayedError,
    ClosedError,
    ClusterError,
    CompositeError,
    ConnectError,
    DependencyTimeout,
    Disconnected,
    EngineError,
    HubForgot,
    ImpossibleDependency,
    InvalidDependency,
    IPythonError,
    KernelError,
    NoEnginesRegistered,
    PhalanxError,
    PoisonTask,
    RefusedError,
    RemoteError,
    ResultError,
    TaskAborted,
    TaskRejectError,
    TaskTimeout,
    TimeoutError,
    UnmetDependency,
    UnmetDependencyError,
)
from phalanx.executor import ViewExecutor
from phalanx.hub.result import AsyncHubResult
from phalanx.results.asyncresult import AsyncResult
from phalanx.results.executereply import ExecuteReply
from phalanx.results.mapresult import AsyncMapResult
from phalanx.values.buffers import (
    deserialize_object,
    pack_apply_message,
    serialize_object,
    unpack_apply_message,
)
from phalanx.values.canning import can, can_map, uncan, uncan_map
from phalanx.values.functions import interactive
from phalanx.values.packing import PrePickled
from phalanx.values.picklers import use_cloudpickle, use_dill, use_pickle
from phalanx.values.reference import Reference
from phalanx.views.broadcast import BroadcastView
from phalanx.views.dependency import Dependency, depend, dependent, require
from phalanx.views.direct import DirectView
from phalanx.views.load_balanced import LoadBalancedView
from phalanx.views.remotefunction import ParallelFunction, RemoteFunction, parallel, remote
from phalanx.views.view import View

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AbortedTask",
    "AlreadyDisplayedError",
    "AsyncHubResult",
    "AsyncMapResult",
    "AsyncResult",
    "BroadcastView",
    "Client",
    "ClosedError",
    "Cluster",
    "ClusterError",
    "ClusterManager",
    "CompositeError",
    "ConnectError",
    "Dependency",
    "DependencyTimeout",
    "DirectView",
    "Disconnected",
    "EngineError",
    "ExecuteReply",
    "HubForgot",
    "IPythonError",
    "ImpossibleDependency",
    "InvalidDependency",
    "KernelError",
    "LoadBalancedView",
    "NoEnginesRegistered",
    "ParallelFunction",
    "PhalanxError",
    "PoisonTask",
    "PrePickled",
    "Reference",
    "RefusedError",
    "RemoteError",
    "RemoteFunction",
    "ResultError",
    "TaskAborted",
    "TaskRejectError",
    "TaskTimeout",
    "TimeoutError",
    "UnmetDependency",
    "UnmetDependencyError",
    "View",
    "ViewExecutor",
    "__version__",
    "bind_kernel",
    "can",
    "can_map",
    "clean_cluster_files",
    "depend",
    "dependent",
    "deserialize_object",
    "error",
    "interactive",
    "pack_apply_message",
    "parallel",
    "register_joblib_backend",
    "remote",
    "require",
    "serialize_object",
    "uncan",
    "uncan_map",
    "unpack_apply_message",
    "use_cloudpickle",
    "use_dill",
    "use_pickle",
    "version_info",
]


def __getattr__(name: str) -> _Any:
    """What is loaded only by those who use it, without an import of its own: `px.aio`, `px.serialize`."""
    if name in ("aio", "controller", "datapub", "serialize", "util"):
        import importlib

        return importlib.import_module(f"phalanx.{name}")
    if name in ("collect_exceptions", "unwrap_exception", "wrap_exception"):
        return getattr(error, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register_joblib_backend(name: str | None = None, make_default: bool = False) -> None:
    """Makes Phalanx a backend of joblib, by default under the name `"phalanx"`: `phalanx.joblib`.

    >>> register_joblib_backend()
    """
    from phalanx.joblib import register  # joblib is not everybody's

    register(name, make_default)


version_info = tuple(int(part) if part.isdecimal() else part for part in __version__.split("."))

_os.register_at_fork(after_in_child=_phalanx.forked)
