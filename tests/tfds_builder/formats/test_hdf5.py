"""Row splits of an HDF5 shard are checked against the file before anything is read."""

import consumer_kit as kit
import pytest

from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import DatasetError
from tfds_builder.table.table import Table


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
