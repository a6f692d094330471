"""MODULE:FACTORY, and `python -m exporters`, where another package has a name of ours."""

from __future__ import annotations

import importlib
import pathlib
import subprocess
import sys

import pytest

import exporters
from exporters.command.factory import load_factory
from exporters.errors import ArgumentError

OURS = pathlib.Path(exporters.__file__).parent


def put(directory, *files):
    """Files of Python that fail if they are run."""
    for file in files:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text("raise SystemExit('run')")
    return str(directory)


def test_python_m(tmp_path):
    """`python -m exporters` is the command line too; `--version` and `export` tell of a package that Python would find there."""
    command = [sys.executable, "-P", "-m", "exporters", "--version"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=100).stderr == b""
    put(tmp_path, "exporters/__init__.py")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == f"torch2tfds {exporters.__version__}\n"
    assert done.stderr.startswith(f"torch2tfds: warning: in {tmp_path}, `import exporters` finds {tmp_path / 'exporters'}, ")
    command[-1:] = ["export", "mine:make", "data", "--name", "ds"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2), done.stderr


@pytest.mark.parametrize("name", ["exporters", "tfds_builder"])
def test_a_factory_in_a_module_of_our_name(name, tmp_path, monkeypatch):
    """MODULE:FACTORY of a module that ours hides is refused, with what hides what; a module of ours is taken."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    own = OURS.parent / name
    with pytest.raises(ArgumentError) as caught:
        load_factory(f"{name}.data:make", tmp_path)
    assert f"the name {name!r} is the product's own: its package {own} has no {name}.data; rename yours" in str(caught.value)
    put(tmp_path, f"{name}/data.py")
    with pytest.raises(ArgumentError) as caught:
        load_factory(f"{name}.data:make", tmp_path)
    assert f"its package {own} hides {tmp_path / name}; rename yours, for example my_{name}.data:make" in str(caught.value)
    importlib.invalidate_caches()
    with pytest.raises(ArgumentError, match="has no attribute 'nothing'"):
        load_factory(f"{name}.errors:nothing", OURS.parent)
