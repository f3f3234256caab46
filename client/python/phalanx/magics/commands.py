"""The IPython magics of a view: `%px`, `%%px`, `%autopx`, `%pxresult`, `%result`, `%pxconfig`.

Who may use it: `activation` makes one `ParallelMagics` for each view that is activated, and registers it. This
module imports IPython; nothing else of the client does.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand

from phalanx.client.console import signal_number
from phalanx.display.progress import Bar
from phalanx.error import AlreadyDisplayedError, CompositeError
from phalanx.results.streaming import GROUPS, POLL_S

if TYPE_CHECKING:
    from phalanx.results.asyncresult import AsyncResult
    from phalanx.views.direct import DirectView

__all__ = ["ParallelMagics"]

QUIET_ENVS = ("PHALANX_NONINTERACTIVE", "IPP_NONINTERACTIVE")
"""If one of these is set, nothing is streamed unless it is asked for."""

PROGRESS_AFTER_S = 2.0
"""When a bar appears, if nothing else was said."""

OWN_MAGICS = re.compile(r"\s*(?:%%?(?:px|autopx|pxresult|pxconfig|result)\w*\b|\?|%%?\w+\?)")
"""Cells that are not sent to engines by `%autopx`."""


class ParallelMagics:
    """The magics of one view, and how they are set."""

    def __init__(self, shell: Any, view: DirectView, suffix: str = "") -> None:
        self.shell = shell
        self.view = view
        self.suffix = suffix
        self.is_verbose = False
        self.is_streaming = not any(map(os.environ.get, QUIET_ENVS))
        self.progress_after = PROGRESS_AFTER_S
        self.signal_on_interrupt = int(signal.SIGINT)
        self.last_result: AsyncResult | None = None
        self._is_auto = False

    def register(self) -> None:
        """Makes the shell know them, in place of those of this suffix that it had."""
        register, suffix = self.shell.register_magic_function, self.suffix
        register(self.px, "line", f"px{suffix}")
        register(self.cell_px, "cell", f"px{suffix}")
        register(self.autopx, "line", f"autopx{suffix}")
        register(self.pxconfig, "line", f"pxconfig{suffix}")
        register(self.result, "line", f"pxresult{suffix}")
        register(self.result, "line", f"result{suffix}")

    # ------------------------------------------------------------------ the magics

    @no_var_expand
    def px(self, line: str) -> Any:
        """`%px code`: runs a line on the view's engines, as the view blocks.

        Names in braces or after a dollar are the engines' own.
        """
        return self._execute(line, self._options(argparse.Namespace()))

    def cell_px(self, line: str, cell: str) -> Any:
        """`%%px [flags]`: runs the cell on the view's engines.

        -b, --block / -a, --noblock   wait, or give an AsyncResult at once
        -t, --targets IDS             all, an id, ids (0,2), or a slice of the ids (::2)
        --stream / --no-stream        show outputs as they come, or when all is done
        --verbose / --no-verbose      say where it runs
        --progress-after SECONDS      when a bar appears; -1: never, 0: at once
        --signal-on-interrupt SIGNAL  what Ctrl-C sends to the engines; 0: nothing
        -o, --out NAME                keep the AsyncResult under this name
        -e, -r, --group-outputs=engine|order|type
                                      how outputs are grouped when all is done
        --local                       run it here too
        """
        options = self._options(_parse(cell_parser(f"%%px{self.suffix}"), line))
        return self._execute(cell, options)

    def autopx(self, line: str) -> None:
        """`%autopx`: from now on every cell runs on the engines, until it is said again."""
        cleanups = self.shell.input_transformer_manager.cleanup_transforms
        if self._is_auto:
            cleanups.remove(self._to_engines)
        else:
            cleanups.append(self._to_engines)
        self._is_auto = not self._is_auto
        print(f"%autopx{self.suffix} {'enabled' if self._is_auto else 'disabled'}")

    def pxconfig(self, line: str) -> None:
        """`%pxconfig [flags]`: sets how `%px` and `%%px` work from now on; flags as of `%%px`.

        `--block`, `--noblock` and `--targets` change the view itself.
        """
        given = _parse(config_parser(f"%pxconfig{self.suffix}"), line)
        options = vars(given)
        if "block" in options:
            self.view.block = given.block
        if "targets" in options:
            self.view.targets = self._targets(given.targets)
        self.is_verbose = options.get("verbose", self.is_verbose)
        self.is_streaming = options.get("stream", self.is_streaming)
        self.progress_after = options.get("progress_after", self.progress_after)
        self.signal_on_interrupt = options.get("signal_on_interrupt", self.signal_on_interrupt)

    def result(self, line: str) -> None:
        """`%pxresult [-o NAME] [-e | -r | --group-outputs=...]`: shows the last result of `%px`.

        Waits for it if it is not there.
        """
        options = _parse(result_parser(f"%pxresult{self.suffix}"), line)
        if self.last_result is None:
            raise UsageError(f"nothing was run by %px{self.suffix} yet: there is no result")
        self._keep(self.last_result, options)
        self._show(self.last_result, getattr(options, "group_outputs", "type"))

    # ------------------------------------------------------------------ inside

    def _options(self, given: argparse.Namespace) -> argparse.Namespace:
        """What was said, and what holds where nothing was."""
        options = argparse.Namespace(
            block=self.view.block,
            targets=None,
            verbose=self.is_verbose,
            stream=self.is_streaming,
            progress_after=self.progress_after,
            signal_on_interrupt=self.signal_on_interrupt,
            out=None,
            group_outputs="type",
            local=False,
        )
        vars(options).update(vars(given))
        options.targets = (
            self.view.targets if options.targets is None else self._targets(options.targets)
        )
        return options

    def _targets(self, text: str) -> Any:
        try:
            return parse_targets(text, self.view.client.ids)
        except ValueError as problem:
            raise UsageError(str(problem)) from None

    def _execute(self, code: str, options: argparse.Namespace) -> Any:
        if options.verbose:
            how = "Parallel" if options.block else "Async parallel"
            print(f"{how} execution on engine(s): {options.targets}", flush=True)
        result = self.view.execute(code, silent=False, targets=options.targets, block=False)
        result.rename("%px")
        self.last_result = result
        self._keep(result, options)
        if options.local:
            self.shell.run_cell(code)
        if not options.block:
            return result
        if options.stream:
            self._stream(result, options)
        else:
            self._wait(result, options, lambda: None)
            self._show(result, options.group_outputs)
        return None

    def _keep(self, result: AsyncResult, options: argparse.Namespace) -> None:
        name = getattr(options, "out", None)
        if name:
            self.shell.user_ns[name] = result

    def _stream(self, result: AsyncResult, options: argparse.Namespace) -> None:
        """Shows everything as it comes; the errors of several engines too."""
        is_single = isinstance(options.targets, int)
        streamer = result.streamer(with_errors=not is_single)
        try:
            self._wait(result, options, streamer.poll)
        finally:
            streamer.finish()
        try:
            result.get()
        except CompositeError as failure:
            raise AlreadyDisplayedError(failure) from None

    def _wait(self, result: AsyncResult, options: argparse.Namespace, look: Any) -> None:
        """Waits, with a bar if it takes long. Ctrl-C goes to the engines first."""
        after = options.progress_after
        interrupts = 0
        with Bar(len(result), "%px", "tasks", after=float("inf") if after < 0 else after) as bar:
            while True:
                try:
                    is_done = result.wait(POLL_S)
                    look()
                    if is_done:
                        return
                    bar.show(result.progress)
                except KeyboardInterrupt:
                    interrupts += 1
                    if interrupts > 1 or not options.signal_on_interrupt:
                        raise
                    self._interrupt(result, options)

    def _interrupt(self, result: AsyncResult, options: argparse.Namespace) -> None:
        number = options.signal_on_interrupt
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = str(number)
        print(
            f"Received Keyboard Interrupt. Sending signal {name} to engines... "
            "(once more to stop waiting)",
            file=sys.stderr,
            flush=True,
        )
        targets = [part.engine_id for part in result.split() if not part.ready()]
        self.view.client.send_signal(number, targets)

    def _show(self, result: AsyncResult, groupby: str) -> None:
        """Shows the outputs, and raises what went wrong."""
        result.display_outputs(groupby=groupby)
        result.get()

    def _to_engines(self, lines: list[str]) -> list[str]:
        """A cell as one for the engines, unless it is about them."""
        if not any(line.strip() for line in lines) or OWN_MAGICS.match("".join(lines)):
            return lines
        return [f"%%px{self.suffix}\n", *lines]

    # Whether a cell is complete is not for it to say.
    _to_engines.has_side_effects = True  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------
# Flags


class _Parser(argparse.ArgumentParser):
    """Says what is wrong, and does not end the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser(name: str) -> argparse.ArgumentParser:
    suppress = argparse.SUPPRESS
    return _Parser(prog=name, add_help=False, argument_default=suppress, allow_abbrev=False)


def _parse(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    try:
        words = shlex.split(line)
    except ValueError as problem:
        raise UsageError(f"{parser.prog}: {problem}") from None
    return parser.parse_args(words)


def _signal(text: str) -> int:
    try:
        return signal_number(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def config_parser(name: str) -> argparse.ArgumentParser:
    """The flags of `%pxconfig`."""
    parser = _parser(name)
    add = parser.add_argument
    add("-b", "--block", dest="block", action="store_true")
    add("-a", "--noblock", dest="block", action="store_false")
    add("-t", "--targets", dest="targets")
    add("--stream", dest="stream", action="store_true")
    add("--no-stream", dest="stream", action="store_false")
    add("--verbose", dest="verbose", action="store_true")
    add("--no-verbose", dest="verbose", action="store_false")
    add("--progress-after", dest="progress_after", type=float)
    add("--signal-on-interrupt", dest="signal_on_interrupt", type=_signal)
    return parser


def result_parser(name: str) -> argparse.ArgumentParser:
    """The flags of `%pxresult`."""
    return _with_outputs(_parser(name))


def cell_parser(name: str) -> argparse.ArgumentParser:
    """The flags of `%%px`."""
    parser = _with_outputs(config_parser(name))
    parser.add_argument("--local", action="store_true")
    return parser


def _with_outputs(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    add = parser.add_argument
    add("-o", "--out", dest="out")
    add("-e", dest="group_outputs", action="store_const", const="engine")
    add("-r", dest="group_outputs", action="store_const", const="order")
    add("--group-outputs", dest="group_outputs", choices=GROUPS)
    return parser


def parse_targets(text: str, ids: list[int]) -> Any:
    """The targets that a user wrote.

    >>> parse_targets("::2", [0, 1, 2, 3]), parse_targets("1", []), parse_targets("[0, 1]", [])
    ([0, 2], 1, [0, 1])
    >>> parse_targets("-1", [0, 1, 2, 3]), parse_targets("all", [])
    (3, 'all')
    """
    if text == "all":
        return text
    try:
        if ":" in text:
            bounds = [int(bound) if bound.strip() else None for bound in text.split(":")]
            return ids[slice(*bounds)]
        targets = ast.literal_eval(text)
        if isinstance(targets, int):
            return ids[targets] if targets < 0 else targets
        if not all(isinstance(each, int) for each in targets):
            raise ValueError(text)
        return [ids[each] if each < 0 else each for each in targets]
    except (ValueError, TypeError, SyntaxError, IndexError):
        raise ValueError(
            f"targets are all, an id, ids (0,2) or a slice of the ids (::2), not {text!r}"
        ) from None
