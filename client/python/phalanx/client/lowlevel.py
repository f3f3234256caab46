"""`LowLevel`: the calls below the views, which can say everything that a submit can.

Who may use it: `Client` is one; programs that were written against ipyparallel's inner names. It submits
by views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phalanx.error import NoEnginesRegistered

if TYPE_CHECKING:
    from phalanx.results.asyncresult import AsyncResult
    from phalanx.views.direct import DirectView

__all__ = ["LowLevel"]


class LowLevel:
    """What a client can do without a view. `self` is a `Client` always."""

    def send_apply_request(
        self: Any,
        f: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        targets: Any = None,
        balanced: bool | None = None,
        block: bool = False,
        **flags: Any,
    ) -> Any:
        """Calls `f(*args, **kwargs)`, with every option of a call in one place.

        With `targets` it goes to each of them, or with `balanced` too to one of them; without, to any
        engine. `flags` are those of the view: `label`, and for balanced calls `after`, `follow`,
        `timeout`.

        >>> rc.send_apply_request(pow, (2, 5), targets=[0, 1], block=True)
        [32, 32]
        >>> rc.send_apply_request(pow, (2, 5), targets=[0, 1], balanced=True).get()
        32
        """
        if not callable(f):
            raise TypeError(f"f is a function, not {type(f).__name__}")
        is_balanced = targets is None if balanced is None else balanced
        make = self.load_balanced_view if is_balanced else self.direct_view
        view = make(targets, **flags)
        call = view.apply_sync if block else view.apply_async
        return call(f, *(args or ()), **(kwargs or {}))

    def send_execute_request(
        self: Any,
        code: str,
        silent: bool = True,
        *,
        targets: Any = "all",
        block: bool = False,
        label: str | None = None,
    ) -> AsyncResult:
        """Runs a string of Python on each of the engines.

        >>> rc.send_execute_request("a = 1", targets=0, block=True)
        <AsyncResult(execute): finished>
        """
        view: DirectView = self.direct_view(targets)
        return view.execute(code, silent, block=block, label=label)

    @property
    def _ids(self: Any) -> list[int]:
        ids: list[int] = self.ids
        return ids

    @property
    def _engines(self: Any) -> dict[int, str]:
        """The names of the engines, by id."""
        return {engine["id"]: engine["name"] for engine in self.engines}

    def _build_targets(self: Any, targets: Any) -> tuple[list[bytes], list[int]]:
        """The names and the ids of engines that are addressed so."""
        resolved = self.resolve(targets)
        if resolved == "all":
            resolved = self.ids
        ids = [resolved] if isinstance(resolved, int) else list(resolved)
        if not ids:
            raise NoEnginesRegistered("there are no engines to build targets of")
        names = self._engines
        return [names[each].encode() for each in ids], ids
