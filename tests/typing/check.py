"""Do mypy and pyright, in their strict modes, tell the wrong lines of `script.py`, and no others? `tox -e lint` runs this.

    python tests/typing/check.py                 # PyTorch, TensorFlow and TFDS as `stubs` declares them
    python tests/typing/check.py .venv/bin/python    # as they are installed there

pyright is that of `basedpyright`, whose wheel has all it needs; PyPI's `pyright` fetches it when it first runs.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
SCRIPT = HERE / "script.py"


def mypy(python: str | None) -> dict[int, str]:
    """What mypy tells, by line.

    Args:
      python: the interpreter whose packages are looked at, or None for the stubs.
    """
    command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--follow-imports=silent", str(SCRIPT)]
    command += [f"--cache-dir={ROOT / '.mypy_cache' / ('script' if python is None else 'script_installed')}"]
    # what is installed without types is as unknown to mypy as it is to any user of it
    command += [] if python is None else ["--python-executable", python, "--ignore-missing-imports"]
    path = os.pathsep.join(map(str, [HERE / "stubs", ROOT] if python is None else [ROOT]))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MYPYPATH": path})
    print(done.stderr, end="")
    return {int(line): text for line, text in re.findall(r"script\.py:(\d+): error: (.*)", done.stdout)}


def pyright(python: str | None) -> dict[int, str]:
    """What pyright tells, by line; `python` as for `mypy`."""
    content = {"include": [str(SCRIPT)], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "pyrightconfig.json")
        config.write_text(json.dumps({**content, "stubPath": str(HERE / "stubs" if python is None else directory)}))
        command = [sys.executable, "-m", "basedpyright", "--outputjson", "--project", str(config)]
        command += ["--pythonpath", python or sys.executable]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stderr, end="")
    found = [item for item in json.loads(done.stdout)["generalDiagnostics"] if item["severity"] == "error"]
    return {item["range"]["start"]["line"] + 1: item["message"] for item in found}


def main() -> int:
    """The exit code: 1 if a checker tells other lines than the wrong ones."""
    python = os.path.abspath(sys.argv[1]) if sys.argv[1:] else None
    wrong = {number for number, line in enumerate(SCRIPT.read_text().splitlines(), 1) if line.endswith("# wrong")}
    failed = not wrong
    for check in (mypy, pyright):
        told = check(python)
        others = len(told.keys() - wrong)
        print(f"{check.__name__}: {len(told.keys() & wrong)} of {len(wrong)} wrong lines told, and {others} others")
        for line in sorted(told.keys() ^ wrong):
            failed = True
            print(f"{SCRIPT}:{line}: {told.get(line, 'is wrong, and not told')}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
