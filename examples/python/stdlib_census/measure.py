"""Measuring one file of source by its syntax tree. It runs none of it."""

from __future__ import annotations

import ast
import tokenize
from typing import NamedTuple

from stdlib_census.sources import Source

BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.With,
    ast.AsyncWith,
    ast.BoolOp,
    ast.IfExp,
    ast.comprehension,
    ast.match_case,
)
"""What makes a program branch, as McCabe counts it (doi:10.1109/TSE.1976.233837), and with-blocks."""

BLOCKS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.Match,
)
"""What nests."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Function(NamedTuple):
    """A function and how long it is."""

    name: str
    lines: int


class Measure(NamedTuple):
    """What is known of one file."""

    module: str
    lines: int
    functions: int
    classes: int
    branches: int
    nesting: int
    longest: Function
    imports: tuple[str, ...]
    is_source: bool
    """Whether it could be parsed: the tests of the standard library hold files that cannot be."""


def measure(source: Source) -> Measure:
    """Reads and measures one file."""
    try:
        with tokenize.open(source.path) as file:
            text = file.read()
        tree = ast.parse(text, source.path)
    except (SyntaxError, ValueError, RecursionError):
        # Not this Python's: of the file only that it is there is known.
        return Measure(source.module, 0, 0, 0, 0, 0, Function("", 0), (), False)
    counts = _Counts(source.module)
    counts.visit(tree)
    return Measure(
        source.module,
        text.count("\n"),
        counts.functions,
        counts.classes,
        counts.branches,
        counts.nesting,
        counts.longest,
        tuple(sorted(counts.imports)),
        True,
    )


class _Counts:
    """Counts over a tree, without recursion: some trees are deep."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.functions = self.classes = self.branches = self.nesting = 0
        self.longest = Function("", 0)
        self.imports: set[str] = set()

    def visit(self, tree: ast.AST) -> None:
        todo = [(tree, 0)]
        while todo:
            node, depth = todo.pop()
            if isinstance(node, BLOCKS):
                depth += 1
                self.nesting = max(self.nesting, depth)
            self.count(node)
            todo.extend((child, depth) for child in ast.iter_child_nodes(node))

    def count(self, node: ast.AST) -> None:
        self.branches += isinstance(node, BRANCHES)
        if isinstance(node, FUNCTIONS):
            self.functions += 1
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            # Of two as long the first by name: the answer does not depend on the order of looking.
            self.longest = max(
                self.longest, Function(node.name, lines), key=lambda f: (f.lines, f.name)
            )
        elif isinstance(node, ast.ClassDef):
            self.classes += 1
        elif isinstance(node, ast.Import):
            self.imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            self.imports.update(self.from_import(node))

    def from_import(self, node: ast.ImportFrom) -> list[str]:
        """The modules that may be meant: what is imported may be a module or a name in one."""
        base = node.module or ""
        if node.level:
            above = self.module.split(".")[: -node.level] or self.module.split(".")[:1]
            base = ".".join([*above, base] if base else above)
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]
