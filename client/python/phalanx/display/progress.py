"""A bar of how far something is: tqdm's where it is installed, a line of text where not.

Who may use it: whatever waits and says so. tqdm is imported when the first bar is shown, not before.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from phalanx.display.showing import running_shell

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Bar"]


class Bar:
    """A bar up to `total`, on standard error, or as a widget in a notebook.

    With `after` it is shown once so many seconds have passed and there is still something to wait for.

    >>> with Bar(3, "map", "tasks", after=60) as bar:
    ...     bar.show(2)
    """

    def __init__(
        self,
        total: int | None,
        what: str = "",
        unit: str = "it",
        *,
        widget: bool | None = None,
        after: float = 0,
    ) -> None:
        self._total = total
        self._what = what
        self._unit = unit
        self._widget = widget
        self._shown_from = time.monotonic() + after
        self._bar: Any = None
        self._is_line = False
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def show(self, done: int, total: int | None = None) -> None:
        """So much is done; the total may have grown."""
        if total is not None:
            self._total = total
        if time.monotonic() < self._shown_from:
            return
        if self._bar is None and not self._is_line:
            kind = _bar_class(self._widget)
            if kind is not None:
                options = {"desc": self._what, "unit": self._unit, "file": sys.stderr}
                self._bar = kind(total=self._total, **options)
            self._is_line = kind is None
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.n = done
            self._bar.refresh()
        else:
            took = time.monotonic() - self._began
            of = "" if self._total is None else f"/{self._total}"
            line = f"\r{self._what}: {done}{of} {self._unit} finished after {took:.0f} s"
            print(line, end="", file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._is_line:
            print(file=sys.stderr)


def _bar_class(widget: bool | None) -> Any:
    """tqdm's bar for where we are; None without tqdm."""
    from importlib.util import find_spec

    if find_spec("tqdm") is None:
        return None
    if widget or (widget is None and _is_notebook()):
        from tqdm.notebook import tqdm as notebook_bar

        return notebook_bar
    from tqdm import tqdm

    return tqdm


def _is_notebook() -> bool:
    """Whether there is a front end that shows widgets."""
    from importlib.util import find_spec

    shell = running_shell()
    is_kernel = shell is not None and getattr(shell, "kernel", None) is not None
    return is_kernel and find_spec("ipywidgets") is not None
