"""Fixtures for tests that need a cluster: `px_cluster` and `px_client`, known to pytest by an entry point.

The cluster is started when a test first asks for it, in a directory of its own, and ends with the session.
How many engines it has is `px_engines` in pytest's configuration (default 2) or `--px-engines`. Who may use
it: pytest loads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from phalanx.client import Client
    from phalanx.cluster import Cluster

__all__ = ["px_client", "px_cluster"]

ENGINES = "2"
WAIT_S = 60.0
"""How long engines may take to be there."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many engines the cluster of `px_cluster` has."""
    text = "engines of the cluster that the fixture px_cluster starts"
    parser.addini("px_engines", text, default=ENGINES)
    parser.addoption("--px-engines", type=int, default=None, help=text)


@pytest.fixture(scope="session")
def px_cluster(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster for the whole run, apart from those of the user. It ends with the run."""
    from phalanx.cluster import Cluster

    engines = pytestconfig.getoption("--px-engines")
    if engines is None:
        engines = int(pytestconfig.getini("px_engines"))
    cluster = Cluster(n=engines, home=str(tmp_path_factory.mktemp("phalanx")))
    cluster.start_cluster_sync()
    yield cluster
    cluster.stop_cluster_sync()


@pytest.fixture
def px_client(px_cluster: Cluster) -> Iterator[Client]:
    """A client of it, for one test; its engines' namespaces are empty. What it left open is aborted."""
    client = px_cluster.connect_client_sync()
    try:
        client.wait_for_engines(px_cluster.n, timeout=WAIT_S)
        client.clear(block=True)
        yield client
        client.abort()
    finally:
        client.close()
