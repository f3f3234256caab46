"""The IPython magics `%px` and `%%px`: code for the engines of a view.

Who may use it: `view.activate()` registers them. IPython is imported then, not before. What they run
follows the view's `block` and `targets`.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.direct_view import DirectView

__all__ = ["activate"]


def activate(view: DirectView, suffix: str = "") -> None:
    """Registers `%px<suffix>` and `%%px<suffix>` for the view in the running IPython."""
    shell = _running_shell()
    if shell is None:
        warnings.warn("%px needs IPython, and this is none: nothing is activated", stacklevel=3)
        return
    magics = ParallelMagics(view)
    shell.register_magic_function(magics.px, "line", f"px{suffix}")
    shell.register_magic_function(magics.px_cell, "cell", f"px{suffix}")


class ParallelMagics:
    """The magics of one view.

    >>> %px a = 5                                                        # doctest: +SKIP
    """

    def __init__(self, view: DirectView) -> None:
        self.view = view

    def px(self, line: str) -> Any:
        """`%px code`: runs the line on the view's engines."""
        return self._run(line, self.view.block, self.view.targets)

    def px_cell(self, line: str, cell: str) -> Any:
        """`%%px [--block | --noblock] [--targets IDS]`: runs the cell on the engines.

        IDS is `all`, an id, ids with commas between, or a slice of the ids, e.g. `::2`.
        """
        import argparse

        parser = argparse.ArgumentParser(prog="%%px", add_help=False, exit_on_error=False)
        parser.add_argument(
            "-b", "--block", dest="block", action="store_true", default=self.view.block
        )
        parser.add_argument("-a", "--noblock", dest="block", action="store_false")
        parser.add_argument("-t", "--targets")
        options = parser.parse_args(line.split())
        targets = self.view.targets
        if options.targets is not None:
            targets = parse_targets(options.targets, self.view.client.ids)
        return self._run(cell, options.block, targets)

    def _run(self, code: str, block: bool, targets: Any) -> Any:
        result = self.view.execute(code, silent=False, targets=targets, block=False)
        if not block:
            return result
        result.get()
        result.display_outputs()
        return None


def parse_targets(text: str, ids: list[int]) -> Any:
    """The targets that a user wrote.

    >>> parse_targets("::2", [0, 1, 2, 3]), parse_targets("1", []), parse_targets("0,1", [])
    ([0, 2], 1, [0, 1])
    """
    if text == "all":
        return text
    if ":" in text:
        bounds = [int(bound) if bound else None for bound in text.split(":")]
        return ids[slice(*bounds)]
    if "," in text:
        return [int(each) for each in text.split(",") if each]
    return int(text)


def _running_shell() -> Any:
    """IPython's shell, if this is one."""
    core = sys.modules.get("IPython.core.getipython")
    return core.get_ipython() if core is not None else None
