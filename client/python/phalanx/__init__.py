"""Phalanx: interactive and batch parallel computing, with engines that keep their state.

A cluster is a hub and engines; a client sends work to them by views.

>>> import phalanx as px
>>> with px.Cluster(n=4) as rc:
...     rc[:].apply_sync(lambda x: x + 1, 41)
...     rc.load_balanced_view().map_sync(abs, [-1, -2, -3])
[42, 42, 42, 42]
[1, 2, 3]

Where what is: `client` (Client), `cluster` (Cluster), `view`, `direct_view`, `load_balanced_view`,
`asyncresult`, `mapresult`, `error`, `dependency`, `reference`, `remotefunction`, `serialize` and
`functions` (how values travel), `partition`, `magics`, `engine` (what an engine process runs). The
compiled module `_phalanx` is private.
"""

from __future__ import annotations

import os as _os
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any as _Any

from phalanx import _phalanx, error
from phalanx._phalanx import __version__
from phalanx.asyncresult import AsyncResult
from phalanx.broadcast_view import BroadcastView
from phalanx.buffers import (
    deserialize_object,
    pack_apply_message,
    serialize_object,
    unpack_apply_message,
)
from phalanx.canning import can, can_map, uncan, uncan_map
from phalanx.client import Client
from phalanx.cluster import Cluster, ClusterManager, clean_cluster_files
from phalanx.dependency import Dependency, depend, dependent, require
from phalanx.direct_view import DirectView
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
from phalanx.executereply import ExecuteReply
from phalanx.executor import ViewExecutor
from phalanx.functions import interactive
from phalanx.hubresult import AsyncHubResult
from phalanx.kernels import bind_kernel
from phalanx.load_balanced_view import LoadBalancedView
from phalanx.mapresult import AsyncMapResult
from phalanx.picklers import use_cloudpickle, use_dill, use_pickle
from phalanx.reference import Reference
from phalanx.remotefunction import ParallelFunction, RemoteFunction, parallel, remote
from phalanx.serialize import PrePickled
from phalanx.view import View

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
    """What is loaded only by those who use it: `px.aio`."""
    if name == "aio":
        import importlib

        return importlib.import_module("phalanx.aio")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register_joblib_backend(name: str | None = None, make_default: bool = False) -> None:
    """Makes Phalanx a backend of joblib, by default under the name `"phalanx"`: `phalanx.joblib`.

    >>> register_joblib_backend()
    """
    from phalanx.joblib import register  # joblib is not everybody's

    register(name, make_default)


version_info = tuple(int(part) if part.isdecimal() else part for part in __version__.split("."))

_os.register_at_fork(after_in_child=_phalanx.forked)
