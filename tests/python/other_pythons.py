"""Runs a few of the tests under every other Python from 3.11 on that this machine has.

The package is compiled once for all of them (abi3), so what can differ is Python itself: pickles, code
objects, tracebacks, signals. A client of this Python also meets engines of each. They get environments of
their own below `target`. Run by `make test-python`; it says what it found, and fails if a test does.

    python tests/python/other_pythons.py
"""

from __future__ import annotations

import glob
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path

import phalanx as px

OLDEST = (3, 11)
"""The oldest Python that the package is for."""

SMOKE = [
    "test_apply.py",
    "test_command.py",
    "test_control.py",
    "test_errors.py",
    "test_functions.py",
    "test_processes.py",
]
"""Calls, functions and their namespaces, tracebacks, interrupts, the command; nothing that needs numpy."""

NEEDS = ["pytest>=8", "pytest-timeout>=2", "cloudpickle>=3", "ipython>=8"]

PLACES = ["/usr/bin", "/usr/local/bin", "/opt/python*/bin", "~/.local/bin"]
"""Where interpreters are, besides PATH and pyenv's and uv's folders."""

ASK = """
import json, sys, sysconfig
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps([sys.version_info[:2], sys.implementation.name, free, sys.prefix == sys.base_prefix]))
"""

ROOT = Path(__file__).parents[2]


def folders() -> list[str]:
    """Where to look, without repetition."""
    pyenv = os.environ.get("PYENV_ROOT", "~/.pyenv")
    uv = os.environ.get("UV_PYTHON_INSTALL_DIR", "~/.local/share/uv/python")
    patterns = [*PLACES, f"{pyenv}/versions/*/bin", f"{uv}/*/bin"]
    found = [place for pattern in patterns for place in glob.glob(os.path.expanduser(pattern))]
    return list(dict.fromkeys([*os.get_exec_path(), *sorted(found)]))


def version_of(python: str) -> tuple[int, int] | None:
    """Its version if it can run the package: CPython with a GIL, and no environment of somebody's."""
    try:
        asked = subprocess.run(
            [python, "-I", "-c", ASK], capture_output=True, text=True, timeout=20, check=True
        )
        version, implementation, is_free, is_base = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a shim without a version behind it, or too old to understand
    return tuple(version) if implementation == "cpython" and is_base and not is_free else None


def others() -> dict[tuple[int, int], str]:
    """An interpreter of each version but this one's."""
    found: dict[tuple[int, int], str] = {}
    for folder in folders():
        for python in sorted(glob.glob(f"{folder}/python3*")):
            name = os.path.basename(python)
            if not name.removeprefix("python3").removeprefix(".").isdecimal() and name != "python3":
                continue
            version = version_of(python)
            if version is not None and version >= OLDEST and version != sys.version_info[:2]:
                found.setdefault(version, python)
    return dict(sorted(found.items()))


def environment(python: str, version: tuple[int, int]) -> Path | None:
    """An environment with what the tests need, the package as it stands, and its command."""
    folder = ROOT / "target" / f"venv-{version[0]}.{version[1]}"
    own = folder / "bin" / "python"
    if not own.exists():
        made = subprocess.run([python, "-m", "venv", str(folder)], check=False)
        if made.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            return None  # Debian's Pythons come without venv
    subprocess.run([own, "-m", "pip", "install", "--quiet", *NEEDS], check=True)
    packages = folder / "lib" / f"python{version[0]}.{version[1]}" / "site-packages"
    (packages / "phalanx.pth").write_text(f"{ROOT / 'client' / 'python'}\n")
    command = Path(sysconfig.get_path("scripts")) / "phalanx"
    shutil.copy(command, folder / "bin" / "phalanx")
    return own


def smoke(python: Path) -> int:
    """Runs the selection; the exit status of pytest."""
    tests = [str(Path(__file__).parent / name) for name in SMOKE]
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "client/python/pyproject.toml")]
    clean = {name: value for name, value in os.environ.items() if name != "PHALANX_BIN"}
    return subprocess.run(
        [python, "-m", "pytest", *options, *tests], check=False, env=clean
    ).returncode


def tells(python: Path, name: str) -> bool:
    """Whether a client of this Python works with engines of that one, and says so in one line."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with px.Cluster(n=1, python=str(python)) as rc:
            rc.wait_for_engines(1, timeout=60)
            version = rc[0].apply_sync(platform.python_version)
    lines = [str(each.message) for each in told if each.category is RuntimeWarning]
    is_right = len(lines) == 1 and f"engine 0 runs Python {name}" in lines[0]
    if not (is_right and version.startswith(f"{name}.") and "\n" not in lines[0]):
        print(f"engines of Python {version}: a client was told {lines}", file=sys.stderr)
        return False
    return True


def main() -> int:
    """Tests under each of them; 0 if all is well."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    failed = []
    tested = []
    for version, python in others().items():
        name = f"{version[0]}.{version[1]}"
        prepared = environment(python, version)
        if prepared is None:
            print(f"Python {name} ({python}) cannot make an environment: install its venv module")
            continue
        print(f"== Python {name} ({python})", flush=True)
        tested.append(name)
        if smoke(prepared) != 0 or not tells(prepared, name):
            failed.append(name)
    if failed:
        print(f"the tests fail under Python {', '.join(failed)}", file=sys.stderr)
    if not tested:
        print(f"no other Python from 3.11 on is here: the tests ran under {own} only")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
