"""A notebook is executed as front ends do it: by nbclient, in an ipykernel."""

from __future__ import annotations

import sys

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

CELLS = [
    "import phalanx as px\nrc = px.Client({file!r})\nrc.ids",
    "%px import os\n%px print('from', 1 + 1)",
    "%%px\nfrom IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))",
    "%%px -t 0\n%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3]);",
    "%%px\n{{'a': 1}}",
    "ar = rc[:].apply_async(print, 'streamed')\nwith ar.stream_output():\n    ar.wait()",
    "ar.wait_interactive()",
    "rc[0].execute('6 * 7', silent=False).get()",
    "%autopx",
    "print('everywhere')",
    "%autopx",
    "%px 1/0",
]


class ThisPython(KernelSpecManager):
    """Kernels run in this interpreter, whatever is installed for the user."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="this", language="python")


@pytest.fixture(scope="module")
def notebook(cluster, tmp_path_factory):
    cells = [nbformat.v4.new_code_cell(text.format(file=cluster.connection_file)) for text in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    manager = AsyncKernelManager(kernel_spec_manager=ThisPython())
    where = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    NotebookClient(notebook, km=manager, timeout=50, allow_errors=True, resources=where).execute()
    return notebook


def texts(cell, kind="stdout"):
    return "".join(each.text for each in cell.outputs if each.get("name") == kind)


def shown(cell, form):
    return [each.data[form] for each in cell.outputs if form in each.get("data", {})]


@pytest.mark.timeout(120)
def test_a_notebook_runs(notebook):
    cells = notebook.cells
    errors = [i for i, cell in enumerate(cells) for o in cell.outputs if o.output_type == "error"]
    assert errors == [len(cells) - 1]
    assert shown(cells[0], "text/plain") == ["[0, 1, 2, 3]"]
    assert sorted(texts(cells[1]).splitlines()) == [f"[stdout:{i}] from 2" for i in range(4)]


def test_displays_of_engines_are_displays_of_the_notebook(notebook):
    assert shown(notebook.cells[2], "text/html") == ["<b>bold</b>"] * 4
    assert sorted(texts(notebook.cells[2]).splitlines()) == [f"[output:{i}]" for i in range(4)]
    (picture,) = shown(notebook.cells[3], "image/png")
    assert picture.startswith("iVBOR")


def test_values_of_engines_are_numbered(notebook):
    values = sorted(shown(notebook.cells[4], "text/plain"))
    assert [value.split(":")[0] for value in values] == [f"Out[{i}" for i in range(4)]
    assert all(value.endswith("]: {'a': 1}") for value in values)
    (value,) = shown(notebook.cells[7], "text/plain")
    assert value.startswith("Out[0:")
    assert value.endswith("]: 42")


def test_output_is_streamed_into_its_cell(notebook):
    assert sorted(texts(notebook.cells[5]).splitlines()) == [
        f"[stdout:{i}] streamed" for i in range(4)
    ]
    assert shown(notebook.cells[6], "text/plain") == []


def test_autopx_works_in_a_kernel(notebook):
    assert texts(notebook.cells[8]) == "%autopx enabled\n"
    assert texts(notebook.cells[9]).count("] everywhere") == 4
    assert texts(notebook.cells[10]) == "%autopx disabled\n"


def test_errors_are_shown_once_and_end_the_cell(notebook):
    cell = notebook.cells[-1]
    assert texts(cell, "stderr").count("ZeroDivisionError: division by zero") == 1
    (failure,) = [each for each in cell.outputs if each.output_type == "error"]
    assert failure.ename == "AlreadyDisplayedError"
    assert failure.traceback == ["4 errors"]
