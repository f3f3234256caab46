"""The program: the census on a cluster, beside the same serially; ends with an error if they differ.

python -m stdlib_census --rust-engine target/release/examples/import_graph
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from stdlib_census import cluster, picture, serial
from stdlib_census.sources import find_sources, standard_library


def main() -> int:
    """Runs both, compares, prints, draws."""
    options = _options()
    sources = find_sources(options.root)[: options.limit]
    if not sources:
        print(f"there is no Python source in {options.root}", file=sys.stderr)
        return 2
    for source in sources:
        Path(source.path).read_bytes()  # Neither run pays for a cold disk.
    size = sum(source.size for source in sources) / 1e6
    _say(f"Found {len(sources):,} files ({size:.0f} MB) in {options.root}")

    with tqdm(total=len(sources), unit="files", desc="On the cluster", file=sys.stderr) as bar:
        run = cluster.run(
            sources, options.engines, options.rust_engine, lambda done, _: bar.update(done - bar.n)
        )
    _say("Serially, to compare ...")
    start = time.monotonic()
    expected = serial.census(sources)
    serial_seconds = time.monotonic() - start

    print(run.report.text())
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    picture.draw(run, options.picture)
    if run.report != expected:
        _say("The answer differs from the serial one.")
        return 1
    if run.leftovers:
        _say(f"Left of the cluster: {', '.join(run.leftovers)}")
        return 1
    _say("The answer equals the serial one, and nothing is left of the cluster.")
    _say(
        f"{run.seconds:.1f} s on {options.engines} engines, {serial_seconds:.1f} s serially: "
        f"{serial_seconds / run.seconds:.2f} times as fast"
    )
    _say(f"The run as a picture: {options.picture}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stdlib_census", description=__doc__.split("\n")[0])
    parser.add_argument("--engines", type=int, default=4, metavar="N", help="Python engines [4]")
    parser.add_argument("--limit", type=int, metavar="FILES", help="take only the first files")
    parser.add_argument(
        "--root", type=Path, default=standard_library(), help="what to measure [%(default)s]"
    )
    parser.add_argument(
        "--rust-engine", type=Path, required=True, help="the program import_graph of the examples"
    )
    parser.add_argument(
        "--picture",
        type=Path,
        default=Path("stdlib_census.svg"),
        help="where the picture goes: .svg, .png or .pdf [%(default)s]",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
