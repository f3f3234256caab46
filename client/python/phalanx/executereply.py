"""`ExecuteReply`: what `execute` gives back for each engine.

Who may use it: views make it of what the engine answers. It runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ExecuteReply"]


class ExecuteReply:
    """The answer of one engine to executed code: the value of its last line, if it was asked for.

    >>> reply = ExecuteReply({"execution_count": 3, "execute_result": {"text/plain": "42"}}, engine_id=0)
    >>> reply
    <ExecuteReply[3]: 42>
    >>> print(reply)
    Out[0:3]: 42
    """

    def __init__(
        self, answer: Mapping[str, Any] | None, engine_id: int | None = None, source: str = ""
    ) -> None:
        answer = answer or {}
        self.engine_id = engine_id
        self.source = source
        self.execution_count: int = answer.get("execution_count", 0)
        self.execute_result: dict[str, str] | None = answer.get("execute_result")
        self.outputs: list[Any] = answer.get("outputs", [])
        self.stdout: str = answer.get("stdout", "")
        self.stderr: str = answer.get("stderr", "")
        self.error: str | None = None
        self.data: dict[str, Any] = answer.get("data", {})

    @property
    def text(self) -> str:
        """The value of the last line as text; empty if there is none.

        >>> ExecuteReply({}).text
        ''
        """
        return (self.execute_result or {}).get("text/plain", "")

    def __repr__(self) -> str:
        text = self.text
        if len(text) > 32:
            text = text[:29] + "..."
        return f"<ExecuteReply[{self.execution_count}]: {text}>"

    def __str__(self) -> str:
        return (
            f"Out[{self.engine_id}:{self.execution_count}]: {self.text}"
            if self.text
            else repr(self)
        )

    def _repr_html_(self) -> str | None:
        """The value as HTML, for notebooks."""
        return (self.execute_result or {}).get("text/html")

    def _repr_pretty_(self, p: Any, cycle: bool) -> None:
        """How IPython shows it."""
        p.text(str(self))

    def display(self) -> None:
        """Prints what the code printed, and its value.

        >>> ExecuteReply({"stdout": "hello"}).display()
        hello
        """
        if self.stdout:
            print(self.stdout.rstrip("\n"))
        if self.text:
            print(self)
