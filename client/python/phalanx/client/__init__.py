"""`phalanx.client`: the client, and what belongs to it under the names that ipyparallel has for them.

`phalanx.client.client` is where `Client` lives. The other modules of this package only name again what
lives elsewhere in `phalanx`, for programs that import from `ipyparallel.client.view` and so on; nothing
in `phalanx` itself imports from them.

>>> from phalanx.client.view import DirectView
>>> DirectView is px.DirectView
True
"""

from __future__ import annotations

from typing import Any

from phalanx.client.client import Client

__all__ = ["Client"]

_NAMES_AGAIN = ("asyncresult", "futures", "magics", "map", "remotefunction", "view")


def __getattr__(name: str) -> Any:
    """Those modules without an import of their own: `px.client.view.DirectView`."""
    if name in _NAMES_AGAIN:
        import importlib

        return importlib.import_module(f"phalanx.client.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
