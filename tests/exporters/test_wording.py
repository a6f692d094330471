"""Messages name an argument as whoever called writes it: keywords of Python, or options of the command line."""

from __future__ import annotations

import ast
import inspect
import itertools
import pathlib
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exporters
from exporters import cli, wording

ROOT = pathlib.Path(exporters.__file__).parent
KEYWORDS = sorted(set(inspect.signature(exporters.export).parameters) - {"loaders", "data_dir", "name", "format"})
BARE = re.compile(rf"(?<![\w.-])(?:{'|'.join(KEYWORDS)})=")
"""A keyword of `export` as Python writes it. `name=` and `format=` are too common elsewhere to tell anything."""


def test_in_python():
    """Outside of the command line an argument is written as a keyword that Python takes, whatever its value is."""
    features = {"label": wording.Code("tfds.features.ClassLabel(num_classes=10)")}
    assert wording.argument("overwrite") == "overwrite="
    assert wording.argument("layouts", {"image": "NCHW", "b": None}) == 'layouts={"image": "NCHW", "b": None}'
    assert wording.argument("features", features) == 'features={"label": tfds.features.ClassLabel(num_classes=10)}'
    assert (wording.called("shard_bytes"), wording.amount("shard_bytes", 10485)) == ("shard_bytes", "10485")
    assert wording.passing("overwrite", True) == "pass overwrite=True"


def test_on_the_command_line():
    """Within `command_line` the same is an option that the command has, and a shell takes as it is; after it, a keyword again."""
    with wording.command_line():
        assert wording.argument("overwrite", True) == "--overwrite"
        assert wording.argument("progress", False) == "--quiet"
        assert wording.argument("layouts", {"image": "NCHW", "b": "NHWC"}) == "--layout image=NCHW --layout b=NHWC"
        assert shlex.split(wording.argument("names", {"a b": "it's"})) == ["--rename", "a b=it's"]
        assert wording.argument("shard_bytes", 1024 * 1024) == "--shard-mib 1"
        assert wording.passing("overwrite", True) == "add --overwrite"
    assert wording.argument("overwrite", True) == "overwrite=True"


@given(mebibytes=st.floats(1e-6, 1e6))
def test_sizes_of_shards(mebibytes):
    """A size in MiB, said again, is one that stands for the same bytes."""
    count = wording.to_bytes(mebibytes)
    with wording.command_line():
        assert wording.to_bytes(float(wording.amount("shard_bytes", count))) == count


def test_every_argument_is_an_option_or_said_to_be_none():
    """Each keyword of `export` is named on the command line by an option that `export --help` lists."""
    import typer

    command = typer.main.get_command(cli.app).commands["export"]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    with wording.command_line():
        said = {name: wording.called(name) for name in inspect.signature(exporters.export).parameters}
    assert (said.pop("loaders"), said.pop("data_dir")) == ("MODULE:FACTORY", "DATA_DIR")
    said.pop("card")  # each of its fields is an option
    assert {name: option for name, option in said.items() if option not in options} == {}


def _messages(path):
    """The text of every string in a module that is no docstring, f-strings with what Python would put in left out."""
    tree = ast.parse(path.read_text())
    owners = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    notes = {id(node.body[0].value) for node in owners if node.body and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):  # what follows an assignment is a note on it
        body = getattr(node, "body", None)
        for before, after in itertools.pairwise(body) if isinstance(body, list) else ():
            if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                notes.add(id(after.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            yield node.lineno, node.value


MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def test_the_search_finds_something(tmp_path):
    """A keyword in a message is found, one in a docstring or a note is not."""
    module = tmp_path / "module.py"
    module.write_text('"""overwrite=True"""\nA = 1\n"""overwrite=True"""\nraise ValueError(f"{A}; pass overwrite=True")\n')
    assert [line for line, text in _messages(module) if BARE.search(text)] == [4]


LATER = {
    "batches.py", "boxes.py", "choice.py", "encoding.py", "fields.py", "hazards.py", "layout.py", "loader.py", "nested.py",
    "probing.py", "rows.py", "schema.py", "unpad.py", "values.py", "wording.py",
}  # fmt: skip
"""Modules whose messages are not converted yet."""


@pytest.mark.parametrize("name", [name for name in MODULES if name not in LATER])
def test_no_message_names_a_keyword_itself(name):
    """No message spells `keyword=` of its own: what `exporters.wording` gives is right for whoever reads it."""
    found = [(line, text) for line, text in _messages(ROOT / name) if BARE.search(text)]
    assert found == []
