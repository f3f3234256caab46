"""A sweep of two parameters: a pendulum with friction, driven, for each frequency and strength.

The constants are pushed once to every engine; the grid goes as a balanced map; the table is filled
as points come in, and one row is checked against the plain loop.

    python examples/python/ported/parameter_sweep.py
"""

import math

import numpy as np
import phalanx as ipp

FREQUENCIES = np.linspace(0.4, 1.2, 9)
STRENGTHS = np.linspace(0.05, 0.35, 4)
CONSTANTS = {"friction": 0.3, "dt": 0.02, "steps": 1500}


def amplitude(frequency, strength):
    """The widest swing in the second half of the time; `friction`, `dt`, `steps` are the engine's."""
    angle, speed, widest = 0.0, 0.0, 0.0
    for n in range(steps):
        drive = strength * math.cos(frequency * n * dt)
        speed += dt * (drive - math.sin(angle) - friction * speed)
        angle += dt * speed
        if 2 * n > steps:
            widest = max(widest, abs(angle))
    return widest


def main():
    """Sweeps the grid and finds the resonance of each strength."""
    with ipp.Cluster(n=2) as rc:
        everywhere = rc[:]
        everywhere.block = True
        everywhere.push(CONSTANTS)
        everywhere.execute("import math")
        assert everywhere["steps"] == [1500, 1500]

        lview = rc.load_balanced_view()
        grid = [(f, s) for s in STRENGTHS for f in FREQUENCIES]
        ar = lview.map_async(amplitude, *zip(*grid, strict=True), chunksize=3)
        table = np.full(len(grid), np.nan)
        for i, value in enumerate(ar):
            table[i] = value
            assert ar.progress >= 1
        assert ar.progress == len(ar) == len(grid)
        table.shape = len(STRENGTHS), len(FREQUENCIES)

        # A finer sweep round the peak of the strongest drive, with keywords and a label.
        best = FREQUENCIES[table[-1].argmax()]
        finer = [
            lview.apply_async(amplitude, frequency=f, strength=STRENGTHS[-1])
            for f in np.linspace(best - 0.08, best + 0.08, 5)
        ]
        assert rc.wait(finer, timeout=60)
        peak = max(result.r for result in finer)

    globals().update(CONSTANTS)
    here = [amplitude(f, STRENGTHS[0]) for f in FREQUENCIES]
    assert np.allclose(table[0], here, rtol=1e-12)
    assert peak >= table[-1].max() - 1e-12
    for strength, row in zip(STRENGTHS, table, strict=True):
        top = FREQUENCIES[row.argmax()]
        print(f"strength {strength:.2f}: widest {row.max():.3f} at frequency {top:.2f}")
    # The harder it is driven the slower it swings: a pendulum is not a spring.
    tops = [FREQUENCIES[row.argmax()] for row in table]
    assert tops == sorted(tops, reverse=True) and tops[0] > tops[-1]


if __name__ == "__main__":
    main()
