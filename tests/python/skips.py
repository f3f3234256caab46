"""A pytest plugin: a test that is skipped without a row in `tests/skips.txt` fails the run.

A row says `path::test: reason`; the path is below `tests/python`, and a test without its parameters
stands for all of them. Rust's tests have rows of the same file, read by `.ci/skips`. Registered by
`conftest.py`; in runs of its own tests by `-p skips`. It skips nothing itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROWS = Path(__file__).parents[1] / "skips.txt"
"""The checked file."""


def rows(path: Path) -> dict[str, str]:
    """The reasons by test."""
    reasons = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            test, _, reason = line.partition(": ")
            reasons[test.strip()] = reason.strip()
    return reasons


def is_named(name: str, reasons: dict[str, str]) -> bool:
    """Whether the test, its function or its file has a row with a reason."""
    candidates = (name, name.partition("[")[0], name.partition("::")[0])
    return any(reasons.get(candidate) for candidate in candidates)


class Skips:
    """Collects what is skipped, and at the end compares it with the rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unnamed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An expected failure is reported as skipped too, but it ran.
        if report.skipped and not hasattr(report, "wasxfail"):
            # The file is not in the id if it lies outside of pytest's root.
            file, _, _ = report.location
            self.note(f"{Path(file).name}::{report.nodeid.partition('::')[2]}", report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            file = report.longrepr[0] if isinstance(report.longrepr, tuple) else report.fspath
            self.note(Path(file).name, report.longrepr)

    def note(self, name: str, why: object) -> None:
        if not is_named(name, rows(self.path)):
            reason = why[2] if isinstance(why, tuple) else why
            self.unnamed.append(f"{name}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unnamed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unnamed:
            terminalreporter.section("skipped without a row", red=True)
            terminalreporter.line(f"give each a row with its reason in {self.path}:")
            for line in self.unnamed:
                terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--skips", default=str(ROWS), metavar="FILE", help="rows of what may be skipped"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skips(Path(config.getoption("--skips"))), "skips-check")
