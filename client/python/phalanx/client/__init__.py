"""`phalanx.client`: the client, and what belongs to it under the names that ipyparallel has for them.

`phalanx.client.client` is where `Client` lives. The other modules of this package only name again what
lives elsewhere in `phalanx`, for programs that import from `ipyparallel.client.view` and so on; nothing
in `phalanx` itself imports from them.

>>> from phalanx.client.view import DirectView
>>> DirectView is px.DirectView
True
"""

from __future__ import annotations

from phalanx.client.client import Client

__all__ = ["Client"]
