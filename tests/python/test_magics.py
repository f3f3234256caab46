"""%px and %%px, in a real IPython."""

from __future__ import annotations

import pytest

import phalanx as px


@pytest.fixture
def ipython(view):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    view.activate()
    yield shell
    InteractiveShell.clear_instance()


@pytest.mark.req(110)
def test_a_line_runs_on_every_engine(ipython, view):
    ipython.run_cell("%px a = 6 * 7").raise_error()
    assert view["a"] == [42] * 4


@pytest.mark.req(110)
def test_output_and_values_are_shown(ipython, capsys):
    ipython.run_cell("%px print('hello')\n").raise_error()
    assert capsys.readouterr().out == "".join(f"[stdout:{i}] hello\n" for i in range(4))
    ipython.run_cell("%%px --targets ::2\n1 + 1").raise_error()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Out[0", "Out[2"]
    assert all(line.endswith(": 2") for line in lines)


@pytest.mark.req(111)
def test_block_and_targets_of_the_view_rule(ipython, view):
    view.targets = [1]
    view.block = False
    result = ipython.run_cell("%px b = 1").result
    assert isinstance(result, px.AsyncResult)
    result.get()
    assert len(result) == 1
    cell = ipython.run_cell("%%px --block -t 0,2\nc = 2")
    cell.raise_error()
    assert cell.result is None
    assert px.DirectView(view.client, [0, 2])["c"] == [2, 2]


@pytest.mark.req(112)
def test_errors_are_composite_errors(ipython, capsys):
    result = ipython.run_cell("%px 1/0")
    assert isinstance(result.error_in_exec, px.CompositeError)
    shown = capsys.readouterr().out
    assert "[0:execute]:" in shown
    assert "----> 1 1/0" in shown


def test_a_suffix(ipython, view):
    other = px.DirectView(view.client, 3).set_flags(block=True)
    other.activate("_last")
    ipython.run_cell("%px_last d = 3").raise_error()
    assert other["d"] == 3


def test_outside_of_ipython_it_warns(rc):
    with pytest.warns(UserWarning, match="IPython"):
        rc[:].activate()
