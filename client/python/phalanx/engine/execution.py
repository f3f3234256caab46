"""Running strings of code in an engine's namespace.

Plain Python needs nothing; what is not Python is given to IPython's syntax if IPython is there. Who may
use it: `operations`. What goes wrong is raised.
"""

from __future__ import annotations

import ast
import inspect
import io
import linecache
import tokenize
from types import CodeType
from typing import Any

from phalanx.engine import outlet
from phalanx.engine.namespace import Namespace, has_ipython
from phalanx.engine.rendering import EXECUTED

__all__ = ["Execution"]

SOURCES_MAX = 256
"""Executed strings whose source is kept for tracebacks; the oldest goes first."""

OUTS_MAX = 1000
"""Values kept in `Out`, as many as IPython keeps; the oldest goes first."""

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Execution:
    """Runs code, and counts how often; not what runs silently, as in IPython.

    >>> from types import ModuleType
    >>> run = Execution(Namespace(ModuleType("__main__")))
    >>> run("a = 1", silent=True), run("a += 1", silent=True)
    ({'execution_count': 0}, {'execution_count': 0})
    """

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._count = 0
        self._compiled = 0
        self._sources: list[str] = []

    def __call__(self, code: str, silent: bool) -> dict[str, Any]:
        """Runs it; without `silent`, the value of its last line is in the answer, and is displayed.

        Then IPython's shell takes part if IPython is installed: its history, its events, its formats.
        """
        if not silent:
            self._count += 1
        if silent or not has_ipython():
            return self._run(code, silent, None)
        shell = self._namespace.shell()
        shell.execution_count = self._count
        note_input(shell, self._count, code)
        shell.events.trigger("pre_execute")
        try:
            return self._run(code, silent, shell)
        finally:
            shell.events.trigger("post_execute")

    def run_file(self, path: str) -> None:
        """Runs a script as if its lines were executed."""
        with open(path, encoding="utf-8") as file:
            body = compile(file.read(), path, "exec", _FLAGS)
        self._evaluate(body)

    def _run(self, code: str, silent: bool, shell: Any) -> dict[str, Any]:
        self._compiled += 1
        name = f"{EXECUTED}{self._compiled}>"
        number = self._count + 1 if silent else self._count  # as IPython counts
        body, last = self._compile(code, name, number, with_value=not silent)
        self._evaluate(body)
        answer: dict[str, Any] = {"execution_count": self._count}
        value = None if last is None else self._evaluate(last)
        if value is not None and not is_quiet(code):
            shown = self._show(value, shell)
            if shown["data"]:
                answer["execute_result"] = shown
                if outlet.current is not None:
                    outlet.current.display({"type": "execute_result", **shown})
        return answer

    def _compile(
        self, code: str, name: str, number: int, *, with_value: bool
    ) -> tuple[CodeType, CodeType | None]:
        tree: Any = parsed(code, name)
        if tree is None:
            if has_ipython():
                code = self._namespace.shell().transform_cell(code)
            self._remember(name, number, code)
            tree = compile(code, name, "exec", ast.PyCF_ONLY_AST | _FLAGS)
        else:
            self._remember(name, number, code)
        last = None
        if with_value and tree.body and isinstance(tree.body[-1], ast.Expr):
            expression = tree.body.pop()
            last = compile(ast.Expression(expression.value), name, "eval", _FLAGS)
        return compile(tree, name, "exec", _FLAGS), last

    def _evaluate(self, code: CodeType) -> Any:
        value = eval(code, self._namespace.names)
        if code.co_flags & inspect.CO_COROUTINE:
            from asyncio import run  # seldom needed

            return run(value)
        return value

    def _show(self, value: Any, shell: Any) -> dict[str, Any]:
        """A value in all the forms that it has."""
        if shell is None:
            self._namespace.names["_"] = value
            data, metadata = {"text/plain": repr(value)}, {}
        else:
            data, metadata = shell.display_formatter.format(value)
            note_value(self._namespace.names, self._count, value)
        return {"data": data, "metadata": metadata, "execution_count": self._count}

    def _remember(self, name: str, number: int, code: str) -> None:
        """Keeps the source for tracebacks, and the number by which they call it."""
        called = f"In[{number}]"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), called)
        self._sources.append(name)
        if len(self._sources) > SOURCES_MAX:
            linecache.cache.pop(self._sources.pop(0), None)


def note_input(shell: Any, count: int, code: str) -> None:
    """Keeps executed code where IPython keeps it: `In[count]`."""
    executed = shell.history_manager.input_hist_parsed
    executed += [""] * (count - len(executed))
    executed.append(code)


def note_value(names: dict[str, Any], count: int, value: Any) -> None:
    """Keeps a value where IPython keeps it: `Out[count]`, `_count`, and `_`, `__`, `___`.

    >>> names = {"Out": {}, "_": 1}
    >>> note_value(names, 2, "new")
    >>> names["Out"], names["_"], names["__"], names["_2"]
    ({2: 'new'}, 'new', 1, 'new')
    """
    for newer, older in (("__", "___"), ("_", "__")):
        names[older] = names.get(newer, "")
    names["_"] = names[f"_{count}"] = value
    outs = names.get("Out")
    if isinstance(outs, dict):
        outs[count] = value
        if len(outs) > OUTS_MAX:
            oldest = next(iter(outs))
            del outs[oldest]
            names.pop(f"_{oldest}", None)


def parsed(code: str, name: str) -> ast.Module | None:
    """The tree of code, if it is Python as it stands. `None` leaves the telling to who tries again.

    >>> parsed("a = 1", "name"), parsed("!ls", "name")
    (<ast.Module object at ...>, None)
    """
    try:
        tree: ast.Module = compile(code, name, "exec", ast.PyCF_ONLY_AST | _FLAGS)
    except SyntaxError:
        return None
    return tree


def is_quiet(code: str) -> bool:
    """Whether code ends with a semicolon, and so its value is not shown.

    >>> is_quiet("f();"), is_quiet("f()  # done;")
    (True, False)
    """
    if ";" not in code.rpartition("\n")[2] and not code.rstrip().endswith(";"):
        return False
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return False
    passed = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT}
    last = next((token for token in reversed(tokens) if token.type not in passed), None)
    return last is not None and last.string == ";"
