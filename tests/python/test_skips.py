"""A skip without a row fails the run; one with a row does not."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import skips

HERE = Path(__file__).parent

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="the moon is full")
@pytest.mark.parametrize("n", [1, 2])
def test_is_skipped(n):
    pass

@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail():
    assert False
"""


def run(tmp_path: Path, rows: str, tests: str = TESTS) -> subprocess.CompletedProcess[str]:
    """Runs tests of their own with rows of their own."""
    (tmp_path / "test_own.py").write_text(tests)
    (tmp_path / "test_else.py").write_text("def test_runs():\n    pass\n")
    (tmp_path / "skips.txt").write_text(rows)
    program = [sys.executable, "-m", "pytest", "-q", "-p", "skips", "-p", "no:cacheprovider"]
    options = [
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
        "--skips",
        str(tmp_path / "skips.txt"),
    ]
    return subprocess.run(
        [*program, *options, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=HERE,
        timeout=50,
        check=False,
    )


def test_a_skip_without_a_row_fails_the_run_and_is_named(tmp_path):
    done = run(tmp_path, "# nothing may be skipped\n")
    assert done.returncode == 1, done.stdout
    assert "test_own.py::test_is_skipped[1]: Skipped: the moon is full" in done.stdout
    assert "test_is_expected_to_fail" not in done.stdout


def test_a_row_without_a_reason_is_none(tmp_path):
    assert run(tmp_path, "test_own.py::test_is_skipped: \n").returncode == 1


def test_a_skip_with_a_row_is_good(tmp_path):
    done = run(tmp_path, "test_own.py::test_is_skipped: the moon is full\n")
    assert done.returncode == 0, done.stdout


def test_a_file_that_is_skipped_whole_needs_a_row_too(tmp_path):
    tests = "import pytest\npytest.importorskip('no_such_module')\n"
    assert run(tmp_path, "test_else.py: no\n", tests).returncode == 1
    assert run(tmp_path, "test_own.py: it is not there\n", tests).returncode == 0


def test_every_row_of_a_python_test_names_one_that_exists():
    for row, reason in skips.rows(skips.ROWS).items():
        path, _, test = row.partition("::")
        if path.endswith(".py"):
            names = {
                node.name
                for node in ast.walk(ast.parse((HERE / path).read_text()))
                if isinstance(node, ast.FunctionDef)
            }
            assert not test or test.partition("[")[0] in names, row
            assert reason, row
