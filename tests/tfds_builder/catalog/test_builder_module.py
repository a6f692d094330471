"""`tfds_builder.generate`: the generated module registers the dataset, and text of the dataset cannot run in it."""

import ast
import dataclasses
import os
import pathlib
import shutil
import stat

import consumer_kit as kit
import hypothesis
import hypothesis.strategies as st
import pytest

import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.builder_module import render
from tfds_builder.contract.manifest import Split
from tfds_builder.errors import DatasetError, ManifestError

IMPORT = """
    import importlib, sys
    import tensorflow_datasets as tfds
    for format, place, *data_dir in [argument.split("=") for argument in sys.argv[1:]]:
        sys.path.insert(0, place)
        module = importlib.import_module(f"pairs_{format}_dataset_builder")
        options = dict(data_dir=data_dir[0]) if data_dir else {}
        ds = tfds.load(f"pairs_{format}", split="train", **options)
        print([int(example["label"]) for example in ds.as_numpy_iterator()])
        print(len(list(module.Builder(**options).as_dataset(split="test"))))
    assert "torch" not in sys.modules and "exporters" not in sys.modules
"""
"""Arguments: `format=directory of the module[=data_dir]`."""
LABELS = str(kit.make.truth("pairs")["train"]["label"].tolist())


def test_imported_from_its_place_and_copied_elsewhere(tmp_path, run_python):
    """The generated module, imported from beside the data wherever that was moved, registers the dataset and loads it; a copy
    of the module in another directory loads with data_dir=, and without says that it is needed."""
    moved = kit.copy_golden("pairs_tfrecord", tmp_path / "moved here")
    directory, repo = kit.copy_golden("pairs_hdf5", tmp_path / "data"), tmp_path / "deep" / "repo"
    repo.mkdir(parents=True)
    shutil.copy(directory.parent / "pairs_hdf5_dataset_builder.py", repo)
    lines = run_python(IMPORT, f"tfrecord={moved.parent}", f"hdf5={repo}={tmp_path / 'data'}").stdout.splitlines()
    assert lines == [LABELS, "12"] * 2
    error = run_python(IMPORT, f"hdf5={repo}", exit_code=1).stderr.strip().splitlines()[-1]
    assert "MissingFileError" in error
    assert "data_dir=" in error
    assert "pairs_hdf5" in error


@kit.every_golden
def test_generate_again(name, tmp_path):
    """`generate` writes the module of today's golden files again, byte for byte, by default beside the version."""
    directory = kit.copy_golden(name, tmp_path)
    module = directory.parent / f"{name}_dataset_builder.py"
    golden = module.read_bytes()
    module.unlink()
    assert tfds_builder.generate(directory) == str(module)
    assert module.read_bytes() == golden
    assert tfds_builder.generate(directory, tmp_path / "mine.py") == str(tmp_path / "mine.py")
    assert (tmp_path / "mine.py").read_bytes() == golden
    assert sorted(path.name for path in directory.parent.iterdir()) == ["1.0.0", module.name]


def test_generate_of_nothing(tmp_path):
    """`generate` of a directory without a manifest, or with a damaged one, is an error and writes nothing."""
    for text in (None, "{"):
        directory = tmp_path / str(text) / "1.0.0"
        directory.mkdir(parents=True)
        if text is not None:
            (directory / "manifest.json").write_text(text)
        with pytest.raises(DatasetError if text is None else ManifestError):
            tfds_builder.generate(directory)
        assert [path.name for path in directory.parent.iterdir()] == ["1.0.0"]


def documented(name):
    """A golden manifest, and what is in the module rendered from it besides docstrings."""
    manifest = read_lib.read_manifest(kit.GOLDEN / name / "1.0.0")
    return manifest, skeleton(render(manifest))


def skeleton(source):
    """A module's code with every docstring left out."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            assert ast.get_docstring(node)
            del node.body[0]
    return ast.dump(tree)


def test_module_says_what_the_dataset_holds():
    """The docstring of the module names every feature with its shape and dtype, every split with its size, and how to load it."""
    doc = ast.get_docstring(ast.parse(render(documented("kinds_tfrecord")[0])))
    for name, columns in kit.make.truth("kinds")["train"].items():
        line = next(line for line in doc.splitlines() if line.split()[:1] == [name])
        assert str(columns.dtype) in line
        assert str(columns.shape[1:]) in line
    assert "train: 7 examples, test: 2 examples" in doc
    assert 'tfds.load("kinds_tfrecord"' in doc


HOSTILE = [
    '"""', "'''", "\\", '\\"""', "\n", "\r\nimport os", '""" + __import__("os").system("x") + """', "$name", "${x}", "$", "{0}",
    "%s", "\0", "\u2028", "\x0c", "Größe", "\ud800", "\N{RIGHT-TO-LEFT OVERRIDE}", "#", "'); x = ('", "a" * 5000,
]  # fmt: skip


def hostile(text):
    """A manifest that has the text wherever text of the dataset can be."""
    manifest, _ = documented("pairs_tfrecord")
    column = dataclasses.replace(manifest.columns[0], name=f"a{text}b".replace("/", "-"))
    return dataclasses.replace(
        manifest, columns=(column, *manifest.columns[1:]), labels={"label": [text]}, card=dict.fromkeys(manifest.card, text),
        decisions=[text], splits={text: Split(shards=()), **manifest.splits}, producer=text, supervised_keys=[text, text],
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text(text):
    """Text of the dataset that tries to leave the docstring, or is no text at all, changes no line of the module's code."""
    _, expected = documented("pairs_tfrecord")
    source = render(hostile(text))
    assert skeleton(source) == expected
    compile(source.encode(), "module.py", "exec")


@hypothesis.given(st.text())
def test_any_text(text):
    """No text at all changes the module's code."""
    assert skeleton(render(hostile(text))) == documented("pairs_tfrecord")[1]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_dataset_name(text):
    """A dataset name that is no identifier (which no export gives) still makes a module of the same code but for the name."""
    manifest, _ = documented("pairs_tfrecord")
    tree = ast.parse(render(dataclasses.replace(manifest, name=text, version=text)))
    assert [type(node).__name__ for node in tree.body] == ["Expr", "Import", "Import", "ClassDef"]
    assert all(isinstance(node.value, ast.Constant) for node in tree.body[3].body[:2])


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_mode(umask, mode, tmp_path, monkeypatch):
    """The module may be read and written by whomever the umask lets, as any new file; nothing else is left beside it."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path / "catalog")
    before = os.umask(umask)
    try:
        module = pathlib.Path(tfds_builder.generate(directory))
    finally:
        os.umask(before)
    assert stat.S_IMODE(module.stat().st_mode) == mode
    assert sorted(path.name for path in module.parent.iterdir()) == sorted({module.name, directory.name})
