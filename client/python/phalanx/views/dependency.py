"""What a task waits for: other tasks (`Dependency`), and conditions of its engine (`depend`, `require`).

Who may use it: everybody. The hub decides about tasks; conditions are looked at on the engine, before
the function is called. It submits nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import update_wrapper
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from phalanx.error import UnmetDependency
from phalanx.results.msg_ids import TaskId, msg_ids, task_ids

if TYPE_CHECKING:
    from phalanx.results.asyncresult import AsyncResult

__all__ = ["Dependency", "depend", "dependent", "require"]

DependencyRef: TypeAlias = "tuple[list[TaskId], bool, bool, bool]"


class Dependency(set[str]):
    """Tasks that another task waits for: all of them or any, and which ways of ending count.

    Takes msg_ids, AsyncResults, and collections of them.

    >>> d = Dependency(["c1/0", "c1/1"], all=False)
    >>> d.check(completed=["c1/1"])
    True
    >>> d.unreachable(completed=[], failed=["c1/0", "c1/1"])
    True
    """

    def __init__(
        self,
        dependencies: Any = (),
        all: bool = True,
        success: bool = True,
        failure: bool = False,
    ) -> None:
        if not (success or failure):
            raise ValueError("a dependency that neither success nor failure meets can never be met")
        super().__init__(msg_ids(dependencies))
        self.all = all
        self.success = success
        self.failure = failure

    def check(self, completed: Iterable[str], failed: Iterable[str] = ()) -> bool:
        """Whether it is met by tasks that have ended so.

        >>> Dependency("c1/0").check(["c1/0"]), Dependency("c1/0").check([], ["c1/0"])
        (True, False)
        """
        if not self:
            return True
        against: set[str] = set()
        if self.success:
            against |= set(completed)
        if self.failure:
            against |= set(failed)
        return self <= against if self.all else bool(self & against)

    def unreachable(self, completed: Iterable[str], failed: Iterable[str] = ()) -> bool:
        """Whether it can never be met once tasks have ended so.

        >>> Dependency("c1/0").unreachable([], ["c1/0"])
        True
        """
        against: set[str] = set()
        if not self.success:
            against |= set(completed)
        if not self.failure:
            against |= set(failed)
        if not self:
            return False
        return bool(self & against) if self.all else self <= against

    def as_dict(self) -> dict[str, Any]:
        """Its fields.

        >>> Dependency("c1/0").as_dict()["all"]
        True
        """
        return {
            "dependencies": sorted(self),
            "all": self.all,
            "success": self.success,
            "failure": self.failure,
        }


def dependency_ref(jobs: Dependency | AsyncResult | Any) -> DependencyRef | None:
    """The form in which the native module takes `after` and `follow`; `None` if nothing is named.

    >>> dependency_ref(["c1/0"])
    ([(1, 0)], True, True, False)
    """
    if jobs is None:
        return None
    if isinstance(jobs, Dependency):
        return (task_ids(sorted(jobs)), jobs.all, jobs.success, jobs.failure) if jobs else None
    ids = task_ids(jobs)
    return (ids, True, True, False) if ids else None


class dependent:  # noqa: N801 - the name is given
    """A function that is called only if a condition holds on the engine.

    Made by `depend` and `require`. The condition is called first; if it says False or raises
    `UnmetDependency`, the function is not.

    >>> dependent(len, lambda: True)([1, 2])
    2
    """

    def __init__(
        self, f: Callable[..., Any], condition: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        self.f = f
        self.condition = condition
        self.args = args
        self.kwargs = kwargs
        self.__name__ = getattr(f, "__name__", "f")
        update_wrapper(self, f, updated=())
        # What update_wrapper adds is for people; it would go along with every call.
        self.__dict__.pop("__wrapped__", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Looks at the condition, then calls the function."""
        if self.condition(*self.args, **self.kwargs) is False:
            raise UnmetDependency(f"the condition of {self.__name__} does not hold on this engine")
        return self.f(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<dependent {self.__name__}>"


def depend(
    condition: Callable[..., Any], *args: Any, **kwargs: Any
) -> Callable[[Callable[..., Any]], dependent]:
    """Decorates a function with a condition of the engine: `condition(*args, **kwargs)`.

    If it says False or raises `UnmetDependency` there, the function is not called. A task of a
    `LoadBalancedView` is then tried on other engines, and fails with `UnmetDependency` when all have
    refused it; one of a `DirectView` fails at once.

    >>> @depend(lambda wanted: wanted == "yes", "no")
    ... def f():
    ...     return 1
    >>> f()
    Traceback (most recent call last):
    ...
    phalanx.error.UnmetDependency: the condition of f does not hold on this engine
    """
    return lambda f: dependent(f, condition, *args, **kwargs)


def require(*needs: Any, **objects: Any) -> Callable[[Callable[..., Any]], dependent]:
    """Decorates a function with what it needs on the engine.

    Modules, by name or themselves, are imported there; functions and classes are put in the engine's
    namespace under their names, objects under their keywords. If an import fails the function is
    not called, and the task is tried elsewhere, as with `depend`.

    >>> @require("re")
    ... def find(pattern, text):
    ...     return re.findall(pattern, text)
    >>> find
    <dependent find>
    """
    modules: list[str] = []
    for need in needs:
        if isinstance(need, str):
            modules.append(need)
        elif isinstance(need, ModuleType):
            modules.append(need.__name__)
        elif isinstance(need, (FunctionType, type)):
            objects[need.__name__] = need
        else:
            raise TypeError(
                f"require takes modules, their names, functions and classes, not {need!r}"
            )
    return lambda f: dependent(f, provide, modules, objects)


def provide(modules: list[str], objects: dict[str, Any]) -> None:
    """Imports modules into the namespace, and puts objects there; on an engine."""
    namespace = sys.modules["__main__"].__dict__
    for name in modules:
        try:
            module = import_module(name)
        except ImportError as cause:
            raise UnmetDependency(f"module {name!r} cannot be imported here: {cause}") from cause
        if "." in name:
            top = name.partition(".")[0]
            namespace[top] = sys.modules[top]
        else:
            namespace[name] = module
    namespace.update(objects)
