"""Examples in docstrings become blocks of code in the reference, instead of quotations of Markdown.

mkdocs.yml names this file as an extension of griffe, which reads the package for the reference. It changes
what is shown, and nothing in the package.
"""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    """Each example, from its first prompt to the next empty line, in a fence."""
    lines: list[str] = []
    is_inside = False
    for line in text.splitlines():
        if not is_inside and line.startswith(">>>"):
            is_inside = True
            lines += ["", "```python"]
        elif is_inside and not line.strip():
            is_inside = False
            lines.append("```")
        lines.append(line.replace("  # doctest: +SKIP", "").rstrip())
    return "\n".join([*lines, "```"] if is_inside else lines)


class Doctests(griffe.Extension):
    """Puts fences into the docstring of every object."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each object that it has read."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
