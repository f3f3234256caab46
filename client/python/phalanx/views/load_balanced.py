"""`LoadBalancedView`: each call is one task, on whichever engine has room for it.

Who may use it: users, who get one by `rc.load_balanced_view(...)`. Its tasks run at least once: if an
engine dies, they run again on another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.results.asyncresult import AsyncResult
from phalanx.results.batches import Picked
from phalanx.results.futures import T
from phalanx.results.mapresult import AsyncMapResult
from phalanx.values.inputs import pack_call_with_inputs
from phalanx.values.packing import function_ref, pack_call, pack_chunk, pack_items
from phalanx.values.partition import chunks, even_chunk, even_chunks
from phalanx.views.attempts import AttemptFlags, check_attempts
from phalanx.views.dependency import DependencyRef, dependency_ref
from phalanx.views.placing import Placing, placing
from phalanx.views.remotefunction import ParallelFunction
from phalanx.views.view import View

if TYPE_CHECKING:
    from phalanx.client import Client
    from phalanx.views.graph import Graph

__all__ = ["LoadBalancedView"]

MAP_TASKS_MAX = 8192
"""Tasks of a map whose chunks nobody has chosen: enough to balance the load by, and few enough that a
map over millions of items costs no more memory than its items."""


class LoadBalancedView(AttemptFlags, View):
    """All engines, or some of them, under the hub's scheduler.

    Flags beside those of every view: `after` (tasks that must have ended before), `follow` (tasks on
    whose engine it must run) and `timeout` (seconds to wait for these, then `DependencyTimeout`; 0 or
    None for ever). `after` and `follow` take an AsyncResult, a msg_id, a `Dependency`, or a collection.

    A task whose code raises is tried again `retries` times at most, after a pause of `retry_backoff`
    seconds that doubles each time, if it raised one of `retry_on`; then it fails with its last error.
    `run_limit` is how many seconds it may run. `metadata` tells the `attempts`, and where earlier ones
    were (`tried`).

    `needs` says how much of which resources must be free on the engine (`{"gpu": 1}`), and is the
    task's while it runs; `labels` which words the engine must carry; of tasks that wait, those with a
    higher `priority` go first. A task that no engine can run waits until one comes that can.

    An AsyncResult of one task among the arguments of `apply` stands for its value: the call waits for
    it, and the hub hands it over; it does not pass through the client.

    >>> import phalanx as px
    >>> view = px.Client().load_balanced_view()
    >>> view.apply_sync(sum, [1, 2, 3])
    6
    """

    flag_names: ClassVar[tuple[str, ...]] = (
        *View.flag_names,
        "after",
        "follow",
        "timeout",
        "needs",
        "labels",
        "priority",
        *AttemptFlags.attempt_flag_names,
    )

    if TYPE_CHECKING:  # here one call has one result

        def apply_async(  # noqa: D102 - as in View
            self, f: Callable[..., T], /, *args: Any, **kwargs: Any
        ) -> AsyncResult[T]: ...
        def apply_sync(self, f: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...  # noqa: D102

    def __init__(self, client: Client, targets: Sequence[int] | None = None) -> None:
        AttemptFlags.__init__(self)
        View.__init__(self, client)
        self.targets = targets
        self._after: Any = None
        self._follow: Any = None
        self._after_ref: DependencyRef | None = None
        self._follow_ref: DependencyRef | None = None
        self._timeout: float | None = None
        self._needs: Any = None
        self._labels: Any = None
        self._priority = 0
        self._placing: Placing | None = None

    def check_flag(self, name: str, value: Any) -> Any:
        """The value to keep for a flag; `after` and `follow` are checked when they are set."""
        if name == "targets":
            targets = self.client.resolve(value)
            return None if targets == "all" else targets
        if name == "timeout":
            return check_timeout(value)
        if name in self.attempt_flag_names:
            return check_attempts(name, value)
        return super().check_flag(name, value)

    @property
    def after(self) -> Any:
        """The tasks that must have ended before one of this view starts.

        >>> first = balanced.apply_async(abs, -1)
        >>> with balanced.temp_flags(after=first):
        ...     balanced.apply_sync(abs, -2)
        2
        """
        return self._after

    @after.setter
    def after(self, jobs: Any) -> None:
        self._after_ref = dependency_ref(jobs)
        self._after = jobs

    @property
    def follow(self) -> Any:
        """The tasks on whose engine one of this view must run.

        >>> first = balanced.apply_async(abs, -1)
        >>> with balanced.temp_flags(follow=first):
        ...     second = balanced.apply_async(abs, -2)
        >>> second.wait(), second.engine_id == first.engine_id
        (True, True)
        """
        return self._follow

    @follow.setter
    def follow(self, jobs: Any) -> None:
        self._follow_ref = dependency_ref(jobs)
        self._follow = jobs

    @property
    def timeout(self) -> float | None:
        """Seconds to wait for `after` and `follow`; 0 or None for ever.

        >>> balanced.set_flags(timeout=10).timeout
        10
        """
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    @property
    def needs(self) -> Any:
        """What must be free on the engine of a task of this view, and is its own: `{"gpu": 1}`.

        >>> balanced.set_flags(needs={"gpu": 1}).needs
        {'gpu': 1}
        """
        return self._needs

    @needs.setter
    def needs(self, needs: Any) -> None:
        self._placing = placing(self._priority, self._labels, needs)
        self._needs = needs

    @property
    def labels(self) -> Any:
        """The words that the engine of a task of this view must carry.

        >>> balanced.set_flags(labels="big").labels
        'big'
        """
        return self._labels

    @labels.setter
    def labels(self, labels: Any) -> None:
        self._placing = placing(self._priority, labels, self._needs)
        self._labels = labels

    @property
    def priority(self) -> int:
        """Of tasks that wait for an engine those with a higher one go first; 0 by default.

        >>> balanced.priority, balanced.set_flags(priority=5).priority
        (0, 5)
        """
        return self._priority

    @priority.setter
    def priority(self, priority: int | None) -> None:
        self._placing = placing(priority, self._labels, self._needs)
        self._priority = priority or 0

    def _where(self) -> dict[str, Any]:
        """The options of a submit, besides what everything has."""
        where: dict[str, Any] = {}
        targets = self.targets
        if targets is not None and not isinstance(targets, str):
            where["subset"] = [targets] if isinstance(targets, int) else list(targets)
        if self._after_ref is not None:
            where["after"] = self._after_ref
        if self._follow_ref is not None:
            where["follow"] = self._follow_ref
        if self._timeout:
            where["timeout"] = float(self._timeout)
        attempts = self.attempts_ref()
        if attempts is not None:
            where["attempts"] = attempts
        if self.label is not None:
            where["label"] = self.label
        if self._placing is not None:
            where["placing"] = self._placing
        return where

    def _apply(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncResult:
        client = self.client
        parts, inputs = pack_call_with_inputs(args, kwargs)
        where = self._where()
        if inputs:
            where["inputs"] = inputs
        batch = client.native.submit("python.apply", parts, function=function_ref(f), **where)
        client.note(batch, 1, self._history)
        return AsyncResult(client, batch, getattr(f, "__name__", "apply"), label=self.label)

    def graph(self) -> Graph:
        """A graph of tasks, submitted as one when the `with` block ends.

        >>> with balanced.graph() as g:
        ...     a = g.apply(abs, -1)
        ...     b = g.apply(lambda x: x + 1, a)
        >>> b.get()
        2
        """
        from phalanx.views.graph import Graph  # it knows results, and these know views

        return Graph(self)

    def options(self) -> dict[str, Any]:
        """What the flags are to the native module; for those who submit for this view."""
        return self._where()

    def _call(self, method: str, value: Any) -> AsyncResult:
        batch = self.client.native.call(method, value, **self._where())
        self.note(batch, 1)
        return AsyncResult(self.client, batch, method, label=self.label)

    def map(  # type: ignore[override]
        self,
        f: Callable[..., Any],
        /,
        *sequences: Iterable[Any],
        block: bool | None = None,
        chunksize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        label: str | None = None,
    ) -> Any:
        """Calls `f` for each item: a task for each `chunksize` of them.

        By default that is one, and of very many items as many as make `MAP_TASKS_MAX` tasks. Takes
        any number of sequences; the shortest says how many calls there are. With `ordered=False`
        iterating gives items as they come.

        >>> balanced.map(abs, [-1, -2, -3], chunksize=2, block=True)
        [1, 2, 3]
        """
        flags: dict[str, Any] = {} if label is None else {"label": label}
        block = self.block if block is None else block
        pf = ParallelFunction(
            self,
            f,
            block=block,
            chunksize=chunksize,
            ordered=ordered,
            return_exceptions=return_exceptions,
            **flags,
        )
        return pf.map(*sequences)

    def submit_parts(
        self, pf: ParallelFunction, columns: list[Any], *, each: bool
    ) -> AsyncMapResult:
        """Submits a task for each chunk of the columns.

        A function that gets whole chunks sees how long they are: then they are as even as can be.
        """
        items = len(columns[0])
        size = pf.chunksize or even_chunk(items, MAP_TASKS_MAX)
        lengths: list[int] | None = None
        if each and size == 1:
            packed = pack_items(zip(*columns, strict=True))
        else:
            cut = chunks if each else even_chunks
            rows = list(zip(*(cut(column, size) for column in columns), strict=True))
            if each:
                lengths = [len(row[0]) for row in rows]
                packed = [pack_chunk(row, pf.return_exceptions) for row in rows]
            else:
                packed = [pack_call(row, None) for row in rows]
        if packed:
            batch: Any = self.client.native.submit_many(
                "python.apply", packed, function=function_ref(pf.func), **self._where()
            )
            self.note(batch, len(packed))
        else:
            batch = Picked([], self.client.abort_tasks)
        return AsyncMapResult(
            self.client,
            batch,
            pf.__name__,
            lengths=lengths,
            ordered=pf.ordered,
            label=self.label,
            return_exceptions=pf.return_exceptions,
        )

    def register_joblib_backend(self, name: str | None = None, make_default: bool = False) -> None:
        """Makes this view a backend of joblib; by default under the name `"phalanx"`.

        >>> balanced.register_joblib_backend("two_engines")
        """
        from phalanx.joblib import register  # joblib is not everybody's

        register(name, make_default, view=self)

    def _row_sender(
        self, f: Callable[..., Any]
    ) -> tuple[Callable[[Any, int | None], AsyncResult], None]:
        where, label = self._where(), self.label
        fname = getattr(f, "__name__", "apply")

        def send(parts: Any, _: int | None) -> AsyncResult:
            batch = self.client.native.submit(
                "python.apply", parts, function=function_ref(f), **where
            )
            self.note(batch, 1)
            return AsyncResult(self.client, batch, fname, label=label)

        return send, None


def check_timeout(seconds: Any) -> float | None:
    """Seconds to wait for dependencies; 0 or None for ever.

    >>> check_timeout(-1)
    Traceback (most recent call last):
    ...
    ValueError: timeout is at least 0 seconds, not -1
    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"timeout is in seconds, a number, not {type(seconds).__name__}")
    if seconds < 0:
        raise ValueError(f"timeout is at least 0 seconds, not {seconds}")
    return seconds
