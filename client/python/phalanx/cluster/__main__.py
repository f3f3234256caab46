"""`python -m phalanx.cluster`: the command `phalanx`, with engines in this interpreter.

    python -m phalanx.cluster start -n 4
    python -m phalanx.cluster list
    python -m phalanx.cluster stop
    python -m phalanx.cluster clean

Takes whatever `phalanx` takes; `--help` lists it. It decides nothing itself.
"""

from __future__ import annotations

import sys

from phalanx.cluster import command

if __name__ == "__main__":
    command.become(sys.argv[1:])
