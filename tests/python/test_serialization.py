"""Ways to serialize: canning, other picklers, buffers, values sent to many, modules that engines lack."""

from __future__ import annotations

import copy
import functools
import io
import sys

import numpy as np
import pytest

import phalanx as px
from phalanx.values import versions


class Box:
    """Something that cannot be pickled by itself."""

    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        raise TypeError("a box is not pickled")


class CannedBox:
    def __init__(self, box):
        self.content = box.content

    def get_object(self, g=None):
        return Box(self.content)


class Shelf:
    def __init__(self, *boxes):
        self.boxes = list(boxes)


@pytest.fixture
def rules():
    yield px.can_map
    px.can_map.clear()
    px.uncan_map.clear()


@pytest.fixture
def pickler(rc):
    yield
    px.use_pickle()
    rc[:].use_pickle().get()


# ------------------------------------------------------------------ rules of one's own


def test_types_of_ones_own_travel_anywhere_in_the_arguments(rc, rules):
    with pytest.raises(TypeError, match="not pickled"):
        rc[0].apply_sync(len, [Box(1)])
    rules[Box] = CannedBox
    sent = {"shelf": Shelf(Box(1), Box(2)), "many": [Box(n) for n in range(100)]}
    assert rc[0].apply_sync(
        lambda d: sum(box.content for box in [*d["shelf"].boxes, *d["many"]]), sent
    ) == 3 + sum(range(100))
    rc[0]["box"] = Box("pushed")
    assert rc[0].apply_sync(px.interactive(lambda: box.content)) == "pushed"  # noqa: F821


def test_rules_by_a_dotted_name(rules):
    rules[f"{__name__}.Box"] = lambda box: ("box", box.content)
    px.uncan_map[tuple] = lambda canned, g: Box((canned[1], g))
    assert px.can(Box(5)) == ("box", 5)
    assert px.uncan(px.can(Box(5)), {"a": 1}).content == (5, {"a": 1})


def test_canned_functions_see_the_namespace_given():
    f = px.uncan(px.can(px.interactive(lambda x: x + a)), {"a": 40})  # noqa: F821
    assert f(2) == 42
    whole = px.can({"f": functools.partial(pow, 2), "n": 3, "plain": [1, (2, 3)]})
    assert whole["n"] == 3
    assert whole["plain"] == [1, (2, 3)]
    assert px.uncan(whole)["f"](5) == 32
    assert px.uncan(px.can([px.Reference("b[0]")]), {"b": [7]}) == [7]


# ------------------------------------------------------------------ buffers


def test_objects_as_buffers():
    array = np.arange(5000)
    buffers = px.serialize_object([array, b"y" * 2000, "z"])
    assert len(buffers) == 3
    assert sum(memoryview(buffer).nbytes for buffer in buffers) < array.nbytes + 3000
    (back, data, text), rest = px.deserialize_object([*buffers, b"next"])
    assert (back == array).all()
    assert (data, text, rest) == (b"y" * 2000, "z", [b"next"])
    with pytest.raises(ValueError, match="no buffer"):
        px.deserialize_object([])
    with pytest.raises(ValueError, match="has 3 buffers, and here are 1"):
        px.deserialize_object(buffers[:1])
    assert px.serialize.serialize_object is px.serialize_object
    assert px.wrap_exception is px.error.wrap_exception


def test_calls_as_buffers():
    message = px.pack_apply_message(lambda x, y=0: x + y, [1], {"y": 2})
    assert all(isinstance(memoryview(buffer), memoryview) for buffer in message)
    f, args, kwargs = px.unpack_apply_message([bytes(buffer) for buffer in message])
    assert f(*args, **kwargs) == 3
    f, args, kwargs = px.unpack_apply_message(
        px.pack_apply_message(px.interactive(lambda: a), [], {}),  # noqa: F821
        {"a": 9},
    )
    assert f(*args, **kwargs) == 9


# ------------------------------------------------------------------ other picklers


@pytest.mark.parametrize("name", ["use_cloudpickle", "use_dill", "use_pickle"])
def test_other_picklers_for_a_view_and_its_engines(rc, pickler, name):
    view = rc[:].set_flags(block=True)
    assert getattr(view, name)() == [None] * 4
    factor = 3
    assert view.apply(lambda x: [factor * x, np.arange(3)], 2)[0][0] == 6
    assert view.map(lambda x: x + factor, range(5)) == [3, 4, 5, 6, 7]
    view["a"] = 5
    assert view.apply(lambda x: x, px.Reference("a")) == [5] * 4
    assert view.apply(bytes, memoryview(b"x" * 5000))[0] == b"x" * 5000
    with pytest.raises(ZeroDivisionError):
        view.apply(divmod, 1, 0)
    ar = rc.load_balanced_view().apply_async(px.require("json")(lambda: json.dumps([1])))  # noqa: F821
    if name != "use_pickle":
        # As these have it: the engine's namespace is not what the function sees.
        with pytest.raises(px.RemoteError):
            ar.get(timeout=30)
    else:
        assert ar.get(timeout=30) == "[1]"


def test_without_dill_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "dill", None)
    with pytest.raises(ImportError, match="dill"):
        px.use_dill()


# ------------------------------------------------------------------ once for many


class Counted:
    pickled = 0

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        Counted.pickled += 1
        return (str, (self.value,))


def test_a_pre_pickled_value_is_pickled_once_for_all(rc, dview, lview):
    Counted.pickled = 0
    value = px.PrePickled(Counted("big"))
    assert dview.apply_sync(len, value) == [3] * 4
    assert lview.map_sync(lambda x, y: len(x) + y, [value] * 10, range(10)) == list(range(3, 13))
    rc[0]["v"] = value
    assert rc[0]["v"] == "big"
    assert Counted.pickled == 1


def test_a_reference_anywhere(rc):
    rc[0]["a"] = {"k": [1, 2, 3]}
    reference = px.Reference("a['k'][2]")
    shapes = [[reference] * 100, {"x": (reference, {"y": {reference}})}, px.PrePickled(reference)]
    assert rc[0].apply_sync(lambda *args: args, *shapes) == (
        [3] * 100,
        {"x": (3, {"y": {3}})},
        3,
    )


# ------------------------------------------------------------------ functions


def logged(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return ["called", f(*args, **kwargs)]

    return wrapper


class Machine:
    factor = 2

    def __init__(self, base):
        self.base = base

    def run(self, x):
        return self.base + self.factor * x

    @classmethod
    def make(cls, x):
        return cls(x).run(0)

    def __call__(self, x):
        return -self.run(x)


def test_functions_of_every_kind(rc):
    @logged
    def twice(x):
        """Doubles."""
        return 2 * x

    def countdown(n):
        while n:
            yield n
            n -= 1

    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    async def later():
        return 1

    call = rc[0].apply_sync
    assert call(twice, 4) == ["called", 8]
    assert call(lambda: (twice.__name__, twice.__doc__)) == ("twice", "Doubles.")
    assert call(lambda: list(countdown(3))) == [3, 2, 1]
    assert call(fib, 12) == 144
    machine = Machine(10)
    assert call(machine.run, 3) == 16
    assert call(Machine.make, 5) == 5
    assert call(machine, 1) == -12
    assert call(functools.partial(machine.run, x=4)) == 18
    assert call(Machine, 3).base == 3
    assert call(lambda: __import__("asyncio").run(later())) == 1
    assert call(str.upper, "a") == "A"
    assert call("a-b".split, "-") == ["a", "b"]
    assert call(max, [1, 3], key=lambda x: -x) == 1


def test_a_generator_is_refused_by_name(rc):
    with pytest.raises(TypeError, match="generator"):
        rc[0].apply_sync(list, (x for x in range(3)))
    with pytest.raises(px.RemoteError, match="generator"):
        rc[0].apply_sync(lambda: (x for x in range(3)))
    with pytest.raises(TypeError, match="FileIO"):
        rc[0].apply_sync(lambda f: f, io.FileIO(__file__))


# ------------------------------------------------------------------ modules that engines lack


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module of this program that the engines do not find."""
    (tmp_path / "only_here.py").write_text(
        "def f(x):\n    return g(x) + 1\n\ndef g(x):\n    return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    yield only_here
    sys.modules.pop("only_here", None)


def test_clients_and_views_are_refused_by_name(rc, lview):
    for thing in (rc, lview, rc[0]):
        with pytest.raises(TypeError, match=r"cannot be sent.*px\.Client\(\)"):
            rc[0].apply_sync(id, thing)
        with pytest.raises(TypeError, match=r"cannot be sent.*px\.Client\(\)"):
            rc[0].apply_sync(functools.partial(lambda closed: closed, thing))
    again = copy.copy(lview)
    assert again.set_flags(block=True).apply(abs, -1) == 1
    assert not lview.block


def test_a_module_that_engines_lack_is_named_with_what_to_do(rc, own_module):
    for call in (
        lambda: rc[0].apply_sync(own_module.f, 1),
        lambda: rc[0].apply_sync(lambda f: f(1), own_module.f),
        lambda: rc[0].push({"f": own_module.f}, block=True),
    ):
        with pytest.raises(ModuleNotFoundError) as caught:
            call()
        assert caught.value.evalue == "No module named 'only_here'"
        assert "install it where the engine runs, or send" in caught.value.traceback
        assert "register_pickle_by_value" in caught.value.traceback


def test_a_local_module_can_be_sent_by_value(rc, own_module):
    cloudpickle = pytest.importorskip("cloudpickle")
    # As an error of this asks for: the function was sent by its name before.
    with pytest.raises(ModuleNotFoundError):
        rc[0].apply_sync(own_module.f, 3)
    cloudpickle.register_pickle_by_value(own_module)
    try:
        assert rc[0].apply_sync(own_module.f, 3) == 7
        assert rc[:].map_sync(own_module.f, range(4)) == [1, 3, 5, 7]
    finally:
        cloudpickle.unregister_pickle_by_value(own_module)
    with pytest.raises(ModuleNotFoundError):
        rc[0].apply_sync(own_module.f, 3)


# ------------------------------------------------------------------ versions


def test_engines_of_another_python_are_told_of_when_connecting(rc, cluster, monkeypatch):
    assert all(versions.label() in engine["labels"] for engine in rc.engines)
    monkeypatch.setattr(versions, "label", lambda: "python=3.99")
    with pytest.warns(
        RuntimeWarning, match=r"engines 0, 1, 2, 3 run Python 3\.\d+, this is 3.99"
    ) as told:
        other = px.Client(cluster.connection_file)
    with other:
        other.wait_for_engines(4, timeout=30)
        assert len(told) == 1
        assert "\n" not in str(told[0].message)
