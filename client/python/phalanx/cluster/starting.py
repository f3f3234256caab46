"""Starting clusters: what is handed to the host, and the two forms of what takes time.

Who may use it: `Cluster`. It keeps nothing.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

__all__ = [
    "awaited",
    "check_launcher",
    "check_options",
    "engine_count",
    "import_path_in_environment",
    "listen_address",
]

P = ParamSpec("P")
R = TypeVar("R")

PATH_ENV = "PHALANX_PYTHON_PATH"
"""Where engines look for modules, as the program that starts them does; a JSON list."""

LOCAL = frozenset({"local", "localcontroller", "localengineset"})
"""How the launchers of this machine can be called, in lower case and without `launcher`."""


KEPT = frozenset(
    {"config", "delay", "load_profile", "log", "log_level", "parent", "send_engines_connection_env"}
)
"""Options of ipyparallel that change nothing here: there is nothing to wait for or to load."""

INSTEAD = {
    "controller_args": "the hub has no arguments of its own: use scheme, hwm, controller_ip, scheduler_process",
    "controller_location": "connection files name the address that the hub listens at: use controller_ip",
}
"""Options of ipyparallel that would change something, and what to use."""


def awaited(sync: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """The twin of a method that blocks: the same, to be awaited; the event loop goes on meanwhile.

    >>> def twice_sync(x):
    ...     return 2 * x
    >>> awaited(twice_sync).__name__
    'twice'
    """

    @functools.wraps(sync)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> R:
        from asyncio import to_thread  # not everybody's: it takes longer to import than all else

        return await to_thread(sync, *args, **kwargs)

    twin.__name__ = sync.__name__.removesuffix("_sync")
    twin.__qualname__ = sync.__qualname__.removesuffix("_sync")
    twin.__doc__ = f"As `{sync.__name__}`, to be awaited."
    return twin


def check_options(of: str, options: Mapping[str, Any]) -> None:
    """Refuses options that are not known; those that change nothing are taken.

    >>> check_options("a Cluster", {"delay": 1})
    >>> check_options("a Cluster", {"engine": 2})
    Traceback (most recent call last):
    ...
    TypeError: a Cluster has no option 'engine'
    """
    given = {name for name in options if name not in KEPT and options[name] is not None}
    for name in sorted(given & INSTEAD.keys()):
        raise TypeError(f"{of} has no option {name!r}: {INSTEAD[name]}")
    if unknown := sorted(options.keys() - KEPT - INSTEAD.keys()):
        raise TypeError(f"{of} has no option {', '.join(map(repr, unknown))}")


def engine_count(n: Any) -> int:
    """A number of engines, or the error that says what is wrong with it.

    >>> engine_count(4)
    4
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"n is a number of engines, not {n!r}")
    if n < 0:
        raise ValueError(f"n is at least 0, not {n}")
    return n


def listen_address(ip: Any) -> str | None:
    """Where the hub is to listen, of what users give for it: an address, with a port or without, or `"*"`.

    >>> listen_address("*"), listen_address("10.0.0.5:7000"), listen_address(None)
    ('0.0.0.0', '10.0.0.5:7000', None)
    """
    if ip is None or ip == "":
        return None
    if not isinstance(ip, str):
        raise TypeError(f"controller_ip is an address of this machine, or '*', not {ip!r}")
    return {"*": "0.0.0.0", "localhost": "127.0.0.1"}.get(ip, ip)


def check_launcher(what: str, launcher: Any, launcher_class: Any) -> None:
    """Refuses launchers that are not there.

    >>> check_launcher("engines", "local", None)
    >>> check_launcher("engines", "slurm", None)
    Traceback (most recent call last):
    ...
    ValueError: there is no launcher 'slurm' for engines: they are started on this machine ('local')
    """
    if launcher is not None and launcher_class is not None:
        raise TypeError(
            f"{what} and {what.removesuffix('s')}_launcher_class say the same: give one"
        )
    given = launcher if launcher is not None else launcher_class
    if given is None:
        return
    name = given if isinstance(given, str) else getattr(given, "__name__", repr(given))
    if name.rpartition(".")[2].lower().removesuffix("launcher") not in LOCAL:
        raise ValueError(
            f"there is no launcher {name!r} for {what}: they are started on this machine ('local')"
        )


@contextmanager
def import_path_in_environment() -> Iterator[None]:
    """Tells engines where this program finds modules: they are to find them too."""
    own = [os.getcwd() if entry == "" else entry for entry in sys.path]
    before = os.environ.get(PATH_ENV)
    os.environ[PATH_ENV] = json.dumps([entry for entry in own if os.path.isabs(entry)])
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(PATH_ENV, None)
        else:
            os.environ[PATH_ENV] = before
