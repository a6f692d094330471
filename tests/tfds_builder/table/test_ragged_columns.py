"""Strings and row splits that would lead outside of their file are an error."""

import consumer_kit as kit
import numpy as np
import pytest

from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import DatasetError
from tfds_builder.table.table import Table


@pytest.mark.parametrize("value", [-1000, 10**9, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("slot", range(9))
def test_hostile_index(value, slot, tmp_path):
    """An index of strings that points outside its shard, or has a negative length, is a DatasetError."""
    directory = kit.copy_golden("text_tfrecord", tmp_path)
    index = directory / read_lib.read_manifest(directory).splits["train"].shards[0].index.file
    rows = np.fromfile(index, "<i8").reshape(-1, 9)
    rows[1, slot] = value
    rows.tofile(index)
    table = Table.of_split(directory, "train")
    for selection in (slice(0, 3), np.array([1])):
        with pytest.raises(DatasetError, match="points outside"):
            table.read(selection)


@pytest.mark.parametrize("value", [-1, 10**9, 2**63 - 1])
def test_hostile_row_splits(value, tmp_path):
    """Row splits of an HDF5 column of strings that point outside the file are a DatasetError."""
    directory = kit.copy_golden("text_hdf5", tmp_path)
    manifest = read_lib.read_manifest(directory)
    shard = manifest.splits["train"].shards[0]
    column = [column.name for column in manifest.columns].index("caption")
    with open(directory / shard.data.file, "r+b") as file:
        file.seek(manifest.geometries[shard.geometry].row_splits[column] + 8)
        file.write(value.to_bytes(8, "little", signed=True))
    table = Table.of_split(directory, "train")
    with pytest.raises(DatasetError, match="points outside"):
        table.read(slice(0, 3), ["caption"])
