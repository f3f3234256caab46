"""How exceptions of user code are rendered as text, for whoever asked for the task.

A rule of dashes, the error's name, each frame with its code around an arrow, what the error says. Who
may use it: `operations`. Frames of the engine itself are left out.
"""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType

__all__ = ["render", "text_of"]

WIDTH = 75
"""Columns of the rule, and of the line under it."""

CONTEXT_LINES = 2
"""Lines of code shown before and after the one at which it happened."""

FRAMES_MAX = 20
"""Frames shown; of more, the middle is left out."""

CAUSES_MAX = 5
"""Exceptions of a chain that are shown."""

TEXT_LEN_MAX = 256 * 1024
"""Characters of a rendered traceback; the rest is cut off."""

NUMBER_WIDTH = 7
EXECUTED = "<execute "
"""How the file names of executed code begin."""

_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def render(exception: BaseException) -> str:
    """The traceback of an exception that was raised here.

    >>> try:
    ...     1 / 0
    ... except ZeroDivisionError as e:
    ...     print(render(e).splitlines()[-1])
    ZeroDivisionError: division by zero
    """
    chain = list(_chain(exception))[:CAUSES_MAX]
    lines: list[str] = []
    for index, (link, connection) in enumerate(reversed(chain)):
        lines += _render_one(link)
        if index + 1 < len(chain):
            lines += ["", connection, ""]
    text = "\n".join(lines)
    return text if len(text) <= TEXT_LEN_MAX else text[:TEXT_LEN_MAX] + "\n... cut off ..."


def text_of(exception: BaseException) -> str:
    """What an exception says, even if it cannot say it.

    >>> text_of(ValueError("no"))
    'no'
    """
    try:
        return str(exception)[:TEXT_LEN_MAX]
    except Exception:  # user code in __str__
        return f"<{type(exception).__name__} that cannot be printed>"


def _chain(exception: BaseException) -> Iterator[tuple[BaseException, str]]:
    """The exception, then what it came from, each with how it led to the one before."""
    link: BaseException | None = exception
    connection = ""
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link, connection
        if link.__cause__ is not None:
            connection = "The above exception was the direct cause of the following exception:"
            link = link.__cause__
        elif link.__context__ is not None and not link.__suppress_context__:
            connection = "During handling of the above exception, another exception occurred:"
            link = link.__context__
        else:
            link = None


def _render_one(exception: BaseException) -> list[str]:
    name = type(exception).__name__
    head = name + "Traceback (most recent call last)".rjust(WIDTH - len(name))
    said = traceback.format_exception_only(type(exception), exception)
    return ["-" * WIDTH, head, *_frames(exception.__traceback__), *"".join(said).splitlines()]


def _frames(tb: TracebackType | None) -> list[str]:
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(tb)
        if not frame.f_code.co_filename.startswith(_OWN_FOLDER)
    ]
    hidden = len(frames) - FRAMES_MAX
    lines: list[str] = []
    for index, (frame, line) in enumerate(frames):
        if hidden > 0 and FRAMES_MAX // 2 <= index < FRAMES_MAX // 2 + hidden:
            if index == FRAMES_MAX // 2:
                lines += [f"... {hidden} frames left out ...", ""]
            continue
        lines += [*_frame(frame, line), ""]
    return lines[:-1]


def _frame(frame: FrameType, line: int) -> list[str]:
    code = frame.f_code
    source = _code_around(code, line, frame)
    executed_at_top = code.co_name == "<module>" and code.co_filename.startswith(EXECUTED)
    if executed_at_top and source:
        return source
    place = f"File {code.co_filename}:{line}"
    if code.co_name != "<module>":
        place += f", in {code.co_name}({', '.join(_arguments(code))})"
    return [place, *source]


def _arguments(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _code_around(code: CodeType, line: int, frame: FrameType) -> list[str]:
    linecache.checkcache(code.co_filename)
    known = linecache.getlines(code.co_filename, frame.f_globals)
    if not 0 < line <= len(known):
        return []
    first = max(1, line - CONTEXT_LINES)
    last = min(len(known), line + CONTEXT_LINES)
    return [
        f"{_number(number, number == line)} {known[number - 1].rstrip()}".rstrip()
        for number in range(first, last + 1)
    ]


def _number(number: int, is_it: bool) -> str:
    """The number of a line, with an arrow if it is the one.

    >>> _number(1, True), _number(12, False)
    ('----> 1', '     12')
    """
    text = str(number)
    if not is_it:
        return text.rjust(NUMBER_WIDTH)
    return "-" * max(0, NUMBER_WIDTH - len(text) - 2) + "> " + text
