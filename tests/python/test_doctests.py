"""The examples in the documentation of every module, run against the shared cluster."""

from __future__ import annotations

import doctest
import importlib
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
