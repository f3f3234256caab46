"""The fixtures that come with the package, in a test run of their own; and how things show in notebooks."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import phalanx as px
from phalanx.display.html import table

TESTS = """
import phalanx as px
from phalanx.display.html import table

def test_one(px_client, px_cluster):
    assert len(px_client) == px_cluster.n == 3
    px_client[:].push({"a": 1}, block=True)
    px_client[0].apply_async(__import__("time").sleep, 60)

def test_two(px_client):
    assert px_client.ids == [0, 1, 2]
    names = px_client[:].apply_sync(px.interactive(lambda: "a" in globals()))
    assert names == [False] * 3

def test_three(px_client):
    px_client.shutdown(hub=True)
"""


@pytest.mark.timeout(120)
def test_fixtures_of_the_package(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\npx_engines = 3\n")
    known = any(each.value == "phalanx.pytest_plugin" for each in entry_points(group="pytest11"))
    plugin = [] if known else ["-p", "phalanx.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", *plugin, str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_notebooks_show_tables(rc, dview):
    html = rc._repr_html_()
    assert html.count("<tr>") == 5
    assert "<td>python</td>" in html
    assert "<td>[0, 1, 2, 3]</td>" in dview._repr_html_()
    ar = dview.apply_async(divmod, 1, 0)
    ar.wait()
    html = ar._repr_html_()
    assert html.count("<td>failed</td>") == 4
    assert "4/4" in html
    many = px.LoadBalancedView(rc).map_async(abs, range(100))
    many.wait()
    assert "... and 68 more" in many._repr_html_()
    assert "<script" not in table("<script>", ["<script>"], [["<script>"]], 1)
