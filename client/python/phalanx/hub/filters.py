"""Which records a query picks: the operators of `Client.db_query`.

Who may use it: the queries of a client. It asks nobody: it looks at one record at a time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["OPERATORS", "check_query", "matches"]


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison that fails for what is not there, or cannot be compared."""

    def test(value: Any, limit: Any) -> bool:
        if value is None or limit is None:
            return False
        try:
            return bool(compare(*_aware(value, limit)))
        except TypeError:
            return False

    return test


def _aware(value: Any, other: Any) -> tuple[Any, Any]:
    """Both, with datetimes without a timezone taken as local time."""
    if isinstance(value, datetime) and isinstance(other, datetime):
        return (each if each.tzinfo else each.astimezone() for each in (value, other))  # type: ignore[return-value]
    return value, other


def _equal(value: Any, other: Any) -> bool:
    first, second = _aware(value, other)
    return bool(first == second)


def _in(value: Any, choices: Container[Any]) -> bool:
    return value in choices


def _glob(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and fnmatchcase(value, pattern)


def _all(value: Any, wanted: Sequence[Any]) -> bool:
    has = value if isinstance(value, (list, tuple, set, dict, str)) else [value]
    return all(each in has for each in wanted)


def _mod(value: Any, numbers: Sequence[int]) -> bool:
    divisor, remainder = numbers
    return isinstance(value, (int, float)) and value % divisor == remainder


def _exists(value: Any, wanted: Any) -> bool:
    return (value is not None) == bool(wanted)


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$lt": _ordered(operator.lt),
    "$gt": _ordered(operator.gt),
    "$lte": _ordered(operator.le),
    "$gte": _ordered(operator.ge),
    "$eq": _equal,
    "$ne": lambda value, other: not _equal(value, other),
    "$in": _in,
    "$nin": lambda value, choices: not _in(value, choices),
    "$glob": _glob,
    "$all": _all,
    "$mod": _mod,
    "$exists": _exists,
}
"""What may be asked of a value, and how it is tested: `test(value, argument)`."""


def _tests(condition: Any) -> Mapping[str, Any] | None:
    """The operators of a condition; `None` if it is a plain value."""
    if isinstance(condition, Mapping) and any(
        isinstance(key, str) and key.startswith("$") for key in condition
    ):
        return condition
    return None


def check_query(query: Any, keys: Container[str]) -> None:
    """Refuses what no record could be tested for.

    >>> check_query({"engine_id": {"$near": 3}}, {"engine_id"})
    Traceback (most recent call last):
    ...
    ValueError: '$near' is no operator: there are $lt $gt $lte $gte $eq $ne $in $nin $glob $all $mod $exists
    """
    if not isinstance(query, Mapping):
        raise TypeError(f"a query is a dict of conditions by key, not {type(query).__name__}")
    for key, condition in query.items():
        if key not in keys:
            raise KeyError(f"a record has no key {key!r}")
        for name in _tests(condition) or ():
            if name not in OPERATORS:
                raise ValueError(f"{name!r} is no operator: there are {' '.join(OPERATORS)}")


def matches(record: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether a record meets every condition: a value that it has, or operators that all hold.

    >>> matches({"engine_id": 3, "label": "first"}, {"engine_id": {"$gt": 2, "$lt": 4}, "label": "first"})
    True
    >>> matches({"completed": None}, {"completed": {"$exists": True}})
    False
    """
    for key, condition in query.items():
        value = record[key]
        tests = _tests(condition)
        if tests is None:
            if not _equal(value, condition):
                return False
        elif not all(OPERATORS[name](value, argument) for name, argument in tests.items()):
            return False
    return True
