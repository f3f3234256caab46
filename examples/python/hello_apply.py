"""The first program: two engines, one call on each, one call anywhere.

python examples/python/hello_apply.py
"""

import os

import phalanx as px


def greet(name: str) -> str:
    """Runs on an engine."""
    return f"hello {name} from process {os.getpid()}"


def main() -> None:
    """Starts a cluster, calls, and checks what came back."""
    with px.Cluster(n=2) as rc:
        greetings = rc[:].apply_sync(greet, "all")
        for engine, text in zip(rc.ids, greetings, strict=True):
            print(f"engine {engine}: {text}")
        anywhere = rc.load_balanced_view().apply_async(greet, "one").get()
        print(anywhere)

    assert len(set(greetings)) == 2, "each engine is a process of its own"
    assert anywhere.replace("one", "all") in greetings
    assert str(os.getpid()) not in anywhere


if __name__ == "__main__":
    main()
