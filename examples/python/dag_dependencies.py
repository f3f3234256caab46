"""A random graph of dependencies: every task starts after its predecessors have ended, as a picture shows.

    python examples/python/dag_dependencies.py [--tasks 32] [--edges 128] [--picture dag.png]

With networkx the graph is one of its own; without, it is made by hand. With matplotlib and `--picture` it
is drawn by the time at which each task started.
"""

from __future__ import annotations

import argparse
import random
import time
from datetime import datetime

import phalanx as px


def random_dag(tasks: int, edges: int) -> list[list[int]]:
    """For each task those that must have ended before it."""
    rng = random.Random(11)
    before: list[set[int]] = [set() for _ in range(tasks)]
    most = tasks * (tasks - 1) // 2
    while sum(map(len, before)) < min(edges, most):
        first, second = sorted(rng.sample(range(tasks), 2))
        before[second].add(first)
    try:
        import networkx
    except ImportError:
        return [sorted(each) for each in before]
    graph = networkx.DiGraph([(a, b) for b, each in enumerate(before) for a in each])
    graph.add_nodes_from(range(tasks))
    assert networkx.is_directed_acyclic_graph(graph)
    return [sorted(graph.predecessors(task)) for task in range(tasks)]


def work(seconds: float) -> float:
    """Takes a while."""
    time.sleep(seconds)
    return seconds


def submit(view: px.LoadBalancedView, before: list[list[int]]) -> list[px.AsyncResult]:
    """A task for each node, after those before it."""
    results: list[px.AsyncResult] = []
    for needs in before:
        with view.temp_flags(after=[results[need] for need in needs]):
            results.append(view.apply_async(work, 0.002 * (1 + len(results) % 5)))
    return results


def check(results: list[px.AsyncResult], before: list[list[int]]) -> None:
    """Every task started after its predecessors had ended."""
    for task, needs in enumerate(before):
        for need in needs:
            assert results[task].started >= results[need].completed, (need, task)


def draw(path: str, results: list[px.AsyncResult], before: list[list[int]]) -> bool:
    """Draws each task at the time when it started, and its engine's row; whether that was possible."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    begin: datetime = min(result.started for result in results)
    x = [(result.started - begin).total_seconds() * 1e3 for result in results]
    y = [result.engine_id + 0.6 * (task % 7) / 7 for task, result in enumerate(results)]
    figure, axes = pyplot.subplots(figsize=(10, 5))
    for task, needs in enumerate(before):
        for need in needs:
            arrow = {"arrowstyle": "->", "color": "0.8"}
            axes.annotate("", (x[task], y[task]), (x[need], y[need]), arrowprops=arrow)
    engines = [result.engine_id for result in results]
    axes.scatter(x, y, c=engines, cmap="viridis", zorder=2)
    axes.set(xlabel="started, ms", ylabel="engine", title=f"{len(results)} tasks by start")
    figure.savefig(path)
    return True


def main() -> None:
    """Runs the graph twice: task by task with `after`, and as one graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--edges", type=int, default=128)
    parser.add_argument("--picture", metavar="FILE")
    options = parser.parse_args()
    before = random_dag(options.tasks, options.edges)
    with px.Cluster(n=2) as rc:
        view = rc.load_balanced_view()
        results = submit(view, before)
        assert rc.wait(results, timeout=60)
        check(results, before)
        with view.graph() as graph:
            nodes: list[px.AsyncResult] = []
            for needs in before:
                nodes.append(graph.apply(work, 0.001, after=[nodes[need] for need in needs]))
        whole = graph.results
        assert whole is not None and rc.wait(whole, timeout=60)
        check(whole, before)
        edges = sum(map(len, before))
        print(f"{len(results)} tasks with {edges} edges: each started after those before it, twice")
        if options.picture and draw(options.picture, results, before):
            print(f"drawn by start time: {options.picture}")


if __name__ == "__main__":
    main()
