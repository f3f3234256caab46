"""Pi by throwing darts, with the state kept on the engines: each goes on where it was.

python examples/python/pi.py
"""

import random

import phalanx as px

DARTS = 200_000
ROUNDS = 3


def seed(value: int) -> None:
    """Gives an engine its own random numbers and its own count."""
    global dice, hits, thrown
    dice, hits, thrown = random.Random(value), 0, 0


def throw(darts: int) -> float:
    """Throws some more darts; what this engine has by now."""
    global hits, thrown
    hits += sum(dice.random() ** 2 + dice.random() ** 2 <= 1 for _ in range(darts))
    thrown += darts
    return 4 * hits / thrown


def main() -> None:
    """Seeds each engine differently, throws in rounds, and checks the estimate."""
    with px.Cluster(n=2) as rc:
        everywhere = rc[:]
        for engine, view in enumerate(rc):
            view.apply_sync(seed, engine)
        for number in range(1, ROUNDS + 1):
            estimates = everywhere.apply_sync(throw, DARTS)
            pi = sum(estimates) / len(estimates)
            print(f"round {number}: {pi:.4f}")
        assert everywhere["thrown"] == [ROUNDS * DARTS] * 2, "the engines keep their names"
        assert estimates[0] != estimates[1], "each engine has dice of its own"
        assert abs(pi - 3.1416) < 0.01, pi


if __name__ == "__main__":
    main()
