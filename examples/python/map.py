"""A map over all engines, each item wherever there is room; and the same in one part for each engine.

python examples/python/map.py
"""

import phalanx as px


def collatz(n: int) -> int:
    """How many steps it takes from `n` to 1."""
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


def main() -> None:
    """Maps in three ways, and checks that all give what the built-in map gives."""
    numbers = range(1, 2_001)
    expected = list(map(collatz, numbers))
    with px.Cluster(n=2) as rc:
        view = rc.load_balanced_view()
        result = view.map_async(collatz, numbers, chunksize=50)
        seen = []
        for steps in result:  # each as soon as it is there
            seen.append(steps)
        assert seen == expected
        assert rc[:].map_sync(collatz, numbers) == expected
        assert sorted(view.map(collatz, numbers, block=True, ordered=False)) == sorted(expected)

        longest = max(zip(expected, numbers, strict=True))
        engines = {metadata.engine_id for metadata in result.metadata}
        print(f"{longest[1]} takes the longest: {longest[0]} steps; computed on engines {engines}")
        assert longest == (181, 1_161) and engines <= set(rc.ids)


if __name__ == "__main__":
    main()
