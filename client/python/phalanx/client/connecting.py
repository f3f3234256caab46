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

__all__ = ["connect"]

FILE_POLL_S = 0.05
"""Between two looks for a connection file that is not there yet."""


def connect(
    info: Any, cluster_id: str | None, profile: str | None, name: str, timeout: float
) -> NativeClient:
    """Finds the connection file, waiting for it to appear, and connects."""
    end = time.monotonic() + timeout
    if isinstance(info, Mapping):
        return _connect_with(info, name, timeout)
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
            return _phalanx.connect(path, name, max(0.1, end - time.monotonic()))
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
