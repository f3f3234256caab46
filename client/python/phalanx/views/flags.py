"""What may be the value of a view's flag. One function for each kind; each gives the value to keep.

Who may use it: views, when a flag is set. It knows no engines: `targets` are looked at by the client.
"""

from __future__ import annotations

from typing import Any

__all__ = ["check_label", "check_switch"]


def check_switch(name: str, value: Any) -> bool:
    """A flag that is on or off.

    >>> check_switch("block", 1)
    True
    >>> check_switch("block", "no")
    Traceback (most recent call last):
    ...
    TypeError: block is True or False, not 'no'
    """
    if isinstance(value, str) or value not in (True, False):
        raise TypeError(f"{name} is True or False, not {value!r}")
    return bool(value)


def check_label(name: str, value: Any) -> str | None:
    """A text that is kept with each task, or None.

    >>> check_label("label", "first")
    'first'
    """
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is a str or None, not {type(value).__name__}")
    return value
