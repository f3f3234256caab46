"""`phalanx.client.magics`: the magics, under the name that ipyparallel has for its module.

It only names again what lives elsewhere; nothing in `phalanx` imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phalanx.magics import activation
from phalanx.magics.activation import activate

if TYPE_CHECKING:
    from phalanx.magics.commands import ParallelMagics

__all__ = ["ParallelMagics", "activate"]


def __getattr__(name: str) -> Any:
    """`ParallelMagics`; asking for it imports IPython."""
    return getattr(activation, name)
