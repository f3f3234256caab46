"""The table of what Phalanx has of ipyparallel's names: read from `surface.toml`, compared, written as a page.

Run by `test_surface.py`; as a program it says what does not agree, and with `--write` writes docs/surface.md.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "client" / "python" / "surface.toml"
PAGE = ROOT / "docs" / "surface.md"
STATUSES = ("have", "differs", "out", "not yet")

# What classes have that ipyparallel's have not; told at the end of the page.
CLASSES = (
    "Client",
    "DirectView",
    "LoadBalancedView",
    "BroadcastView",
    "AsyncResult",
    "AsyncMapResult",
    "Cluster",
)


def sections() -> list[dict[str, Any]]:
    """The sections of the table, each with its title and rows."""
    with TABLE.open("rb") as file:
        found: list[dict[str, Any]] = tomllib.load(file)["section"]
    return found


def exists(dotted: str) -> bool:
    """Whether there is such a name below `phalanx`: a module, or what is in `dir()` of what is before it."""
    thing: Any = importlib.import_module("phalanx")
    path = "phalanx"
    for part in dotted.split("."):
        path = f"{path}.{part}"
        if part in dir(thing):
            thing = getattr(thing, part, None)
            continue
        try:
            thing = importlib.import_module(path)
        except ModuleNotFoundError:
            try:
                thing = getattr(thing, part)
            except AttributeError:
                return False
    return True


def complaints() -> list[str]:
    """What does not agree with the package."""
    wrong = []
    for section in sections():
        for names, mark, status, note in section["rows"]:
            where = f"{section['title']}: {names}"
            if mark not in ("S", "T") or status not in STATUSES:
                wrong.append(f"{where}: mark {mark!r}, status {status!r}")
            if status in ("differs", "out") and not note:
                wrong.append(f"{where}: {status}, and it is not said how or why")
            if names.startswith("*"):
                continue
            for name in names.split():
                if status in ("have", "differs") and not exists(name):
                    wrong.append(f"{where}: there is no {name}")
                if status == "out" and exists(name):
                    wrong.append(f"{where}: {name} is there; take it to `have`")
    return wrong


def beyond() -> dict[str, list[str]]:
    """The public names of the classes that no row tells of."""
    import phalanx

    told = {
        name for section in sections() for names, *_ in section["rows"] for name in names.split()
    }
    spelt = {name.rpartition(".")[2] for name in told} | {"block", "track", "targets", "label"}
    more = {"top level": [n for n in phalanx.__all__ if n not in told and n not in spelt]}
    for kind in CLASSES:
        names = [n for n in dir(getattr(phalanx, kind)) if not n.startswith("_")]
        more[kind] = [n for n in names if n not in spelt]
    return more


def page() -> str:
    """The table as Markdown."""
    words = {"have": "have", "differs": "differs", "out": "left out", "not yet": "not yet"}
    lines = [
        "# What Phalanx has of ipyparallel's names",
        "",
        "Generated from `client/python/surface.toml`, which a test compares with the package: "
        "`python tests/python/surface_check.py --write`.",
        "",
        "S: in the documents that define such systems. T: in today's ipyparallel only.",
    ]
    counts = dict.fromkeys(STATUSES, 0)
    for section in sections():
        lines += ["", f"## {section['title']}", "", "| | | | |", "|---|---|---|---|"]
        for names, mark, status, note in section["rows"]:
            is_text = names.startswith("*")
            each = [names[1:].strip()] if is_text else [f"`{name}`" for name in names.split()]
            counts[status] += len(each)
            shown = ", ".join(each).replace("|", "\\|")
            lines.append(f"| {shown} | {mark} | {words[status]} | {note} |")
    told = ", ".join(f"{words[status]} {count}" for status, count in counts.items())
    lines[5:5] = ["", f"Names and behaviours: {told}."]
    lines += ["", "## Beyond", "", "What is here and not there; `help()` tells of each."]
    lines += ["", "| | |", "|---|---|"]
    for where, names in beyond().items():
        shown = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {where} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page())
    for complaint in complaints():
        print(complaint)
