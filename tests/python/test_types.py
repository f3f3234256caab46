"""What a type checker makes of programs that use Phalanx."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import phalanx as px

PROGRAM = """
import concurrent.futures
import phalanx as px

def length(text: str) -> int:
    return len(text)

rc = px.Client()
balanced = rc.load_balanced_view()
reveal_type(balanced.apply_async(length, "a"))
reveal_type(balanced.apply_async(length, "a").get(timeout=1))
reveal_type(balanced.apply_sync(length, "a"))
reveal_type(balanced.map_sync(length, ["a"]))
reveal_type(rc[:].map_async(length, ["a"]))
reveal_type(next(balanced.imap(length, ["a"])))
future: concurrent.futures.Future[int] = balanced.apply_async(length, "a")

def wait(result: px.AsyncResult[str], anything: px.AsyncResult) -> str:
    for item in balanced.map_async(length, ["a"]):
        reveal_type(item)
    return result.r

async def later(result: px.AsyncResult[str]) -> str:
    return await result
"""

EXPECTED = [
    "phalanx.results.asyncresult.AsyncResult[int]",
    "int",
    "int",
    "list[int]",
    "phalanx.results.mapresult.AsyncMapResult[int]",
    "int",
    "int",
]


@pytest.mark.timeout(170)
def test_a_type_checker_knows_what_results_are(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    command += ["--no-site-packages", "--ignore-missing-imports", "program.py"]
    package = Path(px.__file__).parents[1]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"MYPYPATH": str(package), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=160,
        check=False,
    )
    revealed = re.findall(r'Revealed type is "([^"]+)"', done.stdout)
    assert [each.replace("builtins.", "") for each in revealed] == EXPECTED, done.stdout
    assert "error:" not in done.stdout


def test_results_are_generic_when_the_program_runs_too():
    assert px.AsyncResult[int].__origin__ is px.AsyncResult
    assert px.AsyncMapResult[int].__origin__ is px.AsyncMapResult
