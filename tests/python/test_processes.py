"""Fork, threads, Ctrl-C, a held GIL: the client and the engines as processes among others."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import time

import pytest

import phalanx as px
from support import is_alive, run_python, start_python


def test_a_forked_child_is_refused_and_the_parent_goes_on(rc):
    before = rc[0].apply_async(lambda: 1)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            rc[0].apply_async(lambda: 1)
            said = b"nothing was raised"
        except RuntimeError as e:
            said = str(e).encode()
        except BaseException as e:
            said = repr(e).encode()
        os.write(write, said)
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    said = os.read(read, 4096).decode()
    os.close(read)
    assert "belongs to process" in said
    assert "new Client" in said
    assert before.get() == 1
    assert rc[0].apply_sync(lambda: 2) == 2


def test_a_forked_child_can_make_a_client_of_its_own(cluster):
    code = """
import os, sys, phalanx as px
rc = px.Client(sys.argv[1])
assert rc[0].apply_sync(lambda: 1) == 1
pid = os.fork()
if pid == 0:
    own = px.Client(sys.argv[1])
    os._exit(0 if own[0].apply_sync(lambda: 2) == 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert rc[0].apply_sync(lambda: 3) == 3
rc.close()
print("good")
"""
    done = run_python(code, cluster.connection_file)
    assert done.stdout == "good\n", done.stderr


def test_many_threads_share_a_client(rc, lview):
    def work(i):
        view = rc[i % 4]
        own = [view.apply_async(lambda x: x * 2, j) for j in range(50)]
        balanced = lview.map_async(abs, range(-50, 0))
        return [ar.get() for ar in own] == [2 * j for j in range(50)] and sum(
            balanced.get()
        ) == 1275

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))
    assert len(set(rc.history)) == len(rc.history)


TELL_WHEN_IT_WAITS = """\
def tell_when_it_waits(caller=threading.get_ident()):
    before = None
    while True:
        here = sys._current_frames()[caller]
        now = (here.f_code, here.f_lasti)
        while here and "importlib" not in here.f_code.co_filename:
            here = here.f_back
        if here is None and now == before:
            return print("waiting", flush=True)
        before = now
        time.sleep(0.05)
"""
"""Says that the main thread waits: it stands still, and not in the middle of an import, where Python ignores
what callbacks of weak references raise, an interrupt too."""


@pytest.mark.parametrize(
    "wait",
    [
        "ar.get()",
        "ar.wait()",
        "rc.wait([ar])",
        "ar.result()",
        "next(iter(rc[:].apply_async(sleep)))",
        "rc.wait_for_engines(99)",
        "rc.wait()",
        "rc.wait_interactive([ar])",
        "rc.get_result(ar.msg_id, block=True)",
        "ar.wait_interactive()",
        "ar.wait_for_output()",
        "ar.display_outputs()",
        "ar.get_dict()",
        "ar.exception()",
    ],
)
def test_ctrl_c_ends_every_wait_and_the_client_goes_on(cluster, wait):
    code = f"""
import sys, threading, time, phalanx as px
def sleep():
    import time
    time.sleep(20)
{TELL_WHEN_IT_WAITS}
rc = px.Client(sys.argv[1])
ar = rc[0].apply_async(sleep)
try:
    threading.Thread(target=tell_when_it_waits, daemon=True).start()
    {wait}
except KeyboardInterrupt:
    print("interrupted")
rc.abort()
print(rc[1].apply_sync(lambda: 42))
rc.close()
"""
    process = start_python(code, cluster.connection_file)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    try:
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - sent < 1.5, "a second, and some for a busy machine"
        rest, _ = process.communicate(timeout=40)
    finally:
        process.kill()
    assert rest == "42\n"


BLOCKING = [
    "view.apply_sync(sleep)",
    "view.apply(sleep)",
    "balanced.apply_sync(sleep)",
    "view.map_sync(sleep, range(6))",
    "balanced.map(sleep, range(6))",
    "view.execute('import time; time.sleep(20)')",
    "view.run(sys.argv[2])",
    "behind(), view.push({'a': 1})",
    "behind(), view.pull('a')",
    "behind(), view['a']",
    "behind(), view.get('a')",
    "behind(), view.update({'a': 1})",
    "behind(), view.scatter('a', range(6))",
    "behind(), view.gather('a')",
    "behind(), view.clear()",
    "behind(), rc.clear(block=True)",
    "view.remote()(sleep)()",
    "view.parallel()(sleep)(range(4))",
    "view.parallel()(sleep).map(range(4))",
    "balanced.parallel()(sleep)(range(4))",
]


def test_ctrl_c_in_a_blocking_call_gives_the_async_result(cluster, tmp_path):
    code = f"""
import sys, threading, time, phalanx as px
def sleep(*_):
    import time
    time.sleep(20)
{TELL_WHEN_IT_WAITS}
rc = px.Client(sys.argv[1])
view = rc[:].set_flags(block=True)
balanced = rc.load_balanced_view(block=True)
behind = lambda: view.apply_async(sleep)
for call in {BLOCKING}:
    threading.Thread(target=tell_when_it_waits, daemon=True).start()
    got = eval(call)
    got = got[-1] if isinstance(got, tuple) else got
    print(isinstance(got, px.AsyncResult) and not got.ready(), flush=True)
    rc.abort()
    assert rc.wait(timeout=20)
print(rc[:].apply_sync(abs, -1))
rc.close()
"""
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(20)")
    process = start_python(code, cluster.connection_file, str(script))
    try:
        for call in BLOCKING:
            assert process.stdout.readline() == "waiting\n", call
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            assert process.stdout.readline() == "True\n", call
            assert time.monotonic() - sent < 1.5, f"a second, and some for a busy machine: {call}"
        rest, _ = process.communicate(timeout=40)
    finally:
        process.kill()
    assert rest == "[1, 1, 1, 1]\n"


def test_an_engine_that_holds_the_gil_is_not_lost(rc, until):
    view = rc[0]
    pid = view.apply_sync(os.getpid)

    def hold_the_gil():
        import ctypes

        ctypes.PyDLL(None).usleep(3_000_000)
        return "held"

    ar = view.apply_async(hold_the_gil)
    assert rc.ping() < 5
    assert 0 in rc.ids
    assert ar.get(30) == "held"
    assert view.apply_sync(os.getpid) == pid


def test_a_busy_loop_does_not_hold_up_the_others(rc):
    def busy():
        import time

        end = time.monotonic() + 1
        while time.monotonic() < end:
            pass
        return 1

    ar = rc[0].apply_async(busy)
    assert rc[1].apply_sync(lambda: 2) == 2
    assert ar.get(30) == 1


def test_output_floods_are_survived(rc):
    def flood():
        for _ in range(20_000):
            print("x" * 100)
        return 1

    ar = rc[0].apply_async(flood)
    assert ar.get(50) == 1
    assert len(ar.stdout) > 0
    assert rc.ping() < 5


def test_threads_of_user_code_print_too(rc):
    def f():
        import threading

        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()

    ar = rc[0].apply_async(f)
    ar.get()
    assert ar.stdout == "from a thread\n"


def test_user_code_runs_on_the_main_thread_and_stdin_is_empty(rc):
    def f():
        import sys
        import threading

        return threading.current_thread() is threading.main_thread(), sys.argv[0].endswith(
            "__main__.py"
        )

    assert rc[0].apply_sync(f)[0] is True


def test_subprocesses_of_user_code(rc):
    def f():
        import subprocess

        return subprocess.run(["echo", "hello"], capture_output=True, text=True).stdout

    assert rc[0].apply_sync(f) == "hello\n"
    assert is_alive(rc[0].apply_sync(os.getpid))


def test_a_closed_client_says_so(cluster):
    rc = cluster.connect_client_sync()
    view = rc[0]
    rc.close()
    rc.close()
    with pytest.raises((px.ClosedError, px.Disconnected)):
        view.apply_sync(lambda: 1)
    for key in (0, slice(None), [0, 1]):
        with pytest.raises(px.ClosedError, match="the client is closed"):
            rc[key]
    for ask in (rc.queue_status, rc.hub_history, rc.ping, rc.status, rc.purge_everything):
        with pytest.raises(px.ClosedError, match="the client is closed"):
            ask()
