"""How often a task may be tried, and how long each time: flags of a `LoadBalancedView`.

Who may use it: `LoadBalancedView` is built on it. The hub decides; nothing is retried by the client.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

__all__ = ["AttemptFlags", "check_attempts", "error_names"]

AttemptsRef: TypeAlias = "tuple[int, list[str], float, float | None]"


class AttemptFlags:
    """The flags `retries`, `retry_on`, `retry_backoff` and `run_limit`.

    >>> flags = AttemptFlags()
    >>> flags.retries = 3
    >>> flags.retry_on = OSError, "Flaky"
    >>> flags.attempts_ref()
    (3, ['OSError', 'Flaky'], 0.0, None)
    """

    attempt_flag_names: ClassVar[tuple[str, ...]] = (
        "retries",
        "retry_on",
        "retry_backoff",
        "run_limit",
    )

    def __init__(self) -> None:
        self._retries = 0
        self._retry_on: Any = None
        self._retry_names: list[str] = []
        self._retry_backoff = 0.0
        self._run_limit: float | None = None

    @property
    def retries(self) -> int:
        """How often a task that raised is tried again, at most: on engines where it has not been tried
        first, then anywhere but where it failed last. 0 by default.

        >>> balanced.retries, balanced.set_flags(retries=2).retries
        (0, 2)
        """
        return self._retries

    @retries.setter
    def retries(self, count: int) -> None:
        self._retries = count

    @property
    def retry_on(self) -> Any:
        """Which exceptions are tried again: a class, a name, or several; those derived from them too.
        None for all.

        >>> balanced.set_flags(retries=2, retry_on=OSError).retry_on
        <class 'OSError'>
        """
        return self._retry_on

    @retry_on.setter
    def retry_on(self, kinds: Any) -> None:
        self._retry_names = error_names(kinds)
        self._retry_on = kinds

    @property
    def retry_backoff(self) -> float:
        """Seconds before the first retry; doubled for each one after it. 0 by default.

        >>> balanced.set_flags(retries=3, retry_backoff=0.5).retry_backoff
        0.5
        """
        return self._retry_backoff

    @retry_backoff.setter
    def retry_backoff(self, seconds: float) -> None:
        self._retry_backoff = seconds

    @property
    def run_limit(self) -> float | None:
        """Seconds that a task may run; then it is interrupted and fails with `TimeLimitExceeded`.
        None or 0 for as long as it takes.

        >>> balanced.set_flags(run_limit=60).run_limit
        60.0
        """
        return self._run_limit

    @run_limit.setter
    def run_limit(self, seconds: float | None) -> None:
        self._run_limit = seconds

    def attempts_ref(self) -> AttemptsRef | None:
        """The form in which the native module takes them; `None` if all are as by default."""
        if not self._retries and self._run_limit is None:
            return None
        return self._retries, self._retry_names, self._retry_backoff, self._run_limit


def check_attempts(name: str, value: Any) -> Any:
    """The value to keep for one of these flags.

    >>> check_attempts("run_limit", 0), check_attempts("retries", None)
    (None, 0)
    """
    if name == "retry_on":
        error_names(value)
        return value
    if name == "retries":
        count = 0 if value is None else value
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"retries is a whole number, not {type(count).__name__}")
        if count < 0:
            raise ValueError(f"retries is at least 0, not {count}")
        return count
    seconds = check_seconds(name, value)
    return seconds or (None if name == "run_limit" else 0.0)


def error_names(kinds: Any) -> list[str]:
    """The names of exceptions: of a class, a name, or several of these; none stands for all.

    >>> error_names([OSError, "my_crate::Flaky"])
    ['OSError', 'my_crate::Flaky']
    """
    if kinds is None:
        return []
    if isinstance(kinds, str):
        return [kinds]
    if isinstance(kinds, type) and issubclass(kinds, BaseException):
        return [kinds.__name__]
    if isinstance(kinds, Iterable):
        return [name for kind in kinds for name in error_names(kind)]
    raise TypeError(f"retry_on takes exceptions and their names, not {kinds!r}")


def check_seconds(flag: str, seconds: Any) -> float | None:
    """A duration in seconds as given, if it can be one.

    >>> check_seconds("run_limit", -1)
    Traceback (most recent call last):
    ...
    ValueError: run_limit is at least 0 seconds, not -1
    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{flag} is in seconds, a number, not {type(seconds).__name__}")
    if seconds < 0:
        raise ValueError(f"{flag} is at least 0 seconds, not {seconds}")
    return float(seconds)
