"""Another package of the name `exporters`: the command line says what lies where, and how to mend it."""

from __future__ import annotations

import importlib
import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest

import exporters
from exporters.command.factory import load_factory
from exporters.errors import ArgumentError
from tfds_builder.command import explain_other

OURS = pathlib.Path(exporters.__file__).parent
PYPROJECT = pathlib.Path(__file__).parents[3] / "pyproject.toml"


def put(directory, *files):
    """Files of Python that fail if they are run."""
    for file in files:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text("raise SystemExit('run')")
    return str(directory)


def copy_of_ours(directory, text):
    """A directory with copies of the beginnings of both packages, the producer's of another text."""
    for package in ("exporters", "tfds_builder"):
        (directory / package).mkdir(parents=True)
        shutil.copy(OURS.parent / package / "__init__.py", directory / package)
    (directory / "exporters" / "__init__.py").write_text(text)
    return str(directory)


def test_where_ours_is_found(tmp_path):
    """Nothing is said where Python finds the producer: here, in another copy of the product, or before a folder that is no
    package; nor where there is none."""
    (tmp_path / "folder" / "exporters").mkdir(parents=True)
    copy = copy_of_ours(tmp_path / "copy", (OURS / "__init__.py").read_text())
    for path in ([str(OURS.parent)], [copy], [str(tmp_path / "folder"), str(OURS.parent)], [str(tmp_path)]):
        assert explain_other(path) == ""


@pytest.mark.parametrize("file", ["exporters/__init__.py", "exporters.py", "exporters/data.py"])
def test_another_package(file, tmp_path):
    """A package, a module or a folder that Python finds in place of the producer is named, with where ours is; none is run."""
    rest = [] if file == "exporters/data.py" else [str(OURS.parent)]
    place = tmp_path / "exporters.py" if file == "exporters.py" else tmp_path / "exporters"
    told = explain_other([put(tmp_path, file), *rest])
    assert (
        told
        == f"`import exporters` finds {place}, which is not that of torch2tfds ({OURS}): rename it, or take it off Python's path"
    )


def test_a_package_written_over(tmp_path):
    """Where another distribution has put its files over ours, that is told, with the line that mends it."""
    told = explain_other([copy_of_ours(tmp_path / "site", "raise SystemExit('run')")])
    assert told.startswith(f"{tmp_path / 'site' / 'exporters'} was written over by files of another distribution: pip uninstall ")
    assert 'torch2tfds, then in a clone of torch2tfds, pip install ".[torch]"' in told


def test_the_command_where_ours_is_hidden(tmp_path, run_python):
    """What the shell's command runs imports nothing of the other package, says so in a line and exits with code 2."""
    put(tmp_path, "exporters/__init__.py")
    module, _, function = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]["torch2tfds"].partition(":")
    done = run_python(f"from {module} import {function}; {function}()", exit_code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(f"torch2tfds: `import exporters` finds {tmp_path / 'exporters'}, ")
    assert done.stderr.count("\n") == 1


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
