"""IPython's shell of an engine: a real `InteractiveShell` over the engine's namespace.

What it displays goes with the running task instead of to a front end. It is made when somebody first asks
for it: user code by `get_ipython()`, a library that looks whether there is IPython, or executed code whose
last value is to be shown. Who may use it: `namespace` makes it. IPython is imported here, nowhere else.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from phalanx.engine import outlet

__all__ = ["INLINE_BACKEND", "make_shell", "on_ipython"]

INLINE_BACKEND = "module://matplotlib_inline.backend_inline"
"""matplotlib's backend that displays figures, which comes with IPython."""

SHELL_MODULE = "IPython.core.interactiveshell"


def make_shell(module: ModuleType) -> Any:
    """The shell over a module, whose names are those of user code."""
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets import Type
    from traitlets.config import Config

    class EnginePublisher(DisplayPublisher):
        """Hands displays to the running task."""

        def publish(
            self,
            data: dict[str, Any],
            metadata: dict[str, Any] | None = None,
            source: Any = None,
            *,
            transient: dict[str, Any] | None = None,
            update: bool = False,
            **_: Any,
        ) -> None:
            _display(
                {
                    "type": "update_display_data" if update else "display_data",
                    "data": data,
                    "metadata": metadata or {},
                    "transient": transient or {},
                }
            )

        def clear_output(self, wait: bool = False) -> None:
            _display({"type": "clear_output", "wait": wait, "data": {}})

    class EngineShell(InteractiveShell):
        """An interactive shell without a terminal."""

        display_pub_class = Type(EnginePublisher)

        def enable_gui(self, gui: str | None = None) -> None:
            """There is no window, and so no event loop of one."""

        def system(self, cmd: str) -> None:
            """`!cmd`: what it writes is output of the task."""
            expand: Callable[..., str] = self.var_expand
            self.user_ns["_exit_code"] = run_command(expand(cmd, depth=1))

        def ask_exit(self) -> None:
            """`exit` ends a terminal; an engine is ended by its cluster."""

    own = tempfile.mkdtemp(prefix="phalanx-ipython-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.ipython_dir = own
    shell: Any = EngineShell.instance(config=config, user_module=module, user_ns=module.__dict__)
    sys.modules["__main__"] = module
    return shell


def run_command(command: str) -> int:
    """Runs a shell's command, its output line by line to ours; how it ended.

    >>> run_command("echo hello; exit 3")
    hello
    3
    """
    with subprocess.Popen(
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    ) as process:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            sys.stdout.write(line)
        sys.stdout.flush()
    return process.returncode


def _display(message: dict[str, Any]) -> None:
    if outlet.current is None:
        return
    other = outlet.current.diverted.get(threading.get_ident())
    if other is None:
        outlet.current.display(message)
    elif message["type"] != "clear_output":
        other.publish(message["data"], message["metadata"], transient=message["transient"])


def on_ipython(make: Callable[[], Any]) -> None:
    """Has `make()` called when IPython is asked for its shell for the first time.

    Libraries ask whether one is there before they display anything. IPython itself is not imported.
    """
    if SHELL_MODULE in sys.modules:
        _announce(sys.modules[SHELL_MODULE], make)
    else:
        sys.meta_path.insert(0, _Finder(make))


class _Finder(importlib.abc.MetaPathFinder):
    """Sees the module of the shell being imported, once."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != SHELL_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run, make = spec.loader.exec_module, self._make

            def exec_module(module: ModuleType) -> None:
                run(module)
                _announce(module, make)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _announce(module: ModuleType, make: Callable[[], Any]) -> None:
    """Says that a shell is there, and makes it when it is wanted."""
    shell_class = module.InteractiveShell
    is_making = False

    def initialized(cls: Any) -> bool:
        nonlocal is_making
        if getattr(cls, "_instance", None) is None and not is_making:
            is_making = True
            try:
                make()
            finally:
                is_making = False
        return getattr(cls, "_instance", None) is not None

    shell_class.initialized = classmethod(initialized)
