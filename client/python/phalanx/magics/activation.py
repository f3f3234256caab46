"""Activating the IPython magics: `%px` and its kin, for a view.

Who may use it: views and clients. What the magics do is in `commands`, which is imported, with
IPython, when the first is activated.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from phalanx.display.showing import running_shell

if TYPE_CHECKING:
    from phalanx.magics.commands import ParallelMagics
    from phalanx.views.direct import DirectView

__all__ = ["activate", "is_free"]

KEPT_AT = "_phalanx_magics"
"""Under which name a shell keeps what is active in it, by suffix."""


def activate(view: DirectView, suffix: str = "", stacklevel: int = 3) -> ParallelMagics | None:
    """Registers the magics for the view in the running IPython; warns and gives None outside of it."""
    shell = running_shell()
    if shell is None:
        warnings.warn(
            "%px needs IPython, and this is none: nothing is activated", stacklevel=stacklevel
        )
        return None
    from phalanx.magics.commands import ParallelMagics

    commands = ParallelMagics(shell, view, suffix)
    commands.register()
    vars(shell).setdefault(KEPT_AT, {})[suffix] = commands
    return commands


def is_free(shell: Any) -> bool:
    """Whether `%px` works for nobody, or for a client that is closed."""
    active = vars(shell).get(KEPT_AT, {}).get("")
    return active is None or active.view.client.closed


def __getattr__(name: str) -> Any:
    """`ParallelMagics` is there too; asking for it imports IPython."""
    if name == "ParallelMagics":
        from phalanx.magics.commands import ParallelMagics

        return ParallelMagics
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
