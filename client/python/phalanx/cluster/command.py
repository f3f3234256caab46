"""The command `phalanx` that came with this package: where it is, and becoming it.

Who may use it: `python -m phalanx.cluster` and `python -m phalanx.controller`. It reads no arguments;
what they mean is the command's matter.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["become", "find"]

COMMAND_ENV = "PHALANX_BIN"
"""Names the command, before any other place is looked at."""

PYTHON_ENV = "PHALANX_PYTHON"
"""The Python of the engines that the command starts, if its arguments name none."""


def find() -> str | None:
    """The path of the command: named by `PHALANX_BIN`, beside this interpreter, or on PATH.

    >>> import phalanx.cluster.command
    >>> phalanx.cluster.command.find()                                # doctest: +ELLIPSIS
    '...phalanx'
    """
    named = os.environ.get(COMMAND_ENV)
    beside = os.path.join(sysconfig.get_path("scripts"), "phalanx")
    return named or (beside if os.path.isfile(beside) else shutil.which("phalanx"))


def become(arguments: Sequence[str]) -> NoReturn:
    """Turns this process into the command; engines that it starts run in this interpreter."""
    path = find()
    if path is None:
        sys.exit(f"the command phalanx is not found; install the wheel, or set {COMMAND_ENV} to it")
    os.environ.setdefault(PYTHON_ENV, sys.executable)
    try:
        os.execv(path, [path, *arguments])
    except OSError as failure:
        sys.exit(
            f"cannot start {path}: {failure.strerror}; set {COMMAND_ENV} to the command phalanx"
        )
