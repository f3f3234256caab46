"""How exceptions of user code are rendered as text, for whoever asked for the task.

A rule of dashes, the error's name, each frame with its code around an arrow, what the error says. Who
may use it: `operations`. Frames of the engine itself are left out.
"""

from __future__ import annotations

import inspect
import linecache
import os
import textwrap
import traceback
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType

__all__ = ["render", "text_of"]

WIDTH = 75
"""Columns of the rule, and of the line under it."""

CONTEXT_LINES = 2
"""Lines of code shown before and after the one at which it happened; empty ones between do not count."""

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
        lines += _render_one(link, is_first=index == 0)
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


def _render_one(exception: BaseException, *, is_first: bool) -> list[str]:
    name = type(exception).__name__
    head = name + "Traceback (most recent call last)".rjust(WIDTH - len(name))
    said = _said(exception)
    frames = _frames(exception.__traceback__)
    if not frames and isinstance(exception, SyntaxError) and is_executed(exception.filename):
        return [f"  {_cell(str(exception.filename))}, line {exception.lineno}", *said[1:]]
    return [*(["-" * WIDTH] if is_first else []), head, *frames, *said]


def _said(exception: BaseException) -> list[str]:
    """What the exception says, its class by the name alone, and what was noted to it."""
    lines = "".join(traceback.format_exception_only(exception)).splitlines()
    if isinstance(exception, SyntaxError):
        return lines  # it shows the code too
    said = f"{type(exception).__name__}: {text_of(exception)}".split("\n")
    return said + lines[len(said) :]


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
    return lines


def _frame(frame: FrameType, line: int) -> list[str]:
    code = frame.f_code
    source = _code_around(code, line, frame)
    if is_executed(code.co_filename):
        place = f"{_cell(code.co_filename)}, line {line}"
    else:
        place = f"File {code.co_filename}:{line}"
    if code.co_name != "<module>":
        place += f", in {code.co_qualname}({', '.join(_arguments(code))})"
    return [place, *source]


def _arguments(code: CodeType) -> list[str]:
    named = code.co_argcount + code.co_kwonlyargcount
    arguments, more = list(code.co_varnames[:named]), iter(code.co_varnames[named:])
    if code.co_flags & inspect.CO_VARARGS:
        arguments.append("*" + next(more))
    if code.co_flags & inspect.CO_VARKEYWORDS:
        arguments.append("**" + next(more))
    return arguments


def is_executed(filename: str | None) -> bool:
    """Whether this is the file name of executed code.

    >>> is_executed("<execute 3>"), is_executed("script.py")
    (True, False)
    """
    return filename is not None and filename.startswith(EXECUTED)


def _cell(filename: str) -> str:
    """What IPython calls executed code: the number that it had is where its source is kept."""
    kept = linecache.cache.get(filename)
    return f"Cell {kept[3]}" if kept is not None and len(kept) > 3 else f"Cell {filename}"


def _code_around(code: CodeType, line: int, frame: FrameType) -> list[str]:
    linecache.checkcache(code.co_filename)
    known = linecache.getlines(code.co_filename, frame.f_globals)
    if not 0 < line <= len(known):
        return []
    first, last = _lines_of(code, len(known))
    numbers = [
        *reversed(_some(known, range(line - 1, first - 1, -1))),
        line,
        *_some(known, range(line + 1, last + 1)),
    ]
    shown = textwrap.dedent("".join(known[number - 1].rstrip() + "\n" for number in numbers))
    return [
        f"{_number(number, number == line)} {text}"
        for number, text in zip(numbers, shown.splitlines(), strict=True)
    ]


def _some(known: list[str], numbers: range) -> list[int]:
    """The first of these lines, as many as are shown, with the empty ones between them."""
    found: list[int] = []
    last = seen = 0
    for number in numbers:
        found.append(number)
        if known[number - 1].strip():
            last, seen = len(found), seen + 1
            if seen == CONTEXT_LINES:
                break
    return found[:last]


def _lines_of(code: CodeType, len_of_file: int) -> tuple[int, int]:
    """The first and the last line of a function; all lines for what is no function with a name."""
    if code.co_name.startswith("<"):
        return 1, len_of_file
    return code.co_firstlineno, min(len_of_file, _last_line(code))


def _last_line(code: CodeType) -> int:
    own = (number for _, _, number in code.co_lines() if number is not None)
    inner = (_last_line(each) for each in code.co_consts if isinstance(each, CodeType))
    return max((code.co_firstlineno, *own, *inner))


def _number(number: int, is_it: bool) -> str:
    """The number of a line, with an arrow if it is the one.

    >>> _number(1, True), _number(12, False)
    ('----> 1', '     12')
    """
    text = str(number)
    if not is_it:
        return text.rjust(NUMBER_WIDTH)
    return "-" * max(0, NUMBER_WIDTH - len(text) - 2) + "> " + text
