"""The source of functions that go to engines, so that tracebacks there show it.

A function that was defined in a notebook or a console has no file that an engine could read. Who may use it:
`functions`, which packs and unpacks them. What is kept is bounded, and nothing depends on it.
"""

from __future__ import annotations

import linecache
import os
from types import CodeType
from typing import TypeAlias

__all__ = ["Source", "keep_source", "source_of"]

Source: TypeAlias = "tuple[int, str]"
"""The number of the first line, and the lines."""

SOURCE_LEN_MAX = 16 * 1024
"""Characters of a function's source that go along; a longer one stays."""

FILES_MAX = 256
"""Files that are remembered; the oldest goes first."""

LINES_MAX = 100_000
"""The highest line number that is remembered: those before it are kept as empty lines."""

_kept: dict[str, None] = {}


def source_of(code: CodeType) -> Source | None:
    """The lines that a code object is from, if they are known here.

    >>> import phalanx.values.sources
    >>> source_of(phalanx.values.sources.source_of.__code__)[1].splitlines()[0]
    'def source_of(code: CodeType) -> Source | None:'
    """
    lines = linecache.getlines(code.co_filename)
    first = code.co_firstlineno
    if not 0 < first <= len(lines):
        return None
    text = "".join(lines[first - 1 : _last_line(code)])
    return (first, text) if len(text) <= SOURCE_LEN_MAX else None


def _last_line(code: CodeType) -> int:
    last = max((line for _, _, line in code.co_lines() if line is not None), default=0)
    inner = (_last_line(const) for const in code.co_consts if isinstance(const, CodeType))
    return max(last, *inner, code.co_firstlineno)


def keep_source(code: CodeType, source: Source | None) -> None:
    """Remembers lines for tracebacks, unless there is a file of this name here.

    >>> code = compile("1 / 0", "<nowhere>", "eval")
    >>> keep_source(code, (2, "    1 / 0"))
    >>> linecache.getline("<nowhere>", 2)
    '    1 / 0\\n'
    """
    name = code.co_filename
    if source is None or source[0] > LINES_MAX or (name not in _kept and os.path.exists(name)):
        return
    first, text = source
    known = linecache.cache.get(name)
    lines = list(known[2]) if name in _kept and known is not None and len(known) == 4 else []
    added = [f"{line}\n" for line in text.splitlines()]
    lines += ["\n"] * (first - 1 + len(added) - len(lines))
    lines[first - 1 : first - 1 + len(added)] = added
    linecache.cache[name] = (sum(map(len, lines)), None, lines, name)
    _kept[name] = None
    if len(_kept) > FILES_MAX:
        oldest = next(iter(_kept))
        del _kept[oldest]
        linecache.cache.pop(oldest, None)
