"""Which files there are to measure. It opens none of them."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import NamedTuple

SKIPPED = frozenset({"site-packages", "dist-packages", "__pycache__"})
"""Directories beside the standard library that are not part of it."""


class Source(NamedTuple):
    """One file: where it is, its module's name, and its package's: the first part of that name."""

    path: str
    module: str
    package: str
    size: int


def standard_library() -> Path:
    """Where this Python keeps its standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_sources(root: Path) -> list[Source]:
    """Every Python source file below `root`, by module.

    Files of the top level are packages of their own, with one module each.
    """
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        for file in sorted(files):
            if file.endswith(".py"):
                path = Path(folder, file)
                module = module_name(path.relative_to(root))
                size = path.stat().st_size
                found.append(Source(str(path), module, module.split(".")[0], size))
    return sorted(found, key=lambda source: source.module)


def module_name(relative: Path) -> str:
    """The name under which a file below the root is imported.

    >>> module_name(Path("json/decoder.py")), module_name(Path("json/__init__.py"))
    ('json.decoder', 'json')
    """
    parts = list(relative.with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def by_package(sources: list[Source]) -> dict[str, list[int]]:
    """The indices of each package's files."""
    packages: dict[str, list[int]] = {}
    for index, source in enumerate(sources):
        packages.setdefault(source.package, []).append(index)
    return packages
