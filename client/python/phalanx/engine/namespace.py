"""The namespace of an engine: the dict in which user code lives, as if it were `__main__`.

If IPython is installed, `get_ipython()` makes an interactive shell over it when it is first called, not
before (`shell`): a bare engine stays small. Who may use it: `operations` and `execution`.
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

__all__ = ["Namespace"]

OWN_NAMES = frozenset(
    {
        "__name__",
        "__doc__",
        "__package__",
        "__loader__",
        "__spec__",
        "__builtins__",
        "__builtin__",
        "get_ipython",
    }
)
"""Names that are always there."""

IPYTHON_NAMES = frozenset({"In", "Out", "exit", "quit", "open", "_dh", "_ih", "_oh", "_sh"})
"""Names that IPython's shell keeps there, once there is one."""


OF_THE_CALLER = frozenset((eval, exec, dir, vars, globals, locals))
"""Builtin functions that go by the names of whoever calls them."""


class Namespace:
    """A module named `__main__`, and the shell over it if there is one.

    >>> Namespace(ModuleType("__main__")).names["__name__"]
    '__main__'
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.names: dict[str, Any] = module.__dict__
        self.names["__builtins__"] = builtins
        self._shell: Any = None
        if has_ipython():
            self.names["get_ipython"] = self.shell

    @classmethod
    def install(cls) -> Namespace:
        """Makes a fresh namespace the `__main__` of this process."""
        module = ModuleType("__main__")
        sys.modules["__main__"] = module
        namespace = cls(module)
        if has_ipython():
            from phalanx.engine.shell import INLINE_BACKEND, on_ipython

            on_ipython(namespace.shell)
            os.environ.setdefault("MPLBACKEND", INLINE_BACKEND)
        return namespace

    def shell(self) -> Any:
        """IPython's shell over this namespace; made when it is first asked for."""
        if self._shell is None:
            from phalanx.engine.shell import make_shell  # imports IPython

            self._shell = make_shell(self.module)
            self.names["get_ipython"] = self.shell
        return self._shell

    @property
    def has_shell(self) -> bool:
        """Whether there is a shell already."""
        return self._shell is not None

    def show_figures(self) -> None:
        """Displays what was drawn, if matplotlib is set to do so after each task."""
        if self._shell is not None and self._shell.events.callbacks["post_execute"]:
            self._shell.events.trigger("post_execute")

    def clear(self) -> None:
        """Forgets every name of the user's."""
        kept = OWN_NAMES | IPYTHON_NAMES if self.has_shell else OWN_NAMES
        for name in [name for name in self.names if name not in kept]:
            del self.names[name]
        if self.has_shell:
            self._shell.user_ns_hidden.clear()
            self._shell.user_ns_hidden.update(self.names)

    def look_up(self, name: str) -> Any:
        """The object of this name, which may have attributes and items: `a`, `a.b`, `a[0]`."""
        try:
            return self.names[name]
        except KeyError:
            if name.isidentifier() and not hasattr(builtins, name):
                raise NameError(f"name {name!r} is not defined", name=name) from None
            return eval(name, self.names)

    def assign(self, name: str, value: Any) -> None:
        """Sets a name, or an attribute or item of an object: `a`, `a.b`, `a[0]`."""
        if name.isidentifier():
            self.names[name] = value
        else:
            exec(f"{name} = __phalanx_value__", self.names, {"__phalanx_value__": value})

    def seen_by(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """The function as if it were called in the namespace: what `eval`, `exec`, `dir` and such go by.

        >>> names = Namespace(ModuleType("__main__"))
        >>> names.assign("a", 5)
        >>> names.seen_by(eval)("a + 1"), "a" in names.seen_by(dir)(), names.seen_by(abs) is abs
        (6, True, True)
        """
        return partial(self._call_here, f) if f in OF_THE_CALLER else f

    def _call_here(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if f in (eval, exec) and len(args) == 1 and not kwargs:
            return f(*args, self.names)
        if args or kwargs or f in (eval, exec):
            return f(*args, **kwargs)
        return sorted(self.names) if f is dir else self.names

    def lend(self, borrowed: dict[str, Any]) -> list[str]:
        """Sets names that are not there, for the length of a call; which ones they were."""
        lent = [name for name in borrowed if name not in self.names]
        for name in lent:
            self.names[name] = borrowed[name]
        return lent

    def take_back(self, lent: list[str], borrowed: dict[str, Any]) -> None:
        """Removes them again, unless the call has set them to something else."""
        for name in lent:
            if self.names.get(name) is borrowed[name]:
                del self.names[name]


def has_ipython() -> bool:
    """Whether IPython is installed. Does not import it."""
    return "IPython" in sys.modules or importlib.util.find_spec("IPython") is not None
