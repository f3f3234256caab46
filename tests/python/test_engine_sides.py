"""What an engine does beside its tasks: startup code, a kernel for front ends, signals."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest
from jupyter_client.blocking import BlockingKernelClient

import phalanx as px


def test_startup_code_runs_before_any_task_and_after_a_restart(home, tmp_path):
    script = tmp_path / "startup.py"
    script.write_text("first = 1\ndef f():\n    return first + second\n")
    cluster = px.Cluster(n=1, startup_script=script, startup_command="second = first + 1")
    with cluster as rc:
        assert rc[0].apply_sync(px.Reference("f")) == 3
        rc[0].push({"first": 10}, block=True)
        cluster.restart_engine_sync(0)
        assert rc[0].apply_sync(px.Reference("f")) == 3


def test_startup_code_that_fails_is_told_with_its_log(home):
    with pytest.raises(px.ClusterError) as failed:
        px.Cluster(n=1, startup_command="1 / 0").start_cluster_sync()
    assert "engine-0" in str(failed.value)
    assert "ZeroDivisionError: division by zero" in str(failed.value)
    assert "the startup code has failed" in str(failed.value)


def test_pythonstartup_is_not_read_unless_it_is_named(home, tmp_path, monkeypatch):
    script = tmp_path / "personal.py"
    script.write_text("personal = True\n")
    monkeypatch.setenv("PYTHONSTARTUP", str(script))
    with px.Cluster(n=1) as rc, pytest.raises(px.RemoteError, match="NameError"):
        rc[0].pull("personal", block=True)


class Front:
    """A front end of Jupyter."""

    def __init__(self, path):
        self.client = BlockingKernelClient()
        self.client.load_connection_file(path)
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)

    def run(self, code):
        """What came back: texts by their kind."""
        heard = {}

        def listen(message):
            content = message["content"]
            text = content.get("text") or content.get("data", {}).get("text/plain")
            heard.setdefault(message["msg_type"], []).append(text)

        self.client.execute_interactive(code, timeout=30, output_hook=listen)
        return heard


def test_an_engine_is_a_kernel_for_front_ends_too(rc, tmp_path):
    view = rc[3]
    view["a"] = 5
    path = view.apply_sync(px.bind_kernel)
    assert view.apply_sync(px.bind_kernel) == path
    front = Front(path)
    try:
        assert front.run("a + 1")["execute_result"] == ["6"]
        assert "".join(front.run("b = 7; print('said here')")["stream"]) == "said here\n"
        assert front.run("from IPython.display import display; display(3)")["display_data"] == ["3"]
        assert "error" in front.run("1 / 0")
        assert view["b"] == 7
        reply = view.execute("print('said there'); get_ipython().user_ns['b']", silent=False).get()
        assert (reply.stdout, reply.text) == ("said there\n", "7")
    finally:
        front.client.stop_channels()


def test_a_kernel_is_bound_on_engines_only():
    with pytest.raises(RuntimeError, match="engines"):
        px.bind_kernel()


def test_signals_go_to_engines_by_name_or_number(rc, tmp_path, until):
    def spin(path):
        open(path, "w").close()
        while True:
            pass

    for number, sig in enumerate(["SIGINT", 2, "int"]):
        begun = tmp_path / f"begun-{number}"
        ar = rc[1].apply_async(spin, str(begun))
        until(begun.exists)
        rc.send_signal(sig, targets=1)
        with pytest.raises(px.RemoteError, match="KeyboardInterrupt"):
            ar.get(20)
    rc.send_signal("SIGINT")  # nothing runs: nothing happens
    assert rc[:].apply_sync(lambda: 1) == [1] * 4
    with pytest.raises(ValueError, match="SIGNOTHING"):
        rc.send_signal("SIGNOTHING")
    for wrong in (2.5, None, [2]):
        with pytest.raises(TypeError, match="a signal is a number or a name"):
            rc.send_signal(wrong)
    with pytest.raises(IndexError):
        rc.send_signal("SIGINT", targets=99)


def test_waiting_for_jobs_and_engines_shows_bars(rc, capsys):
    ar = rc[:].apply_async(abs, -1)
    assert rc.wait_interactive(ar, interval=0.05) is None  # a notebook's cell shows the bar alone
    assert ar.ready()
    rc.wait_interactive()
    assert "4/4" in capsys.readouterr().err
    with concurrent.futures.ThreadPoolExecutor() as pool:
        outside = pool.submit(threading.Event().wait, 0.2)
        cancelled = concurrent.futures.Future()
        cancelled.cancel()
        rc.wait_interactive([outside, cancelled], interval=0.05)
        assert outside.done()
    with pytest.raises(TimeoutError, match="4 of 99"):
        rc.wait_for_engines(99, timeout=0.3, interactive=True)
    assert "4/99" in capsys.readouterr().err
    pending = rc[0].apply_async(__import__("time").sleep, 30)
    rc.wait_interactive(pending, interval=0.05, timeout=0.1)
    assert not pending.ready()
    pending.abort()
