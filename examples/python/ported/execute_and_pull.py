"""A program of strings: scripts run on engines, results pulled from their namespaces.

Linear regression in the manner of a notebook: each engine makes its own data by a script, fits by
`execute`, and the client pulls attributes, elements and several names at once.

    python examples/python/ported/execute_and_pull.py
"""

import tempfile
from pathlib import Path

import phalanx as ipp

SCRIPT = """
import random
from types import SimpleNamespace

class Fit:
    def __init__(self, slope, intercept):
        self.slope, self.intercept = slope, intercept

    def predict(self, x):
        return self.slope * x + self.intercept

random.seed(number)
xs = [random.uniform(0, 10) for _ in range(points)]
ys = [slope * x + 1.0 + random.gauss(0, 0.1) for x in xs]
info = SimpleNamespace(points=len(xs), ranges=[min(xs), max(xs)])
"""

FIT = """
n = len(xs)
mean_x, mean_y = sum(xs) / n, sum(ys) / n
fit_slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)
fit = Fit(fit_slope, mean_y - fit_slope * mean_x)
print(f"engine {number}: slope {fit.slope:.3f}")
"""


def main():
    """Sets names, runs the script, fits, pulls, and cleans up."""
    with ipp.Cluster(n=3) as rc:
        dview = rc.direct_view("all")
        dview.block = True
        dview.push({"points": 400, "slope": 2.5})
        dview.scatter("number", rc.ids, flatten=True)
        # A name of one engine alone.
        rc[-1].push({"slope": -1.0}, block=True)
        assert dview.pull("slope") == [2.5, 2.5, -1.0]

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "make_data.py"
            path.write_text(SCRIPT)
            dview.run(str(path))
        assert dview["info.points"] == [400, 400, 400]
        assert rc[0]["info.ranges[1]"] > 9

        ar = dview.execute(FIT, block=False)
        ar.get()
        assert [text.split(":")[0] for text in ar.stdout] == ["engine 0", "engine 1", "engine 2"]
        print("".join(ar.stdout), end="")

        slopes = dview["fit.slope"]
        assert all(abs(a - b) < 0.02 for a, b in zip(slopes, [2.5, 2.5, -1.0], strict=True))
        # Several names give a list for each engine; a single engine gives no outer list.
        assert dview.pull(("points", "number")) == [[400, 0], [400, 1], [400, 2]]
        assert rc[1].pull(["points", "number"], block=True) == [400, 1]

        # A method of an object over there, named by a reference, and an attribute set from here.
        predictions = dview.apply(ipp.Reference("fit.predict"), 10)
        assert abs(predictions[0] - 26) < 0.2 and abs(predictions[2] + 9) < 0.2
        dview["fit.intercept"] = 0
        assert dview.apply(ipp.Reference("fit.predict"), 0) == [0, 0, 0]

        # Every second engine, and a function that changes its globals.
        def double():
            global points
            points *= 2
            return points

        assert rc[::2].apply_sync(double) == [800, 800]
        assert dview["points"] == [800, 400, 800]

        # IPython's syntax works on engines, and a rich result comes with silent=False.
        reply = rc[0].execute("points + 1", silent=False, block=True)
        assert "801" in str(reply.get() if hasattr(reply, "get") else reply)

        dview.clear()
        try:
            dview.pull("points")
        except ipp.CompositeError as error:
            print(f"after clear: {error.elist[0][0]} on {len(error.elist)} engines")
        else:
            raise AssertionError("a name has outlived clear")


if __name__ == "__main__":
    main()
