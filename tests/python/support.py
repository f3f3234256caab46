"""Programs that tests run as processes of their own, and what is left of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_python(
    code: str, *arguments: str, deadline_s: float = 50
) -> subprocess.CompletedProcess[str]:
    """Runs a program with this interpreter; what it said and how it ended."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )


def start_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a program with this interpreter, its output in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[int]:
    """The processes that this one has started, and those that they have."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found += [int(entry), *children(int(entry))]
    return found
