"""`sync_imports`: imports that are made here and on the engines.

Who may use it: `DirectView`. Only import statements in the block itself are forwarded, not what the
imported modules import.
"""

from __future__ import annotations

import builtins
import sys
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.results.asyncresult import AsyncResult
    from phalanx.views.direct import DirectView

__all__ = ["SyncImports"]


class SyncImports:
    """The context manager behind `view.sync_imports()`.

    >>> with view.sync_imports(quiet=True):
    ...     import json
    """

    def __init__(self, view: DirectView, quiet: bool) -> None:
        self._view = view
        self._quiet = quiet
        self._frame: FrameType | None = None
        self._import: Any = None
        self._results: list[AsyncResult] = []
        self._made: set[str] = set()

    def __enter__(self) -> DirectView:
        self._frame = sys._getframe(1)
        self._import = builtins.__import__
        builtins.__import__ = self._import_here_and_there
        return self._view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        builtins.__import__ = self._import
        self._frame = None
        results, self._results = self._results, []
        if exception is None:
            for result in results:
                result.get()

    def _import_here_and_there(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        module = self._import(name, globals, locals, fromlist, level)
        # Relative imports mean something here only.
        if sys._getframe(1) is self._frame and not level:
            self._forward(name, tuple(fromlist or ()))
        return module

    def _forward(self, name: str, fromlist: tuple[str, ...]) -> None:
        if fromlist:
            names = ",".join(fromlist)
            code, said = (
                f"from {name} import {names}",
                f"importing {names} from {name} on engine(s)",
            )
        else:
            code, said = f"import {name}", f"importing {name} on engine(s)"
        if code in self._made:
            return
        self._made.add(code)
        if not self._quiet:
            print(said)
        self._results.append(self._view.execute(code, block=False))
