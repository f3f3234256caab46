"""The tutorial of the direct interface, block by block, with the values that it documents.

Where Python 3 or the decisions at the end of the requirements differ from the tutorial, the comment at
the block says so. The module stands for an interactive session: its functions are those of `__main__`.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import re
import time

import numpy as np
import pytest

import phalanx as px
from phalanx import CompositeError, error, require

__name__ = "__main__"


@pytest.fixture
def session(rc):
    """`dview = rc[:]`, on engines whose namespaces are empty."""
    return rc[:].set_flags(block=False, targets=rc.ids)


# Creating a DirectView


@pytest.mark.req(1, 4, 7, 8)
def test_client_and_ids(cluster):
    with px.Client() as rc:
        assert rc.ids == [0, 1, 2, 3]
    with px.Client(cluster.connection_file) as rc:
        assert rc.ids == [0, 1, 2, 3]


@pytest.mark.req(13, 17)
def test_index_access(rc):
    dview = rc[:]
    assert repr(dview) == "<DirectView [0, 1, 2, 3]>"
    view = rc[1:3]
    assert repr(view) == "<DirectView [1, 2]>"
    assert [name for name in dir(view) if name.startswith("apply")] == [
        "apply",
        "apply_async",
        "apply_sync",
    ]


# Quick and easy parallelism


@pytest.mark.req(61)
def test_parallel_map(session):
    serial_result = [x**10 for x in range(32)]
    parallel_result = session.map_sync(lambda x: x**10, range(32))
    assert serial_result == parallel_result


@pytest.mark.req(65)
def test_remote_function(session):
    @session.remote(block=True)
    def getpid():
        import os

        return os.getpid()

    pids = getpid()
    assert len(set(pids)) == 4
    assert os.getpid() not in pids


@pytest.mark.req(66)
def test_parallel_function_on_arrays(session):
    a = np.random.random((64, 48))

    @session.parallel(block=True)
    def pmul(a, b):
        return a * b

    local = a * a
    remote = pmul(a, a)
    assert (local == remote).all()


@pytest.mark.req(67, 68)
def test_parallel_function_and_its_map(session):
    @session.parallel(block=True)
    def echo(x):
        return str(x)

    # Sub-ranges stay ranges in Python 3; lists print as documented.
    assert echo(list(range(5))) == ["[0, 1]", "[2]", "[3]", "[4]"]
    assert echo(range(5)) == ["range(0, 2)", "range(2, 3)", "range(3, 4)", "range(4, 5)"]
    assert echo.map(range(5)) == ["0", "1", "2", "3", "4"]


# Calling Python functions


@pytest.mark.req(26, 27, 28, 31, 34, 44)
def test_blocking_execution(rc, session):
    dview = session
    dview.block = True
    dview["a"] = 5
    dview["b"] = 10
    assert dview.apply(lambda x: a + b + x, 27) == [42, 42, 42, 42]  # noqa: F821

    dview.block = False
    assert dview.apply_sync(lambda x: a + b + x, 27) == [42, 42, 42, 42]  # noqa: F821

    rc[::2].execute("c=a+b")
    rc[1::2].execute("c=a-b")
    assert dview["c"] == [15, -5, 15, -5]


@pytest.mark.req(38, 76, 77)
def test_non_blocking_execution(session):
    def wait(t):
        import time

        tic = time.time()
        time.sleep(t)
        return time.time() - tic

    ar = session.apply_async(wait, 0.2)
    assert all(0.2 <= slept < 5 for slept in ar.get())

    ar = session.apply_async(wait, 1)
    assert ar.ready() is False
    with pytest.raises(px.TimeoutError, match=r"^Result not ready\.$"):
        ar.get(0.1)
    assert len(ar.get()) == 4


@pytest.mark.req(80)
def test_wait_for_many(session):
    def wait(t):
        import time

        time.sleep(t)
        return t

    pr_list = [session.apply_async(wait, 0.02) for _ in range(10)]
    assert session.wait(pr_list) is True
    assert pr_list[0].get() == [0.02] * 4
    assert pr_list[0].r == [0.02] * 4


@pytest.mark.req(21, 22, 23)
def test_block_and_targets(session):
    dview = session
    dview.targets = [0, 2]
    dview.block = False
    ar = dview.apply(lambda: 10)
    assert ar.get() == [10, 10]

    dview.targets = dview.client.ids  # all engines (4)
    dview.block = True
    assert dview.apply(lambda: 42) == [42, 42, 42, 42]


# Moving Python objects around


@pytest.mark.req(40, 42, 43)
def test_push_and_pull(session):
    dview = session
    dview.block = True
    assert dview.push({"a": 1.03234, "b": 3453}) == [None, None, None, None]
    assert dview.pull("a") == [1.03234, 1.03234, 1.03234, 1.03234]
    assert dview.pull("b", targets=0) == 3453
    assert dview.pull(("a", "b")) == [[1.03234, 3453]] * 4
    assert dview.push({"c": "speed"}) == [None, None, None, None]

    ar = dview.pull("a", block=False)
    assert ar.get() == [1.03234, 1.03234, 1.03234, 1.03234]


@pytest.mark.req(44)
def test_dictionary_interface(session):
    session["a"] = ["foo", "bar"]
    assert session["a"] == [["foo", "bar"]] * 4


@pytest.mark.req(45, 46)
def test_scatter_and_gather(session):
    dview = session
    dview.block = True
    # None today, where the tutorial has a list of None.
    assert dview.scatter("a", range(16)) is None
    parts = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert [list(part) for part in dview["a"]] == parts
    assert dview.gather("a") == list(range(16))


# Other things to look at


@pytest.fixture
def ipython(session):
    """A running IPython with the view's magics."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.user_ns["dview"] = session
    session.activate()
    yield shell
    InteractiveShell.clear_instance()


@pytest.mark.req(69, 110)
def test_parallel_list_comprehension(session, ipython):
    session.block = True
    session.scatter("x", range(64))
    ipython.run_cell("%px y = [i**10 for i in x]").raise_error()
    y = session.gather("y")
    assert y[:9] == [0, 1, 1024, 59049, 1048576, 9765625, 60466176, 282475249, 1073741824]


@pytest.mark.req(70)
def test_remote_imports(session, capsys):
    with session.sync_imports():
        import numpy
    assert capsys.readouterr().out == "importing numpy on engine(s)\n"
    assert session.apply_sync(lambda: numpy.arange(3).sum()) == [3] * 4


@pytest.mark.req(74)
def test_require(session):
    @require("re")
    def findall(pat, x):
        # re is guaranteed to be available
        return re.findall(pat, x)

    assert session.apply_sync(findall, "[0-9]+", "a1b22") == [["1", "22"]] * 4

    @require(time)
    def wait(t):
        time.sleep(t)
        return t

    assert session.apply_sync(wait, 0.01) == [0.01] * 4


# Parallel exceptions

ONE = """\
[{engine}:execute]:
---------------------------------------------------------------------------
ZeroDivisionError                         Traceback (most recent call last)
Cell In[N], line 1
----> 1 1/0

ZeroDivisionError: division by zero
"""


def printed(e, *args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        e.print_traceback(*args)
    return re.sub(r"In\[\d+\]", "In[N]", out.getvalue())


@pytest.mark.req(101, 102, 105, 106)
def test_composite_error(session):
    session.block = True
    with pytest.raises(CompositeError) as caught:
        session.execute("1/0")
    e = caught.value
    assert printed(e) == "".join(ONE.format(engine=i) + "\n" for i in range(4))
    assert repr(e) == "CompositeError(4)"
    attributes = {"args", "elist", "ename", "engine_info", "evalue", "message", "msg", "traceback"}
    methods = {"print_traceback", "raise_exception", "render_traceback"}
    for name in attributes | methods:
        assert hasattr(e, name)
    assert printed(e, 1) == ONE.format(engine=1)


@pytest.mark.req(104)
def test_raise_one_of_the_originals(session):
    with pytest.raises(px.RemoteError) as caught:
        try:
            session.execute("1/0", block=True)
        except error.CompositeError as e:
            e.raise_exception()
    assert caught.value.ename == "ZeroDivisionError"
    assert caught.value.evalue == "division by zero"


@pytest.mark.req(103, 112)
def test_the_limit_of_tracebacks(session, ipython, monkeypatch):
    monkeypatch.setattr(CompositeError, "tb_limit", 1)
    session.block = True
    result = ipython.run_cell("%px a=b")
    # The errors were shown as they came; what they were is kept.
    assert isinstance(result.error_in_exec, error.AlreadyDisplayedError)
    assert printed(result.error_in_exec.original_error) == (
        "[0:execute]:\n"
        "---------------------------------------------------------------------------\n"
        "NameError                                 Traceback (most recent call last)\n"
        "Cell In[N], line 1\n"
        "----> 1 a=b\n"
        "\n"
        "NameError: name 'b' is not defined\n"
        "\n"
        "... 3 more exceptions ...\n"
    )


@pytest.mark.req(79, 107)
def test_errors_without_blocking(session, monkeypatch):
    monkeypatch.setattr(CompositeError, "tb_limit", 1)
    ar = session.execute("1/0")
    with pytest.raises(CompositeError) as caught:
        ar.get()
    assert printed(caught.value) == ONE.format(engine=0) + "\n... 3 more exceptions ...\n"
    # The exception is kept, for %debug.
    assert ar._exception is caught.value


assert builtins.TimeoutError is px.TimeoutError
