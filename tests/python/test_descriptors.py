"""What C code and child processes write is output of the task, as what Python code writes is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import phalanx as px


@px.interactive
def write_in_many_ways():
    """Numbers, by whatever writes."""
    import ctypes
    import multiprocessing
    import os
    import subprocess
    import sys

    print("1 python")
    subprocess.run(["echo", "2 child"], check=True)
    print("3 python")
    os.system("echo 4 shell; echo wrong >&2")
    os.write(1, b"5 descriptor\n")
    ctypes.CDLL(None).puts(b"6 library")
    ctypes.CDLL(None).fflush(None)
    subprocess.run(["echo", "7 child"], stdout=sys.stdout, check=True)
    print("8 the process's own stream", file=sys.__stdout__, flush=True)
    pid = os.fork()
    if pid == 0:
        print("9 fork")
        os._exit(0)
    os.waitpid(pid, 0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.map(print, ["10 pool"])
    print("11 python")
    sys.stderr.write("python\n")


def test_all_that_is_written_is_output_of_the_task_in_its_order(rc):
    ar = rc[0].apply_async(write_in_many_ways)
    ar.get(30)
    lines = ar.stdout.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, 12)), lines
    assert ar.stderr == "wrong\npython\n"
    reply = rc[0].execute("import os; os.system('echo shell')\n!echo bang", block=True)
    assert reply.stdout == "shell\nbang\n"


@px.interactive
def fork_and_terminate():
    """How a forked child ended that was told to by SIGTERM; None if it did not."""
    import os
    import signal
    import time

    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.WTERMSIG(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def test_a_forked_child_of_a_task_ends_when_it_is_terminated(rc):
    assert rc[0].apply_sync(fork_and_terminate) == signal.SIGTERM


def test_what_a_child_writes_is_seen_while_the_task_runs(rc, tmp_path, until):
    script = f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo last"
    ar = rc[0].apply_async(os.system, script)
    until(lambda: ar.stdout == "first\n")
    assert not ar.ready()
    (tmp_path / "go").touch()
    assert ar.get(10) == 0
    assert ar.stdout == "first\nlast\n"


def test_what_comes_after_the_end_of_a_task_is_logged_and_nobody_elses_output(
    rc, cluster, tmp_path, until
):
    script = f"(while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo later-{tmp_path}) &"
    assert rc[0].apply_async(os.system, script).get(10) == 0
    (tmp_path / "go").touch()
    logs = Path(cluster.cluster_dir, "logs")
    until(lambda: any(f"later-{tmp_path}" in log.read_text() for log in logs.glob("engine-*")))
    ar = rc[0].apply_async(print, "next")
    ar.get(10)
    assert ar.stdout == "next\n"


def test_a_child_that_writes_more_than_is_kept_does_not_stop_the_task(rc):
    ar = rc[0].apply_async(os.system, "yes | head -c 3000000")
    assert ar.get(30) == 0
    assert ar.stdout.startswith("y\ny\n") and len(ar.stdout) < 1_000_000


def test_the_log_tells_where_python_was_when_c_code_crashed(home):
    import ctypes

    with px.Cluster(n=1) as rc:
        logs = Path(rc.cluster.cluster_dir, "logs")
        with pytest.raises(px.EngineError, match=r"signal 11|SIGSEGV"):
            rc[0].apply_async(ctypes.string_at, 0).get(30)
        said = "".join(log.read_text() for log in logs.glob("engine-*"))
    assert "Fatal Python error: Segmentation fault" in said
    assert 'ctypes/__init__.py", line' in said and "in string_at" in said
