"""Functions that run on engines when they are called: `remote` and `parallel`.

Who may use it: everybody. Views use `ParallelFunction` for their map. It submits by its view.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from phalanx.values.partition import BLOCKS, as_sequence, check_dist

if TYPE_CHECKING:
    from phalanx.views.view import View

__all__ = ["ParallelFunction", "RemoteFunction", "parallel", "remote"]

W = TypeVar("W", bound="RemoteFunction")


class RemoteFunction:
    """A function that runs on the engines of a view. Made by `remote`.

    >>> @view.remote(block=True)
    ... def getpid():
    ...     import os
    ...     return os.getpid()
    >>> getpid()
    [..., ...]
    """

    def __init__(
        self, view: View, f: Callable[..., Any], block: bool | None = None, **flags: Any
    ) -> None:
        self.view = view
        self.func = f
        self.block = block
        self.flags = flags
        self.__name__ = getattr(f, "__name__", "f")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function on the view's engines."""
        block = self.view.block if self.block is None else self.block
        with self.view.temp_flags(**self.flags):
            if block:
                return self.view.apply_sync(self.func, *args, **kwargs)
            return self.view.apply_async(self.func, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<RemoteFunction {self.__name__}>"

    __name__: str
    __signature__: Any


class ParallelFunction(RemoteFunction):
    """A function whose arguments are cut in parts, for several engines. Made by `parallel`.

    | call | tasks | calls of the function | with |
    |---|---|---|---|
    | `pf(seq)` | one for each engine | one for each engine | `seq[i:j]` |
    | `pf.map(seq)` | one for each engine | `len(seq)` | `seq[i]` |

    On a load-balanced view there is a task for each `chunksize` items; 1 by default, but more for very many.

    >>> @view.parallel(block=True)
    ... def double(part):
    ...     return [2 * x for x in part]
    >>> double([1, 2, 3])
    [2, 4, 6]
    """

    def __init__(
        self,
        view: View,
        f: Callable[..., Any],
        dist: str = BLOCKS,
        block: bool | None = None,
        chunksize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        **flags: Any,
    ) -> None:
        super().__init__(view, f, block, **flags)
        self.dist = check_dist(dist)
        if chunksize is not None:
            if not hasattr(view, "after"):
                text = "a direct view makes one part for each engine: chunksize is ignored"
                warnings.warn(text, stacklevel=3)
            elif chunksize < 1:
                raise ValueError(f"chunksize is at least 1, not {chunksize}")
        self.chunksize = chunksize
        self.ordered = ordered
        self.return_exceptions = return_exceptions

    def __call__(self, *sequences: Any, **kwargs: Any) -> Any:
        """Calls the function with parts of the sequences, and joins what it returns."""
        if kwargs:
            raise TypeError(
                f"a parallel function takes no keyword arguments, not {', '.join(kwargs)}"
            )
        columns = [as_sequence(sequence) for sequence in sequences]
        lengths = {len(column) for column in columns}
        if len(lengths) > 1:
            raise ValueError(
                f"the sequences differ in length: {', '.join(str(len(c)) for c in columns)}"
            )
        return self._run(columns, each=False)

    def map(self, *sequences: Iterable[Any]) -> Any:
        """Calls the function for each item of the sequences; the shortest one says how many.

        >>> half = view.parallel(block=True)(lambda x: x // 2)
        >>> half.map([2, 4, 6])
        [1, 2, 3]
        """
        columns = [as_sequence(sequence) for sequence in sequences]
        if len({len(column) for column in columns}) > 1:
            shortest = min(map(len, columns))
            columns = [column[:shortest] for column in columns]
        return self._run(columns, each=True)

    def _run(self, columns: list[Any], *, each: bool) -> Any:
        if not columns:
            raise TypeError("there must be at least one sequence")
        with self.view.temp_flags(**self.flags):
            result = self.view.submit_parts(self, columns, each=each)  # type: ignore[attr-defined]
        return self.view.settle(result, self.block)

    def __repr__(self) -> str:
        return f"<ParallelFunction {self.__name__}>"


def remote(
    view: View, block: bool | None = None, **flags: Any
) -> Callable[[Callable[..., Any]], RemoteFunction]:
    """Decorates a function so that calling it runs it on the engines of `view`.

    >>> @remote(view, block=True)
    ... def one():
    ...     return 1
    """

    def decorate(f: Callable[..., Any]) -> RemoteFunction:
        return _look_like(RemoteFunction(view, f, block=block, **flags), f)

    return decorate


def parallel(
    view: View, dist: str = BLOCKS, block: bool | None = None, ordered: bool = True, **flags: Any
) -> Callable[[Callable[..., Any]], ParallelFunction]:
    """Decorates a function so that calling it cuts its arguments in parts for the engines of `view`.

    >>> @parallel(view, block=True)
    ... def add(a, b):
    ...     return a + b
    """

    def decorate(f: Callable[..., Any]) -> ParallelFunction:
        pf = ParallelFunction(view, f, dist=dist, block=block, ordered=ordered, **flags)
        return _look_like(pf, f)

    return decorate


def _look_like(wrapper: W, f: Callable[..., Any]) -> W:
    """Gives what wraps a function its documentation and signature."""
    import inspect  # only those who decorate need it

    wrapper.__module__ = getattr(f, "__module__", "")
    wrapper.__doc__ = f"{type(wrapper).__name__} wrapping:\n{inspect.getdoc(f) or ''}"
    with suppress(TypeError, ValueError):  # some functions of the interpreter have no signature
        wrapper.__signature__ = inspect.signature(f)
    return wrapper
