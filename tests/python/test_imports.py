"""Imports on engines: `sync_imports` and `require`."""

from __future__ import annotations

import pytest

import phalanx as px


@pytest.mark.req(70)
def test_it_prints_what_it_imports(view, capsys):
    with view.sync_imports():
        import json
        from colorsys import hls_to_rgb, rgb_to_hls  # noqa: F401
    assert capsys.readouterr().out == (
        "importing json on engine(s)\nimporting hls_to_rgb,rgb_to_hls from colorsys on engine(s)\n"
    )
    assert view.apply(px.interactive(lambda: json.dumps([1]))) == ["[1]"] * 4
    assert view.apply(px.interactive(lambda: hls_to_rgb(0, 0, 0)[0])) == [0] * 4


def test_it_can_be_quiet(view, capsys):
    with view.sync_imports(quiet=True):
        import json  # noqa: F401
    with view.importer:
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.req(71)
def test_not_here_is_not_implemented(view):
    with pytest.raises(NotImplementedError):
        view.sync_imports(local=False)


@pytest.mark.req(72)
def test_another_name_is_not_bound_there(view):
    with view.sync_imports(quiet=True):
        import json as other  # noqa: F401
    names = view.apply(px.interactive(lambda: list(globals())))
    assert all("json" in each and "other" not in each for each in names)


@pytest.mark.req(73)
def test_only_imports_of_the_block_are_forwarded(view, capsys, tmp_path, monkeypatch):
    (tmp_path / "imports_more.py").write_text("import wave\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    view.execute(
        "import sys, types; sys.modules['imports_more'] = types.ModuleType('imports_more')"
    )

    def import_elsewhere():
        import chunk_of_nothing  # noqa: F401

    with view.sync_imports():
        import imports_more  # noqa: F401

        with pytest.raises(ImportError):
            import_elsewhere()
    assert capsys.readouterr().out == "importing imports_more on engine(s)\n"


def test_an_import_that_fails_there_is_raised_at_the_end(view, tmp_path, monkeypatch):
    (tmp_path / "is_only_here.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        pytest.raises(px.CompositeError, match="ModuleNotFoundError"),
        view.sync_imports(quiet=True),
    ):
        import is_only_here  # noqa: F401


@pytest.mark.req(74)
def test_require_modules(rc, view):
    @px.require("json", "os.path")
    @px.interactive
    def f():
        return json.dumps([os.path.basename("a/b")])  # noqa: F821

    assert view.apply(f) == ['["b"]'] * 4


@pytest.mark.req(74, 90, 109)
def test_require_what_is_not_there(rc, view):
    @px.require("no_such_module")
    def f():
        raise AssertionError("never called")

    with pytest.raises(px.UnmetDependency, match="no_such_module"):
        rc[0].apply_sync(f)
    with pytest.raises(px.CompositeError) as caught:
        view.apply(f)
    assert [entry[0] for entry in caught.value.elist] == ["UnmetDependency"] * 4


def test_require_functions_and_objects(rc):
    def helper(x):
        return x + 1

    @px.require(helper, offset=10)
    @px.interactive
    def f(x):
        return helper(x) + offset  # noqa: F821

    assert rc[0].apply_sync(f, 1) == 12
    with pytest.raises(TypeError):
        px.require(5)


@pytest.mark.req(90)
def test_depend(rc):
    def is_engine(wanted):
        return wanted

    @px.depend(is_engine, True)
    def runs():
        return 1

    @px.depend(is_engine, False)
    def does_not():
        raise AssertionError("never called")

    assert rc[0].apply_sync(runs) == 1
    with pytest.raises(px.UnmetDependency):
        rc[0].apply_sync(does_not)
