"""Every format version that was ever written is still read, and one to come is refused as not supported, never as damaged."""

import json
import shutil

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder import UnsupportedVersionError
from tfds_builder.contract.manifest import FORMAT_VERSION

OLDER = kit.TESTS / "golden_older"
"""Golden datasets of the versions before, each in a data_dir of its own."""


def golden_of(version):
    """Where the golden datasets of a format version lie."""
    return kit.GOLDEN if version == FORMAT_VERSION else OLDER / f"version_{version}"


CASES = [(version, name) for version in range(1, FORMAT_VERSION + 1) for name in kit.make.names()]


def copy(version, name, data_dir):
    shutil.copytree(golden_of(version) / name, data_dir / name, ignore=shutil.ignore_patterns("__pycache__"))
    return data_dir / name / "1.0.0"


@pytest.mark.parametrize(("version", "name"), CASES)
def test_every_version_is_read(version, name, tmp_path):
    """A golden dataset of each format version is whole, and `tfds.load` gives the values that went into it."""
    directory = copy(version, name, tmp_path)
    assert json.loads((directory / "manifest.json").read_bytes())["format_version"] == version
    assert tfds_builder.verify(directory).problems == []
    assert tfds_builder.register(tmp_path) == [name]
    for split, columns in kit.make.truth(name).items():
        assert kit.outcome(tfds.load(name, split=split))[2] == kit.examples(columns)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
@kit.both_formats
def test_every_version_of_configs_is_read(format, version, tmp_path):
    """So is one with configs."""
    name = f"variants_{format}"
    shutil.copytree(golden_of(version) / name, tmp_path / name)
    tfds_builder.register(tmp_path)
    for (config, number), rows in kit.make.VARIANTS.items():
        assert tfds_builder.verify(tmp_path / name / config / number).problems == []
        loaded = tfds.load(f"{name}/{config}:{number}", split="train")
        assert [int(example["row"]) for example in loaded.as_numpy_iterator()] == list(range(rows))


@pytest.mark.parametrize("version", range(2, FORMAT_VERSION + 1))
@kit.both_formats
def test_rows_that_differ_in_length_are_read(format, version, tmp_path):
    """And one whose rows differ in length, which version 2 added."""
    directory = copy(version, f"rows_{format}", tmp_path)
    assert tfds_builder.verify(directory, deep=True).problems == []
    found = list(tfds_builder.builder_from_directory(directory).as_dataset(split="train").as_numpy_iterator())
    for example, expected in zip(found, kit.make.rows(), strict=True):
        assert example["words"].tolist() == [word.encode() for word in expected["words"]]
        for name in ("id", "boxes", "tokens"):
            assert example[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(example[name], expected[name])


def make_newer(directory):
    """A dataset of the next format version, sound as that, with something in it nobody can know."""

    def change(content):
        content["format_version"] = FORMAT_VERSION + 1
        content["columns"] = {"of another": ["kind"]}

    kit.edit_manifest(directory, change)


@kit.both_formats
def test_newer_version(format, tmp_path):
    """A dataset of a newer version takes no other down; loading it is an UnsupportedVersionError, and `verify` says so too."""
    directory = copy(FORMAT_VERSION, f"pairs_{format}", tmp_path)
    kit.write_table(tmp_path, "other", {"train": kit.numbers(2)})
    make_newer(directory)
    assert tfds_builder.register(tmp_path) == ["other", f"pairs_{format}"]
    assert len(list(tfds.load("other", split="train"))) == 2
    with pytest.raises(UnsupportedVersionError, match="not supported"):
        tfds.load(f"pairs_{format}", split="train")
    (problem,) = tfds_builder.verify(directory).problems
    assert (problem.kind, problem.file) == ("unsupported", "manifest.json")
    assert "upgrade" in problem.message


def test_a_golden_dataset_of_each_version():
    """Each format version below today's has its golden directory, and there are no others."""
    found = sorted(path.name for path in OLDER.glob("version_*"))
    assert found == [f"version_{version}" for version in range(1, FORMAT_VERSION)]
