"""Running strings of code in an engine's namespace.

Plain Python needs nothing; what is not Python is given to IPython's syntax if IPython is there. Who may
use it: `operations`. What goes wrong is raised.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from types import CodeType
from typing import Any

from phalanx.engine.namespace import Namespace, has_ipython
from phalanx.engine.rendering import EXECUTED

__all__ = ["Execution"]

SOURCES_MAX = 256
"""Executed strings whose source is kept for tracebacks; the oldest goes first."""

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Execution:
    """Runs code, and counts how often.

    >>> from types import ModuleType
    >>> run = Execution(Namespace(ModuleType("__main__")))
    >>> run("a = 1", silent=True), run("a + 1", silent=False)["execute_result"]
    ({'execution_count': 1}, {'text/plain': '2'})
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._count = 0
        self._sources: list[str] = []

    def __call__(self, code: str, silent: bool) -> dict[str, Any]:
        """Runs it; without `silent`, the value of its last line is in the answer."""
        self._count += 1
        name = f"{EXECUTED}{self._count}>"
        body, last = self._compile(code, name, with_value=not silent)
        self._run(body)
        answer: dict[str, Any] = {"execution_count": self._count}
        if last is not None:
            value = self._run(last)
            if value is not None:
                self._namespace.names["_"] = value
                answer["execute_result"] = self._show(value)
        return answer

    def _compile(
        self, code: str, name: str, *, with_value: bool
    ) -> tuple[CodeType, CodeType | None]:
        try:
            tree = compile(code, name, "exec", ast.PyCF_ONLY_AST | _FLAGS)
        except SyntaxError:
            if not has_ipython():
                raise
            code = self._namespace.shell().transform_cell(code)
            tree = compile(code, name, "exec", ast.PyCF_ONLY_AST | _FLAGS)
        self._remember(name, code)
        last = None
        if with_value and tree.body and isinstance(tree.body[-1], ast.Expr):
            expression = tree.body.pop()
            last = compile(ast.Expression(expression.value), name, "eval", _FLAGS)
        return compile(tree, name, "exec", _FLAGS), last

    def _run(self, code: CodeType) -> Any:
        value = eval(code, self._namespace.names)
        if code.co_flags & inspect.CO_COROUTINE:
            from asyncio import run  # seldom needed

            return run(value)
        return value

    def _show(self, value: Any) -> dict[str, str]:
        if self._namespace.has_shell:
            shown, _ = self._namespace.shell().display_formatter.format(value)
            return {kind: text for kind, text in shown.items() if isinstance(text, str)}
        return {"text/plain": repr(value)}

    def _remember(self, name: str, code: str) -> None:
        """Keeps the source for tracebacks."""
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        self._sources.append(name)
        if len(self._sources) > SOURCES_MAX:
            linecache.cache.pop(self._sources.pop(0), None)
