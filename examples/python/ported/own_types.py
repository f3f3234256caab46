"""Objects that do not pickle: how they are sent all the same, and objects that stay where they are.

A handle on a resource of one process (here a counter with a lock) is canned as what is needed to make
another one. A large table is pushed once, and named by a Reference afterwards; a conversion that takes long
is pickled once for many calls.

    python examples/python/ported/own_types.py
"""

import threading

import phalanx as ipp


class Counter:
    """Has a lock, so plain pickle refuses it."""

    def __init__(self, start):
        self.value = start
        self.lock = threading.Lock()


class CannedCounter:
    """What is sent in its place."""

    def __init__(self, counter):
        self.start = counter.value

    def get_object(self, g=None):
        """The counter again, on the other side."""
        return Counter(self.start)


def count(counter, by):
    """Uses the lock, which is the engine's own."""
    with counter.lock:
        counter.value += by
    return counter.value


@ipp.interactive
def total(column):
    """Looks at the table of its engine."""
    return sum(row[column] for row in table)


@ipp.require("statistics")
def middle(values):
    """Needs a module there."""
    return statistics.median(values)


def outer(n):
    """Gives a closure."""
    factor = n * 10

    def inner(x, add=lambda a, b: a + b):
        return add(factor, x)

    return inner


def main():
    """Sends all that, and compares."""
    with ipp.Cluster(n=2) as rc:
        view = rc[:]
        view.block = True

        view.push({"Counter": Counter, "CannedCounter": CannedCounter})
        ipp.can_map[Counter] = CannedCounter
        assert view.apply(count, Counter(40), 2) == [42, 42]
        assert view.apply(count, counter=Counter(1), by=by_two()) == [3, 3]
        del ipp.can_map[Counter]

        view["table"] = [{"a": n, "b": -n} for n in range(10)]
        assert view.apply(total, "a") == [45, 45]
        assert view.apply(len, ipp.Reference("table")) == [10, 10]
        assert rc[1].apply_sync(lambda row: row["b"], ipp.Reference("table[3]")) == -3
        rc[0]["table"] = []
        assert view.apply(total, "b") == [0, -45]

        assert view.apply(middle, [3, 1, 2]) == [2, 2]
        assert view.apply(outer(4), 2) == [42, 42]
        assert view.map(outer(1), [1, 2, 3]) == [11, 12, 13]

        # Dependencies on functions and objects, and decorated functions by name.
        scaled = ipp.require(outer, offset=5)(ipp.interactive(lambda x: outer(1)(x) + offset))
        assert view.apply(scaled, 1) == [16, 16]
        view.push({"square": lambda x: x * x})
        assert view.apply(ipp.Reference("square"), 7) == [49, 49]
        assert view.map(ipp.Reference("square"), range(4)) == [0, 1, 4, 9]

        # The pieces that programs with transports of their own use.
        parts = ipp.serialize_object({"x": list(range(5)), "y": b"z" * 5000})
        back, rest = ipp.deserialize_object(parts)
        assert back["x"] == [0, 1, 2, 3, 4] and back["y"] == b"z" * 5000 and not list(rest)
        assert ipp.uncan(ipp.can([1, {"a": (2, 3)}])) == [1, {"a": (2, 3)}]

        # Another pickler, here and on the engines.
        view.use_cloudpickle()
        limit = 3
        assert view.apply(lambda x: x < limit, 2) == [True, True]
        view.use_pickle()
        assert view.apply(pow, 2, 5) == [32, 32]
        print("sent and used:", view.apply(outer(0), 1))


def by_two():
    """A number that a function gives."""
    return 2


if __name__ == "__main__":
    main()
