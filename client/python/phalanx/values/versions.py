"""Which Python runs where: engines tell it by a label, and a client warns if it is another one than its own.

Functions that are sent by value are bytecode, which differs between minor versions. Who may use it: the
engine's process and the client. It refuses nothing: functions of installed modules work all the same.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["complaint", "label", "warn_of"]

PREFIX = "python="


def label() -> str:
    """The label of an engine of this process.

    >>> label() == f"python={sys.version_info.major}.{sys.version_info.minor}"
    True
    """
    return f"{PREFIX}{sys.version_info.major}.{sys.version_info.minor}"


def complaint(engines: Iterable[Mapping[str, Any]]) -> str | None:
    """What to say about engines of other minor versions, in one line; `None` if there are none.

    >>> complaint([{"id": 3, "labels": ["python=2.7"]}])
    'engine 3 runs Python 2.7, this is 3...: functions sent by value may fail there; use the same version'
    >>> complaint([{"id": 3, "labels": [label(), "gpu"]}])
    """
    own = label()
    others: dict[str, list[int]] = {}
    for engine in engines:
        for each in engine["labels"]:
            if each.startswith(PREFIX) and each != own:
                others.setdefault(each.removeprefix(PREFIX), []).append(engine["id"])
    if not others:
        return None
    told = ", ".join(
        f"engine{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))} "
        f"run{'' if len(ids) > 1 else 's'} Python {version}"
        for version, ids in sorted(others.items())
    )
    return (
        f"{told}, this is {own.removeprefix(PREFIX)}: "
        "functions sent by value may fail there; use the same version"
    )


def warn_of(engines: Iterable[Mapping[str, Any]], told: str | None = None) -> str | None:
    """Warns of engines of other minor versions, unless that was told already; what was told.

    >>> warn_of([{"id": 3, "labels": [label()]}])
    """
    found = complaint(engines)
    if found is not None and found != told:
        warnings.warn(found, RuntimeWarning, stacklevel=3)
    return found or told
