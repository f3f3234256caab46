"""How outputs of tasks are shown here: text with its engine before it, rich displays as rich as can be.

In a notebook a figure is a figure, in a terminal it is its text. Who may use it: `streaming`, the magics and
replies. It reads nothing from tasks: it is told what to show.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["running_shell", "show_display", "show_error", "show_lines", "show_plain", "show_result"]


def running_shell() -> Any:
    """IPython's shell, if this is one. Does not import IPython.

    >>> running_shell() is None
    True
    """
    core = sys.modules.get("IPython.core.getipython")
    return core.get_ipython() if core is not None else None


def show_lines(stream: str, engine: int | None, lines: Iterable[str]) -> None:
    """Prints lines of a stream, each with where it is from.

    >>> show_lines("stdout", 3, ["hello"])
    [stdout:3] hello
    """
    out = sys.stdout if stream == "stdout" else sys.stderr
    head = f"[{stream}:{_name(engine)}]"
    print("\n".join(f"{head} {line}" for line in lines), file=out, flush=True)


def show_text(stream: str, engine: int | None, text: str) -> None:
    """Prints all that was written to a stream under one head.

    >>> print("before"); show_text("stdout", 3, "one\\n")
    before
    [stdout:3]...
    one
    """
    text = text.rstrip("\n")
    out = sys.stdout if stream == "stdout" else sys.stderr
    print(f"[{stream}:{_name(engine)}] \n{text}", file=out, flush=True)


def show_plain(stream: str, text: str) -> None:
    """Prints what was written to a stream, as it was written.

    >>> show_plain("stdout", "one\\n")
    one
    """
    if text:
        out = sys.stdout if stream == "stdout" else sys.stderr
        print(text, end="" if text.endswith("\n") else "\n", file=out, flush=True)


def show_display(engine: int | None, message: Mapping[str, Any], *, head: bool = True) -> None:
    """Shows what a task displayed.

    >>> show_display(3, {"type": "display_data", "data": {"text/plain": "a figure"}})
    [output:3]
    a figure
    """
    kind, data = message.get("type"), dict(message.get("data", {}))
    if kind == "clear_output" or not data:
        return  # what other engines show is not theirs to clear
    if kind == "execute_result":
        show_result(engine, message)
        return
    if head:
        print(f"[output:{_name(engine)}]", flush=True)
    transient = dict(message.get("transient") or {})
    if "display_id" in transient:
        transient["display_id"] = f"{transient['display_id']}-{_name(engine)}"
    _publish(data, message.get("metadata"), transient, kind == "update_display_data")


def show_result(engine: int | None, message: Mapping[str, Any]) -> None:
    """Shows the value of executed code, numbered as the engine has it.

    >>> show_result(0, {"execution_count": 3, "data": {"text/plain": "42"}})
    Out[0:3]: 42
    """
    data = dict(message.get("data", {}))
    text = str(data.get("text/plain", ""))
    data["text/plain"] = out_text(engine, message.get("execution_count", 0), text)
    _publish(data, message.get("metadata"), {}, False)


def out_text(engine: int | None, count: int, text: str) -> str:
    """A value with its number.

    >>> out_text(1, 2, "3")
    'Out[1:2]: 3'
    """
    gap = "\n" if "\n" in text else ""
    return f"Out[{_name(engine)}:{count}]: {gap}{text}"


def show_error(lines: Iterable[str]) -> None:
    """Prints a remote traceback on standard error."""
    print("\n".join(lines), file=sys.stderr, flush=True)


def _name(engine: int | None) -> str:
    return "?" if engine is None else str(engine)


def _publish(
    data: dict[str, Any],
    metadata: Mapping[str, Any] | None,
    transient: dict[str, Any],
    is_update: bool,
) -> None:
    shell = running_shell()
    if shell is None:
        print(data.get("text/plain") or f"<{', '.join(sorted(data))}>", flush=True)
        return
    sys.stdout.flush()
    shell.display_pub.publish(
        data, metadata=dict(metadata or {}), transient=transient, update=is_update
    )
