"""Messages name an argument as whoever called writes it: keywords of Python, or options of the command line."""

from __future__ import annotations

import ast
import inspect
import itertools
import operator
import pathlib
import re
import shlex

import pytest
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import exporters
from exporters import cli, wording
from exporters.hazards.registry import HAZARDS

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


COMMAND = typer.main.get_command(cli.app).commands["export"]
OPTIONS = {option for parameter in COMMAND.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_every_argument_is_an_option_or_said_to_be_none():
    """Each keyword of `export` is named on the command line by an option that `export --help` lists."""
    with wording.command_line():
        said = {name: wording.called(name) for name in inspect.signature(exporters.export).parameters}
    assert (said.pop("loaders"), said.pop("data_dir")) == ("MODULE:FACTORY", "DATA_DIR")
    said.pop("card")  # each of its fields is an option
    assert {name: option for name, option in said.items() if option not in OPTIONS} == {}


def _messages(path):
    """The text of every string in a module that is no docstring and no `Code`, what an f-string puts in left out."""
    tree = ast.parse(path.read_text())
    owners = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    notes = {id(node.body[0].value) for node in owners if node.body and isinstance(node.body[0], ast.Expr)}
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Code"))
    notes |= {id(part) for call in calls for argument in call.args for part in ast.walk(argument)}
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


REMEDIES = {kind.remedy for kind in HAZARDS.values()}
"""They are written for Python, as docs/hazards.md has them, and said by `wording.spoken`."""
MEANINGS = {kind.meaning for kind in HAZARDS.values()}
"""Of docs/hazards.md alone."""
CODE = {"ClassLabel(names=dataset.classes)"}
"""A feature as it is written in Python, the keyword of which is TFDS's own."""


@pytest.mark.parametrize("name", [name for name in MODULES if name != "wording.py"])
def test_no_message_names_a_keyword_itself(name):
    """No message spells `keyword=` of its own: what `exporters.wording` gives is right for whoever reads it."""
    allowed = REMEDIES | MEANINGS | CODE
    found = [(line, text) for line, text in _messages(ROOT / name) if BARE.search(text) and text not in allowed]
    assert found == []
    with wording.command_line():
        assert [text for text in REMEDIES if BARE.search(wording.spoken(text))] == []


def loader(*batches):
    """A loader that gives these batches."""
    return DataLoader(list(batches), collate_fn=operator.itemgetter(0))


IMAGES = torch.arange(2 * 3 * 8 * 3, dtype=torch.uint8).reshape(2, 3, 8, 3)
X = torch.arange(8).reshape(2, 4)
LOADERS = {
    "pair": lambda: DataLoader(TensorDataset(torch.arange(24).reshape(6, 4), torch.arange(6) % 3), batch_size=4),
    "ambiguous": lambda: loader(IMAGES),
    "ambiguous5d": lambda: loader(torch.zeros(2, 3, 3, 8, 8, dtype=torch.uint8)),
    "other_shape": lambda: loader(X, X[:, :3]),
    "other_dtype": lambda: loader(X, X.float()),
    "mixed": lambda: loader([[1, "a"], [2, "b"]]),
    "empty_lists": lambda: loader({"x": X, "ids": [[], []]}),
    "all_none": lambda: loader({"x": X, "y": [None, None]}),
    "none_later": lambda: loader({"x": [1, 2]}, {"x": [None, 2]}),
    "slash": lambda: loader({"a/b": X}),
    "taken": lambda: loader((X, X, X)),
    "long_name": lambda: loader({"a" * 201: X}),
    "dot": lambda: loader({"..": X}),
    "nan": lambda: loader((X.float() / 0, X[:, 0])),
    "dropped": lambda: DataLoader(TensorDataset(torch.arange(10), torch.arange(10) % 2), batch_size=4, drop_last=True),
    "padded": lambda: DataLoader(
        [torch.arange(1, n) for n in (4, 7, 5, 6)], batch_size=2,
        collate_fn=lambda rows: {"tokens": torch.stack([torch.nn.functional.pad(row, (0, 8 - len(row))) for row in rows])},
    ),
    "twice_named": lambda: named(["a", "a", "b"]),
    "badly_named": lambda: named(["a\n", "b", "c"]),
}  # fmt: skip


def named(classes):
    dataset = TensorDataset(X, torch.arange(2))
    dataset.classes = classes
    return DataLoader(dataset, batch_size=2)


PROVOKED = {
    "layout": ("ambiguous", ()),
    "layout of five axes": ("ambiguous5d", ()),
    "layout of nothing": ("pair", ("--layout", "image=NCHW")),
    "layout that does not fit": ("pair", ("--layout", "features=NCHW")),
    "layout that is none": ("pair", ("--layout", "features=ABC")),
    "rename of nothing": ("pair", ("--rename", "a=b")),
    "rename to a path": ("pair", ("--rename", "label=a/b")),
    "rename to one name": ("pair", ("--rename", "label=features")),
    "supervised": ("pair", ("--supervised", "a,b")),
    "unpad of nothing": ("pair", ("--unpad", "a=b")),
    "unpad by what is no length": ("pair", ("--unpad", "label=features")),
    "hazard of nothing": ("pair", ("--on-hazard", "a=ignore")),
    "action of nothing": ("pair", ("--on-hazard", "b")),
    "classes of nothing": ("pair", ("--classes", "a=2")),
    "too few classes": ("pair", ("--classes", "1")),
    "classes of what is none": ("pair", ("--classes", "features=4")),
    "name": ("pair", ("--name", "A-b")),
    "version": ("pair", ("--version", "1")),
    "format": ("pair", ("--format", "csv")),
    "config": ("pair", ("--config", "/")),
    "config description": ("pair", ("--config", "c", "--config-description", "\udcff")),
    "release notes": ("pair", ("--release-notes", "1=a")),
    "text of release notes": ("pair", ("--release-notes", "1.0.0=\udcff")),
    "card": ("pair", ("--license", "\udcff")),
    "size of shards": ("pair", ("--shard-mib", "0")),
    "another shape": ("other_shape", ()),
    "another dtype": ("other_dtype", ()),
    "lists of different things": ("mixed", ()),
    "lists that are empty": ("empty_lists", ()),
    "nothing but None": ("all_none", ()),
    "None later": ("none_later", ()),
    "a key with a slash": ("slash", ()),
    "a name that is too long": ("long_name", ()),
    "a name that is a directory": ("dot", ()),
    "a class name twice": ("twice_named", ()),
    "a class name that cannot be kept": ("badly_named", ()),
    "a hazard of numbers": ("nan", ("--on-hazard", "error")),
    "a hazard of the loader": ("dropped", ("--on-hazard", "error")),
    "a hazard of padding": ("padded", ("--on-hazard", "error")),
}


@pytest.fixture
def told(monkeypatch, tmp_path):
    """`told(loaders, *options)`: what `torch2tfds export` of these loaders refuses with, its notes and warnings included."""

    def run(loaders, *options):
        monkeypatch.setattr("exporters.command.factory.load_factory", lambda *_: loaders())
        done = CliRunner().invoke(cli.app, ["export", "mine:make", str(tmp_path / "data"), "--name", "ds", *options])
        assert isinstance(done.exception, exporters.ExportError), done.output
        return "\n".join([str(done.exception), *getattr(done.exception, "__notes__", ()), done.stderr])

    return run


@pytest.mark.parametrize("what", PROVOKED)
def test_what_the_command_line_is_told(what, told):
    """Whatever is wrong, the command line is told of options and of no keyword, and the options are its own."""
    loaders, options = PROVOKED[what]
    text = told(LOADERS[loaders], *options)
    outside = re.sub(r"python -c '[^']*'|--[a-z-]+ \S+=\S+", "", text)  # lines to be typed, and options with their values
    assert BARE.search(outside) is None, text
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= OPTIONS, text


FOLLOWED = {
    "layout": ("ambiguous", (), r"say which: (--layout \S+) or"),
    "five axes": ("ambiguous5d", (), r"say which: (--layout \S+) or"),
    "padding": ("padded", ("--on-hazard", "error"), r"to accept it: (--on-hazard \S+);"),
    "a hazard": ("dropped", ("--on-hazard", "error"), r"to accept it: (--on-hazard \S+);"),
    "a name": ("pair", ("--name", "Two-Words"), r"(--name \S+)"),
    "a version": ("pair", ("--version", "1"), r"(--version \S+)$"),
    "a class name twice": ("twice_named", (), r"(--classes \S+)"),
}


@pytest.mark.parametrize("what", FOLLOWED)
def test_advice_works_where_it_is_given(what, told, tmp_path):
    """The options that a message ends in, typed after those that were refused, publish the dataset."""
    loaders, options, pattern = FOLLOWED[what]
    advice = re.search(pattern, told(LOADERS[loaders], *options), re.MULTILINE)
    command = ["export", "mine:make", str(tmp_path / "data"), "--name", "ds", *options, *shlex.split(advice[1])]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, (command, done.output, done.exception)


def test_what_is_kept_after_an_error_that_a_change_mends(tmp_path, told):
    """Where what mends an error may change the plan, the note on what is finished says what to add then, and it works."""
    rows = [X, X + 8, (X + 16).float(), X + 24]
    options = ("--shard-mib", "0.00005", "--on-hazard", "ignore")
    text = told(lambda: loader(*rows), *options)
    kept = re.search(r"(\d) finished shards? (?:is|are) kept in .*: run the same command again .*, or add (--\w+) if", text)
    assert (int(kept[1]), kept[2]) == (2, "--overwrite")
    as_floats = [row.float() for row in rows]
    refused = told(lambda: loader(*as_floats), *options)
    assert "add --overwrite to begin anew" in refused
    assert "run the same command again" not in refused
    command = ["export", "mine:make", str(tmp_path / "data"), "--name", "ds", *options, kept[2]]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, (done.output, done.exception)
