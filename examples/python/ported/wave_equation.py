"""The wave equation on a square, cut into strips: one strip for each engine, edges by the client.

Every engine keeps its strip in its namespace. In each step the client pulls the rows at the edges,
pushes each to the neighbour as its ghost row, and lets all strips take the step. The result is the
same, number by number, as that of one process.

    python examples/python/ported/wave_equation.py
"""

import numpy as np
import phalanx as ipp

N = 65
STEPS = 60
C = 1.0
DX = 1.0 / (N - 1)
DT = 0.5 * DX / C


def initial(n):
    """A bump off the middle, at rest; the edges of the square are held at zero."""
    x = np.linspace(0, 1, n)
    u = np.exp(-120 * ((x[:, None] - 0.4) ** 2 + (x[None, :] - 0.55) ** 2))
    u[0] = u[-1] = 0
    u[:, 0] = u[:, -1] = 0
    return u


def advance(u, u_before, k):
    """One step of the inner points of a strip that has a ghost row above and below."""
    new = u.copy()
    new[1:-1, 1:-1] = (
        2 * u[1:-1, 1:-1]
        - u_before[1:-1, 1:-1]
        + k * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1])
    )
    return new


def serial(u, steps, k):
    """The same by one process."""
    before = u
    for _ in range(steps):
        u, before = advance(u, before, k), u
    return u


def setup_strip():
    """On the engine: the strip between two ghost rows, and the same one step ago."""
    global u, u_before
    zero = np.zeros((1, strip.shape[1]))
    u = np.vstack([zero, strip, zero])
    u_before = u.copy()


def step_strip(first, last):
    """On the engine: ghost rows in, one step, and the rows at the edge of the square held."""
    global u, u_before
    if above is not None:
        u[0] = above
    if below is not None:
        u[-1] = below
    u_new = advance(u, u_before, k)
    if first:
        u_new[1] = u[1]
    if last:
        u_new[-2] = u[-2]
    u, u_before = u_new, u
    return float(np.abs(u[1:-1]).max())


def exchange(rc, ids):
    """Edges of the strips to the neighbours, through the client."""
    edges = rc[ids].pull(["u[1]", "u[-2]"], block=True)
    for i, engine in enumerate(ids):
        rc[engine].push(
            {
                "above": edges[i - 1][1] if i > 0 else None,
                "below": edges[i + 1][0] if i + 1 < len(ids) else None,
            },
            block=False,
        )


def main():
    """Scatters the square, steps, gathers and compares."""
    u0 = initial(N)
    k = (C * DT / DX) ** 2
    with ipp.Cluster(n=3) as rc:
        view = rc[:]
        view.block = True
        with view.sync_imports():
            import numpy
        view.execute("np = numpy")
        view.push({"advance": advance, "k": k})
        view.scatter("strip", u0)
        view.apply(setup_strip)
        ids = rc.ids
        flags = [(i == 0, i == len(ids) - 1) for i in range(len(ids))]
        for _ in range(STEPS):
            exchange(rc, ids)
            steps = [rc[e].apply_async(step_strip, *flags[i]) for i, e in enumerate(ids)]
            heights = [step.get() for step in steps]
        view.execute("inner = u[1:-1]")
        u = view.gather("inner")
        assert isinstance(u, np.ndarray) and u.shape == (N, N)

    expected = serial(u0, STEPS, k)
    assert np.array_equal(u, expected), np.abs(u - expected).max()
    assert abs(max(heights) - np.abs(expected).max()) < 1e-12
    print(
        f"{STEPS} steps of {N} x {N} points in {len(ids)} strips; highest point {max(heights):.4f}"
    )
    print("equal to the one process's result")


if __name__ == "__main__":
    main()
