"""`publish_data`: what a running task tells whoever waits for it, seen there as `ar.data`.

Who may use it: functions and code that run on engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["publish_data"]


def publish_data(data: Mapping[str, Any]) -> None:
    """Publishes a dict of values from the running task; later ones are merged into it.

    The client sees it in `ar.data` while the task runs, within a tenth of a second, and afterwards. A
    message of more than 48 KiB is seen once the task has ended. `TypeError` if it is no dict,
    `RuntimeError` outside of an engine.

    >>> def work():
    ...     from phalanx.datapub import publish_data
    ...     for step in range(3):
    ...         publish_data({"step": step})
    >>> ar = rc[0].apply_async(work)
    >>> ar.wait(), ar.data
    (True, {'step': 2})
    """
    from phalanx.engine import outlet  # an engine has it; a client needs none of it

    if not isinstance(data, Mapping):
        raise TypeError(f"publish_data takes a dict, not {type(data).__name__}")
    if outlet.current is None:
        raise RuntimeError("data is published by tasks that run on an engine, and this is none")
    outlet.current.publish(data)
