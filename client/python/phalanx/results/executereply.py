"""`ExecuteReply`: what `execute` gives back for each engine.

Who may use it: views make it of what the engine answers; results add what the task wrote and displayed.
It runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phalanx.display.showing import out_text, show_display, show_result, show_text
from phalanx.results.metadata import KEYS

__all__ = ["ExecuteReply"]

REPR_TEXT_MAX = 32
"""Characters of the value that a reply shows of itself."""

FORMS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_pdf_": "application/pdf",
}
"""The methods by which front ends ask for a form of the value."""


class ExecuteReply:
    """The answer of one engine to executed code: the value of its last line, and what it wrote.

    `execute_result` is None or a dict with `data` (the value by MIME type), `metadata` and
    `execution_count`; `data` is that of it. `stdout`, `stderr` and `outputs` (what it displayed) are those
    of the task; `source` is the code. Keys of the task's metadata are attributes too (`reply.status`).
    Front ends find the value's rich forms as `_repr_html_` and so on.

    >>> result = {"data": {"text/plain": "42"}, "metadata": {}, "execution_count": 3}
    >>> reply = ExecuteReply({"execution_count": 3, "execute_result": result}, engine_id=0)
    >>> reply
    <ExecuteReply[3]: 42>
    >>> print(reply)
    <ExecuteReply[3]: 42>
    """

    def __init__(
        self,
        answer: Mapping[str, Any] | None,
        engine_id: int | None = None,
        source: str = "",
        metadata: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        answer = answer or {}
        self.engine_id = engine_id
        self.source = source
        self.execution_count: int = answer.get("execution_count", 0)
        self.execute_result: dict[str, Any] | None = answer.get("execute_result")
        self.error: Any = None
        self._metadata = metadata

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What is known of the task; empty for a reply without one.

        >>> ExecuteReply({}).metadata
        {}
        """
        return {} if self._metadata is None else self._metadata()

    @property
    def msg_id(self) -> str:
        """The name of the task; empty for a reply without one.

        >>> view.execute("6 * 7", silent=False).get()[0].msg_id
        'c...'
        """
        return str(self.metadata.get("msg_id", ""))

    @property
    def stdout(self) -> str:
        """What the code wrote to standard output.

        >>> rc[0].execute("print(6 * 7)", block=True).get().stdout
        '42\\n'
        """
        return str(self.metadata.get("stdout", ""))

    @property
    def stderr(self) -> str:
        """What it wrote to standard error.

        >>> rc[0].execute("1 + 1", block=True).get().stderr
        ''
        """
        return str(self.metadata.get("stderr", ""))

    @property
    def outputs(self) -> list[Any]:
        """What it displayed: dicts with `data` by MIME type.

        >>> ar = rc[0].execute("from IPython.display import display; display(5)", block=True)
        >>> ar.get().outputs[0]["data"]
        {'text/plain': '5'}
        """
        return list(self.metadata.get("outputs", []))

    @property
    def data(self) -> dict[str, Any]:
        """The value of the last line by MIME type; empty if there is none. What was published is in `metadata`.

        >>> view.execute("6 * 7", silent=False).get()[0].data
        {'text/plain': '42'}
        """
        return dict((self.execute_result or {}).get("data", {}))

    @property
    def text(self) -> str:
        """The value of the last line as text; empty if there is none.

        >>> ExecuteReply({}).text
        ''
        """
        return str(self._form("text/plain") or "")

    def _form(self, kind: str) -> Any:
        return self.data.get(kind)

    def __getattr__(self, name: str) -> Any:
        """The forms of the value, as far as it has them, and what is known of the task."""
        if name in FORMS and (form := self._form(FORMS[name])) is not None:
            metadata = (self.execute_result or {}).get("metadata", {}).get(FORMS[name])
            return lambda: (form, metadata) if metadata else form
        if name in KEYS:
            return self.metadata.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        text = self.text
        if len(text) > REPR_TEXT_MAX:
            text = text[: REPR_TEXT_MAX - 3] + "..."
        return f"<ExecuteReply[{self.execution_count}]: {text}>"

    def __reduce__(self) -> Any:
        answer = {"execution_count": self.execution_count, "execute_result": self.execute_result}
        return ExecuteReply, (answer, self.engine_id, self.source)

    def _repr_pretty_(self, p: Any, cycle: bool) -> None:
        """How IPython shows it."""
        text = self.text
        p.text(out_text(self.engine_id, self.execution_count, text) if text else repr(self))

    def display(self) -> None:
        """Shows what the code wrote and displayed, and its value.

        >>> ExecuteReply({"execute_result": {"data": {"text/plain": "1"}}}, engine_id=2).display()
        Out[2:0]: 1
        """
        for stream in ("stdout", "stderr"):
            text = self.stdout if stream == "stdout" else self.stderr
            if text:
                show_text(stream, self.engine_id, text)
        for number, message in enumerate(self.outputs):
            show_display(self.engine_id, message, head=number == 0)
        if self.execute_result:
            show_result(
                self.engine_id, {"execution_count": self.execution_count, **self.execute_result}
            )
