"""The index of a TFRecord shard is checked against the file before anything is read."""

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
