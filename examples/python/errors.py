"""Errors of engines: caught as what they were, told apart by engine, kept beside the results that went well.

python examples/python/errors.py
"""

import pickle

import phalanx as px


class OutOfStock(Exception):
    """An error of this program's own, with more than a text."""

    def __init__(self, item: str, left: int) -> None:
        super().__init__(f"{item}: {left} left")
        self.item = item
        self.left = left


def order(item: str, count: int) -> str:
    """Fails for what there is too little of."""
    stock = {"nuts": 10, "bolts": 3}
    if count > stock[item]:
        raise OutOfStock(item, stock[item])
    return f"{count} {item}"


def main() -> None:
    """Raises errors on engines, and looks at them here."""
    with px.Cluster(n=2) as rc:
        view = rc.load_balanced_view()
        try:
            view.apply_sync(order, "bolts", 5)
        except OutOfStock as error:  # the class of this program, with its attributes
            print(f"caught {type(error.__cause__).__name__}: {error.left} {error.item} left")
            assert (error.item, error.left) == ("bolts", 3)
            assert isinstance(error, px.RemoteError)
            assert "raise OutOfStock" in "\n".join(error.render_traceback())
            assert pickle.loads(pickle.dumps(error)).left == 3

        # Errors in the places of the items that failed.
        orders = [("nuts", 1), ("screws", 1), ("bolts", 9), ("bolts", 2)]
        results = view.map_sync(lambda each: order(*each), orders, return_exceptions=True)
        kinds = [
            type(r.__cause__ or r).__name__ if isinstance(r, Exception) else r for r in results
        ]
        print(kinds)
        assert kinds == ["1 nuts", "KeyError", "OutOfStock", "2 bolts"]

        # One error for several engines, told apart by engine.
        rc[:].scatter("count", [1, 99], flatten=True, block=True)
        rc[:].push({"order": order}, block=True)
        try:
            rc[:].execute("ordered = order('nuts', count)", block=True)
        except px.CompositeError as errors:
            print(errors)
            assert [entry[3]["engine_id"] for entry in errors.elist] == [1]
        assert rc[0]["ordered"] == "1 nuts"


if __name__ == "__main__":
    main()
