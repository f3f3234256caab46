"""Graphs: tasks that are described first and submitted as one, all of them or none.

Who may use it: users, by `view.graph()` of a `LoadBalancedView`. The hub checks the graph; here it is only
written down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from phalanx.results.asyncresult import AsyncResult
from phalanx.results.batches import Picked
from phalanx.results.msg_ids import msg_ids, parse_msg_id
from phalanx.values import inputs
from phalanx.values.packing import function_ref
from phalanx.views.dependency import Dependency

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from phalanx.views.load_balanced import LoadBalancedView

__all__ = ["Graph", "GraphNode"]

NODES = 0xFFFF_FFFF
"""Stands for the client in the names of tasks that have none yet; the native module knows it."""


class GraphNode:
    """A task of a graph. Once the graph is submitted it is its `AsyncResult` in all but type.

    Among the arguments of another node it stands for its value.

    >>> with balanced.graph() as g:
    ...     a = g.apply(abs, -1)
    >>> a.get(), a.result.get()
    (1, 1)
    """

    def __init__(self, graph: Graph, index: int, name: str) -> None:
        self._graph = graph
        self._index = index
        self.name = name

    @property
    def result(self) -> AsyncResult:
        """What it will return; `RuntimeError` before the graph is submitted."""
        results = self._graph.results
        if results is None:
            raise RuntimeError(f"the graph of {self!r} is not submitted yet")
        return results[self._index]

    def stay(self) -> Self:
        """Has its value stay in the cluster, for the nodes that take it; before the graph is submitted.

        Then only how it ended comes here, and `get()` raises `ResultError`; while the cluster keeps the
        value, `rc.get_result` fetches it. For values between others, which nobody looks at.

        >>> with balanced.graph() as g:
        ...     table = g.apply(list, range(1000)).stay()
        ...     total = g.apply(sum, table)
        >>> total.get()
        499500
        """
        if self._graph.results is not None:
            raise RuntimeError(f"the graph of {self!r} is submitted: its value comes")
        self._graph.note_staying(self._index)
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.result, name)

    def __reduce__(self) -> Any:
        if self._graph.results is not None:
            return self.result.__reduce__()
        if self._graph is not inputs.graph():
            raise TypeError(
                f"{self!r} is an argument only in its own graph until that is submitted"
            )
        return inputs.stand_in((NODES, self._index))

    def __repr__(self) -> str:
        return f"<GraphNode {self._index}: {self.name}>"


class Graph:
    """Tasks that are submitted together when the `with` block ends, or by `submit()`.

    A node that is an argument of another is waited for, and stands for its value. `after` names nodes
    and results that must have ended well before; `edge` adds one between any two nodes, in either
    direction. If the graph has a cycle none of its tasks runs: each raises `InvalidDependency`, with the
    path. Flags of the view hold for all its tasks.

    >>> with balanced.graph() as g:
    ...     parts = [g.apply(pow, 2, n) for n in range(4)]
    ...     total = g.apply(sum, parts)
    >>> total.get()
    15
    """

    def __init__(self, view: LoadBalancedView) -> None:
        self._view = view
        self._nodes: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._after: list[set[tuple[int, int]]] = []
        self._staying: set[int] = set()
        self.results: list[AsyncResult] | None = None

    def apply(
        self, f: Callable[..., Any], /, *args: Any, after: Any = None, **kwargs: Any
    ) -> GraphNode:
        """Adds a call of `f(*args, **kwargs)`.

        >>> g = balanced.graph()
        >>> g.apply(abs, -1)
        <GraphNode 0: abs>
        """
        if self.results is not None:
            raise RuntimeError("the graph is submitted; make another")
        self._nodes.append((f, args, kwargs))
        self._after.append(set(self._names(after)))
        return GraphNode(self, len(self._nodes) - 1, getattr(f, "__name__", "apply"))

    def edge(self, before: GraphNode, after: GraphNode) -> None:
        """Has `after` start only when `before` is done.

        >>> g = balanced.graph()
        >>> second, first = g.apply(abs, -2), g.apply(abs, -1)
        >>> g.edge(first, second)
        """
        for node in (before, after):
            if node._graph is not self:
                raise ValueError(f"{node!r} is of another graph")
        self._after[after._index].add((NODES, before._index))

    def note_staying(self, index: int) -> None:
        """The value of that node stays in the cluster."""
        self._staying.add(index)

    def submit(self) -> list[AsyncResult]:
        """Submits all of it, and returns the results in the order of the calls, at once.

        >>> g = balanced.graph()
        >>> node = g.apply(abs, -1)
        >>> [ar.get() for ar in g.submit()]
        [1]
        """
        if self.results is not None:
            raise RuntimeError("the graph is submitted already")
        if not self._nodes:
            self.results = []
            return self.results
        view = self._view
        client = view.client
        nodes = [self._node(index) for index in range(len(self._nodes))]
        batch = client.native.submit_graph("python.apply", nodes)
        view.note(batch, len(nodes))
        abort = client.abort_tasks
        self.results = [
            AsyncResult(
                client,
                Picked([(batch, index)], abort),
                getattr(self._nodes[index][0], "__name__", "apply"),
                label=view.label,
            )
            for index in range(len(nodes))
        ]
        return self.results

    def _node(self, index: int) -> tuple[Any, Any, dict[str, Any]]:
        f, args, kwargs = self._nodes[index]
        with inputs.within(self):
            parts, tasks = inputs.pack_call_with_inputs(args, kwargs)
        where = self._view.options()
        own = self._after[index]
        if own:
            known = where.get("after")
            if known is not None and known[1:] != (True, True, False):
                raise ValueError("the view's `after` is of a kind to which no edges can be added")
            ids = sorted(own | set(known[0] if known is not None else ()))
            where["after"] = (ids, True, True, False)
        if tasks:
            where["inputs"] = tasks
        if index in self._staying:
            where["stays"] = True
        return parts, function_ref(f), where

    def _names(self, jobs: Any) -> Iterable[tuple[int, int]]:
        if jobs is None:
            return
        if isinstance(jobs, GraphNode):
            if jobs._graph is self:
                yield NODES, jobs._index
            else:
                yield from map(parse_msg_id, jobs.result.msg_ids)
        elif isinstance(jobs, Collection) and not isinstance(jobs, (str, Dependency, AsyncResult)):
            for job in jobs:
                yield from self._names(job)
        else:
            yield from map(parse_msg_id, msg_ids(jobs))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self.results is None:
            self.submit()

    def __len__(self) -> int:
        return len(self._nodes)
