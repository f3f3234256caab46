"""What needs no cluster: history, partitions, dependencies, the engine's operations in this process."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

import phalanx as px
from phalanx.engine.interrupts import AbortRequested, Interrupts
from phalanx.engine.namespace import Namespace
from phalanx.engine.operations import METHODS, Operations
from phalanx.engine.streams import TaskStream
from phalanx.results.history import History
from phalanx.results.metadata import Metadata
from phalanx.values import packing, reference
from phalanx.values.partition import join, join_dealt, split


@pytest.mark.parametrize("count", range(12))
@pytest.mark.parametrize("parts", [1, 2, 4, 7])
@pytest.mark.parametrize("make", [range, lambda n: list(range(n)), lambda n: np.arange(n)])
def test_joining_is_the_inverse_of_splitting(count, parts, make):
    items = make(count)
    assert list(join(split(items, parts))) == list(range(count))
    assert list(join_dealt(split(items, parts, "r"))) == list(range(count))


def test_history_is_in_order_and_small():
    history = History()
    for seq in range(0, 100_000, 10):
        history.add((1, seq), 10)
    history.add((2, 5), 1)
    assert len(history) == 100_001
    assert (history[0], history[-1], history[-2]) == ("c1/0", "c2/5", "c1/99999")
    assert (1, 500) in history
    assert (2, 4) not in history
    assert len(history._ranges) == 2
    with pytest.raises(IndexError):
        history[100_001]


@pytest.mark.req(87)
def test_dependencies_know_when_they_are_met():
    both = px.Dependency(["c1/0", "c1/1"])
    assert not both.check(["c1/0"])
    assert both.check(["c1/0", "c1/1"])
    assert both.unreachable(["c1/0"], ["c1/1"])
    either = px.Dependency(["c1/0", "c1/1"], all=False, failure=True)
    assert either.check([], ["c1/1"])
    assert not either.unreachable([], ["c1/0", "c1/1"])
    assert px.Dependency().check([])
    assert either.as_dict() == {
        "dependencies": ["c1/0", "c1/1"],
        "all": False,
        "success": True,
        "failure": True,
    }
    with pytest.raises(ValueError, match="never be met"):
        px.Dependency("c1/0", success=False, failure=False)


class Engine:
    """The operations over a namespace of this process."""

    def __init__(self):
        self.module = types.ModuleType("__main__")
        self.unwanted = False
        self.said = []
        self.interrupts = Interrupts(lambda: self.unwanted)
        self.stdout = TaskStream(self.said.append, None)
        self.run = Operations(Namespace(self.module), self.interrupts, (self.stdout,), lambda: 0)

    def __call__(self, method, value, function=None):
        task = types.SimpleNamespace(
            method=f"python.{method}",
            parts=packing.pack_value(value),
            function=function,
            inputs=[],
        )
        answer = self.run(task)
        return packing.unpack_value(answer[1]) if answer[0] == "done" else answer


@pytest.fixture
def engine(monkeypatch):
    engine = Engine()
    monkeypatch.setitem(sys.modules, "__main__", engine.module)
    monkeypatch.setattr(reference, "_on_engine", True)
    yield engine
    InteractiveShell.clear_instance()


def test_every_method_is_there(engine):
    assert sorted(engine.run._operations) == sorted(METHODS)


def test_the_operations(engine):
    assert engine("push", {"a": 1, "b": [2]}) is None
    assert engine("pull", "a") == 1
    assert engine("pull", ["a", "b[0]"]) == [1, 2]
    assert engine("execute", ("a += 1\na", False))["execute_result"]["data"] == {"text/plain": "2"}
    assert engine("apply", ((3,),), packing.function_ref(px.interactive(lambda x: a + x))) == 5  # noqa: F821
    assert engine("apply", ((), {"x": 1}), packing.function_ref(px.interactive(lambda x: x))) == 1
    assert engine("apply", ([[1, 2]], None, False), packing.function_ref(abs)) == [1, 2]
    kind, message = engine("pull", "nothing")[1:3]
    assert (kind, message) == ("NameError", "name 'nothing' is not defined")
    engine("clear", None)
    assert engine("pull", "a")[0] == "failed"


def test_an_abort_counts_only_while_user_code_runs(engine):
    engine.interrupts.on_abort(0, None)
    engine.unwanted = True
    engine.interrupts.on_abort(0, None)
    # The task was taken when it came, and its code did not run yet: now it does not.
    assert engine("execute", ("never = 1", True)) == ("aborted",)
    assert not hasattr(engine.module, "never")
    engine.module.interrupts = engine.interrupts
    assert engine("execute", ("interrupts.on_abort(0, None)", True)) == ("aborted",)
    engine.unwanted = False
    assert engine("execute", ("interrupts.on_abort(0, None)", True)) == {"execution_count": 0}
    answer = engine("execute", ("interrupts.on_interrupt(0, None)", True))
    assert answer[:2] == ("failed", "KeyboardInterrupt")
    engine.interrupts.on_interrupt(0, None)
    assert issubclass(AbortRequested, KeyboardInterrupt)


def test_streams_hand_on_lines(engine):
    stream = engine.stdout
    stream.write("half ")
    assert engine.said == []
    stream.write("a line\nand more")
    assert engine.said == ["half a line\nand more"]
    stream.buffer.write(b"bytes")
    stream.flush()
    assert engine.said[-1] == "bytes"
    with pytest.raises(TypeError):
        stream.write(b"bytes")
    assert not stream.isatty()


def test_references_are_looked_up_on_engines_only(engine, monkeypatch):
    engine("push", {"a": 1})
    assert reference.resolve("a") == 1
    monkeypatch.setattr(reference, "_on_engine", False)
    assert reference.resolve("a") == px.Reference("a")


def test_metadata_has_fixed_keys():
    md = Metadata()
    md.label = "mine"
    assert md["label"] == "mine"
    with pytest.raises(AttributeError):
        md.colour = "red"
    with pytest.raises(KeyError):
        md["colour"] = "red"


@pytest.mark.req(7)
def test_everything_is_at_top_level():
    for name in px.__all__:
        assert getattr(px, name) is not None
    assert px.error.CompositeError is px.CompositeError
    assert isinstance(px.version_info, tuple)
