"""The command `phalanx` beside the interpreter: clusters that it starts, and clients that find them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import phalanx as px

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command() -> str:
    """The command that came with the package, or the one that `PHALANX_BIN` names."""
    beside = os.path.join(sysconfig.get_path("scripts"), "phalanx")
    return os.environ.get("PHALANX_BIN", beside)


@pytest.fixture
def phalanx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command line among clusters of this test alone; all of them are stopped at its end."""
    monkeypatch.setenv("PHALANX_HOME", str(tmp_path / "home"))
    for name in ("PHALANX_PYTHON", "PHALANX_CLUSTER", "PHALANX_ENGINES"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [command(), *arguments], capture_output=True, text=True, timeout=50, check=False
        )
        assert (done.returncode == 0) is succeeds, done.stderr
        return done

    yield run
    run("stop", "--all")


def test_a_started_cluster_has_python_engines_and_is_found_by_a_client(phalanx):
    started = phalanx("start", "-n", "2")
    assert f"2 engines (Python: {Path(command()).parent}/python" in started.stderr
    with px.Client() as rc:
        assert rc.ids == [0, 1]
        assert rc[:].apply_sync(lambda x: x + 1, 41) == [42, 42]
        assert rc.load_balanced_view().map_sync(abs, [-1, -2]) == [1, 2]
    with px.Client(started.stdout.strip()) as rc:
        assert rc.ids == [0, 1]


def test_python_engines_run_in_the_python_that_was_named(phalanx, tmp_path):
    python = tmp_path / "my-python"
    python.write_text(f'#!/bin/sh\nMY_PYTHON=yes exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    started = phalanx("start", "-n", "1", "--python", str(python), "--", "--label", "mine")
    assert f"1 engine (Python: {python})" in started.stderr
    with px.Client() as rc:
        assert rc[0].apply_sync(os.getenv, "MY_PYTHON") == "yes"
        assert "mine" in rc.engines[0]["labels"]


def test_a_python_without_the_package_is_refused_before_anything_is_started(phalanx, tmp_path):
    python = tmp_path / "bare-python"
    python.write_text(f'#!/bin/sh\nexec env -u PYTHONPATH {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    refused = phalanx("start", "-n", "1", "--python", str(python), succeeds=False)
    assert "it does not have the package phalanx" in refused.stderr
    assert "--python" in refused.stderr
    assert phalanx("list", "--output", "quiet").stdout.strip() == ""


def test_native_engines_are_started_if_they_are_asked_for(phalanx):
    started = phalanx("start", "-n", "1", "--native", "--", "--label", "fast")
    assert "1 engine (native: phalanx engine)" in started.stderr
    with px.Client() as rc:
        assert rc.ids == []
        [engine] = rc.engines
        assert engine["kind"] == "native"
        assert engine["labels"] == ["fast"]


@pytest.fixture
def start_module() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Runs `python -m` beside the test, until its end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-m", *arguments]))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
    for process in started:
        assert process.wait(30) is not None


def module(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=50, check=False
    )


def states(phalanx: Run) -> dict[str, str]:
    """The clusters, each with its state."""
    rows = json.loads(phalanx("list", "--output", "json").stdout)
    return {row["cluster"]: row["state"] for row in rows}


def test_the_modules_of_a_cluster_answer_as_the_command_does(phalanx, start_module):
    assert module("phalanx.cluster", "start", "-n", "1").returncode == 0
    listed = module("phalanx.cluster", "list", "--output", "json")
    [cluster] = json.loads(listed.stdout)
    assert (cluster["cluster"], cluster["state"], cluster["engines"]) == ("default", "running", 1)
    with px.Client() as rc:
        assert rc[0].apply_sync(lambda: sys.executable) == sys.executable
        engine = start_module("phalanx.engine", "--label", "by-hand")
        rc.wait_for_engines(2, timeout=30)
        [joined] = [engine for engine in rc.engines if "by-hand" in engine["labels"]]
        assert joined["pid"] == engine.pid
    assert module("phalanx.cluster", "stop").returncode == 0
    assert engine.wait(30) == 0
    assert module("phalanx.cluster", "clean").returncode == 0
    assert module("phalanx.cluster", "no-such-command").returncode == 2


def test_a_controller_is_a_hub_that_engines_join(phalanx, start_module, until):
    start_module("phalanx.controller", "--cluster", "lab")
    until(lambda: states(phalanx) == {"lab": "running"})
    start_module("phalanx.engine", "--cluster", "lab")
    with px.Client(cluster_id="lab") as rc:
        rc.wait_for_engines(1, timeout=30)
        assert rc[0].apply_sync(lambda: 42) == 42


def test_an_engine_without_a_cluster_says_what_to_do(phalanx):
    ended = module("phalanx.engine")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "no cluster runs" in line and "phalanx start" in line


def test_clean_removes_what_a_killed_host_has_left_and_nothing_else(phalanx, until):
    phalanx("start", "-n", "0", "--cluster", "dead")
    phalanx("start", "-n", "0", "--cluster", "alive")
    rows = json.loads(phalanx("list", "--output", "json").stdout)
    [host] = [row["host_pid"] for row in rows if row["cluster"] == "dead"]
    os.kill(host, signal.SIGKILL)
    until(lambda: states(phalanx) == {"alive": "running", "dead": "dead"})
    assert "cluster dead" in phalanx("clean").stderr
    assert states(phalanx) == {"alive": "running"}
