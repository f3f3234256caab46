"""Which numbered requirements have a test: those that a test names by `@pytest.mark.req(...)`.

Each of the others must stand in `not_yet.txt` with its reason. Run by `test_requirements.py`; as a
program it prints the state: `python tests/python/requirements_check.py`.
"""

from __future__ import annotations

import ast
from pathlib import Path

COUNT = 115
HERE = Path(__file__).parent


def covered() -> dict[int, list[str]]:
    """The tests of each requirement, by its number."""
    tests: dict[int, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if (
                    isinstance(decorator, ast.Call)
                    and ast.unparse(decorator.func) == "pytest.mark.req"
                ):
                    for number in decorator.args:
                        key = ast.literal_eval(number)
                        tests.setdefault(key, []).append(f"{path.name}::{node.name}")
    return tests


def not_yet() -> dict[int, str]:
    """The reasons in `not_yet.txt`, by number."""
    reasons: dict[int, str] = {}
    for line in (HERE / "not_yet.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            number, _, reason = line.partition(":")
            reasons[int(number)] = reason.strip()
    return reasons


def complaints() -> list[str]:
    """What does not agree: numbers in neither place, or in both."""
    tests, reasons = covered(), not_yet()
    wrong = []
    for number in range(1, COUNT + 1):
        if number not in tests and not reasons.get(number):
            wrong.append(f"{number} has neither a test nor a reason in not_yet.txt")
        if number in tests and number in reasons:
            wrong.append(f"{number} has a test ({tests[number][0]}): take it out of not_yet.txt")
    wrong += [f"there is no requirement {n}" for n in {*tests, *reasons} if not 1 <= n <= COUNT]
    return wrong


if __name__ == "__main__":
    print(f"{len(covered())} of {COUNT} covered")
    for number, reason in not_yet().items():
        print(f"{number:>4}: {reason}")
    for complaint in complaints():
        print(complaint)
