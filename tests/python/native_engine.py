"""The least engine: it runs the code of a task's first part, and knows nothing of the package.

Started by the tests of the native module as `python -m native_engine`.
"""

import ctypes
import signal
import sys
import time
import traceback

from phalanx import _phalanx


class TaskAborted(KeyboardInterrupt):
    """Nobody wants the running task any more."""


def main() -> None:
    engine = _phalanx.NativeEngine.from_environment(["tiny"])

    def on_abort(number: int, frame: object) -> None:
        if engine.aborted():
            raise TaskAborted

    def handle(task: _phalanx.Task) -> tuple[object, ...]:
        names = {
            "ctypes": ctypes,
            "engine": engine,
            "parts": task.parts,
            "result": [],
            "task": task,
            "time": time,
        }
        try:
            exec(bytes(task.parts[0]), names)
        except TaskAborted:
            return ("aborted",)
        except KeyboardInterrupt:
            return ("failed", "KeyboardInterrupt", "", traceback.format_exc())
        except Exception as error:
            return ("failed", type(error).__name__, str(error), traceback.format_exc())
        return ("done", names["result"])

    signal.signal(_phalanx.ABORT_SIGNAL, on_abort)
    print("ended:", engine.run(handle), file=sys.stderr)


if __name__ == "__main__":
    main()
