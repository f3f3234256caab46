"""`bind_kernel`: an engine that front ends of Jupyter can connect to, beside its tasks.

Who may use it: code that runs on an engine. What it starts is in `phalanx.engine.kernel`.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["bind_kernel"]


def bind_kernel(**options: Any) -> str:
    """On an engine: serves its namespace as an IPython kernel too; the path of the connection file.

    `jupyter console --existing PATH` on the engine's machine connects to it. The kernel has a thread of
    its own: what a front end runs goes on beside tasks, cannot be interrupted from there, and is not on the
    main thread. `options` are those of ipykernel's `IPKernelApp`. A second call gives the same path.
    `ImportError` without ipykernel, `RuntimeError` outside of an engine.

    >>> path = rc[0].apply_sync(px.bind_kernel)                          # doctest: +SKIP
    """
    from importlib.util import find_spec

    from phalanx.engine import outlet  # an engine has it; a client needs none of it

    if outlet.current is None:
        raise RuntimeError(
            "bind_kernel is for engines: run it there, as in view.apply(bind_kernel)"
        )
    if find_spec("ipykernel") is None:
        raise ImportError(
            "bind_kernel needs ipykernel, which is not installed where the engine runs"
        )
    from phalanx.engine import kernel

    return kernel.bind(sys.modules["__main__"], options)
