"""Programs that were written for something else, on engines: an executor, an event loop, joblib, Dask.

python examples/python/elsewhere.py      (needs joblib and dask)
"""

import asyncio
import concurrent.futures
import itertools

import dask
import joblib
import phalanx as px
import phalanx.dask


def is_prime(n: int) -> bool:
    """Whether nothing divides it."""
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def count_primes(first: int, last: int) -> int:
    """How many primes there are from the first number on, up to the last."""
    return sum(map(is_prime, range(first, last)))


def with_executor(rc: px.Client) -> int:
    """What takes a `concurrent.futures.Executor`."""
    with rc.executor() as executor:
        futures = [executor.submit(count_primes, n, n + 500) for n in range(0, 10_000, 500)]
        return sum(future.result() for future in concurrent.futures.as_completed(futures))


def first_primes(rc: px.Client, wanted: int) -> list[int]:
    """An endless input: it is read as far as results are taken."""
    numbers = itertools.count()
    found: list[int] = []
    results = rc.load_balanced_view().imap(lambda n: (n, is_prime(n)), numbers, chunksize=50)
    for number, prime in results:
        found += [number] if prime else []
        if len(found) == wanted:
            break
    results.cancel()
    return found


async def on_an_event_loop(path: str) -> int:
    """Results that are awaited."""
    async with px.aio.Client(path) as rc:
        view = rc.load_balanced_view()
        calls = [view.apply(count_primes, n, n + 500) for n in range(0, 10_000, 500)]
        return sum(await asyncio.gather(*calls))


def with_joblib(rc: px.Client) -> int:
    """What runs on joblib, as scikit-learn does."""
    rc.load_balanced_view().register_joblib_backend()
    with joblib.parallel_config(backend="phalanx"):
        parts = joblib.Parallel()(
            joblib.delayed(count_primes)(n, n + 500) for n in range(0, 10_000, 500)
        )
    return sum(parts)


def with_dask(rc: px.Client) -> int:
    """A graph of Dask's."""
    parts = [dask.delayed(count_primes)(n, n + 500) for n in range(0, 10_000, 500)]
    total = dask.delayed(sum)(parts)
    return int(total.compute(scheduler=phalanx.dask.get, view=rc.load_balanced_view()))


def main() -> None:
    """Counts the primes below 10,000 in each way."""
    with px.Cluster(n=2) as rc:
        counts = {
            "executor": with_executor(rc),
            "event loop": asyncio.run(on_an_event_loop(rc.cluster.connection_file)),
            "joblib": with_joblib(rc),
            "dask": with_dask(rc),
        }
        primes = first_primes(rc, 10)
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    assert set(counts.values()) == {1229}
    print("the first primes:", *primes)
    assert primes == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]


if __name__ == "__main__":
    main()
