"""Peers that cannot be installed beside us: a process of another environment, asked to write.

MosaicML Streaming wants an older NumPy and litdata a torchvision; peers.txt lists an environment
that has both, and `BENCH_PEERS_PYTHON` names its interpreter. The process runs for as long as a
contest does, makes the same seeded data, and measures each run itself, without its imports.

    python benchmarks/outside.py DIRECTORY      # makes that environment, if it is not there yet (2 GB)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from typing import Any

from tables import Run

PACKAGES = {"MosaicML MDSWriter": "mosaicml-streaming", "litdata BinaryWriter": "litdata"}
VARIABLE = "BENCH_PEERS_PYTHON"


def versions() -> dict[str, str]:
    """Versions of the peers in the other environment; of those that are there."""
    if not _python():
        return {}
    code = (
        "import importlib.metadata, json, sys\n"
        "found = {d.name.lower(): d.version for d in importlib.metadata.distributions()}\n"
        "print(json.dumps({name: found[name] for name in sys.argv[1:] if name in found}))"
    )
    shown = subprocess.run([_python(), "-c", code, *PACKAGES.values()], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(shown))


def left_out() -> dict[str, str]:
    """Peers that are not there: name -> why they are not in the tables."""
    there = versions()
    reason = f"{VARIABLE} names no Python that has it" if _python() else f"{VARIABLE} names no Python"
    return {name: reason for name, package in PACKAGES.items() if package not in there}


@contextlib.contextmanager
def start(workload: Any) -> Iterator[dict[str, Callable[[pathlib.Path], tuple[int, Run]]]]:
    """Contestants by name, warm; each writes into a directory and says how many examples in what time."""
    names = [name for name in PACKAGES if name not in left_out()] if not workload.jpeg else []
    if not names:
        yield {}
        return
    script = pathlib.Path(__file__).with_name("outside_writers.py")
    command = [_python(), os.fspath(script), json.dumps(dataclasses.asdict(workload)), *names]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield {name: functools.partial(_ask, process, name) for name in names}


def make_environment(directory: pathlib.Path) -> None:
    """A virtual environment with what peers.txt lists; says so if it cannot be made, and the tables do without."""
    wanted = pathlib.Path(__file__).with_name("peers.txt")
    done = directory / wanted.name
    if done.exists() and done.read_bytes() == wanted.read_bytes():
        return
    venv.create(directory, clear=True, with_pip=True)
    command = [directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", wanted]
    free = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}  # our own versions are not theirs
    if subprocess.run(command, env=free).returncode:
        print("the peers of peers.txt could not be installed and are left out", file=sys.stderr)
    else:
        shutil.copy(wanted, done)


def _python() -> str:
    path = os.environ.get(VARIABLE, "")
    return path if os.path.exists(path) else ""


def _ask(process: Any, name: str, out: pathlib.Path) -> tuple[int, Run]:
    process.stdin.write(json.dumps([name, os.fspath(out)]) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"{name}: its process ended; what it said is above")
    content = json.loads(answer)
    return content["rows"], Run(content["seconds"], content["processor"])


if __name__ == "__main__":
    make_environment(pathlib.Path(sys.argv[1]))
