"""Random matrix theory: how far apart are the eigenvalues of random symmetric matrices?

Each engine makes matrices of its own, takes the spacings in the middle of the spectrum, and counts
them in a histogram; the sum of the histograms is Wigner's guess, not that of independent numbers.

    python examples/python/ported/rmt.py
"""

import numpy as np
import phalanx as ipp

SIZE = 40
MATRICES = 300
BINS = np.linspace(0.0, 4.0, 17)


def goe(n, random):
    """A matrix of the Gaussian orthogonal ensemble."""
    m = random.standard_normal((n, n))
    return (m + m.T) / 2


def center_eigenvalue_diffs(matrix):
    """Spacings of the eigenvalues in the middle quarter, where they lie evenly."""
    values = np.linalg.eigvalsh(matrix)
    n = len(values)
    return np.diff(values[3 * n // 8 : 5 * n // 8])


def ensemble_diffs(num, n, seed):
    """Spacings of many matrices, in units of their mean."""
    random = np.random.default_rng(seed)
    diffs = np.concatenate([center_eigenvalue_diffs(goe(n, random)) for _ in range(num)])
    return diffs / diffs.mean()


def normalized_histogram(diffs, bins):
    """Shares of the spacings in each bin, per unit of spacing."""
    counts, _ = np.histogram(diffs, bins)
    return counts / (counts.sum() * np.diff(bins))


def wigner(s):
    """Wigner's guess of the density of spacings."""
    return np.pi * s / 2 * np.exp(-np.pi * s**2 / 4)


@ipp.require("numpy")
def parallel_diffs(num, n, seed):
    """On an engine: `numpy` is there by `@require`, the helpers were pushed."""
    diffs = ensemble_diffs(num, n, seed)
    assert numpy.isfinite(diffs).all()
    return diffs


def main():
    """Runs the ensemble on all engines, a different seed on each, and compares the histogram."""
    with ipp.Cluster(n=4) as rc:
        view = rc[:]
        view.execute("import numpy as np", block=True)
        view.push(
            {
                "goe": goe,
                "center_eigenvalue_diffs": center_eigenvalue_diffs,
                "ensemble_diffs": ensemble_diffs,
            },
            block=True,
        )
        per_engine = MATRICES // len(rc)
        view.scatter("seed", rc.ids, flatten=True, block=True)
        assert view["seed"] == rc.ids, "one seed on each, not a list of one"
        ar = view.apply_async(parallel_diffs, per_engine, SIZE, ipp.Reference("seed"))
        parts = ar.get()
        again = rc[1].apply_sync(parallel_diffs, per_engine, SIZE, 1)

    assert not parts[0].flags.writeable, "what was received is read-only"
    assert np.array_equal(parts[1], again), "the same seed, the same matrices"
    assert not np.array_equal(parts[0], parts[1])
    diffs = np.concatenate(parts)
    density = normalized_histogram(diffs, BINS)
    middle = (BINS[1:] + BINS[:-1]) / 2
    for s, found in list(zip(middle, density, strict=True))[:8]:
        print(f"{s:5.2f} {'#' * round(40 * found):<36} {wigner(s):.2f} expected")
    assert np.abs(density - wigner(middle)).max() < 0.15
    assert density[0] < 0.35, "eigenvalues keep away from each other"
    print(f"{len(diffs)} spacings of {per_engine * 4} matrices")


if __name__ == "__main__":
    main()
