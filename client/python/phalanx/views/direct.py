"""`DirectView`: engines addressed one by one. Each of them runs each call, in the order of the calls.

Who may use it: users, who get one by `rc[...]` or `rc.direct_view(...)`. What it submits runs at most
once and is never moved to another engine, because the engine's namespace is state.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from phalanx.error import NoEnginesRegistered
from phalanx.magics.activation import activate
from phalanx.results.asyncresult import AsyncResult
from phalanx.results.batches import Picked
from phalanx.results.executereply import ExecuteReply
from phalanx.results.mapresult import AsyncMapResult
from phalanx.results.watching import Convert
from phalanx.values import picklers
from phalanx.values.packing import function_ref, pack_call, pack_chunk, pack_value
from phalanx.values.partition import as_sequence, check_dist, split
from phalanx.views.imports import SyncImports
from phalanx.views.remotefunction import ParallelFunction
from phalanx.views.view import View

if TYPE_CHECKING:
    from phalanx.client import Client

__all__ = ["DirectView"]


class DirectView(View):
    """The engines `targets`: an id, a list of ids, or `"all"`, which is looked up at each call.

    With one id, results are bare values; with a list, even of one, they are lists in its order. It is
    also a dict of the engines' namespaces: `view["a"] = 5`, `view["a"]`.

    >>> import phalanx as px
    >>> px.Client()[:]
    <DirectView [0, 1, 2, 3]>
    """

    def __init__(self, client: Client, targets: Any = "all") -> None:
        super().__init__(client)
        self.targets = targets

    def _resolve(self, targets: Any) -> tuple[list[int], bool]:
        """The ids of the engines, and whether the result is a bare value."""
        targets = self.targets if targets is None else self.client.resolve(targets)
        if type(targets) is int:
            return [targets], True
        ids = list(self.client.ids) if isinstance(targets, str) else list(targets)
        if not ids:
            raise NoEnginesRegistered(f"no engines are there for {self!r}")
        return ids, False

    def _coalesces(self, method: str) -> bool:
        """Whether the engines' answers to this method come together."""
        return False

    def _submit(
        self,
        method: str,
        parts: list[Any],
        fname: str,
        *,
        function: Any = None,
        targets: Any = None,
        label: str | None = None,
        convert: Convert | None = None,
    ) -> AsyncResult:
        """Sends the same to each of the engines."""
        ids, single = self._resolve(targets)
        client = self.client
        label = label or self.label
        coalesce = self._coalesces(method)
        if single:
            batch = client.native.submit(
                method, parts, function=function, engine=ids[0], label=label
            )
        else:
            batch = client.native.submit(
                method, parts, function=function, engines=ids, label=label, coalesce=coalesce
            )
        client.note(batch, len(ids), self._history)
        return AsyncResult(
            client,
            batch,
            fname,
            single=single,
            targets=ids,
            label=label,
            convert=convert,
        )

    def _apply(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncResult:
        fname = getattr(f, "__name__", "apply")
        parts = pack_call(args, kwargs)
        return self._submit("python.apply", parts, fname, function=function_ref(f))

    def _call(self, method: str, value: Any) -> AsyncResult:
        ids, single = self._resolve(None)
        where: dict[str, Any] = {"engine": ids[0]} if single else {"engines": ids}
        where["coalesce"] = self._coalesces(method)
        batch = self.client.native.call(method, value, label=self.label, **where)
        self.note(batch, len(ids))
        return AsyncResult(self.client, batch, method, single=single, targets=ids, label=self.label)

    # ------------------------------------------------------------------ code

    def execute(
        self,
        code: str,
        silent: bool = True,
        targets: Any = None,
        block: bool | None = None,
        label: str | None = None,
    ) -> AsyncResult:
        """Runs a string of Python on each engine, in its namespace. Returns an AsyncResult always.

        If it blocks, what went wrong is raised. With `silent=False` the value of the last line comes
        back in an `ExecuteReply`, in all the forms that it has, and what the code displays is kept.
        IPython's syntax works where IPython is installed.

        >>> view.execute("c = a + b", block=True)
        <AsyncResult(execute): finished>
        """
        if not isinstance(code, str):
            raise TypeError(f"execute takes a str of Python code, not {type(code).__name__}")
        result = self._submit(
            "python.execute",
            pack_value((code, silent)),
            "execute",
            targets=targets,
            label=label,
            convert=lambda answer, engine, facts: ExecuteReply(answer, engine, code, facts),
        )
        if not silent:
            result.executes(code)
            result.follow_output()
        self.settle(result, block)
        return result

    def run(
        self,
        filename: str | os.PathLike[str],
        targets: Any = None,
        block: bool | None = None,
        label: str | None = None,
    ) -> AsyncResult:
        """Runs the contents of a file of this machine on each engine; otherwise as `execute`.

        >>> view.run("script.py", block=True)
        <AsyncResult(execute): finished>
        """
        with open(filename, encoding="utf-8") as file:
            code = file.read() + "\n"
        return self.execute(code, targets=targets, block=block, label=label)

    def clear(self, targets: Any = None, block: bool | None = None) -> Any:
        """Empties the namespaces: no name of the user's remains.

        >>> view.clear(block=True)
        """
        result = self._submit("python.clear", pack_value(None), "clear", targets=targets)
        settled = self.settle(result, block)
        return result if settled is result else None

    # ------------------------------------------------------------------ names

    def push(
        self,
        ns: Mapping[str, Any],
        targets: Any = None,
        block: bool | None = None,
        track: bool | None = None,
    ) -> Any:
        """Sets names in the namespaces: `view.push({"a": 1, "b": 2})`.

        Blocking, it returns a list of None, one for each engine.

        >>> view.push(dict(a=1.03234, b=3453), block=True)
        [None, None]
        """
        if not isinstance(ns, Mapping):
            raise TypeError(f"push takes a dict of names and objects, not {type(ns).__name__}")
        for name in ns:
            if not isinstance(name, str):
                raise TypeError(f"names are str, not {type(name).__name__}")
        result = self._submit("python.push", pack_value(dict(ns)), "push", targets=targets)
        return self.settle(result, block)

    def update(self, ns: Mapping[str, Any]) -> Any:
        """The same as `push`.

        >>> view.update({"a": 1})
        [None, None]
        """
        return self.push(ns, block=self.block, track=self.track)

    def pull(
        self,
        names: str | Iterable[str],
        targets: Any = None,
        block: bool | None = None,
    ) -> Any:
        """The objects of these names: of one name the object, of several a list, for each engine.

        Attributes and items work too: `view.pull("a.b[0]")`. `NameError` if a name is not there.

        >>> view.pull(("a", "b"), targets=0, block=True)
        [5, 10]
        """
        if isinstance(names, str):
            wanted: str | list[str] = names
        elif isinstance(names, (list, tuple, set, frozenset)):
            wanted = list(names)
            for name in wanted:
                if not isinstance(name, str):
                    raise TypeError(f"names are str, not {type(name).__name__}")
        else:
            raise TypeError(f"pull takes a name or a list of names, not {type(names).__name__}")
        result = self._submit("python.pull", pack_value(wanted), "pull", targets=targets)
        return self.settle(result, block)

    def get(self, key: str) -> Any:
        """The object of this name, for each engine; blocks.

        >>> view.get("a")
        [5, 5]
        """
        return self.pull(key, block=True)

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.push({key: value})

    # ------------------------------------------------------------------ parts

    def scatter(
        self,
        key: str,
        seq: Iterable[Any],
        dist: str = "b",
        flatten: bool = False,
        targets: Any = None,
        block: bool | None = None,
        track: bool | None = None,
    ) -> AsyncResult | None:
        """Cuts a sequence in contiguous, nearly equal parts and sets `key` to one on each engine.

        With `dist="r"` the items are dealt in turn. With `flatten` a part of one item is that item.
        Blocking, it returns None.

        >>> view.scatter("x", list(range(16)), block=True)
        >>> view["x"]
        [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]]
        """
        ids, _ = self._resolve(targets)
        parts = split(seq, len(ids), dist)
        if flatten:
            parts = [part[0] if len(part) == 1 else part for part in parts]
        packed = [pack_value({key: part}) for part in parts]
        batch = self.client.native.submit_many("python.push", packed, engines=ids, label=self.label)
        self.note(batch, len(ids))
        result = AsyncResult(
            self.client, batch, "scatter", single=False, targets=ids, label=self.label
        )
        return result if self.settle(result, block) is result else None

    def gather(
        self, key: str, dist: str = "b", targets: Any = None, block: bool | None = None
    ) -> Any:
        """What `scatter` has cut, joined again: a list, or an array if the parts are arrays.

        >>> view.scatter("x", range(8), block=True)
        >>> view.execute("y = [i * 2 for i in x]", block=True)
        <AsyncResult(execute): finished>
        >>> view.gather("y", block=True)
        [0, 2, 4, 6, 8, 10, 12, 14]
        """
        check_dist(dist)
        ids, _ = self._resolve(targets)
        native = self.client.native
        batch = native.submit("python.pull", pack_value(key), engines=ids, label=self.label)
        self.note(batch, len(ids))
        result = AsyncMapResult(
            self.client, batch, "gather", dist=dist, targets=ids, label=self.label
        )
        return self.settle(result, block)

    # ------------------------------------------------------------------ map

    def map(  # type: ignore[override]
        self,
        f: Callable[..., Any],
        /,
        *sequences: Iterable[Any],
        block: bool | None = None,
        track: bool = False,
        return_exceptions: bool = False,
        label: str | None = None,
    ) -> Any:
        """Calls `f` for each item: one contiguous part, and one task, for each engine.

        It does not balance the load; a load-balanced view does. Takes any number of sequences; the
        shortest says how many calls there are.

        >>> view.map(lambda x, y: x + y, [1, 2], [3, 4], block=True)
        [4, 6]
        """
        flags: dict[str, Any] = {} if label is None else {"label": label}
        block = self.block if block is None else block
        pf = ParallelFunction(self, f, block=block, return_exceptions=return_exceptions, **flags)
        return pf.map(*sequences)

    def submit_parts(
        self, pf: ParallelFunction, columns: list[Any], *, each: bool
    ) -> AsyncMapResult:
        """Sends each engine its part of the columns; engines beyond the last item get none."""
        ids, _ = self._resolve(None)
        length = len(as_sequence(columns[0]))
        ids = ids[:length]
        cut = [split(column, len(ids), pf.dist) for column in columns] if ids else []
        rows = list(zip(*cut, strict=True))
        if each:
            packed = [pack_chunk(row, pf.return_exceptions) for row in rows]
        else:
            packed = [pack_call(row, None) for row in rows]
        if packed:
            batch: Any = self.client.native.submit_many(
                "python.apply",
                packed,
                function=function_ref(pf.func),
                engines=ids,
                label=self.label,
            )
            self.note(batch, len(packed))
        else:
            batch = Picked([], self.client.abort_tasks)
        return AsyncMapResult(
            self.client,
            batch,
            pf.__name__,
            lengths=[len(row[0]) for row in rows] if each else None,
            ordered=pf.ordered,
            dist=pf.dist,
            targets=ids,
            label=self.label,
            return_exceptions=pf.return_exceptions,
        )

    def _row_sender(
        self, f: Callable[..., Any]
    ) -> tuple[Callable[[Any, int | None], AsyncResult], list[int]]:
        fname = getattr(f, "__name__", "apply")
        label = self.label

        def send(parts: Any, engine: int | None) -> AsyncResult:
            return self._submit(
                "python.apply",
                parts,
                fname,
                function=function_ref(f),
                targets=engine,
                label=label,
            )

        return send, self._resolve(None)[0]

    # ------------------------------------------------------------------ here

    def sync_imports(self, local: bool = True, quiet: bool = False) -> SyncImports:
        """Imports made in the `with` block are made on the engines too.

        `import numpy as np` binds `numpy` there, not `np`. `local=False` is not implemented.

        >>> with view.sync_imports():
        ...     import numpy
        importing numpy on engine(s)
        """
        if not local:
            raise NotImplementedError(
                "sync_imports imports locally too: local=False is not implemented"
            )
        return SyncImports(self, quiet)

    def use_dill(self) -> Any:
        """Has dill pickle all that is sent, here and by this view's engines.

        >>> view.use_dill()
        [None, None]
        >>> view.use_pickle()
        [None, None]
        """
        picklers.use_dill()
        return self.apply(picklers.use_dill)

    def use_cloudpickle(self) -> Any:
        """Has cloudpickle pickle all that is sent, here and by this view's engines.

        >>> view.use_cloudpickle(), view.use_pickle()
        ([None, None], [None, None])
        """
        picklers.use_cloudpickle()
        return self.apply(picklers.use_cloudpickle)

    def use_pickle(self) -> Any:
        """Goes back to our own rules, here and on this view's engines.

        >>> view.use_pickle()
        [None, None]
        """
        picklers.use_pickle()
        return self.apply(picklers.use_pickle)

    def activate(self, suffix: str = "") -> None:
        """Makes `%px` and `%%px`, with this suffix, run on this view. Warns outside of IPython.

        >>> view.activate()                                              # doctest: +SKIP
        >>> %px a = 5                                                    # doctest: +SKIP
        """
        activate(self, suffix)

    @property
    def importer(self) -> SyncImports:
        """The same as `sync_imports()`.

        >>> with view.importer:
        ...     import json
        importing json on engine(s)
        """
        return self.sync_imports()
