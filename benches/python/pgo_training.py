"""What the profile of optimized builds is made of: a little of everything that users do.

`make pgo` runs it with a build that counts. What a call does matters here, not how long it takes.

    target/venv/bin/python benches/python/pgo_training.py      # --engines N, --pin, --scale SHARE
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import phalanx as px

CALLS = 1500
TASKS = 4000
LARGE_LEN = 8_000_000


def times(count: int, scale: float) -> range:
    """So many times as much of something, but some of it."""
    return range(max(4, int(count * scale)))


def square(number: int) -> int:
    """A task that costs nothing."""
    return number * number


def say(text: str) -> None:
    """A task that writes."""
    print(text)


def fail() -> None:
    """A task that raises."""
    raise ValueError("on purpose")


def nap(seconds: float) -> None:
    """A task that takes its time."""
    time.sleep(seconds)


def call(rc: px.Client, scale: float) -> None:
    """Calls one at a time, as at a prompt."""
    balanced, everywhere, one = rc.load_balanced_view(), rc[:], rc[0]
    for number in times(CALLS, scale):
        assert balanced.apply_sync(square, number) == number * number
    for number in times(CALLS // 5, scale):
        everywhere.apply_sync(square, number)
        one.apply_sync(square, number)
        everywhere["number"] = number
        everywhere.execute("number += 1").get()
        assert one["number"] == number + 1


def submit(rc: px.Client, scale: float) -> None:
    """Many at once: one by one, mapped, in chunks, on chosen engines."""
    balanced, everywhere = rc.load_balanced_view(), rc[:]
    numbers = times(TASKS, scale)
    squares = [square(number) for number in numbers]
    results = [balanced.apply_async(square, number) for number in numbers]
    assert [result.get() for result in results] == squares
    for chunksize in (None, 1, 50):
        assert list(balanced.map_async(square, numbers, chunksize=chunksize)) == squares
    assert everywhere.map_sync(square, numbers) == squares
    everywhere.scatter("part", squares).get()
    assert everywhere.gather("part").get() == squares


def depend(rc: px.Client, scale: float) -> None:
    """Chains and fans of tasks that wait for others."""
    balanced = rc.load_balanced_view()
    last = balanced.apply_async(square, 1)
    for _ in times(TASKS // 4, scale):
        with balanced.temp_flags(after=[last]):
            last = balanced.apply_async(square, 2)
    last.get()
    for _ in times(TASKS // 200, scale):
        fan = [balanced.apply_async(square, number) for number in range(20)]
        with balanced.temp_flags(after=fan, follow=fan[:1]):
            balanced.apply_async(square, 3).get()


def tell(rc: px.Client, scale: float) -> None:
    """What tasks write and raise, and tasks that nobody wants any more."""
    balanced = rc.load_balanced_view()
    for number in times(CALLS // 10, scale):
        balanced.apply_sync(say, f"line {number}")
        with suppress(px.RemoteError):
            balanced.apply_sync(fail)
    naps = [balanced.apply_async(nap, 0.05) for _ in times(40, scale)]
    rc.abort(naps[len(naps) // 2 :])
    for result in naps:
        with suppress(px.TaskAborted):
            result.get()


def carry(rc: px.Client, scale: float) -> None:
    """Large values, both ways."""
    large = os.urandom(LARGE_LEN)
    for _ in times(10, scale):
        rc[:].push({"large": large}).get()
        assert rc.load_balanced_view().apply_sync(bytes, large) == large


def main() -> None:
    """Does all of it on one cluster, started as users start it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", type=int, default=2)
    parser.add_argument("--pin", action="store_true", help="everything on one processor")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="so many times as much (default: 1)"
    )
    options = parser.parse_args()
    if options.pin:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with px.Cluster(n=options.engines) as rc:
        for train in (call, submit, depend, tell, carry):
            train(rc, options.scale)
        command = Path(sys.executable).with_name("phalanx")
        subprocess.run([command, "status"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
