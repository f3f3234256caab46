"""What a client offers to somebody who sits before it: magics, bars, signals, waiting for engines.

Who may use it: `Client` is built on it. It submits nothing.
"""

from __future__ import annotations

import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import TYPE_CHECKING, Any

from phalanx.client.arrivals import missing
from phalanx.display.progress import Bar
from phalanx.display.showing import running_shell
from phalanx.error import EngineError
from phalanx.magics import activation
from phalanx.results.futures import seconds
from phalanx.results.history import History

if TYPE_CHECKING:
    from phalanx._phalanx import NativeClient
    from phalanx.cluster import Cluster
    from phalanx.views.direct import DirectView

__all__ = ["Console", "signal_number"]

LOOK_S = 0.1
"""Between two looks at what is waited for, where a bar or a cluster is looked at too."""


class Console:
    """The part of a client that is for people.

    >>> isinstance(rc, Console)
    True
    """

    native: NativeClient
    cluster: Cluster | None
    _history: History

    if TYPE_CHECKING:  # what the client has
        ids: property
        engines: property
        outstanding: property
        direct_view: Callable[..., DirectView]
        resolve: Callable[[Any], Any]
        _jobs: Callable[[Any, History], Iterator[Any]]

    # ------------------------------------------------------------------ magics

    def activate(self, targets: Any = "all", suffix: str = "") -> DirectView:
        """Makes `%px<suffix>` and its kin run on these engines, and gives the view that they use.

        It blocks; `view.block = False` or `%pxconfig --noblock` change that. Warns outside of IPython.

        >>> rc.activate([0, 1], suffix="_pair")                          # doctest: +SKIP
        <DirectView [0, 1]>
        """
        view = self.direct_view(targets, block=True)
        activation.activate(view, suffix, stacklevel=4)
        return view

    def _activate_if_first(self) -> None:
        """In IPython, `%px` works as soon as there is a client, unless it works for another."""
        shell = running_shell()
        if shell is not None and activation.is_free(shell):
            activation.activate(self.direct_view("all", block=True))

    # ------------------------------------------------------------------ waiting

    def wait_interactive(
        self, jobs: Any = None, interval: float = 1.0, timeout: float | None = -1.0
    ) -> None:
        """Waits for jobs, as `wait`, and shows a bar of how many have ended.

        >>> rc.wait_interactive(rc[:].apply_async(abs, -1))
        """
        wanted = self.outstanding if jobs is None else jobs
        waited = list(self._jobs(wanted, self._history))
        allowed = seconds(timeout)
        end = None if allowed is None else time.monotonic() + allowed
        total = sum(_count(job) for job in waited)
        with Bar(total, "waiting", "tasks") as bar:
            while (done := sum(_done(job) for job in waited)) < total:
                bar.show(done)
                left = interval if end is None else min(interval, end - time.monotonic())
                if left <= 0:
                    return
                _wait_for_one(waited, left)
            bar.show(done)

    def wait_for_engines(
        self,
        n: int | None = None,
        *,
        timeout: float | None = -1,
        block: bool = True,
        interactive: bool | None = None,
        widget: bool | None = None,
    ) -> Any:
        """Waits until `n` Python engines are there (default: as many as the cluster has).

        With `interactive`, which is the default in IPython, a bar shows how many are. With
        `block=False` it returns a Future. `TimeoutError` if they do not come in time, `EngineError` at
        once if the cluster that they are of has ended, or has given up an engine.

        >>> rc.wait_for_engines(4, timeout=60)
        """
        if n is None:
            n = self.cluster.n if self.cluster is not None and self.cluster.n else 1
        if not block:
            future: Future[None] = Future()
            _in_thread(future, lambda: self.wait_for_engines(n, timeout=timeout, interactive=False))
            return future
        if interactive is None:
            interactive = running_shell() is not None
        if len(self.ids) < n:
            self._watch_engines(n, seconds(timeout), interactive, widget)
        return None

    def are_there(self, n: int, within: float = 0.0) -> bool:
        """Whether `n` Python engines are there, or come within so many seconds.

        `EngineError` if it is known that they will not, `ClosedError` if the client is closed.

        >>> rc.are_there(4), rc.are_there(5)
        (True, False)
        """
        if self.native.wait_for_engines(n, "python", within):
            return True
        why = None if self.cluster is None else self.cluster.failure()
        if why is not None:
            raise EngineError(f"{why}; {len(self.ids)} of {n} engines are there")
        return False

    def _watch_engines(
        self, n: int, timeout: float | None, interactive: bool, widget: bool | None
    ) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        after = 0.0 if interactive else float("inf")
        with Bar(n, "engines", "engine", widget=widget, after=after) as bar:
            while True:
                left = LOOK_S if end is None else min(LOOK_S, end - time.monotonic())
                if self.are_there(n, max(0.0, left)):
                    bar.show(n)
                    return
                bar.show(len(self.ids))
                if left <= 0:
                    raise TimeoutError(missing(self.engines, n, timeout))

    # ------------------------------------------------------------------ signals

    def send_signal(
        self, sig: int | str | signal.Signals, targets: Any = None, block: bool | None = None
    ) -> None:
        """Sends a signal to engines of this machine, by default to all; by number or name.

        `SIGINT` interrupts the task that runs, which then fails with `KeyboardInterrupt`; an engine
        without one ignores it. `RuntimeError` for an engine on another machine: its tasks can be
        aborted from here, it can be shut down, and its own machine can signal it.

        >>> rc.send_signal("SIGINT")
        """
        number = signal_number(sig)
        resolved = self.resolve("all" if targets is None else targets)
        ids = self.ids if resolved == "all" else resolved
        wanted = {ids} if isinstance(ids, int) else set(ids)
        here = os.uname().nodename
        engines = [engine for engine in self.engines if engine["id"] in wanted]
        for engine in engines:
            if engine["host"] != here:
                raise RuntimeError(
                    f"engine {engine['id']} is on {engine['host']}, and signals go no further than "
                    f"{here}: abort its tasks, or signal it from there"
                )
        for engine in engines:
            os.kill(engine["pid"], number)


def signal_number(sig: int | str | signal.Signals) -> int:
    """A signal's number, of its name or number as a person writes it.

    >>> signal_number("INT") == signal_number("SIGINT") == signal_number("2") == signal_number(2)
    True
    """
    if isinstance(sig, str) and not sig.strip().isdecimal():
        name = sig.strip().upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        try:
            return int(signal.Signals[name])
        except KeyError:
            raise ValueError(f"there is no signal {sig!r}") from None
    try:
        return int(sig) if isinstance(sig, str) else operator.index(sig)
    except TypeError:
        raise TypeError(f"a signal is a number or a name, not {sig!r}") from None


def _count(job: Any) -> int:
    if isinstance(job, Future) and not hasattr(job, "progress"):
        return 1
    tasks: Any = job
    return len(tasks)


def _done(job: Any) -> int:
    if hasattr(job, "progress"):
        return int(job.progress)
    return int(job.done()) if isinstance(job, Future) else int(job.done_count())


def _wait_for_one(jobs: list[Any], timeout: float) -> None:
    """Waits until one that has not ended has; a look at one of them will do."""
    for job in jobs:
        if _done(job) < _count(job):
            if hasattr(job, "wait"):
                job.wait(timeout)
            else:
                wait_for_futures([job], timeout)
            return


def _in_thread(future: Future[None], wait: Any) -> None:
    """Waits in a thread of its own, and tells the Future."""

    def run() -> None:
        try:
            future.set_result(wait())
        except BaseException as failure:  # handed to whoever waits for the Future
            future.set_exception(failure)

    threading.Thread(target=run, name="phalanx-wait", daemon=True).start()
