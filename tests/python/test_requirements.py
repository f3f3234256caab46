"""Every numbered requirement has a test, or a reason why not yet."""

from __future__ import annotations

from requirements_check import COUNT, complaints, covered


def test_every_requirement_is_covered_or_has_a_reason(capsys):
    with capsys.disabled():
        print(f" {len(covered())} of {COUNT} covered", end="")
    assert complaints() == []
