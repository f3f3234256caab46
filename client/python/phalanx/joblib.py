"""joblib on a cluster: `parallel_config(backend="phalanx")`, after `register_joblib_backend()`.

Every kind of `return_as` and `timeout` work; small calls are batched as joblib does. Functions go by value
with the globals they use, as joblib's own backends send them; the engines need joblib. Who may use it:
users, by `register_joblib_backend`; scikit-learn and others through joblib. It starts no processes, unless
there is no cluster at all.

>>> from joblib import Parallel, delayed, parallel_config
>>> px.register_joblib_backend()
>>> with parallel_config(backend="phalanx"):
...     Parallel()(delayed(pow)(n, 2) for n in range(5))
[0, 1, 4, 9, 16]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from joblib import register_parallel_backend
from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase, SequentialBackend

from phalanx.cluster.bydefault import default_view
from phalanx.values.packing import PrePickled
from phalanx.views.load_balanced import LoadBalancedView

if TYPE_CHECKING:
    from phalanx.results.asyncresult import AsyncResult

__all__ = ["PhalanxBackend", "register"]

NAMES = ("phalanx", "ipyparallel")
"""The names under which the backend is known unless another is given; the second is for old programs."""


class PhalanxBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's batches as tasks of a load-balanced view, by default over the default cluster.

    `parallel_config(backend="phalanx", view=view)` names another view. `n_jobs` of -1 are all engines; of
    fewer than there are engines, only so many are used.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True
    uses_threads = False
    supports_sharedmem = False

    # A task costs us a tenth of a millisecond, not the tenth of a second that joblib counts with.
    MIN_IDEAL_BATCH_DURATION = 0.02
    MAX_IDEAL_BATCH_DURATION = 0.5

    def __init__(self, view: LoadBalancedView | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._given = view
        self._view: LoadBalancedView | None = None

    def _new_view(self, n_jobs: int | None = None) -> LoadBalancedView:
        """A view with a history of its own, so that nobody else's tasks are aborted."""
        given = self._given or default_view()
        view = LoadBalancedView(given.client, given.targets)
        if n_jobs is not None and n_jobs < len(view):
            view.targets = (view.targets or view.client.ids)[:n_jobs]
        return view

    def effective_n_jobs(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, n_jobs: int | None
    ) -> int:
        """How many tasks may run at once."""
        if n_jobs == 0:
            raise ValueError("n_jobs is 0: nothing could run; -1 is all engines")
        engines = max(1, len(self._new_view()))
        if n_jobs is None:
            return engines
        return min(n_jobs, engines) if n_jobs > 0 else max(1, engines + 1 + n_jobs)

    def configure(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        **options: Any,
    ) -> int:
        """Makes ready for one `Parallel`; how many tasks may run at once."""
        self.parallel = parallel
        effective = self.effective_n_jobs(n_jobs)
        self._view = self._new_view(effective)
        self.reset_batch_stats()
        return effective

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None
    ) -> AsyncResult:
        """Sends a batch; `callback(future)` is called once it has ended."""
        if self._view is None:
            self._view = self._new_view()
        result = self._view.apply_async(run_batch, PrePickled.by_value(func))
        if callback is not None:
            result.add_done_callback(callback)
        return result

    def retrieve_result_callback(self, out: AsyncResult) -> Any:
        """What the batch returned; raises what it raised."""
        return out.get(0)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Aborts what has not ended; the next call finds the backend ready."""
        if self._view is not None:
            self._view.abort()

    def terminate(self) -> None:
        """Forgets the view. Engines go on."""
        self._view = None

    def get_nested_backend(self) -> tuple[Any, None]:
        """What `Parallel` inside of a task uses: nothing beside, since each core has an engine."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None


def run_batch(batch: Callable[[], Any]) -> Any:
    """Runs a batch, on an engine.

    >>> run_batch(lambda: [1])
    [1]
    """
    return batch()


def register(
    name: str | None = None, make_default: bool = False, view: LoadBalancedView | None = None
) -> None:
    """Makes the backend known to joblib, by default as `"phalanx"` and, for old programs, `"ipyparallel"`.

    >>> register("mine", view=rc.load_balanced_view([0, 1]))
    """
    for each in NAMES if name is None else (name,):
        register_parallel_backend(
            each, partial(PhalanxBackend, view=view), make_default=make_default and each != NAMES[1]
        )
