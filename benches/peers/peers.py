"""Phalanx beside its peers: the same small jobs, one Markdown table. See README.md."""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

ARRAY_LEN = 100_000_000
"""Bytes of the array of `echo` and `push`."""

TIMES = 3
"""How often a job is measured, after once to warm up."""

JOB_S = 180
"""How long a job may take on one system."""


def nothing(*_: Any) -> None:
    """What the calls do."""


def echo(value: Any) -> Any:
    """Gives back what it is given."""
    return value


class System:
    """A system under test. `submit` gives something that `get` waits for."""

    package = ""
    pushes = True

    def start(self, engines: int) -> None:
        """Starts engines and waits until they are there."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends what was started."""

    def submit(self, f: Callable[..., Any], *args: Any) -> Any:
        """Calls `f` on any engine."""
        raise NotImplementedError

    def get(self, future: Any) -> Any:
        """The result of a call."""
        return future.result()

    def map(self, f: Callable[..., Any], items: range) -> list[Any]:
        """A map with the system's own chunks."""
        raise NotImplementedError

    def push(self, value: Any, engines: int) -> None:
        """Brings a value to every engine."""
        raise NotImplementedError


class Phalanx(System):
    """`Cluster` and a load-balanced view; push by a direct view."""

    package = "phalanx"

    def start(self, engines: int) -> None:
        import phalanx

        self.cluster = phalanx.Cluster(n=engines)
        self.client = self.cluster.start_and_connect_sync()
        self.view = self.client.load_balanced_view()
        self.all = self.client[:]

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()

    def submit(self, f: Callable[..., Any], *args: Any) -> Any:
        return self.view.apply_async(f, *args)

    def get(self, future: Any) -> Any:
        return future.get()

    def map(self, f: Callable[..., Any], items: range) -> list[Any]:
        return self.all.map_sync(f, items)

    def push(self, value: Any, engines: int) -> None:
        self.all.push({"value": value}, block=True)


class Ipyparallel(Phalanx):
    """The same, by its own package."""

    package = "ipyparallel"

    def start(self, engines: int) -> None:
        import ipyparallel

        self.cluster = ipyparallel.Cluster(n=engines, log_level=40)
        self.client = self.cluster.start_and_connect_sync()
        self.view = self.client.load_balanced_view()
        self.all = self.client[:]


class Dask(System):
    """A LocalCluster of processes with one thread each."""

    package = "distributed"

    def start(self, engines: int) -> None:
        import distributed

        self.client = distributed.Client(
            distributed.LocalCluster(
                n_workers=engines, threads_per_worker=1, dashboard_address=None
            )
        )
        self.client.wait_for_workers(engines)

    def stop(self) -> None:
        self.client.shutdown()

    def submit(self, f: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(f, *args, pure=False)

    def map(self, f: Callable[..., Any], items: range) -> list[Any]:
        return self.client.gather(self.client.map(f, items, pure=False, batch_size=1000))

    def push(self, value: Any, engines: int) -> None:
        self.client.scatter(value, broadcast=True, hash=False)


class Ray(System):
    """Tasks on `ray.init`; a pool for maps; push by `put` and a call on each engine."""

    package = "ray"

    def start(self, engines: int) -> None:
        import ray

        self.ray = ray
        ray.init(num_cpus=engines, include_dashboard=False, log_to_driver=False, logging_level=40)
        self.remote: dict[Any, Any] = {}

    def stop(self) -> None:
        self.ray.shutdown()

    def submit(self, f: Callable[..., Any], *args: Any) -> Any:
        if f not in self.remote:
            self.remote[f] = self.ray.remote(f)
        return self.remote[f].remote(*args)

    def get(self, future: Any) -> Any:
        return self.ray.get(future)

    def map(self, f: Callable[..., Any], items: range) -> list[Any]:
        from ray.util.multiprocessing import Pool

        self.pool = getattr(self, "pool", None) or Pool()
        return self.pool.map(f, items)

    def push(self, value: Any, engines: int) -> None:
        reference = self.ray.put(value)
        self.ray.get([self.submit(nothing, reference) for _ in range(engines)])


class Executor(System):
    """concurrent.futures.ProcessPoolExecutor, started by fork as its default here."""

    package = "concurrent.futures"
    pushes = False

    def start(self, engines: int) -> None:
        self.pool = ProcessPoolExecutor(engines)
        self.pool.submit(nothing).result()

    def stop(self) -> None:
        self.pool.shutdown()

    def submit(self, f: Callable[..., Any], *args: Any) -> Any:
        return self.pool.submit(f, *args)

    def map(self, f: Callable[..., Any], items: range) -> list[Any]:
        return list(self.pool.map(f, items))


class Pool(System):
    """multiprocessing.Pool."""

    package = "multiprocessing"
    pushes = False

    def start(self, engines: int) -> None:
        self.pool = get_context("fork").Pool(engines)

    def stop(self) -> None:
        self.pool.terminate()

    def submit(self, f: Callable[..., Any], *args: Any) -> Any:
        return self.pool.apply_async(f, args)

    def get(self, future: Any) -> Any:
        return future.get()

    def map(self, f: Callable[..., Any], items: range) -> list[Any]:
        return self.pool.map(f, items)


SYSTEMS = {
    "Phalanx": Phalanx,
    "ProcessPoolExecutor": Executor,
    "multiprocessing.Pool": Pool,
    "ipyparallel": Ipyparallel,
    "Dask": Dask,
    "Ray": Ray,
}


def latency(system: System, _: int) -> float:
    """The median of calls one at a time, microseconds."""
    times = []
    for _ in range(500):
        start = time.perf_counter()
        system.get(system.submit(nothing))
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def noop(system: System, _: int) -> float:
    """Calls submitted one by one, then all gathered, a second."""
    start = time.perf_counter()
    futures = [system.submit(nothing) for _ in range(5_000)]
    for future in futures:
        system.get(future)
    return 5_000 / (time.perf_counter() - start)


def map_items(system: System, _: int) -> float:
    """Items of a map, a second."""
    items = range(20_000)
    start = time.perf_counter()
    result = system.map(abs, items)
    seconds = time.perf_counter() - start
    if result != list(items):
        raise AssertionError("the map gave something else")
    return len(items) / seconds


def array() -> Any:
    """What is sent there and back."""
    import numpy

    return numpy.ones(ARRAY_LEN, dtype="u1")


def echo_array(system: System, _: int) -> float:
    """A large array there and back, milliseconds."""
    value = array()
    start = time.perf_counter()
    back = system.get(system.submit(echo, value))
    seconds = time.perf_counter() - start
    if back.nbytes != value.nbytes:
        raise AssertionError("the array came back otherwise")
    return seconds * 1e3


def push_array(system: System, engines: int) -> float:
    """A large array to every engine, milliseconds."""
    value = array()
    start = time.perf_counter()
    system.push(value, engines)
    return (time.perf_counter() - start) * 1e3


JOBS: dict[str, tuple[Callable[[System, int], float] | None, str]] = {
    "startup": (None, "s, less is better"),
    "latency": (latency, "us, less is better"),
    "noop": (noop, "tasks/s"),
    "map": (map_items, "items/s"),
    "echo": (echo_array, "ms, less is better"),
    "push": (push_array, "ms, less is better"),
}


def measure(system: System, job: str, engines: int) -> float | None:
    """One job on one system."""
    run, _ = JOBS[job]
    if run is push_array and not system.pushes:
        return None
    if system.package:
        __import__(system.package)
    start = time.perf_counter()
    system.start(engines)
    try:
        system.get(system.submit(nothing))
        if run is None:
            return time.perf_counter() - start
        run(system, engines)
        return statistics.median(run(system, engines) for _ in range(TIMES))
    finally:
        system.stop()


def figure(name: str, job: str, engines: int) -> float | None:
    """One job on one system, in a process of its own."""
    command = [sys.executable, __file__, "--engines", str(engines), "--one", name, job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=JOB_S, check=True)
    except subprocess.TimeoutExpired:
        print(f"{name} {job}: not done in {JOB_S} s", file=sys.stderr)
        return None
    except subprocess.CalledProcessError as error:
        print(f"{name} {job}: {error.stderr[-2000:]}", file=sys.stderr)
        return None
    value: float | None = json.loads(done.stdout.splitlines()[-1])
    return value


def text(value: float | None) -> str:
    """Three digits of it."""
    if value is None:
        return "-"
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def main() -> None:
    """Measures all that is installed, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("SYSTEM", "JOB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, job = options.one
        print(json.dumps(measure(SYSTEMS[name](), job, options.engines)))
        return
    names = [name for name, system in SYSTEMS.items() if importlib.util.find_spec(system.package)]
    print("| job | unit | " + " | ".join(names) + " |")
    print("|---|---|" + "---:|" * len(names), flush=True)
    for job, (_, unit) in JOBS.items():
        row = [text(figure(name, job, options.engines)) for name in names]
        print(f"| `{job}` | {unit} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
