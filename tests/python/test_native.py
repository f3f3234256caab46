"""The native module by itself: a cluster of two engines that run the code they are sent."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from hashlib import blake2b
from pathlib import Path

import numpy
import pytest

from phalanx import _phalanx
from phalanx._phalanx import Batch, NativeClient, NativeCluster

HERE = Path(__file__).parent
LIMIT = 30.0
APPLY = "python.apply"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeCluster]:
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        cluster = _phalanx.start_cluster(2, home=str(home), engine_module="native_engine")
    yield cluster
    cluster.stop()
    cluster.stop()
    assert not cluster.is_running()
    assert not Path(cluster.dir).exists()


@pytest.fixture
def client(cluster: NativeCluster) -> Iterator[NativeClient]:
    client = _phalanx.connect(cluster.connection_file, "test", 10.0)
    assert client.wait_for_engines(2, "python", LIMIT)
    yield client
    client.close()


def submit(client: NativeClient, code: str, *parts: bytes, **targets: object) -> Batch:
    source = textwrap.dedent(code).encode()
    return client.submit(APPLY, [source, *parts], **targets)  # type: ignore[arg-type]


def ended(batch: Batch, index: int = 0) -> tuple[object, ...]:
    assert batch.wait(LIMIT, index=index), "it did not end in time"
    return batch.outcome(index)


def results(batch: Batch, index: int = 0) -> list[bytes]:
    word, form, parts = ended(batch, index)
    assert (word, form) == ("done", _phalanx.FORMAT_PICKLE5), batch.outcome(index)
    return [bytes(part) for part in parts]  # type: ignore[attr-defined]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        threading.Event().wait(0.005)


def test_a_container_gives_back_its_parts_as_buffers() -> None:
    big = bytearray(range(256)) * 40
    container = _phalanx.pack([b"pickle", memoryview(big), b""])
    parts = _phalanx.unpack(container)
    assert [bytes(part) for part in parts] == [b"pickle", bytes(big), b""]
    view = memoryview(parts[1])
    assert view.readonly and view.nbytes == len(big)
    assert pickle.loads(_phalanx.unpack(_phalanx.pack([pickle.dumps([1, "a"])]))[0]) == [1, "a"]
    for hostile in (b"", b"\x01\0\0\0\0\0\0\0", b"\xff" * 40, container[:-1], container + b"x"):
        with pytest.raises(ValueError):
            _phalanx.unpack(hostile)
    for wrong in (["text"], b"bytes", [memoryview(big)[::2]], [1]):
        with pytest.raises((TypeError, BufferError)):
            _phalanx.pack(wrong)  # type: ignore[arg-type]


def test_an_engine_tells_what_it_is(client: NativeClient, cluster: NativeCluster) -> None:
    first, second = client.engines()
    assert (first["id"], first["kind"], first["slots"], first["labels"]) == (
        0,
        "python",
        1,
        ["tiny"],
    )
    assert APPLY in second["methods"]
    assert client.engine_ids() == client.engine_ids("python") == [0, 1]
    assert client.engine_ids("native") == []
    assert not client.wait_for_engines(3, timeout=0.05)
    assert client.ping() > 0
    assert {engine["info"]["id"] for engine in client.status()["engines"]} == {0, 1}
    assert [type(path) for path in cluster.engine_log_files()] == [str, str]
    assert type(cluster.dir) is type(cluster.connection_file) is str
    home = str(Path(cluster.dir).parent.parent)
    assert _phalanx.find_cluster(home=home) == cluster.connection_file
    assert [found["cluster_id"] for found in _phalanx.list_clusters(home)] == [cluster.cluster_id]
    with pytest.raises(_phalanx.ClusterError):
        _phalanx.find_cluster("another", home=home)


def test_parts_go_there_and_back(client: NativeClient) -> None:
    big = os.urandom(3_000_000)
    batch = submit(client, "result = [parts[2], parts[1], b'more']", b"small", big)
    assert results(batch) == [big, b"small", b"more"]
    metadata = batch.metadata(0)
    assert metadata["outcome"] == "done" and metadata["engine"] in (0, 1)
    assert metadata["submitted"] <= metadata["received"]
    assert metadata["ran"] > 0 and metadata["task"] == batch.id(0)


def test_a_function_travels_beside_the_parts(client: NativeClient) -> None:
    blob = b"a function, pickled"
    function = (blake2b(blob, digest_size=16).digest(), blob)
    code = b"result = [task.function[0], task.function[1], str(len(task.parts)).encode()]"
    batch = client.submit(APPLY, [code, b"x"], function=function)
    assert results(batch) == [function[0], blob, b"2"]
    assert results(client.submit(APPLY, [b"result = [str(task.function).encode()]"])) == [b"None"]


def test_many_tasks_are_one_batch(client: NativeClient) -> None:
    code = b"result = [parts[1]]"
    batch = client.submit_many(APPLY, [[code, b"%d" % number] for number in range(500)])
    assert batch.wait(LIMIT) and batch.ready() and batch.done_count() == len(batch) == 500
    assert [results(batch, index) for index in range(500)] == [[b"%d" % n] for n in range(500)]
    assert sorted(batch.nth_done(n) for n in range(500)) == list(range(500))  # type: ignore[type-var]
    assert batch.nth_done(500) is None
    assert batch.ids() == [batch.id(index) for index in range(500)]
    with pytest.raises(IndexError):
        batch.outcome(500)


def test_tasks_go_where_they_are_told(client: NativeClient) -> None:
    code = "result = [str(engine.engine_id).encode()]"
    assert results(submit(client, code, engine=1)) == [b"1"]
    both = submit(client, code, engines=[1, 0])
    assert [results(both, 0), results(both, 1)] == [[b"1"], [b"0"]]
    one_each = client.submit_many(APPLY, [[code.encode()]] * 3, engines=[0, 1, 0])
    assert [results(one_each, index) for index in range(3)] == [[b"0"], [b"1"], [b"0"]]
    assert results(submit(client, code, subset=[1])) == [b"1"]
    with pytest.raises(ValueError):
        submit(client, code, engine=1, subset=[0])
    with pytest.raises(_phalanx.RefusedError):
        submit(client, code, engines=[])


def test_dependencies_are_met_or_said_to_be_impossible(client: NativeClient) -> None:
    first = submit(client, "time.sleep(0.05); result = [b'1']")
    after = submit(client, "result = [b'2']", after=([first.id(0)], True, True, False))
    assert results(after) == [b"2"] and first.ready()
    fails = submit(client, "raise ValueError('no')")
    never = submit(client, "pass", after=([fails.id(0)], True, True, False))
    assert ended(never)[0] == "dependency_failed"
    cleanup = submit(client, "pass", after=([fails.id(0)], True, False, True))
    assert results(cleanup) == []


def test_what_code_raises_is_an_outcome(client: NativeClient) -> None:
    word, kind, message, traceback, engine, method = ended(submit(client, "1 / 0", engine=1))
    assert (word, kind, message) == ("failed", "ZeroDivisionError", "division by zero")
    assert "1 / 0" in str(traceback) or "ZeroDivisionError" in str(traceback)
    assert (engine, method) == (1, APPLY)
    not_bytes = ended(submit(client, "result = 7"))
    assert not_bytes[:2] == ("failed", "TypeError")
    no_pickle = ended(client.call(APPLY, {"typed": "call"}))
    assert no_pickle[0] == "failed" and "pickle" in str(no_pickle[2])


def test_a_call_takes_only_values_that_other_languages_know(client: NativeClient) -> None:
    with pytest.raises(TypeError):
        client.call("any", object())
    with pytest.raises(OverflowError):
        client.call("any", [2**64])
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ValueError):
        client.call("any", deep)


def test_values_survive_the_way_through_messagepack() -> None:
    instant = datetime(1969, 12, 31, 23, 59, 58, 123456, tzinfo=timezone(timedelta(hours=2)))
    value = {
        "nothing": None,
        "numbers": [True, -(2**63), 2**64 - 1, 1.5, float("inf")],
        "text": "ä\0",
        "bytes": b"\xff",
        "nested": {1: [[], {}], (2, 3): "key"},
        "instant": instant,
    }
    again = _phalanx.decode_value(_phalanx.encode_value(value))
    assert again == value
    assert again["instant"].tzinfo is UTC
    assert _phalanx.decode_value(_phalanx.encode_value((1, (2,)))) == [1, [2]]
    assert _phalanx.decode_value(_phalanx.encode_value(bytearray(b"x"))) == b"x"
    for array in (numpy.arange(6.0).reshape(2, 3).T, numpy.int16(7), numpy.zeros((0, 4), "c16")):
        same = _phalanx.decode_value(_phalanx.encode_value(array))
        assert same.dtype == array.dtype and same.shape == array.shape
        assert not same.flags.writeable
        numpy.testing.assert_array_equal(same, array)
    for wrong in (datetime(2026, 1, 1), {1, 2}, numpy.array(["text"])):
        with pytest.raises(TypeError):
            _phalanx.encode_value(wrong)
    hostile = (b"", b"\xc1", b"\x01\x01", b"\x91" * 300, b"\xdd\xff\xff\xff\xff", b"\xd4\x05\0")
    for encoded in hostile:
        with pytest.raises(ValueError):
            _phalanx.decode_value(encoded)


def test_typed_handlers_of_a_rust_engine_are_called(
    client: NativeClient, cluster: NativeCluster
) -> None:
    scripts = sysconfig.get_path("scripts")
    command = os.environ.get("PHALANX_BIN") or shutil.which("phalanx", path=scripts)
    assert command is not None
    environment = os.environ | {"PHALANX_CONNECTION": str(Path(cluster.dir) / "engine.json")}
    with subprocess.Popen([command, "engine"], env=environment) as engine:
        try:
            assert client.wait_for_engines(1, "native", LIMIT)
            echo = client.call("phalanx.echo", "ä")
            assert ended(echo) == ("done", _phalanx.FORMAT_MESSAGEPACK, "ä")
            assert ended(client.call("phalanx.pid", None))[2] == engine.pid
            wrong = ended(client.call("phalanx.echo", 7))
            assert wrong[:2] == ("failed", "InvalidArguments")
            assert client.engine_ids("python") == [0, 1]
        finally:
            engine.terminate()
    until(lambda: len(client.engine_ids()) == 2)


def test_what_a_task_writes_is_seen_live_and_kept_with_it(client: NativeClient) -> None:
    code = """
        engine.write(1, "before\\n")
        engine.write(2, "ä")
        time.sleep(60)
    """
    batch = submit(client, code)
    reader = batch.follow_output(0)
    assert reader is not None and batch.follow_output(0) is None
    seen = b""
    while seen != "before\nä".encode():
        piece = reader.next(LIMIT)
        assert piece is not None, "it came in vain"
        assert (piece[0], piece[1]) == (1, len(seen))
        seen += piece[3]
    batch.abort()
    assert ended(batch) == ("aborted",)
    assert reader.next(LIMIT) is None
    metadata = batch.metadata(0)
    assert (metadata["stdout"], metadata["stderr"]) == ("before\n", "ä")
    assert batch.output(0) == [(1, b"before\n"), (2, "ä".encode())]
    fails = submit(client, "engine.write(1, 'x' * 10_000_000); engine.write(3, b'{}'); 1 / 0")
    assert ended(fails)[0] == "failed"
    metadata = fails.metadata(0)
    kept = len(metadata["stdout"])
    assert 0 < kept < 10_000_000 <= kept + metadata["output_truncated"]
    assert submit(client, "pass").metadata(0)["stdout"] == ""


def test_callbacks_come_from_one_other_thread(client: NativeClient) -> None:
    threads: list[int] = []
    called = threading.Event()

    def callback() -> None:
        threads.append(threading.get_ident())
        called.set()

    batch = submit(client, "time.sleep(0.05)")
    batch.add_callback(0, callback)
    assert called.wait(LIMIT)
    called.clear()
    batch.add_callback(None, callback)
    assert called.wait(LIMIT)
    assert threads[0] == threads[1] != threading.get_ident()


def test_a_running_task_is_aborted_and_no_other(client: NativeClient) -> None:
    busy = submit(client, "while True: pass", engine=0)
    behind = [submit(client, "result = [b'x']", engine=0) for _ in range(3)]
    aborted_behind = submit(client, "result = [b'never']", engine=0)
    until(lambda: client.status()["tasks"]["running"] == 1)
    aborted_behind.abort()
    assert ended(aborted_behind) == ("aborted",)
    assert not busy.ready()
    busy.abort()
    assert ended(busy) == ("aborted",)
    assert [results(batch) for batch in behind] == [[b"x"]] * 3
    # Aborting what has ended, or what ends just then, harms nothing that runs after it.
    for _ in range(50):
        short = submit(client, "pass", engine=0)
        after = submit(client, "sum(range(2000)); result = [b'ok']", engine=0)
        short.abort()
        assert results(after) == [b"ok"]


def test_sleep_and_waits_are_aborted_too(client: NativeClient) -> None:
    for code in ("time.sleep(60)", "import threading; threading.Event().wait(60)"):
        batch = submit(client, code)
        until(lambda: client.status()["tasks"]["running"] == 1)
        begun = time.monotonic()
        batch.abort()
        assert ended(batch) == ("aborted",)
        assert time.monotonic() - begun < 5


def test_ctrl_c_at_an_engine_ends_its_task_and_nothing_else(client: NativeClient) -> None:
    pid = client.engines()[0]["pid"]
    os.kill(pid, signal.SIGINT)
    assert results(submit(client, "result = [b'idle']", engine=0)) == [b"idle"]
    batch = submit(client, "time.sleep(60)", engine=0)
    until(lambda: client.status()["tasks"]["running"] == 1)
    os.kill(pid, signal.SIGINT)
    assert ended(batch)[:2] == ("failed", "KeyboardInterrupt")
    assert results(submit(client, "result = [b'on']", engine=0)) == [b"on"]
    assert client.engines()[0]["pid"] == pid


@pytest.mark.timeout(120)
def test_neither_a_busy_loop_nor_a_call_that_keeps_the_gil_loses_an_engine(
    client: NativeClient,
) -> None:
    # Twice as long as a silent engine is waited for (15 s); both at once.
    spin = "end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    loop = submit(client, spin, engine=0)
    call = submit(client, "ctypes.PyDLL(None).usleep(30_000_000); result = [b'held']", engine=1)
    pids = [engine["pid"] for engine in client.engines()]
    assert loop.wait(60) and call.wait(60)
    assert (loop.outcome(0)[0], results(call)) == ("done", [b"held"])
    assert loop.metadata(0)["ran"] > 29.5
    assert [engine["pid"] for engine in client.engines()] == pids
    ours = [engine for engine in client.status()["engines"] if engine["info"]["id"] in (0, 1)]
    assert [engine["losses"] for engine in ours] == [0, 0]


def test_a_forked_child_is_refused_and_the_parent_goes_on(client: NativeClient) -> None:
    before = submit(client, "result = [b'before']")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        text = b"nothing was raised"
        try:
            client.submit(APPLY, [b"pass"])
        except RuntimeError as error:
            text = str(error).encode()
        os.write(write, text)
        del client, before
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        text = told.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    assert text == f"this client belongs to process {os.getpid()}; make a new Client in the child"
    assert results(before) == [b"before"]
    assert results(submit(client, "result = [b'after']")) == [b"after"]


def test_ctrl_c_ends_a_wait_and_the_client_goes_on(cluster: NativeCluster) -> None:
    script = """
        import sys, time
        from phalanx import _phalanx
        client = _phalanx.connect(sys.argv[1], "script", 10.0)
        batch = client.submit("python.apply", [b"time.sleep(60)"])
        try:
            print("waiting", flush=True)
            batch.wait()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        batch.abort()
        assert batch.wait(20) and batch.outcome(0) == ("aborted",)
        again = client.submit("python.apply", [b"result = [b'on']"])
        assert again.wait(20)
        print(bytes(again.outcome(0)[2][0]).decode(), flush=True)
    """
    program = [sys.executable, "-c", textwrap.dedent(script), cluster.connection_file]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - sent < 2
        assert process.stdout.read() == "on\n"
    assert process.returncode == 0


def test_a_program_that_ends_at_once_has_sent_all_it_submitted(
    cluster: NativeCluster, tmp_path: Path
) -> None:
    script = """
        import sys
        from phalanx import _phalanx
        client = _phalanx.connect(sys.argv[1], "script", 10.0)
        code = b"open(bytes(parts[1]).decode(), 'a').write('x')"
        for _ in range(500):
            client.submit("python.apply", [code, sys.argv[2].encode()])
    """
    written = tmp_path / "written"
    program = [sys.executable, "-c", textwrap.dedent(script), cluster.connection_file, str(written)]
    assert subprocess.run(program, timeout=LIMIT).returncode == 0
    until(lambda: written.exists() and written.stat().st_size == 500)


def test_a_closed_client_and_a_missing_file_say_so(cluster: NativeCluster, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _phalanx.connect(str(tmp_path / "client.json"), "test", 1.0)
    client = _phalanx.connect(cluster.connection_file, "test", 10.0)
    held = client.submit(APPLY, [b"time.sleep(0.2)"])
    client.close()
    assert client.closed
    assert ended(held)[0] == "disconnected"
    with pytest.raises(_phalanx.ClosedError):
        client.submit(APPLY, [b"pass"])
