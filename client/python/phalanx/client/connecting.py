"""How a client finds its hub: by a connection file, its contents, or the newest cluster that runs.

Who may use it: `Client`. It makes the connection and knows nothing of views or tasks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from phalanx import _phalanx
from phalanx.error import ClusterError

if TYPE_CHECKING:
    from phalanx._phalanx import NativeClient

__all__ = ["check_old_options", "connect"]

LOOKS_S = (1.0, 2.0)
"""How long the newest cluster is waited for before it is looked whether it is that still: it may have been
about to end. After these, for all the time that is left: a busy hub takes long for the beginning."""

OLD_OPTIONS = frozenset(
    [
        "adapt_version",
        "auth",
        "buffer_threshold",
        "check_pid",
        "config",
        "context",
        "copy_threshold",
        "debug",
        "digest_history_size",
        "extra_args",
        "item_threshold",
        "key",
        "keyfile",
        "log",
        "metadata",
        "packer",
        "parent",
        "session",
        "signature_scheme",
        "unpacker",
        "username",
    ]
)
"""What ipyparallel's `Client` takes for ZeroMQ, its messages and its logs: nothing is to be set by it here."""

OLD_PLACES = {
    "ipython_dir": "clusters are not in IPython's directories",
    "profile_dir": "clusters are not in IPython's directories",
    "sshserver": "there are no tunnels",
    "sshkey": "there are no tunnels",
    "password": "there are no tunnels",
    "paramiko": "there are no tunnels",
}
"""What says where the hub is. It cannot be passed over, unless it says nothing."""

FILE_POLL_S = 0.05
"""Between two looks for a connection file that is not there yet."""


def check_old_options(options: Mapping[str, Any]) -> None:
    """Passes over what old programs give a client that means nothing here; `TypeError` for all else.

    >>> check_old_options({"packer": "pickle", "sshserver": None})
    >>> check_old_options({"sshserver": "me@far.example"})
    Traceback (most recent call last):
    ...
    TypeError: Client cannot follow sshserver=: there are no tunnels; name the connection file, or ...
    """
    for name, value in options.items():
        if name in OLD_PLACES and value:
            raise TypeError(
                f"Client cannot follow {name}=: {OLD_PLACES[name]}; name the connection file, or cluster_id="
            )
        if name not in OLD_PLACES and name not in OLD_OPTIONS:
            raise TypeError(f"Client got an unexpected keyword argument {name!r}")


def connect(
    info: Any, cluster_id: str | None, profile: str | None, name: str, timeout: float
) -> NativeClient:
    """Finds the connection file, waiting for it to appear, and connects."""
    end = time.monotonic() + timeout
    if isinstance(info, Mapping):
        return _connect_with(info, name, timeout)
    looks = iter(LOOKS_S if info is None else ())
    while True:
        try:
            if info is None:
                path = _phalanx.find_cluster(cluster_id, profile)
            else:
                path = os.fspath(info)
                if "://" in path:
                    raise ValueError(f"a client needs a connection file, not an address: {path}")
                if not os.path.exists(path):
                    raise FileNotFoundError(f"there is no connection file {path}")
            left = max(0.1, end - time.monotonic())
            return _phalanx.connect(path, name, min(left, next(looks, left)))
        except TimeoutError as silent:
            if time.monotonic() < end:
                continue
            if info is not None or timeout <= LOOKS_S[0]:
                raise
            raise TimeoutError(f"{silent} (waited {timeout} s)") from silent
        except (ClusterError, FileNotFoundError) as missing:
            if time.monotonic() >= end:
                if isinstance(missing, FileNotFoundError):
                    raise
                raise FileNotFoundError(f"{missing} (waited {timeout} s)") from missing
        time.sleep(FILE_POLL_S)


def _connect_with(info: Mapping[str, Any], name: str, timeout: float) -> NativeClient:
    """Connects with the contents of a connection file, kept on disk no longer than it takes."""
    import json  # these are not everybody's
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="phalanx-") as private:
        path = Path(private) / "client.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(dict(info)), encoding="utf-8")
        return _phalanx.connect(str(path), name, timeout)
