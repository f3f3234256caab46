"""Words for engines that were waited for in vain.

Who may use it: the client. It waits for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["missing"]

PYTHON = "python"
"""The kind of engines that run Python."""


def missing(engines: Iterable[Mapping[str, Any]], n: int, timeout: float | None) -> str:
    """How many of `n` Python engines are there, and which others, that do not count.

    >>> missing([{"kind": "native"}, {"kind": "native"}], 2, 10)
    '0 of 2 Python engines are there after 10 s, and 2 of another kind (native), which run no Python: \
phalanx start without --native or --program starts Python engines'
    """
    kinds = Counter(engine["kind"] for engine in engines)
    there = kinds.pop(PYTHON, 0)
    waited = "" if timeout is None or timeout < 0 else f" after {timeout:g} s"
    text = f"{there} of {n} Python engines are there{waited}"
    if not kinds:
        return (
            f"{text}: phalanx status shows the processes of the cluster, phalanx logs what they say"
        )
    others = ", ".join(sorted(kinds))
    return (
        f"{text}, and {kinds.total()} of another kind ({others}), which run no Python: "
        "phalanx start without --native or --program starts Python engines"
    )
