"""`phalanx.engine.datapub`: an older name of `phalanx.datapub`.

It only names again what lives there; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.datapub import publish_data

__all__ = ["publish_data"]


def __getattr__(name: str) -> Any:
    """`publish_data`, looked up when it is asked for: engines load nothing for it."""
    if name == "publish_data":
        from phalanx.datapub import publish_data

        return publish_data
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
