"""`python -m phalanx.controller`: a hub without engines, in the foreground, until Ctrl-C.

    python -m phalanx.controller --cluster lab --listen 10.0.0.5

It is `phalanx start --foreground -n 0`, and takes the options of that. Engines join it by
`python -m phalanx.engine --cluster lab`, or with the connection file `engine.json` that it writes.
"""

from __future__ import annotations

import sys

from phalanx.cluster import command

if __name__ == "__main__":
    command.become(["start", "--foreground", "--engines", "0", *sys.argv[1:]])
