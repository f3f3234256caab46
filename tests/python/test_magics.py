"""%px and its kin, in a real IPython."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import phalanx as px


@pytest.fixture
def shell():
    shell = InteractiveShell.instance(colors="nocolor")
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def ipython(shell, view):
    view.activate()
    return shell


def run(shell, code):
    """What a cell gives; raises what it raises."""
    done = shell.run_cell(code)
    done.raise_error()
    return done.result


# ------------------------------------------------------------------ %px


@pytest.mark.req(69, 110)
def test_a_line_runs_on_every_engine(ipython, view, capsys):
    run(ipython, "%pxconfig --verbose")
    run(ipython, "%px a = 6 * 7")
    assert capsys.readouterr().out == "Parallel execution on engine(s): [0, 1, 2, 3]\n"
    assert view["a"] == [42] * 4
    view.scatter("x", range(8))
    run(ipython, "%px y = [i ** 2 for i in x]")
    assert view.gather("y") == [i**2 for i in range(8)]


@pytest.mark.req(110)
def test_output_and_values_are_shown(ipython, capsys):
    run(ipython, "%px print('hello')\n")
    shown = capsys.readouterr().out.splitlines()
    assert sorted(shown) == [f"[stdout:{i}] hello" for i in range(4)]
    run(ipython, "%%px --targets ::2\n1 + 1")
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line.split(":")[0] for line in lines] == ["Out[0", "Out[2"]
    assert all(line.endswith(": 2") for line in lines)


@pytest.mark.req(111)
def test_block_and_targets_of_the_view_rule(ipython, view):
    view.targets = [1]
    view.block = False
    result = run(ipython, "%px b = 1")
    assert isinstance(result, px.AsyncResult)
    result.get()
    assert repr(result) == "<AsyncResult(%px): finished>"
    assert len(result) == 1
    assert run(ipython, "%%px --block -t 0,2\nc = 2") is None
    assert px.DirectView(view.client, [0, 2])["c"] == [2, 2]


@pytest.mark.req(112)
def test_errors_are_composite_errors(ipython, capsys):
    result = ipython.run_cell("%%px --no-stream\n1/0")
    assert isinstance(result.error_in_exec, px.CompositeError)
    shown = capsys.readouterr().out
    assert all(f"[{i}:execute]:" in shown for i in range(4))
    assert "----> 1 1/0" in shown


def test_errors_that_were_streamed_are_not_shown_twice(ipython, capsys):
    result = ipython.run_cell("%px 1/0")
    assert isinstance(result.error_in_exec, px.AlreadyDisplayedError)
    assert isinstance(result.error_in_exec.original_error, px.CompositeError)
    shown = capsys.readouterr()
    assert shown.out.strip() == "4 errors"
    assert shown.err.count("ZeroDivisionError: division by zero") == 1


def test_the_error_of_one_engine_is_shown_as_it_is(ipython, capsys):
    result = ipython.run_cell("%%px -t 3\n1/0")
    assert isinstance(result.error_in_exec, px.RemoteError)
    shown = capsys.readouterr().out
    assert shown.count("[3:execute]") == 1
    assert shown.count("ZeroDivisionError: division by zero") == 1


def test_names_in_braces_belong_to_the_engines(ipython, view):
    view["x"] = 5
    ipython.user_ns["x"] = 6
    run(ipython, "%px s = '{x} $x'")
    assert view["s"] == ["{x} $x"] * 4
    ipython.user_ns["where"] = 2
    run(ipython, "%%px --targets $where\nhere = True")
    assert view.client[2].pull("here", block=True) is True
    with pytest.raises(px.RemoteError, match="NameError"):
        view.client[1].pull("here", block=True)


# ------------------------------------------------------------------ flags


def test_an_asyncresult_is_kept_under_a_name(ipython):
    run(ipython, "%%px -o kept\n5")
    assert [reply.text for reply in ipython.user_ns["kept"].get()] == ["5"] * 4
    run(ipython, "%pxresult --out again")
    assert ipython.user_ns["again"] is ipython.user_ns["kept"]


def test_local_runs_it_here_too(ipython, view):
    run(ipython, "%%px --local\nboth = 3")
    assert (ipython.user_ns["both"], view["both"]) == (3, [3] * 4)


def test_without_streaming_outputs_are_grouped(ipython, capsys):
    cell = (
        "%%px --no-stream -t 0,1 {}\nprint('a')\nfrom IPython.display import display\ndisplay(7)\n5"
    )
    run(ipython, cell.format("-e"))
    lines = capsys.readouterr().out.splitlines()
    heads = [line.partition(" ")[0].split(":")[0] for line in lines]
    each = ["[stdout", "a", "[output", "7"]
    assert heads == [*each, "Out[0", *each, "Out[1"]
    for flag in ("-r", "--group-outputs=order", "--group-outputs=type", ""):
        run(ipython, cell.format(flag))
        lines = capsys.readouterr().out.splitlines()
        assert lines[:4] == ["[stdout:0] ", "a", "[stdout:1] ", "a"]
        assert [line[:5] for line in lines[-2:]] == ["Out[0", "Out[1"]


def test_the_last_result_is_shown_again(ipython, capsys):
    with pytest.raises(UsageError, match="nothing was run"):
        run(ipython, "%pxresult")
    assert isinstance(run(ipython, "%%px --noblock --verbose\nprint('later')\n7"), px.AsyncResult)
    assert "Async parallel execution on engine(s): [0, 1, 2, 3]\n" in capsys.readouterr().out
    for name in ("%pxresult", "%result"):
        run(ipython, name)
        shown = capsys.readouterr().out.splitlines()
        assert shown[:8:2] == [f"[stdout:{i}] " for i in range(4)]
        assert shown[1:8:2] == ["later"] * 4
        assert all(line.endswith(": 7") for line in shown[8:])
    ipython.run_cell("%%px --noblock\n1/0")
    capsys.readouterr()
    assert isinstance(ipython.run_cell("%pxresult").error_in_exec, px.CompositeError)


def test_settings_hold_from_then_on(ipython, view, capsys):
    run(ipython, "%pxconfig --verbose --targets 1 --no-stream --progress-after -1")
    run(ipython, "%px print('x')")
    assert capsys.readouterr().out == "Parallel execution on engine(s): 1\nx\n"
    run(ipython, "%pxconfig --no-verbose --noblock --targets all")
    assert (view.block, view.targets) == (False, "all")
    assert isinstance(run(ipython, "%px pass"), px.AsyncResult)


@pytest.mark.parametrize(
    "line",
    [
        "%%px --bogus\n1",
        "%%px -t 0,x\n1",
        "%%px --group-outputs=colour\n1",
        "%%px --signal-on-interrupt SIGNONE\n1",
        "%%px -o 'x\n1",
        "%pxconfig --local",
    ],
)
def test_flags_that_do_not_exist_are_told(ipython, line):
    with pytest.raises(UsageError):
        run(ipython, line)


def test_a_bar_appears_when_it_takes_long(ipython, capsys, tmp_path):
    wait = "import os, time\nwhile not os.path.exists({!r}): time.sleep(0.005)"
    go = tmp_path / "go"
    threading.Timer(0.4, go.touch).start()
    run(ipython, "%%px --progress-after 0\n" + wait.format(str(go)))
    assert "0/4" in capsys.readouterr().err
    run(ipython, "%%px --progress-after -1\n" + wait.format(str(go)))
    assert capsys.readouterr().err == ""


def interrupt_once_running(path):
    """Presses Ctrl-C once the file is there and the main thread waits for the engines."""

    def is_waiting():
        frame = sys._current_frames()[threading.main_thread().ident]
        while frame is not None and frame.f_code.co_name != "_wait":
            frame = frame.f_back
        return frame is not None

    def run():
        while not (path.exists() and is_waiting()):
            time.sleep(0.005)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_ctrl_c_interrupts_the_engines(ipython, view, tmp_path, capsys):
    begun = tmp_path / "begun"
    thread = interrupt_once_running(begun)
    cell = f"%%px -t 1\nopen({str(begun)!r}, 'w').close()\nwhile True: pass"
    failure = ipython.run_cell(cell).error_in_exec
    thread.join()
    assert isinstance(failure, px.RemoteError)
    assert failure.ename == "KeyboardInterrupt"
    assert "Sending signal SIGINT to engines" in capsys.readouterr().err
    assert view.apply_sync(lambda: 1) == [1] * 4


def test_ctrl_c_may_leave_the_engines_alone(ipython, view, tmp_path):
    begun, go = tmp_path / "begun", tmp_path / "go"
    thread = interrupt_once_running(begun)
    cell = (
        "%%px -t 1 --signal-on-interrupt 0 -o left\nimport os\n"
        f"open({str(begun)!r}, 'w').close()\nwhile not os.path.exists({str(go)!r}): pass\n'done'"
    )
    assert isinstance(ipython.run_cell(cell).error_in_exec, KeyboardInterrupt)
    thread.join()
    go.touch()
    assert ipython.user_ns["left"].get(20).text == "'done'"


# ------------------------------------------------------------------ %autopx


def test_autopx_sends_every_cell_until_it_is_said_again(ipython, view, capsys):
    run(ipython, "%autopx")
    run(ipython, "remote = 1\nremote += 1")
    run(ipython, "%pxresult")
    run(ipython, "%px remote += 1")
    run(ipython, "%autopx")
    assert capsys.readouterr().out == "%autopx enabled\n%autopx disabled\n"
    run(ipython, "here = 1")
    assert ipython.user_ns["here"] == 1
    assert "remote" not in ipython.user_ns
    assert view["remote"] == [3] * 4
    assert ipython.check_complete("for i in x:")[0] == "incomplete"


# ------------------------------------------------------------------ which view


def test_suffixes_tell_views_apart(ipython, view, capsys):
    other = px.DirectView(view.client, 3).set_flags(block=True)
    other.activate("_last")
    run(ipython, "%px_last d = 3")
    run(ipython, "%%px_last -o mine\nd + 1")
    assert other["d"] == 3
    assert ipython.user_ns["mine"].get().text == "4"
    capsys.readouterr()
    run(ipython, "%pxresult_last")
    assert capsys.readouterr().out.endswith(": 4\n")
    run(ipython, "%pxconfig_last --targets 2")
    assert other.targets == 2
    run(ipython, "%autopx_last")
    run(ipython, "e = 5")
    run(ipython, "%autopx_last")
    assert other["e"] == 5


def test_a_client_activates_a_view_of_its_own(shell, rc):
    pair = rc.activate([0, 1], suffix="_pair")
    assert isinstance(pair, px.DirectView)
    assert (pair.targets, pair.block) == ([0, 1], True)
    run(shell, "%px_pair p = 1")
    assert pair["p"] == [1, 1]


def test_the_first_client_in_ipython_activates_itself(shell, cluster):
    with px.Client(cluster.connection_file) as first:
        run(shell, "%px who = 'first'")
        assert first[:]["who"] == ["first"] * 4
        active = shell._phalanx_magics[""]
        with px.Client(cluster.connection_file):
            assert shell._phalanx_magics[""] is active
    with px.Client(cluster.connection_file) as third:
        assert shell._phalanx_magics[""].view.client is third


def test_outside_of_ipython_it_warns(rc):
    with pytest.warns(UserWarning, match="IPython"):
        rc[:].activate()
    with pytest.warns(UserWarning, match="IPython"):
        rc.activate()


# ------------------------------------------------------------------ a terminal


def test_it_works_in_the_command_ipython(cluster):
    program = (
        "import phalanx as px\n"
        f"rc = px.Client({cluster.connection_file!r})\n"
        "%px x = 20\n"
        "%px print('x is', x + 1)\n"
        "%px undefined_name\n"
        "exit\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        input=program,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "IPYTHONDIR": os.devnull},
        check=False,
    )
    assert all(f"[stdout:{i}] x is 21" in done.stdout for i in range(4))
    assert "NameError: name 'undefined_name' is not defined" in done.stderr
    assert "4 errors" in done.stdout + done.stderr
