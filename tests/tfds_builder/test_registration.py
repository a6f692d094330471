"""`tfds_builder.registration`: a catalog directory -> what `tfds.load` knows, with nothing in it executed."""

import os
import pickle

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.catalog.survey import scan
from tfds_builder.errors import DatasetError, DatasetWarning, ManifestError, MissingFileError


@pytest.fixture
def data_dir(tmp_path):
    """Two datasets, one of them in three versions, whose rows begin at another number each."""
    return kit.write_catalog(tmp_path / "catalog")


def test_register(data_dir):
    """`register` returns the names, sorted, and `tfds.load` then needs no data_dir; registering again changes nothing."""
    for _ in range(3):
        assert tfds_builder.register(data_dir) == ["alpha", "beta"]
        assert (kit.first_row("alpha"), kit.first_row("beta")) == (0, 30)
    assert {"alpha", "beta"} <= set(tfds_builder.finding.provider.catalog._builders)


@pytest.mark.parametrize(("name", "row"), [
    ("beta:1.0.0", 10), ("beta:1.2.0", 20), ("beta:1.*.*", 30), ("beta:1.2.*", 20), ("alpha:*.*.*", 0), ("beta/1.2.0", None),
    ("Beta", 30),
])  # fmt: skip
def test_version_in_the_name(name, row, data_dir):
    """`name:version` loads that version, a pattern the newest that fits; a version is no configuration."""
    tfds_builder.register(data_dir)
    if row is None:
        with pytest.raises(ValueError):
            kit.first_row(name)
    else:
        assert kit.first_row(name) == row


@pytest.mark.parametrize("name", ["beta:2.0.0", "beta:3.*.*"])
def test_version_that_is_not_there(name, data_dir):
    """A version that is not published is an error, not another version."""
    tfds_builder.register(data_dir)
    with pytest.raises((AssertionError, tfds.core.DatasetNotFoundError)):
        tfds.load(name)


def test_data_dir_wins(data_dir, tmp_path):
    """`data_dir=` reads the dataset of that name there, wherever the registered one lies."""
    kit.write_table(tmp_path / "other", "beta", {"train": kit.numbers(4, 500)})
    tfds_builder.register(data_dir)
    assert kit.first_row("beta", data_dir=tmp_path / "other") == 500
    assert kit.first_row("beta", data_dir=os.fspath(tmp_path / "other")) == 500
    assert kit.first_row("beta") == 30


def test_another_directory_replaces(data_dir, tmp_path):
    """Registering another directory adds its datasets and replaces those of the same name only."""
    kit.write_table(tmp_path / "other", "beta", {"train": kit.numbers(4, 500)})
    tfds_builder.register(data_dir)
    assert tfds_builder.register(tmp_path / "other") == ["beta"]
    assert (kit.first_row("alpha"), kit.first_row("beta")) == (0, 500)


def test_a_new_version_is_seen(data_dir):
    """A version published after `register` is the default of the next `tfds.load`."""
    tfds_builder.register(data_dir)
    kit.write_table(data_dir, "alpha", {"train": kit.numbers(4, 70)}, version="2.0.0")
    assert kit.first_row("alpha") == 70


def test_relative_directory(data_dir, monkeypatch):
    """A directory registered by a relative path is found from any other working directory."""
    monkeypatch.chdir(data_dir.parent)
    tfds_builder.register(data_dir.name)
    monkeypatch.chdir("/")
    assert kit.first_row("alpha") == 0


def test_published_mnist_wins(tmp_path):
    """A published dataset wins over the one of TFDS with the same name; the others of TFDS stay known."""
    kit.write_table(tmp_path, "mnist", {"train": kit.numbers(4, 5)})
    tfds_builder.register(tmp_path)
    assert kit.first_row("mnist") == 5
    assert tfds.builder_cls("mnist").__mro__[1] is tfds_builder.ExportedBuilder
    assert tfds.builder_cls("cifar10").__name__ == "Cifar10"


def test_golden_of_both_formats(golden):
    """A directory of datasets of both formats registers them all, and each loads its own values."""
    assert tfds_builder.register(golden) == sorted(kit.make.names())
    for name in kit.make.names():
        assert kit.outcome(tfds.load(name, split="test"))[2] == kit.examples(kit.make.truth(name)["test"])


def test_missing_directory(tmp_path):
    """A directory that is not there, or is a file, is a MissingFileError that names it; an empty one registers nothing."""
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(MissingFileError, match=path.name):
            tfds_builder.register(path)
    (tmp_path / "empty").mkdir()
    with pytest.warns(DatasetWarning, match="nothing is published under"):
        assert tfds_builder.register(tmp_path / "empty") == []


def test_nothing_replaces_nothing(data_dir, tmp_path):
    """Registering a directory without datasets says which ones stay registered, and from where."""
    tfds_builder.register(data_dir)
    (tmp_path / "moved").mkdir()
    with pytest.warns(DatasetWarning, match=f"nothing was registered; what was registered before stays: .*beta from {data_dir}"):
        assert tfds_builder.register(tmp_path / "moved") == []
    assert kit.first_row("beta") == 30


def test_unpublished_is_passed_over(data_dir):
    """Staged versions, other directories, files and names that no dataset can have are passed over."""
    for path in ("alpha/2.0.0.incomplete", "gamma/1.0.0", "Delta/1.0.0", ".hidden/1.0.0", "alpha/1.0", "epsilon"):
        (data_dir / path).mkdir(parents=True)
    for path in ("Delta/1.0.0", ".hidden/1.0.0", "alpha/2.0.0.incomplete", "alpha/1.0"):
        (data_dir / path / "manifest.json").write_text("{")
    (data_dir / "zeta").write_text("a file")
    assert tfds_builder.register(data_dir) == ["alpha", "beta"]
    assert [(e.name, e.version) for e in scan(data_dir)] == [
        ("alpha", "1.0.0"),
        *(("beta", v) for v in ("1.10.0", "1.2.0", "1.0.0")),
    ]


@pytest.mark.parametrize("damage", ["{", "", '{"format_version": 9}', "deleted"])
def test_damaged_version(damage, data_dir):
    """A damaged version hides neither other datasets nor other versions; loading it is an error that names its manifest."""
    manifest = data_dir / "beta" / "1.10.0" / "manifest.json"
    manifest.write_text(damage)
    assert tfds_builder.register(data_dir) == ["alpha", "beta"]
    assert (kit.first_row("alpha"), kit.first_row("beta:1.2.0")) == (0, 20)
    with pytest.raises(ManifestError, match=r"beta/1\.10\.0/manifest\.json"):
        tfds.load("beta")
    if damage == "deleted":  # no manifest, no version
        manifest.unlink()
        assert kit.first_row("beta") == 20


def test_moved_directory(data_dir):
    """A dataset moved under another name is an error that says both names when it is loaded."""
    (data_dir / "alpha").rename(data_dir / "renamed")
    assert tfds_builder.register(data_dir) == ["beta", "renamed"]
    with pytest.raises(DatasetError, match=r"(?s)(alpha.*renamed|renamed.*alpha)"):
        tfds.load("renamed")
    with pytest.raises(tfds.core.DatasetNotFoundError):
        tfds.load("alpha")


@pytest.mark.once
def test_where_tfds_looks_by_itself(tmp_path, run_python, monkeypatch):
    """In TFDS_DATA_DIR stock TFDS reads a TFRecord version that is named: `register` says so, and its line is read by us."""
    kit.copy_golden("pairs_tfrecord", tmp_path / "data")
    kit.copy_golden("pairs_hdf5", tmp_path / "data")
    code = """
        import re, sys, warnings
        import tensorflow_datasets as tfds, tfds_builder
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tfds_builder.register(sys.argv[1])
        told = [str(warning.message) for warning in caught if issubclass(warning.category, tfds_builder.DatasetWarning)]
        print(len(told), [type(tfds.builder(name)).__mro__[1] is tfds_builder.ExportedBuilder for name in (
            "pairs_tfrecord:1.0.0", "pairs_tfrecord", "pairs_hdf5:1.0.0",
            *(re.findall(r"Have torch2tfds read it by tfds.load\\('(.*)'\\)", told[0]) if told else ()),
        )])
    """
    assert run_python(code, tmp_path / "data").stdout == "0 [True, True, True]\n"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    assert run_python(code, tmp_path / "data").stdout == "1 [False, True, True, True]\n"


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.once
def test_nothing_found_is_executed(tmp_path, run_python):
    """`register` and `tfds.load` neither import, execute nor unpickle anything that lies in the directory, nor write to it."""
    data_dir, evidence = tmp_path / "catalog", tmp_path / "evidence"
    evidence.mkdir()
    names = sorted(f"pairs_{format}" for format in kit.FORMATS)
    versions = [kit.copy_golden(name, data_dir) for name in names]
    for number, place in enumerate((data_dir, *versions, *(version.parent for version in versions))):
        hostile = f"open({str(evidence / 'imported')!r} + '{number}', 'w')"
        modules = [f"{name}{suffix}" for name in names for suffix in ("_dataset_builder.py", ".py")]
        for file in (*modules, "__init__.py", "manifest.py", "sitecustomize.py", "numpy.py"):
            (place / file).write_text(hostile)
        for file in ("manifest.pkl", "features.pickle", "dataset_info.pkl", "data.npy"):
            (place / file).write_bytes(pickle.dumps(Payload(str(evidence / f"unpickled{number}"))))
    code = """
        import os, sys
        import tensorflow_datasets as tfds, tfds_builder
        files = lambda: sorted(os.path.join(path, file) for path, _, files in os.walk(sys.argv[1]) for file in files)
        before = files()
        for name in tfds_builder.register(sys.argv[1]):
            ds = tfds.load(name, split="train")
            print(name, [int(example["label"]) for example in ds.as_numpy_iterator()])
        assert before == files()
    """
    labels = kit.make.truth("pairs")["train"]["label"].tolist()
    assert run_python(code, data_dir).stdout.splitlines() == [f"{name} {labels}" for name in names]
    assert not list(evidence.iterdir())
