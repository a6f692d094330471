"""Names are what TFDS and a file system can live with, or refused with one that would do."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from exporters import ArgumentError, export

X, Y = torch.zeros(4, 5), torch.arange(4)
BAD_NAMES = ["My-DS", "MyDS", "../x", "", "a/b", "class", "9lives", "_x", "x y", "x.y", "é", "x\n", None, 3, b"x", "..", "a-b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_dataset_names(name, loader_of, refuses):
    """A dataset name that TFDS could not find again is refused."""
    refuses(loader_of(X), ArgumentError, "name must be lower_snake_case", repr(name), name=name)


def test_a_bad_name_is_mended(loader_of, refuses):
    """The message offers a name that would do, and it does."""
    error = refuses(loader_of(X), ArgumentError, name="My-DataSet2")
    assert 'name="my_data_set2"' in str(error)


@pytest.mark.parametrize(
    "version", ["1", "1.0", "1.0.0.0", "v1.0.0", "1.0.0rc1", "01.0.0", "1.0.-1", "1.0.*", "", "1.0.0\n", 1.0, None, "\uff11.0.0"]
)
def test_bad_versions(version, loader_of, refuses):
    """A version that is not x.y.z is refused."""
    refuses(loader_of(X), ArgumentError, 'version must be "x.y.z"', repr(version), version=version)


@pytest.mark.parametrize("split", ["", "all", "train/a", "../x", "train[:5]", "a+b", "a b", "a.b", "-a", "a\n", 3, None])
def test_bad_split_names(split, loader_of, refuses):
    """A split name that `tfds.load(split=...)` could not read is refused."""
    refuses({"train": loader_of(X), split: loader_of(X)}, ArgumentError, "split name", repr(split))


@pytest.mark.parametrize("options", [{"shard_bytes": 0}, {"shard_bytes": -1}, {"shard_bytes": 1.5}, {"shard_bytes": True}])
def test_bad_shard_bytes(options, loader_of, refuses):
    """A shard size that is no positive whole number is refused."""
    refuses(loader_of(X), ArgumentError, "shard_bytes must be", repr(options["shard_bytes"]), **options)


@pytest.mark.parametrize("format", ["TFRecord", "parquet", "", None, "tfrecord "])
def test_bad_formats(format, loader_of, refuses):
    """An unknown format is refused with the ones there are."""
    refuses(loader_of(X), ArgumentError, "format must be 'tfrecord' or 'hdf5'", repr(format), format=format)


def test_no_split(refuses):
    """A mapping without a split is refused."""
    refuses({}, ArgumentError, "no split")


def test_no_name_at_all(tmp_path):
    """`name` must be given by name."""
    with pytest.raises(TypeError, match="name"):
        export(DataLoader([1]), tmp_path)
