"""What a map over very many items costs in memory and threads: the client's, and the hub's.

    target/venv/bin/python benches/python/million.py [--items N] [--engines N]

Items that take nothing to compute, with the default chunks. Prints a line for each point in time: before the
map, while it runs (the highest seen), with all results held, and when they are let go. It measures no time, so
it may run beside other work; a test (`test_imap.py`) holds the limits.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

import phalanx as px
from phalanx.cluster.hosting import Host


def status_of(pid: int | str) -> tuple[float, int]:
    """Resident memory in MiB, and the number of threads (those of Rust included)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values["VmRSS"].split()[0]) / 1024, int(values["Threads"])


def hub_pid(cluster: px.Cluster) -> int:
    """The hub's process, as its host has it."""
    processes = Host(str(cluster.cluster_dir)).state()["processes"]
    return next(each["pid"] for each in processes if each["process"] == "hub")


def main() -> None:
    """Runs the map and prints the table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--items", type=int, default=1_000_000)
    options.add_argument("--engines", type=int, default=2)
    given = options.parse_args()
    cluster = px.Cluster(n=given.engines)
    with cluster as rc:
        view = rc.load_balanced_view()
        view.map_sync(abs, range(1_000))  # everything that is loaded once is loaded now
        pids = ("self", hub_pid(cluster))

        def line(when: str, *values: tuple[float, int]) -> None:
            client, hub = values or [status_of(pid) for pid in pids]
            print(f"| {when} | {client[0]:.0f} | {client[1]} | {hub[0]:.0f} | {hub[1]} |")

        print("| | client MiB | client threads | hub MiB | hub threads |\n|---|---|---|---|---|")
        line("before")
        highest = [status_of(pid) for pid in pids]
        result = view.map_async(abs, range(-given.items, 0))
        while not result.wait(0.05):
            highest = [max(old, status_of(pid)) for old, pid in zip(highest, pids, strict=True)]
        line("while it ran", *highest)
        tasks = len(result.msg_ids)
        values = result.get()
        assert values[0] == given.items and values[-1] == 1
        line("all results held")
        del result, values
        gc.collect()
        line("let go")
        print(f"\n{given.items:,} items in {tasks:,} tasks on {given.engines} engines")


if __name__ == "__main__":
    main()
