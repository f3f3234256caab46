"""How running user code is interrupted: by a signal to the main thread, and only while it runs.

SIGINT, from whoever, raises `KeyboardInterrupt` in it. `ABORT_SIGNAL` comes from the native module when
the running task is not wanted any more; the handler asks whether that is still so, because the signal
may arrive when the next task runs already. SIGTERM ends what a task forks, as it ends any process. Who may
use it: `operations`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["AbortRequested", "Interrupts"]


# The native module catches SIGTERM, to end the engine in order. A child that a task forks must not
# inherit that: a pool of `multiprocessing` ends its workers by SIGTERM. From before the fork until
# the child has its own way the signal waits.
_before_fork = threading.local()


def _hold() -> None:
    _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _end_again() -> None:
    # Whoever set a handler in Python has it in the child too.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release()


class AbortRequested(KeyboardInterrupt):
    """The running task is not wanted any more."""


class Interrupts:
    """Whether user code runs now, so that it may be interrupted. At most once for each task.

    >>> interrupts = Interrupts(lambda: True)
    >>> interrupts.arm()
    >>> try:
    ...     interrupts.on_abort(0, None)
    ... except AbortRequested:
    ...     print("interrupted")
    interrupted
    """

    __slots__ = ("_armed", "_came_early", "_is_unwanted")

    def __init__(self, is_unwanted: Callable[[], bool]) -> None:
        self._is_unwanted = is_unwanted
        self._armed = False
        self._came_early = False

    def install(self, abort_signal: int) -> None:
        """Takes over both signals; from the main thread."""
        signal.signal(signal.SIGINT, self.on_interrupt)
        signal.signal(abort_signal, self.on_abort)
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_end_again)

    def arm(self) -> None:
        """User code runs from here on; not at all if the task is unwanted already."""
        self._armed = True
        if self._came_early:
            self._came_early = False
            self.on_abort(0, None)

    def disarm(self) -> None:
        """User code has ended."""
        self._armed = False

    def on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        """Somebody wants what runs to stop."""
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt

    def on_abort(self, signum: int, frame: FrameType | None) -> None:
        """The native module thinks that what runs is unwanted."""
        if not self._is_unwanted():
            return
        if not self._armed:
            # The task was taken, and its code does not run yet.
            self._came_early = True
            return
        self._armed = False
        raise AbortRequested
