"""`BroadcastView`: a direct view for the same call to very many engines.

Who may use it: users, who get one by `rc.broadcast_view(...)`. It submits as every direct view does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.views.direct import DirectView
from phalanx.views.flags import check_switch

if TYPE_CHECKING:
    from phalanx.client import Client

__all__ = ["BroadcastView"]


class BroadcastView(DirectView):
    """The engines `targets`, to which each call is sent as one message with one copy of its arguments.

    The hub hands it to the engines, those of one host from the same memory. Every direct view does that.
    Flag beside those of a direct view: `is_coalescing` (bool, False). With it the answers to a call, a
    `push` or a `pull` come together, when the last engine has answered: the client is woken once, not
    once for each engine, and until then `ar.progress` is 0. An engine that is lost has answered.
    `execute`, `scatter`, `gather` and `map` never coalesce. Results are in the order of the targets;
    `ar.engine_id` says so.

    >>> rc.broadcast_view().apply_sync(lambda x: x + 1, 41)
    [42, 42, 42, 42]
    >>> rc.broadcast_view([0, 1], is_coalescing=True)
    <BroadcastView [0, 1]>
    """

    flag_names: ClassVar[tuple[str, ...]] = (*DirectView.flag_names, "is_coalescing")

    is_coalescing: bool

    def __init__(self, client: Client, targets: Any = "all", is_coalescing: bool = False) -> None:
        super().__init__(client, targets)
        self.is_coalescing = is_coalescing

    def _coalesces(self, method: str) -> bool:
        return self.is_coalescing and method != "python.execute"

    def check_flag(self, name: str, value: Any) -> Any:
        """The value to keep for a flag."""
        if name == "is_coalescing":
            return check_switch(name, value)
        return super().check_flag(name, value)
