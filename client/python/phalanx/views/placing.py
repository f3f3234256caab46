"""What a balanced task asks of its engine: labels, amounts of resources, and how soon.

Used by `LoadBalancedView`. What no engine can meet is not found here: such a task waits, and the
scheduler says for what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Placing", "check_labels", "check_needs", "check_priority", "placing", "with_amounts"]

Placing = tuple[int, list[str], list[tuple[str, float]]]
"""As the native module takes it: priority, labels, amounts."""

PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1
"""The priorities that can be said."""


def placing(priority: Any, labels: Any, needs: Any) -> Placing | None:
    """What a task asks of its engine, as the native module takes it; None if it asks nothing.

    >>> placing(None, "fast", {"gpu": 1}), placing(0, None, None)
    ((0, ['fast'], [('gpu', 1.0)]), None)
    """
    asked = check_priority(priority), check_labels(labels), check_needs(needs)
    return asked if any(asked) else None


def check_labels(labels: Any) -> list[str]:
    """The labels that an engine must carry: a word, or several.

    >>> check_labels("fast"), check_labels(["fast", "zone=a"]), check_labels(None)
    (['fast'], ['fast', 'zone=a'], [])
    """
    if labels is None:
        return []
    if isinstance(labels, str):
        return [labels]
    if not isinstance(labels, Iterable):
        raise TypeError(f"labels are words, not {type(labels).__name__}")
    words = list(labels)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"a label is a word, not {word!r}")
    return words


def check_needs(needs: Any) -> list[tuple[str, float]]:
    """The amounts that must be free on an engine, and are the task's while it runs.

    >>> check_needs({"gpu": 1, "ram": 0.5}), check_needs(None)
    ([('gpu', 1.0), ('ram', 0.5)], [])
    """
    if needs is None:
        return []
    if not isinstance(needs, Mapping):
        raise TypeError(f"needs are amounts by name, e.g. {{'gpu': 1}}, not {needs!r}")
    amounts = []
    for name, amount in needs.items():
        if not isinstance(name, str):
            raise TypeError(f"a resource has a name, not {name!r}")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)):
            raise TypeError(f"an amount of {name} is a number, not {amount!r}")
        if not amount > 0:
            raise ValueError(f"an amount of {name} is more than 0, not {amount}")
        amounts.append((name, float(amount)))
    return amounts


def check_priority(priority: Any) -> int:
    """How soon, among tasks that wait: higher goes first; 0 if nothing is said.

    >>> check_priority(5), check_priority(None)
    (5, 0)
    """
    if priority is None:
        return 0
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError(f"a priority is a whole number, not {priority!r}")
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise ValueError(f"a priority is from {PRIORITY_MIN} to {PRIORITY_MAX}, not {priority}")
    return priority


def with_amounts(engines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Engines as the hub tells of them, with their resources as amounts by name.

    >>> with_amounts([{"id": 0, "resources": [["gpu", 1500]]}])
    [{'id': 0, 'resources': {'gpu': 1.5}}]
    """
    for engine in engines:
        thousandths = engine.get("resources") or []
        engine["resources"] = {name: amount / 1_000 for name, amount in thousandths}
    return engines
