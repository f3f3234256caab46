"""What somebody who waits for a result can watch: its progress, its times, and what its tasks write.

Who may use it: `AsyncResult` is built on it. It fetches no value by itself; results do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from phalanx.display.progress import Bar
from phalanx.results.futures import T, TaskFuture, check_return_when, seconds
from phalanx.results.live import TaskOutput, kept_displays
from phalanx.results.metadata import Metadata, metadata_of
from phalanx.values.frames import Told

if TYPE_CHECKING:
    from phalanx.results.streaming import OutputStreamer

__all__ = ["FOLLOWED_MAX", "Convert", "Watched"]

FOLLOWED_MAX = 64
"""Tasks of one result that are followed, and of whose engines the hub is asked, when their metadata is looked
at while they are open; of more, `follow_output` follows."""

Convert: TypeAlias = "Callable[[Any, int | None, Callable[[], Metadata]], Any]"
"""Makes what the caller gets of a value, the engine that it is from, and the metadata of its task."""


class Watched(TaskFuture[T]):
    """The part of a result that can be watched while it is not there yet.

    >>> isinstance(rc[0].apply_async(abs, -1), Watched)
    True
    """

    _fname: str
    _single: bool = True
    _label: str | None = None
    _source: str | None = None
    _convert: Convert | None = None
    _outputs: dict[int, TaskOutput] | None = None
    _told: dict[int, Told] | None = None
    _readers: list[Any] | None = None

    def _fetch(self, index: int, copy: bool = False) -> tuple[Any, Exception | None]:
        raise NotImplementedError

    def _engine_of(self, index: int) -> int | None:
        raise NotImplementedError

    def _engine_now(self, index: int) -> int | None:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from phalanx.display.html import of_result  # only notebooks need it

        return of_result(self)

    def rename(self, name: str) -> None:
        """Gives it another name, by which it and its errors are shown.

        >>> ar = rc[0].apply_async(divmod, 1, 0)
        >>> ar.rename("my division"), ar.wait(), ar
        (None, True, <AsyncResult(my division): failed>)
        """
        self._fname = name

    def executes(self, code: str) -> None:
        """Says that its tasks run this code: `execute_input` in their metadata.

        >>> rc[0].execute("6 * 7", silent=False).execute_input
        '6 * 7'
        """
        self._source = code

    # ------------------------------------------------------------------ time

    @property
    def progress(self) -> int:
        """How many results are there.

        >>> ar = rc[0, 1].apply_async(abs, -1)
        >>> ar.wait(), ar.progress
        (True, 2)
        """
        return self._batch.done_count()

    @property
    def elapsed(self) -> float:
        """Seconds since it was submitted; once it has ended, as long as it took.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), ar.elapsed == ar.wall_time
        (True, True)
        """
        if self._batch.ready():
            return self.wall_time
        submitted: datetime = self._facts(0)["submitted"]
        return (datetime.now(UTC) - submitted).total_seconds()

    @property
    def wall_time(self) -> float:
        """Seconds from the first submit to the last result; `TimeoutError` before the end.

        >>> ar = rc[0].apply_async(abs, -1)
        >>> ar.wait(), 0 < ar.wall_time < 10
        (True, True)
        """
        return self.timedelta(self._times("submitted"), self._times("received"))

    @property
    def serial_time(self) -> float:
        """Seconds that all tasks ran, added up; `TimeoutError` before the end.

        >>> ar = rc[0, 1].apply_async(__import__("time").sleep, 0.05)
        >>> ar.wait(), ar.serial_time >= 0.1
        (True, True)
        """
        self._must_be_ready()
        return sum(self._batch.metadata(i).get("ran") or 0.0 for i in range(len(self._batch)))

    def timedelta(
        self,
        start: datetime | Iterable[datetime],
        end: datetime | Iterable[datetime],
        start_key: Callable[[Iterable[datetime]], datetime] = min,
        end_key: Callable[[Iterable[datetime]], datetime] = max,
    ) -> float:
        """Seconds between two points in time; of lists, between the earliest and the latest.

        >>> ar = rc[0, 1].apply_async(abs, -1)
        >>> ar.wait(), ar.timedelta(ar.submitted, ar.received) > 0
        (True, True)
        """
        if not isinstance(start, datetime):
            start = start_key(start)
        if not isinstance(end, datetime):
            end = end_key(end)
        return (end - start).total_seconds()

    def wait_interactive(
        self,
        interval: float = 0.1,
        timeout: float | None = -1,
        widget: bool | None = None,
        return_when: str = ALL_COMPLETED,
    ) -> None:
        """Waits, and shows a bar of how far it is. `ready()` tells whether all has ended.

        The bar is tqdm's if it is installed: with `widget` that of notebooks, by default where it is
        one. `return_when` ends it with the first task that has ended, or has failed.

        >>> rc[:].apply_async(abs, -1).wait_interactive()
        """
        check_return_when(return_when)
        allowed = seconds(timeout)
        end = None if allowed is None else time.monotonic() + allowed
        with Bar(len(self), self._fname, "tasks", widget=widget) as bar:
            while not self._batch.ready():
                left = interval if end is None else min(interval, end - time.monotonic())
                if left <= 0 or self._may_return(return_when):
                    break
                self._batch.wait(left, None, min(len(self._batch), self._batch.done_count() + 1))
                bar.show(self.progress)
            bar.show(self.progress)

    def _may_return(self, return_when: str) -> bool:
        count = self._batch.done_count()
        if return_when == FIRST_COMPLETED:
            return count > 0
        if return_when == FIRST_EXCEPTION:
            ended = (self._batch.nth_done(n) for n in range(count))
            return any(index is not None and self.has_failed(index) for index in ended)
        return False

    # ------------------------------------------------------------------ output

    def wait_for_output(self, timeout: float | None = -1) -> bool:
        """Waits until all that was printed is there: it comes with the result.

        >>> rc[0].apply_async(abs, -1).wait_for_output()
        True
        """
        return self._batch.wait(seconds(timeout))

    def stream_output(self) -> OutputStreamer:
        """Shows, for the length of a `with` block, what the tasks write and display, as they do.

        Each line has its engine before it; errors are shown as they come. What was lost on the
        way, because a task writes faster than the network takes, is shown once the task has ended.

        >>> ar = rc[0].apply_async(print, "hello")
        >>> with ar.stream_output():
        ...     finished = ar.wait()
        [stdout:0] hello
        """
        return self.streamer(with_errors=True)

    def streamer(self, with_errors: bool) -> OutputStreamer:
        """What `stream_output` gives; without errors if somebody else shows them."""
        from phalanx.results.streaming import OutputStreamer

        failure_of = self._failure_of if with_errors else None
        return OutputStreamer(self._batch, self._output_of, self._engine_now, failure_of)

    def follow_output(self) -> None:
        """Holds all that the tasks write and publish, so that it can be looked at. Looking follows too.

        Of what a running task has written before, the newest 64 KiB are there; the rest is seen once it has
        ended.
        """
        if self._readers is None and self._outputs is None:
            batch = self._batch
            self._readers = [batch.follow_output(index) for index in range(len(batch))]

    def display_outputs(self, groupby: str = "type", result_only: bool = False) -> None:
        """Waits, and shows what the tasks wrote and displayed, and the values of executed code.

        Grouped by `"type"`, `"engine"` or `"order"`; `ValueError` for anything else. What a call to one
        engine wrote is shown as it is, without a head.

        >>> rc[0, 1].execute("print('hello')").display_outputs()
        [stdout:0]...
        hello
        [stdout:1]...
        hello
        """
        from phalanx.results.streaming import check_group, show_output, show_outputs

        check_group(groupby)
        self._batch.wait(None)
        order = range(len(self._batch))
        values = [self._fetch(index)[0] if self._convert else None for index in order]
        if self._single:
            show_output(self._metadata_of(0), values[0], result_only)
        else:
            show_outputs([self._metadata_of(i) for i in order], values, groupby, result_only)

    def _output_of(self, index: int) -> TaskOutput:
        if self._outputs is None:
            self._outputs = {}
        if index not in self._outputs:
            reader = None if self._readers is None else self._readers[index]
            self._outputs[index] = TaskOutput(self._batch, index, self._told_of, reader)
        return self._outputs[index]

    def _failure_of(self, index: int) -> Exception | None:
        return self._fetch(index)[1] if self.has_failed(index) else None

    def _told_of(self, index: int) -> Told | None:
        """What the result of a task brought beside its value."""
        if self._told is None or index not in self._told:
            if self.has_failed(index):
                return None
            self._fetch(index)
        return (self._told or {}).get(index)

    # ------------------------------------------------------------------ metadata

    def _facts(self, index: int) -> Metadata:
        """What is known of a task, without what it displayed and published."""
        facts = metadata_of(self._batch.metadata(index), self._label)
        facts["execute_input"] = self._source
        return facts

    def _metadata_of(self, index: int) -> Metadata:
        """All that is known of a task."""
        facts = self._facts(index)
        if facts["engine_id"] is None:
            few = len(self._batch) <= FOLLOWED_MAX
            engine = self._engine_now(index) if few else self._engine_of(index)
            facts.update(engine_id=engine, engine_uuid=None if engine is None else f"e{engine}")
        if not self._batch.ready(index):
            if self._outputs is not None or len(self._batch) <= FOLLOWED_MAX:
                self._add_live(facts, self._output_of(index))
            return facts
        output = self._batch.output(index)
        if output:
            displays, data = kept_displays(output, lambda: self._told_of(index))
            facts["outputs"] = [each for each in displays if each["type"] != "execute_result"]
            facts["data"] = data
            results = [each for each in displays if each["type"] == "execute_result"]
            if results:
                facts["execute_result"] = {k: v for k, v in results[-1].items() if k != "type"}
        if facts["status"] == "error":
            facts["error"] = self._fetch(index)[1]
        return facts

    def _add_live(self, facts: Metadata, output: TaskOutput) -> None:
        """What a running task has written so far, since somebody looks."""
        events, _ = output.events(0)
        for stream in ("stdout", "stderr"):
            facts[stream] = "".join(event.value for event in events if event.kind == stream)
        facts["outputs"] = [event.value for event in events if event.kind == "display"]
        facts["data"] = dict(output.data)

    def _times(self, key: str) -> list[datetime]:
        self._must_be_ready()
        return [self._facts(index)[key] for index in range(len(self._batch))]

    def _must_be_ready(self) -> None:
        if not self._batch.ready():
            raise TimeoutError("Result not ready.")

    def __len__(self) -> int:
        return len(self._batch)
