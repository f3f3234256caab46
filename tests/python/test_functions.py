"""What functions see and what goes along with them. This module stands for an interactive session."""

from __future__ import annotations

import colorsys
import functools
import math
import sys

import pytest

import phalanx as px
from phalanx.values.packing import FunctionCache, function_ref

__name__ = "__main__"


def helper(x):
    return x + 1


def uses_helper(x):
    return [helper(i) for i in range(x)]


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)


class Point:
    def __init__(self, x):
        self.x = x

    def doubled(self):
        return Point(helper(self.x) * 2)

    @staticmethod
    def origin():
        return Point(0)

    def __eq__(self, other):
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None


DATA = [1, 2, 3]


@pytest.mark.req(58)
def test_functions_of_the_session_see_the_namespace(view):
    view["a"] = 5
    assert view.apply(lambda: a) == [5] * 4  # noqa: F821


@pytest.mark.req(59)
def test_closures_can_be_sent(rc):
    def f(a):
        def inner():
            return a

        return inner

    f1, f2 = f(1), f(2)
    assert rc[0].apply_sync(f1) == 1
    assert rc[0].apply_sync(f2) == 2
    assert rc[0].apply_sync(f, 3)() == 3


@pytest.mark.req(60)
def test_unknown_names_are_name_errors_until_they_are_set(rc):
    def g(b):
        # b is not used in inner, and a is nobody's: no closure
        def inner():
            return a  # noqa: F821

        return inner

    with pytest.raises(px.RemoteError, match="NameError: name 'a' is not defined"):
        rc[0].apply_sync(g(1))
    rc[0]["a"] = 5
    assert rc[0].apply_sync(g(2)) == 5


def test_the_sessions_data_does_not_go_along(rc):
    with pytest.raises(px.RemoteError, match="NameError: name 'DATA' is not defined"):
        rc[0].apply_sync(lambda: DATA)
    rc[0]["DATA"] = "the engine's"
    assert rc[0].apply_sync(lambda: DATA) == "the engine's"


def test_helpers_and_modules_go_along_and_leave_no_trace(rc):
    assert rc[0].apply_sync(uses_helper, 3) == [1, 2, 3]
    assert rc[0].apply_sync(lambda: math.floor(2.5)) == 2
    names = rc[0].apply_sync(lambda: list(globals()))
    assert not {"helper", "math", "uses_helper"} & set(names)


def test_what_the_engine_has_comes_before_helpers(rc):
    rc[0].execute("def helper(x): return 'mine'", block=True)
    assert rc[0].apply_sync(uses_helper, 1) == ["mine"]


def test_a_helper_that_was_redefined_is_sent_anew(rc):
    global helper
    before = helper
    assert rc[0].apply_sync(uses_helper, 1) == [1]
    try:

        def helper(x):
            return "new"

        assert rc[0].apply_sync(uses_helper, 1) == ["new"]
    finally:
        helper = before


def test_recursion(rc):
    assert rc[0].apply_sync(factorial, 10) == 3_628_800
    assert rc[0].apply_sync(is_even, 7) is False

    def local(n):
        return 0 if n == 0 else 1 + local(n - 1)

    assert rc[0].apply_sync(local, 5) == 5


def test_partials_methods_and_decorated_functions(rc):
    assert rc[0].apply_sync(functools.partial(lambda a, b: a - b, b=1), 3) == 2
    assert rc[0].apply_sync(Point(4).doubled).x == 10
    assert rc[0].apply_sync(Point.origin).x == 0
    assert rc[0].apply_sync("a,b".split, ",") == ["a", "b"]

    def twice(f):
        @functools.wraps(f)
        def wrapper(*args):
            return f(f(*args))

        return wrapper

    @twice
    def increase(x):
        return x + 1

    assert rc[0].apply_sync(increase, 1) == 3
    assert rc[0].apply_sync(lambda n: sum(i for i in range(n)), 4) == 6


def test_classes_of_the_session_and_local_ones(rc):
    back = rc[0].apply_sync(lambda p: p.doubled(), Point(1))
    assert type(back) is Point
    assert back == Point(4)

    class Local:
        def __init__(self, n):
            self.n = n

    assert rc[0].apply_sync(lambda x: Local(x.n + 1), Local(1)).n == 2


def test_calls_do_not_share_defaults_and_closures(rc):
    def collect(x, into=[]):  # noqa: B006
        into.append(x)
        return into

    assert rc[0].apply_sync(collect, 1) == [1]
    assert rc[0].apply_sync(collect, 2) == [2]

    def counter():
        n = 0

        def count():
            nonlocal n
            n += 1
            return n

        return count

    count = counter()
    assert [rc[0].apply_sync(count) for _ in range(2)] == [1, 1]
    count()
    assert rc[0].apply_sync(count) == 2


def test_globals_are_set_on_the_engine(rc):
    def remember(x):
        global memory
        memory = x

    rc[0].apply_sync(remember, 7)
    assert rc[0]["memory"] == 7


def test_functions_of_a_module_keep_their_modules_globals(rc):
    rc[0]["ONE_THIRD"] = "not this"
    assert rc[0].apply_sync(colorsys.rgb_to_yiq, 1, 1, 1)[0] == pytest.approx(1.0)


def test_functions_are_packed_once_unless_they_can_change():
    assert function_ref(helper) is function_ref(helper)
    assert function_ref(colorsys.rgb_to_yiq) is function_ref(colorsys.rgb_to_yiq)

    def closed(n):
        return lambda: n

    f = closed([1])
    assert function_ref(f) is not function_ref(f)


def test_engines_keep_only_functions_that_cannot_change():
    cache = FunctionCache()
    assert cache.load(*function_ref(helper))[0] is cache.load(*function_ref(helper))[0]

    def with_state(x, seen=[]):  # noqa: B006
        return seen

    first, second = (cache.load(*function_ref(with_state))[0] for _ in range(2))
    assert first is not second


def test_keywords_docs_and_defaults_survive(rc):
    def f(a, b=2, *, c: int = 3) -> int:
        "what it is for"
        return a + b + c

    back = rc[0].apply_sync(lambda f: f, f)
    assert back(1) == 6
    assert (back.__doc__, back.__name__) == ("what it is for", "f")
    assert back.__kwdefaults__ == {"c": 3}
    assert back.__annotations__.keys() == {"c", "return"}


def test_a_module_that_the_engine_lacks_is_named(rc, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def f():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    with pytest.raises(px.RemoteError, match="ModuleNotFoundError: No module named 'only_here'"):
        rc[0].apply_sync(only_here.f)


def test_an_async_result_is_no_argument(rc):
    ar = rc[0].apply_async(lambda: 1)
    with pytest.raises(TypeError, match="cannot be sent"):
        rc[0].apply_async(lambda x: x, ar)


class Made:
    def __init__(self, value):
        self.value = value


def made(value):
    return Made(value)


class MadeAnew:
    def __reduce__(self):
        return made, (1,)


class Restored:
    def __setstate__(self, state):
        self.made = Made(state)

    def __getstate__(self):
        return 2


def test_objects_are_unpickled_by_what_their_classes_use_and_it_leaves_no_trace(rc, monkeypatch):
    for each in (Made, made, MadeAnew, Restored):
        monkeypatch.setattr(each, "__module__", "__main__")
        monkeypatch.setattr(sys.modules["__main__"], each.__name__, each, raising=False)
    view = rc[0]
    names = view.apply_sync(px.interactive(lambda: sorted(globals())))
    assert view.apply_sync(px.interactive(lambda x: x.value), MadeAnew()) == 1
    assert view.apply_sync(px.interactive(lambda x: x.made.value), Restored()) == 2
    with pytest.raises(px.RemoteError):
        view.apply_sync(px.interactive(lambda x, y: x), MadeAnew(), Refused())
    assert view.apply_sync(px.interactive(lambda: sorted(globals()))) == names


class Refused:
    def __reduce__(self):
        return int, ("no number",)


# ------------------------------------------------------------------ classes on both sides

PARTICLE = """
class Particle:
    def __init__(self, x):
        self.x = x
    class Kind(Exception):
        pass
class Heavy(Particle):
    pass
"""


@pytest.fixture
def particles(rc, monkeypatch):
    """A program that defines its classes here and on the engines, as plain pickle wants it."""
    names = {"__name__": "__main__"}
    exec(PARTICLE, names)
    main = sys.modules["__main__"]
    for name in ("Particle", "Heavy"):
        monkeypatch.setattr(main, name, names[name], raising=False)
    yield names
    rc[:].clear(block=True)


def test_a_class_that_is_defined_on_both_sides_is_one_class_on_each(rc, particles):
    rc[0].execute(PARTICLE, block=True)
    heavy, particle = particles["Heavy"], particles["Particle"]
    rc[0].execute("def is_one(x): return type(x) is Heavy and isinstance(x, Particle)", block=True)
    assert rc[0].apply_sync(px.Reference("is_one"), heavy(1))
    rc[0].execute("made = Heavy(2)", block=True)
    made = rc[0]["made"]
    assert type(made) is heavy
    assert isinstance(made, particle)
    assert made.x == 2
    with pytest.raises(particle.Kind):
        rc[0].execute("raise Particle.Kind('heavy')", block=True)


def test_a_class_that_came_by_value_gives_way_to_its_next_version(rc, particles):
    rc[1].push({"Particle": particles["Particle"]}, block=True)
    newer: dict = {"__name__": "__main__"}
    exec(PARTICLE + "    size = 3\n", newer)
    rc[1].execute("def size(x): return getattr(x, 'size', None)", block=True)
    assert rc[1].apply_sync(px.Reference("size"), newer["Heavy"](1)) == 3
    assert rc[1].apply_sync(px.Reference("size"), particles["Heavy"](1)) is None


# ------------------------------------------------------------------ functions of the interpreter


def test_functions_that_go_by_their_callers_names_see_the_namespace(rc):
    view = rc[0].set_flags(block=True)
    view.push({"a": 5})
    assert view.apply(eval, "a + 1") == 6
    view.apply(exec, "b = a * 2")
    assert view["b"] == 10
    assert view.map(eval, ["a", "b"]) == [5, 10]
    assert view.apply(eval, "a + c", {"a": 1, "c": 2}) == 3
    assert {"a", "b"} <= set(view.apply(dir))
    assert view.apply(dir, px.Reference("a")) == dir(5)
    with pytest.raises(TypeError):
        view.apply(eval)
    view.clear()


def test_methods_of_the_interpreter_have_their_object_as_it_is_here_at_each_call(rc):
    import random

    generator = random.Random(3)
    expected = random.Random(3).random()
    assert [rc[0].apply_sync(generator.random) for _ in range(2)] == [expected] * 2
    assert rc[0].map_sync(generator.randint, [1], [1]) == [1]
    items = [3, 1]
    assert rc[0].apply_sync(items.pop) == 1
    assert rc[0].apply_sync(items.pop) == 1
    items.append(7)
    assert rc[0].apply_sync(items.pop) == 7
