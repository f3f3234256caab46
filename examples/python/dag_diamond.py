"""Dependencies: a diamond of four tasks, a task that can never run, and one that waits in vain.

        left
      /      \
  top          bottom
      \\      /
        right

    python examples/python/dag_diamond.py
"""

import time

import phalanx as px


def step(name: str) -> tuple[str, float, float]:
    """Takes a little while; when it began and ended."""
    begin = time.time()
    time.sleep(0.02)
    return name, begin, time.time()


def fail() -> None:
    """Always fails."""
    raise ValueError("on purpose")


def main() -> None:
    """Submits the graphs at once and checks the order in which they ran."""
    with px.Cluster(n=2) as rc:
        view = rc.load_balanced_view()
        top = view.apply_async(step, "top")
        with view.temp_flags(after=top):
            left = view.apply_async(step, "left")
            right = view.apply_async(step, "right")
        with view.temp_flags(after=[left, right], follow=left):
            bottom = view.apply_async(step, "bottom")

        order = [result.get() for result in (top, left, right, bottom)]
        for name, begin, end in order:
            print(f"{name:<7}{begin - order[0][1]:6.3f} s to {end - order[0][1]:6.3f} s")
        assert order[1][1] >= order[0][2] and order[2][1] >= order[0][2]
        assert order[3][1] >= max(order[1][2], order[2][2])
        assert bottom.engine_id == left.engine_id, "it follows left to its engine"

        failed = view.apply_async(fail)
        with view.temp_flags(after=failed):
            never = view.apply_async(step, "never")
        try:
            never.get()
        except px.error.ImpossibleDependency as error:
            print(f"refused: {error}")
        else:
            raise AssertionError("it ran after a task that failed")

        slow = view.apply_async(time.sleep, 0.5)
        with view.temp_flags(after=slow, timeout=0.05):
            late = view.apply_async(step, "late")
        try:
            late.get()
        except px.error.DependencyTimeout as error:
            print(f"gave up: {error}")
        else:
            raise AssertionError("it ran although what it waits for took too long")


if __name__ == "__main__":
    main()
