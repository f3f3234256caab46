"""`AsyncResult`: the promise of what one call returns, from one engine or several.

It is a `concurrent.futures.Future`, and can be awaited. Making one costs no lock and no thread: what a
Future needs beside is made when somebody asks for it. Results are unpickled in the thread that asks.
Who may use it: views make it; users hold it. It submits nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION
from typing import TYPE_CHECKING, Any, NoReturn

from phalanx import error
from phalanx._phalanx import FORMAT_MESSAGEPACK, FORMAT_RAW
from phalanx.failures.exceptions import composite_error
from phalanx.failures.outcomes import from_outcome
from phalanx.results.batches import Batch, Picked
from phalanx.results.futures import T, check_return_when, seconds
from phalanx.results.metadata import KEYS
from phalanx.results.msg_ids import msg_id
from phalanx.results.watching import Convert, Watched
from phalanx.values.frames import Told
from phalanx.values.inputs import stand_in
from phalanx.values.packing import unpack_value

if TYPE_CHECKING:
    from phalanx.client import Client

__all__ = ["AsyncResult"]


class AsyncResult(Watched[T]):
    """What a call will return. `get()` waits for it; `ready()` asks; `await` works too.

    A call to one engine gives the bare result, a call to several a list in the order of the targets.
    For type checkers it is generic: an `AsyncResult[int]` gives an int.

    >>> import phalanx as px
    >>> ar = px.Client()[:].apply_async(lambda x: x + 1, 41)
    >>> ar.get()
    [42, 42, 42, 42]
    """

    owner = True

    # What most results have in common costs them nothing.
    _targets: list[int] | None = None
    _kept: tuple[list[Any], dict[int, Exception]] | None = None

    def __init__(
        self,
        client: Client,
        batch: Batch,
        fname: str,
        *,
        single: bool = True,
        targets: list[int] | None = None,
        label: str | None = None,
        convert: Convert | None = None,
    ) -> None:
        # Future.__init__ runs when somebody needs the lock that it makes: see TaskFuture.
        self._client = client
        self._batch = batch
        self._fname = fname
        if not single:
            self._single = False
        if targets is not None:
            self._targets = targets
        if label is not None:
            self._label = label
        if convert is not None:
            self._convert = convert

    # ------------------------------------------------------------------ waiting

    def get(
        self,
        timeout: float | None = None,
        return_exceptions: bool | None = None,
        return_when: str | None = None,
        *,
        copy: bool = False,
    ) -> T:
        """Waits for the result and returns it, or raises what went wrong.

        `timeout` is in seconds; `None` or a negative one is for ever. A `RemoteError` is raised for
        one engine, a `CompositeError` for several. With `return_exceptions` errors are put in the
        list instead. With `return_when="FIRST_EXCEPTION"` it raises as soon as one has failed.
        Arrays in it are read-only; with `copy` they are copies that can be written to.

        Raises `TimeoutError("Result not ready.")` if it did not come in time; the task goes on.

        >>> rc[0].apply_async(abs, -1).get(timeout=10)
        1
        """
        check_return_when(return_when)
        if return_when == FIRST_EXCEPTION:
            if not self._wait_for_first(timeout, self.has_failed):
                raise TimeoutError("Result not ready.")
            if not self._batch.ready():
                self._raise_first()
        elif not self._batch.wait(None if timeout is None or timeout < 0 else timeout):
            raise TimeoutError("Result not ready.")
        values, failures = self._fetch_all(copy)
        if failures and not return_exceptions:
            self._raise_all(failures)
        shaped: T = self._shape(values, failures)
        return shaped

    def wait(self, timeout: float | None = -1, return_when: str | None = None) -> Any:
        """Waits until the result is there; whether it is. Raises nothing of what went wrong.

        >>> rc[0].apply_async(abs, -1).wait(10)
        True

        With `return_when` (as in `concurrent.futures`) it returns two sets of AsyncResults, one for
        each task: those that are done, and those that are not.
        """
        check_return_when(return_when)
        if return_when is None:
            return self._batch.wait(seconds(timeout))
        if return_when == FIRST_COMPLETED:
            self._batch.wait(seconds(timeout), None, 1)
        elif return_when == FIRST_EXCEPTION:
            self._wait_for_first(timeout, self.has_failed)
        else:
            self._batch.wait(seconds(timeout))
        parts = self.split()
        done = {part for part in parts if part.ready()}
        return done, set(parts) - done

    def ready(self) -> bool:
        """Whether the result is there, or what went wrong.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), ar.ready()
        (True, True)
        """
        return self._batch.ready()

    def successful(self) -> bool:
        """Whether the call returned on every engine; `RuntimeError` before it is ready.

        >>> ar = rc[0].apply_async(divmod, 1, 0)
        >>> ar.wait(), ar.successful()
        (True, False)
        """
        if not self.ready():
            raise RuntimeError(
                "the result is not ready: nobody knows yet whether it was successful"
            )
        return not any(map(self.has_failed, range(len(self._batch))))

    @property
    def r(self) -> T:
        """The result; the same as `get()`.

        >>> rc[0].apply_async(abs, -1).r
        1
        """
        return self.get()

    def abort(self, kill_after: float | None = None) -> None:
        """Wants the tasks to end: waiting ones never start, running ones are interrupted.

        With `kill_after`, the engine of a task that has not ended so many seconds later (0.1 at least)
        is killed and started again: for code that heeds no interrupt, such as a long call of a C
        library. The task is aborted then; what else that engine had moves to others if it was
        load-balanced, and raises `EngineError` if not. The engine's names are gone.

        >>> import time
        >>> ar = rc[0].apply_async(time.sleep, 60)
        >>> ar.abort()
        >>> ar.exception()
        TaskAborted('task ... was aborted')
        """
        if self.ready():
            raise RuntimeError("the tasks have ended already: there is nothing to abort")
        self._batch.abort(kill_after)

    # ------------------------------------------------------------------ results one by one

    def __len__(self) -> int:
        return len(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """The results in order, each as soon as it is there."""
        if self._single:
            raise TypeError("an AsyncResult with a single result cannot be iterated over")
        for index in range(len(self._batch)):
            self._batch.wait(None, index)
            value, failure = self._fetch(index)
            if failure is not None:
                raise failure
            yield value

    def __getitem__(self, key: Any) -> Any:
        """Results by position once all are there, or a key of the metadata, which is there before.

        A bare result is indexed itself.
        """
        if isinstance(key, str):
            if key not in KEYS:
                raise KeyError(key)
            values = [self._metadata_of(i)[key] for i in range(len(self._batch))]
            return values[0] if self._single else values
        result: Any = self.get(0)
        return result[key]

    def get_dict(self, timeout: float | None = -1) -> dict[int, Any]:
        """The results by engine id, of a map the parts; `ValueError` if one engine ran several.

        >>> rc[0, 1].apply_async(abs, -1).get_dict()
        {0: 1, 1: 1}
        """
        if not self._batch.wait(seconds(timeout)):
            raise TimeoutError("Result not ready.")
        engines = [self._metadata_of(i)["engine_id"] for i in range(len(self._batch))]
        if len(set(engines)) < len(engines):
            raise ValueError(
                "one engine ran several of the tasks: results cannot be told apart by it"
            )
        self.get(0)  # which raises what went wrong
        return dict(zip(engines, self._fetch_all(copy=False)[0], strict=True))

    @property
    def result_dict(self) -> dict[int, Any]:
        """The same as `get_dict()`.

        >>> rc[0, 1].apply_async(abs, -1).result_dict
        {0: 1, 1: 1}
        """
        return self.get_dict()

    def split(self) -> list[AsyncResult]:
        """An AsyncResult for each task.

        >>> [part.get() for part in rc[0, 1].apply_async(abs, -1).split()]
        [1, 1]
        """
        parts: list[AsyncResult] = [
            AsyncResult(
                self._client,
                Picked([(self._batch, index)], self._client.abort_tasks),
                self._fname,
                targets=None if self._targets is None else [self._targets[index]],
                label=self._label,
                convert=self._convert,
            )
            for index in range(len(self._batch))
        ]
        for part in parts:
            part._source = self._source
        return parts

    @classmethod
    def join(cls, *results: AsyncResult) -> AsyncResult:
        """One AsyncResult for the tasks of several.

        >>> AsyncResult.join(rc[0].apply_async(abs, -1), rc[1].apply_async(abs, -2)).get()
        [1, 2]
        """
        if not results:
            raise ValueError("there is nothing to join")
        first = results[0]
        tasks = [(each._batch, i) for each in results for i in range(len(each._batch))]
        joined: AsyncResult = AsyncResult(
            first._client,
            Picked(tasks, first._client.abort_tasks),
            first._fname,
            single=False,
            label=first._label,
            convert=first._convert,
        )
        joined._source = first._source
        return joined

    # ------------------------------------------------------------------ what is known of it

    def task_ids(self) -> list[tuple[int, int]]:
        """The names of its tasks, as the native module has them."""
        return self._batch.ids()

    def engines_of_call(self) -> list[int]:
        """The engines that a direct call was sent to; none if it was balanced."""
        return self._targets or []

    @property
    def msg_ids(self) -> list[str]:
        """The names of its tasks, e.g. `c7/42`.

        >>> len(rc[0, 1].apply_async(abs, -1).msg_ids)
        2
        """
        return [msg_id(task) for task in self._batch.ids()]

    @property
    def msg_id(self) -> str:
        """The name of its first task.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.msg_id == ar.msg_ids[0]
        True
        """
        return msg_id(self._batch.id(0))

    @property
    def metadata(self) -> Any:
        """When and where it ran and what it printed: a dict, or for several targets a list of them.

        >>> ar = rc[1].apply_async(abs, -1)
        >>> ar.wait(), ar.metadata.engine_id, ar.metadata["status"]
        (True, 1, 'ok')
        """
        if self._single:
            return self._metadata_of(0)
        return [self._metadata_of(index) for index in range(len(self._batch))]

    @property
    def sent(self) -> bool:
        """Whether what was sent may be edited again: always, it is copied when it is submitted.

        >>> numbers = bytearray(b"x" * 100_000)
        >>> rc[0].apply_async(len, numbers).sent
        True
        """
        return True

    def wait_for_send(self, timeout: float | None = -1) -> bool:
        """Waits until what was sent may be edited again.

        >>> rc[0].apply_async(abs, -1).wait_for_send()
        True
        """
        return True

    wait_on_send = wait_for_send

    def __getattr__(self, name: str) -> Any:
        """Looks up a key of the metadata."""
        return self[name] if name in KEYS else super().__getattr__(name)

    def __dir__(self) -> list[str]:
        """What can be completed: the keys of the metadata too."""
        return sorted({*super().__dir__(), *KEYS})

    def __repr__(self) -> str:
        state = "pending"
        if self.ready():
            state = "finished" if self.successful() else "failed"
        return f"<{type(self).__name__}({self._fname}): {state}>"

    def __reduce__(self) -> Any:
        tasks = self._batch.ids()
        if self._single and len(tasks) == 1:
            place = stand_in(tasks[0])
            if place is not None:
                return place
        raise TypeError(
            "an AsyncResult cannot be sent, but as an argument of a load-balanced view's apply, if it "
            "is of one task: send its value (ar.get()), or its msg_ids, or name it in after="
        )

    # ------------------------------------------------------------------ inside

    def _fetch(self, index: int, copy: bool = False) -> tuple[Any, Exception | None]:
        """The value of one task that has ended, and what went wrong; the latter in place of both."""
        outcome = self._batch.outcome(index)
        if outcome[0] != "done":
            output = self._batch.output(index) if outcome[0] == "failed" else ()
            failure = from_outcome(outcome, msg_id(self._batch.id(index)), self._fname, output)
            return failure, failure
        if outcome[1] == FORMAT_MESSAGEPACK:
            return outcome[2], None
        try:
            value = unpack_value(outcome[2], copy=copy or self._client.writable_results)
        except Exception as cause:
            task = msg_id(self._batch.id(index))
            why = f"cannot be unpickled here: {type(cause).__name__}: {cause}"
            if outcome[1] == FORMAT_RAW:  # Python's results are pickles, if they come
                why = (
                    f"stays in the cluster: get_result({task!r}) fetches it, as long as it is kept"
                )
            failure = error.ResultError(f"what task {task} returned {why}")
            failure.__cause__ = cause
            return failure, failure
        if type(value) is Told:
            if self._told is None:
                self._told = {}
            self._told[index], value = value, value.value
        if self._convert is not None:
            value = self._convert(value, self._engine_of(index), lambda: self._metadata_of(index))
        return value, None

    def _fetch_all(self, copy: bool) -> tuple[list[Any], dict[int, Exception]]:
        """The values of all tasks, and what went wrong by index; kept, unless they are copies."""
        if self._kept is not None and not copy:
            return self._kept
        values: list[Any] = []
        failures: dict[int, Exception] = {}
        for index in range(len(self._batch)):
            value, failure = self._fetch(index, copy)
            values.append(value)
            if failure is not None:
                failures[index] = failure
        self._client.forget_open(self._batch)
        if not copy:
            self._kept = values, failures
        return values, failures

    def _shape(self, values: list[Any], failures: Mapping[int, Exception]) -> Any:
        """What the caller gets of the values of all tasks."""
        return values[0] if self._single else list(values)

    def _raise_all(self, failures: dict[int, Exception]) -> NoReturn:
        """Raises one exception for all that went wrong. It is kept, for `%debug`."""
        if self._exception is None:
            if self._single:
                self._exception = failures[0]
            else:
                each = [(one, self._info_of(index)) for index, one in failures.items()]
                text = f"one or more exceptions raised in: {self._fname}"
                self._exception = composite_error(text, each)
        raise self._exception

    def _raise_first(self) -> None:
        """Raises what is known to have failed while others go on."""
        for n in range(self._batch.done_count()):
            index = self._batch.nth_done(n)
            failure = None if index is None else self._fetch(index)[1]
            if failure is not None:
                raise failure

    def _wait_for_first(self, timeout: float | None, is_it: Callable[[int], bool]) -> bool:
        """Waits until one is what is looked for, or all have ended."""
        allowed = seconds(timeout)
        end = None if allowed is None else time.monotonic() + allowed
        seen = 0
        while seen < len(self._batch):
            left = None if end is None else max(0.0, end - time.monotonic())
            if not self._batch.wait(left, None, seen + 1):
                return False
            while (index := self._batch.nth_done(seen)) is not None:
                seen += 1
                if is_it(index):
                    return True
        return True

    def _engine_of(self, index: int) -> int | None:
        if self._targets is not None:
            return self._targets[index]
        engine: int | None = self._batch.metadata(index).get("engine")
        return engine

    def _engine_now(self, index: int) -> int | None:
        """The same for a task that may be open: the hub knows to which engine a balanced one was sent."""
        engine = self._engine_of(index)
        if engine is None and not self._batch.ready(index):
            engine = self._client.engine_of(self._batch.id(index))
        return engine

    def _info_of(self, index: int) -> dict[str, Any]:
        return {"engine_id": self._engine_of(index), "method": self._fname}
