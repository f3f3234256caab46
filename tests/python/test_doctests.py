"""The examples in the documentation of every module, run against the shared cluster."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import phalanx as px

MODULES = [
    "phalanx",
    *(
        name
        for _, name, _ in pkgutil.walk_packages(px.__path__, "phalanx.")
        if name not in ("phalanx._phalanx", "phalanx.engine.__main__")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, cluster, rc, tmp_path, monkeypatch):
    """Each has `rc`, a blocking `view` of two engines on which `a` is 5 and `b` is 10, and `balanced`."""
    (tmp_path / "script.py").write_text("c = 3")
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(module, name, module):
        if not example.examples:
            continue
        rc.clear(block=True)
        view = px.DirectView(rc, [0, 1]).set_flags(block=True)
        view.push({"a": 5, "b": 10})
        example.globs = {
            **vars(module),
            "__name__": "__main__",  # functions of the examples are those of a session
            "px": px,
            "cluster": cluster,
            "rc": rc,
            "view": view,
            "balanced": px.LoadBalancedView(rc),
        }
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def test_every_public_name_has_an_example():
    lacking = []
    for name in px.__all__:
        thing = getattr(px, name)
        if getattr(thing, "__module__", "").startswith("phalanx.") and ">>>" not in (
            thing.__doc__ or ""
        ):
            lacking.append(name)
    assert [name for name in lacking if not issubclass(getattr(px, name), px.PhalanxError)] == []


USED = (
    px.Client,
    px.DirectView,
    px.LoadBalancedView,
    px.BroadcastView,
    px.ViewExecutor,
    px.Cluster,
)
HELD = (px.AsyncResult, px.AsyncMapResult, px.AsyncHubResult, px.ExecuteReply, px.ClusterManager)
BETWEEN_ROOMS = {
    *("abort_jobs", "abort_tasks", "attempts_ref", "check_flag", "engine_of", "engines_of_call"),
    *(
        "flags",
        "follow_output",
        "forget_history",
        "forget_open",
        "has_failed",
        "note",
        "open_place",
    ),
    *("options", "settle", "streamer", "submit_parts", "task_ids", "wait_for_jobs", "when_ready"),
    *("set_exception", "set_result", "set_running_or_notify_cancel"),  # not to be called
}
"""Members that other parts of the package use; nobody else need."""


def lacks_example(kind, name):
    member = inspect.getattr_static(kind, name)
    if isinstance(member, property):
        member = member.fget
    function = getattr(member, "__func__", member)
    if not inspect.isfunction(function) or not function.__module__.startswith("phalanx."):
        return False  # a value, or the standard library's
    told = inspect.getdoc(function) or ""
    return ">>>" not in told and not told.endswith("_sync`, to be awaited.")


@pytest.mark.parametrize("kind", [*USED, *HELD], ids=lambda kind: kind.__name__)
def test_every_method_has_an_example(kind):
    names = [name for name in dir(kind) if not name.startswith("_") and name not in BETWEEN_ROOMS]
    assert [name for name in names if lacks_example(kind, name)] == []


def test_signatures_say_what_is_taken():
    assert list(inspect.signature(px.Client).parameters)[:3] == [
        "connection_info",
        "url_file",
        "profile",
    ]
    assert "n" in inspect.signature(px.Cluster).parameters
