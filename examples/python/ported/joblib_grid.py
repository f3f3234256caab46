"""joblib on a cluster: a grid of parameters by cross-validation, and scikit-learn's own search.

python examples/python/ported/joblib_grid.py
"""

import itertools
import os

import joblib
import numpy as np
import phalanx as ipp


def make_data(points, seed):
    """Points of a curve with noise."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, points)
    return x, np.sin(3 * x) + 0.1 * random.standard_normal(points)


def cross_validate(x, y, degree, ridge, folds=4):
    """The mean squared error of a polynomial fit, each fold predicted from the others."""
    errors = []
    columns = np.vander(x, degree + 1)
    for fold in range(folds):
        test = np.arange(len(x)) % folds == fold
        a, b = columns[~test], y[~test]
        weights = np.linalg.solve(a.T @ a + ridge * np.eye(degree + 1), a.T @ b)
        errors.append(np.mean((columns[test] @ weights - y[test]) ** 2))
    return degree, ridge, float(np.mean(errors)), os.getpid()


def main():
    """Searches the grid on the engines and here, then lets scikit-learn do the same."""
    x, y = make_data(200, 0)
    grid = list(itertools.product(range(1, 9), [1e-6, 1e-3, 1e-1]))
    here = [cross_validate(x, y, degree, ridge)[:3] for degree, ridge in grid]

    with ipp.Cluster(n=2) as rc:
        view = rc.load_balanced_view()
        view.register_joblib_backend(name="ipyparallel")
        with joblib.parallel_backend("ipyparallel"):
            found = joblib.Parallel(verbose=0)(
                joblib.delayed(cross_validate)(x, y, degree, ridge) for degree, ridge in grid
            )
        pids = {row[3] for row in found}
        assert os.getpid() not in pids and pids <= set(rc[:].apply_sync(os.getpid))
        assert np.allclose([row[2] for row in found], [row[2] for row in here])
        best = min(found, key=lambda row: row[2])
        print(f"best of {len(grid)}: degree {best[0]}, ridge {best[1]}, error {best[2]:.4f}")
        assert 3 <= best[0] <= 8 and best[2] < 0.02

        # scikit-learn runs on whatever joblib runs on.
        from sklearn.kernel_ridge import KernelRidge
        from sklearn.model_selection import GridSearchCV

        search = GridSearchCV(
            KernelRidge(kernel="rbf"), {"gamma": [0.1, 1.0, 10.0], "alpha": [1e-3, 1e-1]}, cv=3
        )
        with joblib.parallel_backend("ipyparallel"):
            search.fit(x[:, None], y)
        assert search.best_score_ > 0.95
        print(f"scikit-learn: {search.best_params_}, score {search.best_score_:.3f}")


if __name__ == "__main__":
    main()
