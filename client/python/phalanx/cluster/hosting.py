"""A cluster's host process as Python sees it: the state that it writes, and what can be asked of it.

Who may use it: `Cluster`. The state is read from the cluster's directory; wishes go to the socket in it, one
line of JSON each. It starts nothing itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from phalanx.error import ClusterError

if TYPE_CHECKING:
    import socket

__all__ = ["Host", "ProcessState"]

SOCKET_FILE = "host.sock"
STATE_FILE = "state.json"

ANSWER_TIMEOUT_S = 10.0
"""How long the host may take for an answer: it answers before it acts."""

ANSWER_LEN_MAX = 1 << 20
"""Bytes of an answer; the names of all engines fit."""

LOOK_S = 0.02
"""Between two looks at the state."""

RESTARTS_MAX = 2
"""Times that an engine that is waited for may be started again, before it is called a failure."""

LOG_LINES = 12
"""Lines of a log that an error shows."""


class ProcessState(TypedDict):
    """One process, as the host has it."""

    process: str
    state: str
    pid: int | None
    restarts: int
    last_exit: str | None


class Host:
    """The host of the cluster that has this directory.

    >>> host = Host(cluster.cluster_dir)
    >>> host.state()["phase"], len(host.engines())
    ('running', 4)
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    # ------------------------------------------------------------------ what it says

    def state(self) -> dict[str, Any]:
        """What the host has written last; `ClusterError` if there is nothing."""
        try:
            with open(os.path.join(self.directory, STATE_FILE), encoding="utf-8") as file:
                state: dict[str, Any] = json.load(file)
        except OSError as missing:
            raise ClusterError(f"there is no cluster in {self.directory}: {missing}") from None
        return state

    def engines(self) -> dict[str, ProcessState]:
        """Its engines, by their stable names."""
        state = self.state()
        return {
            f"{state['machine']}/{process['process'].removeprefix('engine-')}": process
            for process in state["processes"]
            if process["process"].startswith("engine-")
        }

    def log_end(self, process: str) -> str:
        """The last lines of a process's log, to be shown below an error; empty if there is none."""
        path = os.path.join(self.directory, "logs", f"{process}.log")
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            return ""
        shown = "".join(f"\n  {line}" for line in lines[-LOG_LINES:])
        return f"\nthe end of {path}:{shown}" if shown else ""

    # ------------------------------------------------------------------ what it does

    def add(self, count: int) -> list[str]:
        """Has so many engines started; their names."""
        return self._ask({"add": {"count": count}})

    def stop(self, names: Iterable[str]) -> list[str]:
        """Has engines ended for good."""
        return self._ask({"stop": {"engines": list(names)}})

    def restart(self, names: Iterable[str]) -> list[str]:
        """Has engines ended and started again."""
        return self._ask({"restart": {"engines": list(names)}})

    def signal(self, names: Iterable[str], number: int) -> list[str]:
        """Sends engines a signal."""
        return self._ask({"signal": {"engines": list(names), "signal": number}})

    def _ask(self, wish: dict[str, Any]) -> list[str]:
        try:
            with _connected(self.directory) as host:
                host.sendall(json.dumps(wish).encode() + b"\n")
                with host.makefile("rb") as answers:
                    text = answers.readline(ANSWER_LEN_MAX)
        except OSError as failure:
            raise ClusterError(
                f"the host of the cluster in {self.directory} does not answer: {failure}"
            ) from failure
        answer: dict[str, Any] = json.loads(text) if text else {"error": "the host has ended"}
        if "error" in answer:
            raise ClusterError(f"the host of the cluster refuses: {answer['error']}")
        names: list[str] = answer["engines"]
        return names

    # ------------------------------------------------------------------ waiting

    def wait_until(
        self,
        names: Iterable[str],
        is_so: Callable[[str, ProcessState], bool],
        what: str,
        timeout: float,
    ) -> None:
        """Waits until it is so for each of the engines.

        `ClusterError`, with the end of its log, if one of them is given up; `TimeoutError` if it takes
        too long.
        """
        wanted = list(names)
        before = {name: process["restarts"] for name, process in self.engines().items()}
        end = time.monotonic() + timeout
        while True:
            engines = self.engines()
            left = [name for name in wanted if not is_so(name, engines[name])]
            if not left:
                return
            for name in left:
                process = engines[name]
                if (
                    process["state"] == "failed"
                    or process["restarts"] - before[name] > RESTARTS_MAX
                ):
                    raise ClusterError(
                        f"engine {name} {what} in vain: {process['last_exit']}"
                        + self.log_end(process["process"])
                    )
            if time.monotonic() >= end:
                log = self.log_end(engines[left[0]]["process"])
                raise TimeoutError(f"{', '.join(left)}: not {what} within {timeout} s{log}")
            time.sleep(LOOK_S)


@contextmanager
def _connected(directory: str) -> Iterator[socket.socket]:
    """A connection to the socket. An address of one is short; an open directory names any path."""
    import socket  # not everybody's

    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as host:
            host.settimeout(ANSWER_TIMEOUT_S)
            host.connect(f"/proc/self/fd/{opened}/{SOCKET_FILE}")
            yield host
    finally:
        os.close(opened)
