"""How the package is laid out: a module imports only what lies below its room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import phalanx as px

PACKAGE = Path(px.__file__).parent

# From the bottom up. A module may import, when it is imported itself, from its own line and the lines before.
ROOMS = [
    ["phalanx._phalanx"],
    ["phalanx.values"],
    ["phalanx.error", "phalanx.failures"],
    ["phalanx.display"],
    ["phalanx.results", "phalanx.executor"],
    ["phalanx.hub"],
    ["phalanx.magics.activation"],
    ["phalanx.views"],
    ["phalanx.client"],
    ["phalanx.magics.commands"],
    ["phalanx.cluster"],
    ["phalanx.aio", "phalanx.dask", "phalanx.joblib", "phalanx.pytest_plugin"],
    ["phalanx.controller", "phalanx.datapub", "phalanx.serialize", "phalanx.util"],
]
# Engines run beside all this.
BESIDE = {
    "phalanx.engine": ["phalanx._phalanx", "phalanx.values", "phalanx.error", "phalanx.failures"],
}


def name_of(file: Path) -> str:
    """The module that a file is."""
    parts = ["phalanx", *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(file): file for file in PACKAGE.rglob("*.py") if file.parent.name != "scripts"}


def room_of(module: str) -> str:
    """The entry of `ROOMS` or `BESIDE` that a module belongs to."""
    entries = [*BESIDE, *(entry for line in ROOMS for entry in line)]
    found = [entry for entry in entries if f"{module}.".startswith(f"{entry}.")]
    assert len(found) == 1, f"{module} belongs to {found}: give it a place in ROOMS"
    return found[0]


def imports_of(file: Path) -> set[str]:
    """The modules of the package that a module imports when it is imported itself."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            is_compiled = [name for name in whole if name == "phalanx._phalanx"]
            inner = [name for name in whole if name in MODULES or name in is_compiled]
            found |= set(inner)
            if len(inner) < len(whole):
                found.add(node.module)
    return {name for name in found if name == "phalanx" or name.startswith("phalanx.")}


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if name.count(".") and not name.endswith(".magics"))
)
def test_a_room_imports_only_what_is_below_it(module):
    room = room_of(module)
    if room in BESIDE:
        allowed = {room, *BESIDE[room]}
    else:
        level = next(level for level, line in enumerate(ROOMS) if room in line)
        allowed = {entry for line in ROOMS[: level + 1] for entry in line}
    assert {name for name in imports_of(MODULES[module]) if room_of(name) not in allowed} == set()


def test_the_map_of_the_package_names_every_room():
    rooms = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert {room for room in rooms if f"\n    {room} " not in (px.__doc__ or "")} == set()
