"""`@remote` and `@parallel`: functions that look local and run on the engines.

Products of two-dimensional arrays by element, a smoothed image by rows, and the three ways in which
a parallel function takes its arguments.

    python examples/python/ported/parallel_decorator.py
"""

import os

import numpy as np
import phalanx as ipp


def smooth_rows(image):
    """The mean of each point and its two neighbours in the row."""
    padded = np.pad(image, ((0, 0), (1, 1)), mode="edge")
    return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3


def main():
    """Makes the functions, calls them, and compares with local results."""
    with ipp.Cluster(n=4) as rc:
        dview = rc[:]
        dview.execute("import numpy as np", block=True)

        @dview.remote(block=True)
        def getpid():
            import os

            return os.getpid()

        pids = getpid()
        assert len(set(pids)) == len(rc) and os.getpid() not in pids
        assert getpid.__name__ == "getpid"

        @dview.parallel(block=True)
        def pmul(A, B):
            return A * B

        A = np.random.default_rng(1).random((64, 48))
        C_local = A * A
        C_remote = pmul(A, A)
        assert C_remote.shape == (64, 48)
        assert (C_local == C_remote).all()
        print(f"pmul: {C_remote.shape} on engines {rc.ids}, equal to A * A")

        # Rows that do not divide by the number of engines.
        odd = np.arange(7 * 3.0).reshape(7, 3)
        assert (pmul(odd, odd) == odd * odd).all()

        psmooth = ipp.parallel(dview, block=True)(smooth_rows)
        assert np.array_equal(psmooth(A), smooth_rows(A))

        @dview.parallel(block=True)
        def echo(x):
            return str(x)

        whole, single = echo(list(range(5))), echo.map(list(range(5)))
        assert whole == ["[0, 1]", "[2]", "[3]", "[4]"], whole
        assert single == ["0", "1", "2", "3", "4"], single
        print(f"echo(seq)     {whole}")
        print(f"echo.map(seq) {single}")

        # Round robin instead of neighbours.
        @dview.parallel(block=True, dist="r")
        def parts(x):
            return [list(x)]

        assert parts(list(range(8))) == [[0, 4], [1, 5], [2, 6], [3, 7]]

        # On a balanced view: tasks of a size that is said, wherever there is room.
        lview = rc.load_balanced_view()

        @lview.parallel(block=False, chunksize=10)
        def square(n):
            return n * n

        squares = square.map(range(95))
        assert squares.get() == [n * n for n in range(95)]
        assert len(squares.msg_ids) == 10
        print(f"square.map(range(95)): {len(squares.msg_ids)} tasks on {set(squares.engine_id)}")

        # What cannot be cut alike is refused here, before anything is sent.
        try:
            pmul(A, A[:3])
        except ValueError as error:
            print(f"refused: {error}")
        else:
            raise AssertionError("arrays of different lengths were cut together")


if __name__ == "__main__":
    main()
