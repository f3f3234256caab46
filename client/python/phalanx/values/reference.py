"""`Reference`: the name of an object that lives on the engine, to be used as an argument.

It is pickled as a call that looks the name up in the engine's namespace, so it may stand anywhere
in the arguments. Who may use it: everybody. It does not ask the engine whether the name is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Reference"]

_on_engine = False


def enter_engine() -> None:
    """Says that this process is an engine: from now on references are looked up here."""
    global _on_engine
    _on_engine = True


def on_engine() -> bool:
    """Whether this process is an engine.

    >>> on_engine()
    False
    """
    return _on_engine


_namespace: dict[str, Any] | None = None


@contextmanager
def namespace_is(names: dict[str, Any] | None) -> Iterator[None]:
    """What is unpickled in the `with` block sees these names as those of its engine.

    >>> with namespace_is({"a": 5}):
    ...     resolve("a")
    5
    """
    global _namespace
    before, _namespace = _namespace, names
    try:
        yield
    finally:
        _namespace = before


def namespace() -> dict[str, Any]:
    """The names that functions of a session see here: those of `__main__`, unless others were given."""
    return sys.modules["__main__"].__dict__ if _namespace is None else _namespace


def is_given() -> bool:
    """Whether names were given by `namespace_is`."""
    return _namespace is not None


class Reference:
    """Stands for an object in the engine's namespace.

    The name is evaluated there, so attributes and items work: `Reference("a.b")`, `Reference("g[0]")`.
    `NameError` comes back if the engine does not know it.

    >>> Reference("a")
    <Reference: 'a'>
    >>> Reference(1)
    Traceback (most recent call last):
    ...
    TypeError: a Reference takes the name of an object as a str, not int
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(
                f"a Reference takes the name of an object as a str, not {type(name).__name__}"
            )
        self.name = name

    def __repr__(self) -> str:
        return f"<Reference: {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other.name == self.name

    def __hash__(self) -> int:
        return hash((Reference, self.name))

    def __copy__(self) -> Reference:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Reference:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (resolve, (self.name,))


def resolve(name: str) -> Any:
    """The object of this name, on an engine; elsewhere the `Reference` again.

    >>> resolve("a")
    <Reference: 'a'>
    """
    if not _on_engine and _namespace is None:
        return Reference(name)
    return eval(name, namespace())
