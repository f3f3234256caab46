"""How functions travel: by name if they can be imported, by value otherwise.

A function that was defined interactively (its module is `__main__`, or it is marked `interactive`)
is rebuilt with the engine's namespace as its globals: a name that is set there is what the function
sees. Functions, classes and modules that it uses by name go along as *fallbacks*: they are there while
the call runs, under names that the namespace does not have itself, and leave no trace. So helpers,
recursion and `import numpy as np` at the top of a script work. A function of another module that
cannot be imported (a lambda, a local function) brings along the globals it uses, as cloudpickle does;
if it uses names that its own module does not know either, it counts as interactive.

Who may use it: `packing`. It packs no arguments and knows no tasks.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from phalanx.values import reference
from phalanx.values.sources import keep_source, source_of

__all__ = ["interactive"]

F = TypeVar("F", bound=Callable[..., Any])

_CACHED_CODES_MAX = 4096
"""Code objects whose global names are remembered; then all are forgotten and it begins anew."""

_ATOMS = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
_BY_NAME = (FunctionType, ModuleType, type)
"""What goes along with an interactive function: code, never data."""


class Names(NamedTuple):
    """The names that a code object looks up outside of itself."""

    certain: frozenset[str]
    """Looked up as globals."""

    perhaps: frozenset[str]
    """Looked up in the body of a class, where they may be its own."""


_names_of_code: WeakKeyDictionary[CodeType, Names] = WeakKeyDictionary()


def interactive(f: F) -> F:
    """Marks a function as if it had been defined in `__main__`.

    It will see the engine's namespace as its globals, wherever it was defined.

    >>> interactive(lambda: a).__module__
    '__main__'
    """
    marked: Any = f
    if isinstance(f, FunctionType):
        marked = FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
        marked.__kwdefaults__ = f.__kwdefaults__
        marked.__qualname__ = f.__qualname__
        marked.__annotations__ = f.__annotations__
        marked.__doc__ = f.__doc__
        marked.__dict__.update(f.__dict__)
    marked.__module__ = "__main__"
    return marked  # type: ignore[no-any-return]


def is_importable(f: FunctionType) -> bool:
    """Whether the function is found under its own name in its own module.

    >>> is_importable(is_importable), is_importable(lambda: 1)
    (True, False)
    """
    module_name = f.__module__
    if module_name is None or module_name == "__main__":
        return False
    found: Any = sys.modules.get(module_name)
    if found is None or module_name in by_value_modules():
        return False
    for name in f.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is f


def by_value_modules() -> set[str]:
    """The modules whose functions the user wants to be sent by value, as cloudpickle was told.

    >>> by_value_modules()
    set()
    """
    cloudpickle: Any = sys.modules.get("cloudpickle")
    modules: set[str] = cloudpickle.list_registry_pickle_by_value() if cloudpickle else set()
    return modules


def is_interactive(f: FunctionType) -> bool:
    """Whether the function, which is sent by value, gets the engine's namespace as its globals."""
    if f.__module__ is None or f.__module__ == "__main__":
        return True
    known = f.__globals__
    return any(
        name not in known and not hasattr(builtins, name)
        for name in global_names(f.__code__).certain
    )


def global_names(code: CodeType) -> Names:
    """The names that the code looks up as globals, inner functions and classes included.

    >>> sorted(global_names((lambda x: [len(a) + x for _ in b]).__code__).certain)
    ['a', 'b', 'len']
    """
    names = _names_of_code.get(code)
    if names is None:
        if len(_names_of_code) >= _CACHED_CODES_MAX:
            _names_of_code.clear()
        found = list(_walk(code))
        certain = frozenset(name for name, is_certain in found if is_certain)
        perhaps = frozenset(name for name, is_certain in found if not is_certain)
        names = _names_of_code[code] = Names(certain, perhaps - certain)
    return names


def _walk(code: CodeType) -> Iterator[tuple[str, bool]]:
    import dis  # only what is sent by value needs it

    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield instruction.argval, True
        elif instruction.opname in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            yield instruction.argval, False
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant)


def _used_globals(f: FunctionType) -> Iterator[tuple[str, Any]]:
    names = global_names(f.__code__)
    for name in (*names.certain, *names.perhaps):
        if name in f.__globals__ and not name.startswith("__"):
            yield name, f.__globals__[name]


class Facts:
    """What was found out about a function while it was pickled: whether its bytes may be kept.

    `keep` is false if two calls may have to see different bytes, or if the engine must not use one
    copy for two calls. `uses` are the globals that went along; the bytes hold as long as they do.
    """

    __slots__ = ("keep", "uses")

    def __init__(self) -> None:
        self.keep = True
        self.uses: list[tuple[dict[str, Any], str, Any]] = []

    def hold(self) -> bool:
        """Whether the globals that went along are still what they were."""
        return all(space.get(name) is value for space, name, value in self.uses)

    def see_global(self, space: dict[str, Any], name: str, value: object) -> None:
        """Notes a global that goes along."""
        self.uses.append((space, name, value))
        if not isinstance(value, _BY_NAME):
            self.see_value(value)

    def see_value(self, value: object) -> None:
        """Notes a value that goes along: what can change, or be changed, must not be kept."""
        if not is_constant(value):
            self.keep = False


def is_constant(value: object) -> bool:
    """Whether nobody can change the value, and a copy is as good as itself.

    >>> is_constant((1, "a")), is_constant([])
    (True, False)
    """
    if isinstance(value, tuple) and type(value) is tuple:
        return all(map(is_constant, value))
    return type(value) in _ATOMS


def reduce_interactive(f: FunctionType, facts: Facts) -> tuple[Any, ...]:
    """How an interactive function is pickled: made empty first, so that it may contain itself."""
    fallbacks = _fallbacks(f, facts)
    _note_mutable(f, facts)
    state = {
        "name": f.__name__,
        "qualname": f.__qualname__,
        "module": f.__module__,
        "doc": f.__doc__,
        "defaults": f.__defaults__,
        "kwdefaults": f.__kwdefaults__,
        "annotations": f.__annotations__,
        "dict": f.__dict__,
        "closure": f.__closure__,
        "fallbacks": fallbacks,
        "source": source_of(f.__code__),
    }
    cells = len(f.__closure__ or ())
    return (make_interactive, (f.__code__, cells), state, None, None, fill_interactive)


def note_dynamic(f: FunctionType, facts: Facts) -> None:
    """Notes what of a function that cloudpickle sends by value may change between calls."""
    _note_mutable(f, facts)
    for name, value in _used_globals(f):
        facts.see_global(f.__globals__, name, value)


def _note_mutable(f: FunctionType, facts: Facts) -> None:
    if f.__closure__ or f.__dict__:
        facts.keep = False
    for value in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
        facts.see_value(value)


def _fallbacks(f: FunctionType, facts: Facts) -> dict[str, Any]:
    """The globals that go along with an interactive function.

    Data does not go along with a function of `__main__`: there it is the engine's namespace that
    counts, and what is missing in it is a NameError.
    """
    with_data = f.__module__ not in (None, "__main__")
    found: dict[str, Any] = {}
    for name, value in _used_globals(f):
        if with_data or isinstance(value, _BY_NAME):
            found[name] = value
            facts.see_global(f.__globals__, name, value)
    return found


_collected: dict[str, Any] = {}
_early: dict[str, Any] = {}  # those that the namespace did not have


def take_fallbacks() -> dict[str, Any] | None:
    """The fallbacks of the functions unpickled since the last call; `None` if there are none.

    Until then the namespace has them: what is unpickled after its functions may call them to be made.

    >>> take_fallbacks()
    """
    global _collected
    if not _collected:
        return None
    taken, _collected = _collected, {}
    space = reference.namespace()
    for name, value in _early.items():
        if space.get(name) is value:
            del space[name]
    _early.clear()
    return taken


def make_interactive(code: CodeType, cells: int) -> FunctionType:
    """An interactive function, still without its state. Its globals are those of `__main__` here."""
    closure = tuple(CellType() for _ in range(cells)) if cells else None
    return FunctionType(code, reference.namespace(), None, None, closure)


def fill_interactive(f: FunctionType, state: dict[str, Any]) -> None:
    """Gives an interactive function its state."""
    f.__name__ = state["name"]
    f.__qualname__ = state["qualname"]
    f.__module__ = state["module"]
    f.__doc__ = state["doc"]
    f.__defaults__ = state["defaults"]
    f.__kwdefaults__ = state["kwdefaults"]
    f.__annotations__ = state["annotations"]
    keep_source(f.__code__, state.get("source"))
    f.__dict__.update(state["dict"])
    for empty, cell in zip(f.__closure__ or (), state["closure"] or (), strict=True):
        try:
            empty.cell_contents = cell.cell_contents
        except ValueError:  # the cell was empty when it was sent
            continue
    if reference.is_given():
        for name, value in state["fallbacks"].items():
            f.__globals__.setdefault(name, value)
    elif reference.on_engine():
        for name, value in state["fallbacks"].items():
            _collected.setdefault(name, value)
            if name not in f.__globals__:
                f.__globals__[name] = _early[name] = value
