"""The graph of imports between the modules that were measured.

The cluster has it made by a Rust engine (`import_graph.rs`); this is the same in Python, for the serial
run, so that the two languages check each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from stdlib_census.packages import Package

MOST = 10
"""How many of the most imported modules are named."""


def import_graph(packages: Iterable[Package]) -> dict[str, Any]:
    """Figures of the import graph: its size, its cycles, its longest chain, its most imported modules."""
    imports = {module: names for package in packages for module, names in package.imports.items()}
    edges = {
        module: sorted({name for name in names if name in imports and name != module})
        for module, names in imports.items()
    }
    components = strong_components(edges)
    cycles = sorted(
        (sorted(each) for each in components if len(each) > 1), key=lambda c: (-len(c), c)
    )
    imported = Counter(name for names in edges.values() for name in names)
    return {
        "modules": len(edges),
        "imports": sum(map(len, edges.values())),
        "cycles": len(cycles),
        "largest_cycle": cycles[0] if cycles else [],
        "longest_chain": longest_chain(edges, components),
        "most_imported": [
            [name, count]
            for name, count in sorted(imported.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
        ],
    }


def strong_components(edges: dict[str, list[str]]) -> list[list[str]]:
    """The strongly connected components, each after all that it reaches.

    Tarjan, Depth-first search and linear graph algorithms (doi:10.1137/0201010), without recursion.
    """
    numbers: dict[str, int] = {}
    lows: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    components = []
    for root in edges:
        if root in numbers:
            continue
        path = [(root, iter(edges[root]))]
        numbers[root] = lows[root] = len(numbers)
        stack.append(root)
        on_stack.add(root)
        while path:
            node, rest = path[-1]
            for child in rest:
                if child not in numbers:
                    numbers[child] = lows[child] = len(numbers)
                    stack.append(child)
                    on_stack.add(child)
                    path.append((child, iter(edges[child])))
                    break
                if child in on_stack:
                    lows[node] = min(lows[node], numbers[child])
            else:
                path.pop()
                if path:
                    parent = path[-1][0]
                    lows[parent] = min(lows[parent], lows[node])
                if lows[node] == numbers[node]:
                    cut = stack.index(node)
                    components.append(stack[cut:])
                    on_stack.difference_update(stack[cut:])
                    del stack[cut:]
    return components


def longest_chain(edges: dict[str, list[str]], components: list[list[str]]) -> int:
    """The most components that can be passed one after the other along imports."""
    of = {module: index for index, component in enumerate(components) for module in component}
    length: dict[int, int] = {}
    for index, component in enumerate(components):
        below = {of[name] for module in component for name in edges[module]} - {index}
        length[index] = 1 + max((length[each] for each in below), default=0)
    return max(length.values(), default=0)
