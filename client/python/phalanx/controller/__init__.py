"""`python -m phalanx.controller`: a hub without engines, in the foreground.

What a hub does is compiled, and runs in the process of the command `phalanx`. `controller.dependency` names
again what lives in the views.

>>> px.controller.dependency.Dependency is px.Dependency
True
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`dependency`, without an import of its own."""
    if name == "dependency":
        import importlib

        return importlib.import_module("phalanx.controller.dependency")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
