"""The engine process: `python -m phalanx.engine`.

A cluster's host starts it and tells by the environment where the hub is; by hand, it joins the newest
cluster of this machine, that of `--cluster`, or the one whose file `--connection` names. It returns
when the engine has ended, and says on standard error why.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys

from phalanx import _phalanx
from phalanx.engine import outlet
from phalanx.engine.execution import Execution
from phalanx.engine.interrupts import Interrupts
from phalanx.engine.namespace import Namespace
from phalanx.engine.operations import METHODS, Operations
from phalanx.engine.rendering import render
from phalanx.engine.streams import TaskStream
from phalanx.error import PhalanxError
from phalanx.values import reference, versions

__all__ = ["main"]

CONNECTION_ENV = "PHALANX_CONNECTION"
"""Where a host says that the engine's connection file is."""

PATH_ENV = "PHALANX_PYTHON_PATH"
"""Where to look for modules, besides where this interpreter does; a JSON list."""

FAILED = 1
"""The exit status of an engine that could not start, or has lost its hub for good."""

STARTUP_FAILED = 3
"""The exit status of an engine whose startup code has failed."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the engine; the exit status."""
    options = parser().parse_args(arguments)
    extend_import_path()
    # To the log itself: while tasks run a pipe stands in the place of standard error.
    faulthandler.enable(os.dup(2))
    reference.enter_engine()
    namespace = Namespace.install()
    if not start_up(Execution(namespace), options.startup_script, options.startup_command):
        return STARTUP_FAILED
    labels = [*options.label, versions.label()]
    try:
        connection = options.connection or connection_of(options.cluster)
        if connection is None:
            engine = _phalanx.NativeEngine.from_environment(labels, None, options.resource)
        else:
            engine = _phalanx.NativeEngine.start(
                connection, options.name, labels, METHODS, options.resource
            )
    except (OSError, PhalanxError) as failure:
        print(f"phalanx engine: {failure}", file=sys.stderr)
        return FAILED
    interrupts = Interrupts(engine.aborted)
    interrupts.install(_phalanx.ABORT_SIGNAL)
    stdout = TaskStream(lambda text: engine.write(1, text), sys.stdout)
    stderr = TaskStream(lambda text: engine.write(2, text), sys.stderr)
    log = sys.stderr

    def write(kind: int, data: bytes) -> None:
        # What was printed before is to be seen before.
        stdout.flush()
        stderr.flush()
        engine.write(kind, data)

    published = outlet.Outlet(write)
    outlet.install(published)
    operations = Operations(
        namespace, interrupts, (stdout, stderr), lambda: engine.engine_id, engine.write, published
    )
    sys.stdout, sys.stderr = stdout, stderr
    try:
        reason = engine.run(operations)
    except KeyboardInterrupt:
        return INTERRUPTED
    except PhalanxError as failure:
        print(f"phalanx engine: {failure}", file=log)
        return FAILED
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, log
    print(f"phalanx engine ended: {reason}", file=log)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m phalanx.engine", description="Runs an engine.")
    parser.add_argument("--connection", metavar="FILE", help="an engine's connection file")
    parser.add_argument(
        "--cluster", metavar="NAME", help="a cluster of this machine to join [default: the newest]"
    )
    parser.add_argument("--name", help="the engine's name: one that comes back keeps its id")
    parser.add_argument(
        "--startup-script", metavar="FILE", help="a script to run before the engine takes tasks"
    )
    parser.add_argument(
        "--startup-command", metavar="CODE", help="code to run then, after the script"
    )
    parser.add_argument("--label", action="append", default=[], help="may be given several times")
    parser.add_argument(
        "--resource",
        action="append",
        default=[],
        type=resource,
        metavar="NAME=AMOUNT",
        help="what it has for tasks that need some of it, e.g. gpu=2; may be given several times",
    )
    return parser


def connection_of(cluster: str | None) -> str | None:
    """An engine's connection file of a cluster of this machine; None if the environment names one."""
    if cluster is None and CONNECTION_ENV in os.environ:
        return None
    return os.path.join(os.path.dirname(_phalanx.find_cluster(cluster)), "engine.json")


def start_up(execution: Execution, script: str | None, command: str | None) -> bool:
    """Runs what was asked for before any task, in the namespace of tasks. Whether it went well.

    `PYTHONSTARTUP` is for interactive sessions and is not read: name it as the script if it is wanted.
    """
    try:
        if script is not None:
            execution.run_file(script)
        if command is not None:
            execution(command, silent=True)
    except Exception as failure:
        print(render(failure), file=sys.stderr)
        print("phalanx engine: the startup code has failed, see above", file=sys.stderr)
        return False
    return True


def resource(text: str) -> tuple[str, str]:
    """A resource and how much of it there is, of `gpu=2`."""
    name, equals, amount = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no resource; write NAME=AMOUNT, e.g. gpu=2")
    return name, amount


def extend_import_path() -> None:
    """Adds where the program that started the cluster finds modules; drops what `-m` has put first.

    The directory in which the engine happens to run is not searched unless that program does too.
    """
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    for entry in json.loads(os.environ.get(PATH_ENV, "[]")):
        if entry not in sys.path:
            sys.path.append(entry)


if __name__ == "__main__":
    sys.exit(main())
