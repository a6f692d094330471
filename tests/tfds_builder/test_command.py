"""Another package of the name `exporters`: the command line says what lies where, and how to mend it."""

from __future__ import annotations

import pathlib
import shutil
import tomllib

import pytest

import exporters
from tfds_builder.command import explain_other

OURS = pathlib.Path(exporters.__file__).parent


PYPROJECT = pathlib.Path(__file__).parents[2] / "pyproject.toml"


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
