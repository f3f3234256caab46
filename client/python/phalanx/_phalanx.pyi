"""What the compiled module offers to the Python modules beside it. Private: users import `phalanx`.

The module moves bytes, waits and signals; it never pickles and knows nothing of views. Every wait
releases the GIL, in slices of 50 ms between which signals are checked, so Ctrl-C ends it with
`KeyboardInterrupt`. `timeout` is in seconds; `None` is for ever.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypedDict, final

from typing_extensions import Buffer, Unpack

from phalanx.views.placing import Placing

TaskId: TypeAlias = tuple[int, int]
"""`(client, seq)`."""

FunctionRef: TypeAlias = tuple[bytes, bytes]
"""`(digest, blob)`: blake2b with `digest_size=16` of the blob, and the blob."""

DependencyRef: TypeAlias = tuple[Sequence[TaskId], bool, bool, bool]
"""`(ids, all, success, failure)`: all of them or any; which ways of ending meet it."""

AttemptsRef: TypeAlias = tuple[int, Sequence[str], float, float | None]
"""`(retries, kinds of errors, pause before the first, run limit)`; the last two in seconds."""

class Wishes(TypedDict, total=False):
    """Where tasks go and after what; what is left out or None says nothing."""

    engine: int | None
    engines: Sequence[int] | None
    subset: Sequence[int] | None
    after: DependencyRef | None
    follow: DependencyRef | None
    timeout: float | None
    attempts: AttemptsRef | None
    label: str | None
    placing: Placing | None
    inputs: Sequence[TaskId]
    stays: bool
    coalesce: bool

RecordPlace: TypeAlias = tuple[TaskId | None, int | None]
"""Where a page of records begins: after this open task, or from this ended one on."""

__version__: str

FORMAT_RAW: int
FORMAT_MESSAGEPACK: int
FORMAT_PICKLE5: int

ABORT_SIGNAL: int
"""The signal that asks the main thread of an engine to interrupt the running task."""

class PhalanxError(Exception):
    """Base of what this module raises beside Python's own exceptions."""

class ConnectError(PhalanxError):
    """No session with a hub. Waiting in vain raises `TimeoutError` instead."""

class ClosedError(PhalanxError):
    """The client is closed, or gave up on its hub."""

class RefusedError(PhalanxError):
    """The hub, or the client by what it knows, does not take the request."""

class ClusterError(PhalanxError):
    """A cluster could not be started, stopped or found."""

@final
class Parts:
    """The parts of a payload, in the memory in which they arrived: no part is copied.

    `parts[i]` and iteration give `Part`s. Each keeps the whole payload alive.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Part: ...

@final
class Part:
    """One part: read-only bytes with the buffer protocol (`memoryview(part)`, `pickle.loads(part)`)."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Batch:
    """The tasks of one submit, and their outcomes as they come. Indices are from 0.

    Raises `IndexError` for an index that is not in it.
    """

    def __len__(self) -> int: ...
    def ids(self) -> list[TaskId]: ...
    def id(self, index: int) -> TaskId: ...
    def ready(self, index: int | None = None) -> bool:
        """Whether that one, or each, has ended."""

    def done_count(self) -> int:
        """How many have ended."""

    def wait(
        self, timeout: float | None = None, index: int | None = None, count: int | None = None
    ) -> bool:
        """Waits for that one, for so many, or for all; whether it came to pass in time."""

    def nth_done(self, n: int) -> int | None:
        """Which one was the nth (from 0) to end, if so many have."""

    def outcome(self, index: int) -> tuple[Any, ...]:
        """How that one ended. `RuntimeError` if it has not.

        | outcome | means |
        |---|---|
        | `("done", format, value)` | `Parts` for Pickle5 and Raw (one part); a value for MessagePack |
        | `("failed", kind, message, traceback, engine or None, method)` | its code raised |
        | `("aborted",)` | a user asked for it to end |
        | `("engine_lost", engine, cause)` | its engine died, and it was direct |
        | `("poison", [(engine, cause), ...])` | engines died under it |
        | `("dependency_failed", text, culprit or None, engine or None)` | it can never run |
        | `("dependency_timeout",)` | its dependencies were not met in time |
        | `("rejected", code or None, text)` | the hub did not take it; code is a name |
        | `("forgotten",)` | the hub has no record of it |
        | `("disconnected", text)` | the client is closed, or gave up on the hub |
        """

    def metadata(self, index: int) -> dict[str, Any]:
        """What is known of that one, also before it has ended.

        `task` (id), `outcome` (the first word of `outcome`, or None), `engine`, `attempts`,
        `tried` (the engines where earlier attempts failed),
        `submitted`, `started`, `received` (seconds since 1970, or None), `ran` (seconds, or None),
        `stdout`, `stderr`, `output_truncated` (bytes that were written and not kept).
        """

    def output(self, index: int) -> list[tuple[int, bytes]]:
        """What it wrote, as far as it is kept, in the order written: `(stream, bytes)`."""

    def follow_output(self, index: int) -> OutputReader | None:
        """Reads what it writes while it runs; `None` if somebody does already."""

    def add_callback(self, index: int | None, callback: Callable[[], object]) -> None:
        """Has `callback()` called once that one, or each, has ended; at once if it has.

        It is called from the one completion thread of the process, holding the GIL. What it raises
        goes to `sys.unraisablehook`.
        """

    def abort(self, kill_after: float | None = None) -> None:
        """Wants those to end that have not; engines of those that do not in so many seconds are killed."""

@final
class OutputReader:
    """Reads what one task writes, while it runs. What is not read is bounded: the newest stays."""

    def next(self, timeout: float | None = None) -> tuple[int, int, int, bytes] | None:
        """The next piece: `(attempt, offset, stream, bytes)`.

        `offset` counts what that attempt had written before: a gap was dropped on the way. `None` if
        nothing came in time, or the task has ended and all was read (then `ready` says so).
        """

@final
class NativeClient:
    """A session with a hub, kept up by a thread of its own that never takes the GIL.

    In a forked child every method raises `RuntimeError`.
    """

    @property
    def id(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def engines(self) -> list[dict[str, Any]]:
        """`id`, `name`, `kind`, `host`, `pid`, `slots`, `methods`, `labels`, `state`; by id."""

    def engine_ids(self, kind: str | None = None) -> list[int]:
        """The engines that take tasks, by id; of this kind."""

    def changes(self) -> int:
        """Grows whenever engines, the session or the room for tasks may have changed."""

    def wait_for_engines(
        self, n: int, kind: str | None = None, timeout: float | None = None
    ) -> bool:
        """Waits until at least `n` engines of the kind take tasks; whether they came in time."""

    def submit(
        self,
        method: str,
        parts: Sequence[Buffer],
        *,
        function: FunctionRef | None = None,
        **wishes: Unpack[Wishes],
    ) -> Batch:
        """Submits one task, or with `engines` one for each, and returns at once.

        `engine` and `engines` are direct. Otherwise it is balanced, over `subset` or all that offer
        the method; only then may it have dependencies, a `timeout` for them, and retries. The parts are
        copied before it returns. `inputs` are tasks whose results the engine gets beside the parts. With
        `stays` what it returns stays with the hub, and the outcome has no bytes. With `coalesce` the
        outcomes of `engines` come together, when the last of them is there. It waits only while the
        client's own queue is full.
        """

    def submit_many(
        self,
        method: str,
        list_of_parts: Sequence[Sequence[Buffer]],
        *,
        function: FunctionRef | None = None,
        **wishes: Unpack[Wishes],
    ) -> Batch:
        """Submits one task for each list of parts, all or none, in one Batch.

        As `submit`, but `engines` (as many as there are lists) are taken one for each: task i goes
        to `engines[i]`.
        """

    def call(
        self,
        method: str,
        value: object,
        **wishes: Unpack[Wishes],
    ) -> Batch:
        """Submits a call of a typed handler; the value travels as MessagePack.

        None, bool, int, float, str, bytes-likes, list, tuple, dict, timezone-aware datetime and
        numpy arrays, nested. `TypeError` or `OverflowError` for all else.
        """

    def watch(self, ids: Sequence[TaskId]) -> Batch:
        """The outcomes of tasks by name, whoever submitted them, each once it has ended.

        A task that is not on record comes as rejected with `Purged`.
        """

    def records_of(self, ids: Sequence[TaskId]) -> list[dict[str, Any]]:
        """What is on record of these tasks, by id; those that are not are left out.

        `task`, `number` (None while it is open), `status` (`waiting`, `ready`, `assigned`, `running`, or
        how it ended), `method`, `label`, `direct`, `engine`, `attempts`, `submitted_us`, `times`
        (`[started_us, ran_ns]`), `ended_us`, `again`, `repeatable`, `whole`, `result_bytes`.
        """

    def records(
        self, after: RecordPlace | None = None
    ) -> tuple[list[dict[str, Any]], RecordPlace | None]:
        """A page of all records, and where the next begins: open tasks by id, then ended ones."""

    def resubmit(self, tasks: Sequence[tuple[TaskId, int | None, str, str | None]]) -> Batch:
        """Runs tasks again: `(id, number of its record, method, new label)` of each."""

    def purge(
        self, ids: Sequence[TaskId] | None = None, engines: Sequence[int] | None = None
    ) -> None:
        """Has ended tasks forgotten: these, those of these engines, or all.

        `RefusedError` if one of the tasks has not ended, or there is no such engine.
        """

    def submit_graph(
        self,
        method: str,
        nodes: Sequence[tuple[Sequence[Buffer], FunctionRef | None, dict[str, Any]]],
    ) -> Batch:
        """Submits balanced tasks that may name each other, all or none, in one Batch.

        Each is `(parts, function, keywords)`, the last as in `submit`. In `after`, `follow` and `inputs`
        the task `(2**32 - 1, i)` is the ith of these. The hub takes all of them or none.
        """

    def explain(self, task: TaskId) -> dict[str, Any]:
        """Why a task is where it is: its state, the reasons, and all of that in words as `text`."""

    def open_ids(self) -> list[TaskId]:
        """All tasks of this client that have not ended, in the order of their submits."""

    def abort(self, ids: Sequence[TaskId] | None, kill_after: float | None = None) -> None:
        """Wants tasks to end, by name; with None all of this client that have not ended.

        The engine of one that has not ended `kill_after` seconds later is killed.
        """

    def status(self) -> dict[str, Any]:
        """The cluster as the hub sees it."""

    def ping(self) -> float:
        """Seconds until the hub's answer, past all that is queued."""

    def open_tasks(self) -> int:
        """How many of this client's tasks have not ended."""

    def shutdown(self, engines: Sequence[int] | None = None) -> None:
        """Has these engines, or the whole cluster, ended; returns when the hub has agreed."""

    def wait_for_room(self, timeout: float | None = None) -> bool:
        """Waits until the queue before the hub's grant is below half of its limits."""

    def close(self, timeout: float | None = 5.0) -> None:
        """Waits until the hub has recorded everything submitted, and leaves. Open tasks go on."""

def connect(path: str, name: str, timeout: float) -> NativeClient:
    """Connects with a client's connection file, trying again until `timeout`.

    `FileNotFoundError`, `PermissionError`, `ConnectError`, `TimeoutError`.
    """

def pack(parts: Sequence[Buffer]) -> bytes:
    """The container in which parts travel."""

def unpack(container: Buffer) -> Parts:
    """The parts of a container; `ValueError` if it is not one. Copies the container once."""

def encode_value(value: object) -> bytes:
    """The MessagePack of a value, as `NativeClient.call` sends it."""

def decode_value(bytes: bytes) -> Any:
    """The value of some MessagePack, as `Batch.outcome` gives it; `ValueError` if it is none."""

@final
class Task:
    """An attempt that the engine is to run."""

    @property
    def attempt(self) -> str:
        """Its name, e.g. `c7/42#1`."""

    @property
    def task(self) -> TaskId: ...
    @property
    def method(self) -> str: ...
    @property
    def function(self) -> tuple[bytes, Part] | None:
        """`(digest, blob)`."""

    @property
    def parts(self) -> Parts: ...
    @property
    def inputs(self) -> list[tuple[Any, ...]]:
        """The results of the tasks named as `inputs`, each as `Batch.outcome` gives it."""

@final
class NativeEngine:
    """An engine whose tasks run on the main thread; a thread that never takes the GIL does the rest."""

    @staticmethod
    def start(
        connection: str,
        name: str | None = None,
        labels: Sequence[str] = (),
        methods: Sequence[str] | None = None,
        resources: Sequence[tuple[str, str]] = (),
    ) -> NativeEngine:
        """Starts the engine's thread; from the main thread. At most one in a process."""

    @staticmethod
    def from_environment(
        labels: Sequence[str] = (),
        methods: Sequence[str] | None = None,
        resources: Sequence[tuple[str, str]] = (),
    ) -> NativeEngine:
        """The same for a process that a cluster's host started: all it needs is in its environment."""

    @property
    def engine_id(self) -> int | None:
        """Its id, once a hub has registered it."""

    def run(self, handler: Callable[[Task], tuple[Any, ...]]) -> str:
        """Runs tasks on this thread until the engine has ended; says why it has.

        `ConnectError` if its hub does not take it, or it cannot go on for another reason.

        `handler(task)` returns one of

        | answer | means |
        |---|---|
        | `("done", [part, ...])` | it returned; the parts are copied before the next task |
        | `("failed", kind, message, traceback)` | it raised |
        | `("refused", kind, message, traceback)` | it will not run here: tried elsewhere if balanced |
        | `("aborted",)` | it was interrupted because nobody wants it any more |

        What the handler itself raises, or an answer that is none of these, is a failed task. While
        no task runs, SIGINT does nothing. SIGTERM ends the engine; a running task is interrupted by
        `ABORT_SIGNAL` (then `stopping()` is true).
        """

    def write(self, stream: int, text: str | bytes) -> None:
        """Output of the running task: stream 1 or 2, 3 for rich display, 4 for published data,
        5 for the exception that ends the task.

        Returns at once. Between tasks, 1 and 2 go to the engine's log, all else nowhere. What is written
        to the process's descriptors 1 and 2 while `run` takes tasks is output of the running task too.
        """

    def aborted(self) -> bool:
        """Whether the running task is unwanted: what the handler of `ABORT_SIGNAL` asks."""

    def stopping(self) -> bool:
        """Whether the engine was told to end."""

    def stop(self, reason: str) -> None:
        """Ends the engine once the running task is over; from any thread."""

@final
class NativeCluster:
    """A cluster of this machine that ends with this process."""

    @property
    def connection_file(self) -> str: ...
    @property
    def cluster_id(self) -> str: ...
    @property
    def dir(self) -> str: ...
    def engine_log_files(self) -> list[str]: ...
    def is_running(self) -> bool:
        """Whether its host process lives."""

    def stop(self) -> None:
        """Ends every process of it and removes its directory. A second time it does nothing."""

def start_cluster(
    n: int,
    *,
    cluster_id: str | None = None,
    home: str | None = None,
    profile: str | None = None,
    python: str | None = None,
    engine_module: str = "phalanx.engine",
    engine_args: Sequence[str] = (),
    phalanx: str | None = None,
    scheme: str | None = None,
    hwm: int | None = None,
    listen: str | None = None,
    scheduler_process: bool = False,
    timeout: float | None = None,
    progress: Callable[[str], object] | None = None,
) -> NativeCluster:
    """Starts hub and `n` engines (`python -m phalanx.engine *engine_args`), and waits for them.

    `python` is this interpreter if not given; `phalanx` the command of that name: PHALANX_BIN, beside
    the interpreter, or on PATH. `scheme` and `hwm` say how the scheduler places, and `scheduler_process`
    that it runs beside the hub; `listen` is the address of the hub, by default on loopback. `progress` is
    called with each step, a short text.
    """

def find_cluster(
    cluster_id: str | None = None, profile: str | None = None, home: str | None = None
) -> str:
    """The client's connection file of the newest running cluster, or of that one.

    A profile is a directory of clusters under the home. `ClusterError` if none runs.
    """

def list_clusters(home: str | None = None, profile: str | None = None) -> list[dict[str, Any]]:
    """Running clusters, newest first: `cluster_id`, `dir`, `connection_file`, `started`, `pid`."""

def forked() -> None:
    """For `os.register_at_fork(after_in_child=...)`: what came by fork is unusable from here on."""
