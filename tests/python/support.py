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


def stat_fields(pid: int) -> list[str] | None:
    """What the kernel says of a process, from its state on; None if there is none (any more)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # The second: it ended between open and read.
        return None
    return stat.rpartition(")")[2].split()


def command_line(pid: int) -> list[bytes]:
    """The words that a process was started with; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    fields = stat_fields(pid)
    return fields is not None and fields[0] != "Z"


def children(pid: int) -> list[int]:
    """The processes that this one has started, and those that they have."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        fields = stat_fields(int(entry))
        if fields is not None and int(fields[1]) == pid:
            found += [int(entry), *children(int(entry))]
    return found
