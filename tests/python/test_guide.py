"""Every block of Python in the user guide and in the README runs, page by page, against one cluster.

The blocks of a page run in order in one namespace, as a reader would type them. Blocks marked `python`
are run as they stand or, where they have prompts, as doctests; blocks marked `ipython` are cells of a
real IPython. Every block says its language, so that none is left out by mistake.
"""

from __future__ import annotations

import doctest
import os
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import phalanx as px

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^ *(```+)([^\n`]*)$")
NOT_RUN = {"text", "console", "sh", "rust", "toml", "json", "yaml"}
"""What is not Python. Commands of the shell are tested with the command itself."""

SOURCES = ("client", "transport", "runtime/src", "actors")
VARIABLE = r"\.\.\.|\[.*?\]|\b\d[\d.]*"
"""What differs from one error to the next of its kind."""
TOLD_BY_OTHERS = {"assignment destination is read-only", "NameError: name 'x' is not defined"}
"""By Python and numpy."""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    line: int
    text: str


def blocks(page: Path) -> Iterator[Block]:
    language, begin, lines, fence = "", 0, [], ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        found = FENCE.match(line)
        if not fence and found:
            fence, language, begin, lines = found[1], found[2].strip(), number + 1, []
        elif fence and line.strip() == fence:
            yield Block(language, begin, textwrap.dedent("\n".join(lines) + "\n"))
            fence = ""
        elif fence:
            lines.append(line)
    assert not fence, f"a block of {page.name} is not closed"


def run_plain(page: Path, block: Block, names: dict[str, object]) -> None:
    """Runs a block so that tracebacks name its lines in the page."""
    exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)


def run_with_prompts(page: Path, block: Block, names: dict[str, object]) -> None:
    parser = doctest.DocTestParser()
    test = parser.get_doctest(block.text, {}, page.name, str(page), block.line - 1)
    test.globs = names
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.fixture
def session(request, tmp_path, monkeypatch):
    """What a page's blocks run in: a module of its own, or IPython where the page has cells of it."""
    monkeypatch.chdir(tmp_path)
    commands = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    page = request.param
    if not any(block.language == "ipython" for block in blocks(page)):
        names = types.ModuleType("__main__").__dict__
        yield page, names, None
        return
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance(colors="nocolor")
    yield page, shell.user_ns, shell
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("session", PAGES, ids=lambda page: page.stem, indirect=True)
def test_the_blocks_of_a_page_run(session, cluster, rc):
    page, names, shell = session
    for block in blocks(page):
        if block.language == "python" and ">>> " in block.text:
            run_with_prompts(page, block, names)
        elif block.language == "python":
            run_plain(page, block, names)
        elif block.language == "ipython":
            shell.run_cell(block.text).raise_error()


def told_by_the_code() -> str:
    """All text of the sources, each string in one piece."""
    files = [file for folder in SOURCES for file in (ROOT / folder).rglob("*.*")]
    text = "\n".join(file.read_text() for file in files if file.suffix in {".py", ".rs"})
    text = re.sub(r"\\\n\s*", "", text)  # Rust's strings over several lines
    return re.sub(r'"\s*\n\s*f?"', "", text)  # Python's


def test_the_errors_in_troubleshooting_are_told_by_the_code():
    code = told_by_the_code()
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    texts = [
        text
        for row in re.findall(r"^\| (`.*?) \|", page, re.M)
        for text in re.findall("`([^`]+)`", row)
    ]
    assert len(texts) > 30
    parts = [part.strip() for text in texts for part in re.split(VARIABLE, text)]
    unknown = [p for p in parts if " " in p and p not in code and p not in TOLD_BY_OTHERS]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_says_what_it_is(page):
    known = NOT_RUN | {"python", "ipython"}
    assert [block for block in blocks(page) if block.language.partition(",")[0] not in known] == []


def test_a_wrong_value_on_a_page_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n")
    [block] = blocks(page)
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run_with_prompts(page, block, {})


def test_a_failing_block_names_the_line_of_its_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\n\n1 / 0\n```\n")
    [block] = blocks(page)
    with pytest.raises(ZeroDivisionError) as caught:
        run_plain(page, block, {})
    assert caught.traceback[-1].lineno + 1 == 5


def test_every_public_name_stands_in_the_reference():
    text = (ROOT / "docs" / "reference.md").read_text()
    told = set(re.findall(r"^::: phalanx\.(\w+)$", text, re.M)) | set(re.findall(r"`(\w+)`", text))
    assert "phalanx.error\n" in text
    assert sorted({*px.__all__} - told - {*dir(px.error)} - {"error"}) == []
