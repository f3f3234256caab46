"""What the Python tests share: one cluster of four engines for the whole run, and clean views of it.

Tests that need a cluster of their own (to kill it, to stop it) start one. Every test has a deadline
(pytest-timeout, in pyproject.toml); none sleeps: it waits on a condition, by `until`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import phalanx as px
import skips

# A run in the background has it ignored, and every program that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ENGINES = 4
DEADLINE_S = 30.0


def pytest_addoption(parser: pytest.Parser) -> None:
    skips.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    skips.pytest_configure(config)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of clusters for this run alone."""
    path = tmp_path_factory.mktemp("home")
    before = os.environ.get("PHALANX_HOME")
    os.environ["PHALANX_HOME"] = str(path)
    yield path
    if before is None:
        del os.environ["PHALANX_HOME"]
    else:
        os.environ["PHALANX_HOME"] = before


@pytest.fixture(scope="session")
def cluster(home: Path) -> Iterator[px.Cluster]:
    """Four engines."""
    cluster = px.Cluster(n=ENGINES)
    cluster.start_cluster_sync()
    yield cluster
    cluster.stop_cluster_sync()


@pytest.fixture(scope="session")
def session_client(cluster: px.Cluster) -> Iterator[px.Client]:
    client = cluster.connect_client_sync()
    client.wait_for_engines(ENGINES, timeout=DEADLINE_S)
    yield client
    client.close()


@pytest.fixture
def rc(session_client: px.Client) -> Iterator[px.Client]:
    """A client of the shared cluster, whose engines have empty namespaces."""
    session_client.clear(block=True)
    yield session_client
    session_client.abort()


@pytest.fixture
def dview(rc: px.Client) -> px.DirectView:
    """A direct view of all engines, not blocking."""
    return px.DirectView(rc, rc.ids)


@pytest.fixture
def view(rc: px.Client) -> px.DirectView:
    """A direct view of all engines that blocks."""
    return px.DirectView(rc, rc.ids).set_flags(block=True)


@pytest.fixture
def lview(rc: px.Client) -> px.LoadBalancedView:
    """A load-balanced view of all engines."""
    return px.LoadBalancedView(rc)


def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Waits until the condition holds; fails if it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"this did not come to pass within {deadline_s} s: {condition}")
        time.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    return until
