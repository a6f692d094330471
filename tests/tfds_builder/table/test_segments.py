"""TFDS's file instructions as rows of shards: those the manifest has, and no others."""

import dataclasses
import types

import pytest

from tfds_builder.catalog.read import read_manifest
from tfds_builder.errors import DatasetError
from tfds_builder.table.segments import segments_of


@pytest.fixture
def manifest(golden):
    return read_manifest(golden / "pairs_hdf5" / "1.0.0")


def instruction(shard, skip, take):
    return types.SimpleNamespace(filename=f"/anywhere/{shard.data.file}", skip=skip, take=take)


def test_rows_of_shards(manifest):
    """Each instruction is a run of rows of the shard of its file, in their order."""
    first, second = manifest.splits["train"].shards[:2]
    found = segments_of(manifest, [instruction(second, 1, 2), instruction(first, 0, first.rows)])
    assert [(segment.shard, segment.start, segment.stop) for segment in found] == [(second, 1, 3), (first, 0, first.rows)]


def test_rows_that_are_not_there(manifest):
    """A row more than the shard has, a file of another dataset, or a slice that runs backwards is refused."""
    shard = manifest.splits["train"].shards[0]
    with pytest.raises(DatasetError, match=f"promises {shard.rows + 1} rows"):
        segments_of(manifest, [instruction(shard, 1, shard.rows)])
    stranger = dataclasses.replace(shard, data=dataclasses.replace(shard.data, file="other"))
    with pytest.raises(DatasetError, match="names other, which"):
        segments_of(manifest, [instruction(stranger, 0, 1)])
    with pytest.raises(ValueError, match="turn the slice round"):
        segments_of(manifest, [instruction(shard, 5, -2)])
