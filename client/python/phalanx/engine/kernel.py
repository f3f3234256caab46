"""An engine that is an IPython kernel too, for front ends beside its tasks: what `bind_kernel` starts.

The kernel shares the engine's namespace and runs in a thread of its own, because the main thread is for
tasks. So what a front end runs does not wait for tasks, nor they for it; Ctrl-C in the front end does not
interrupt it, and libraries that insist on the main thread do not work there. Who may use it:
`phalanx.bind_kernel`, on an engine. ipykernel is imported here, nowhere else.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from phalanx.engine import outlet
from phalanx.engine.streams import TaskStream

__all__ = ["bind"]

START_TIMEOUT_S = 30.0
"""How long the kernel may take until it listens."""

_path: str | None = None
_lock = threading.Lock()


def bind(module: ModuleType, options: dict[str, Any]) -> str:
    """Starts the kernel over a module, once; the path of its connection file."""
    global _path
    with _lock:
        if _path is None:
            _path = _start(module, options)
        return _path


def _start(module: ModuleType, options: dict[str, Any]) -> str:
    began = threading.Event()
    told: dict[str, Any] = {}

    def run() -> None:
        try:
            import asyncio

            asyncio.set_event_loop(asyncio.new_event_loop())
            app = _make_app(module, options)
            told["path"] = app.abs_connection_file
        except BaseException as failure:  # told to whoever waits
            told["failure"] = failure
            return
        finally:
            began.set()
        app.start()

    threading.Thread(target=run, name="phalanx-kernel", daemon=True).start()
    if not began.wait(START_TIMEOUT_S):
        raise TimeoutError(f"the kernel has not started within {START_TIMEOUT_S} s")
    if "failure" in told:
        raise told["failure"]
    return str(told["path"])


def _make_app(module: ModuleType, options: dict[str, Any]) -> Any:
    """The kernel's application, ready to be started on this thread."""
    from ipykernel.displayhook import ZMQDisplayHook
    from ipykernel.iostream import OutStream
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.zmqshell import ZMQInteractiveShell
    from traitlets import Type

    class Shell(ZMQInteractiveShell):
        """A shell beside the engine's own, which stays the one that tasks find."""

        @classmethod
        def instance(cls, *args: Any, **kwargs: Any) -> Any:
            return cls(*args, **kwargs)

        def set_parent(self, parent: Any) -> None:
            pass_on: Callable[[Any], None] = super().set_parent
            pass_on(parent)
            for stream in (app.out, app.err):
                stream.set_parent(parent)

    class Kernel(IPythonKernel):
        """A kernel that leaves signals to the engine."""

        shell_class = Type(Shell)

        def pre_handler_hook(self) -> None:
            """Interrupts are for tasks."""

        def post_handler_hook(self) -> None:
            """Interrupts are for tasks."""

    class App(IPKernelApp):
        """An application that leaves the process as it is."""

        kernel_class = Type(Kernel)

        def init_crash_handler(self) -> None:
            """The engine has its own."""

        def init_signal(self) -> None:
            """Signals are for tasks."""

        def init_io(self) -> None:
            """What this thread prints goes to the front end, all else where it went."""
            make: Any = OutStream
            self.out = make(self.session, self.iopub_thread, "stdout", watchfd=False)
            self.err = make(self.session, self.iopub_thread, "stderr", watchfd=False)
            show: Any = ZMQDisplayHook
            self.displayhook = show(self.session, self.iopub_socket)
            for stream, front in ((sys.stdout, self.out), (sys.stderr, self.err)):
                if isinstance(stream, TaskStream):
                    stream.diverted[threading.get_ident()] = front

    names = module.__dict__
    own = names.get("get_ipython")
    app: Any = App.instance(**options)
    app.initialize([])
    app.kernel.user_module = module
    app.kernel.user_ns = names
    app.shell.user_module = module
    app.shell.user_ns = names
    sys.modules["__main__"] = module
    if own is not None:
        names["get_ipython"] = own
    if outlet.current is not None:
        outlet.current.diverted[threading.get_ident()] = app.shell.display_pub
    return app
