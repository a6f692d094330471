"""The deep check of TFRecord: an index that says a record or a string is elsewhere than a parser finds it."""

import consumer_kit as kit
import numpy as np
import pytest


@pytest.mark.parametrize("row", [0, 2])
def test_other_features(row, tmp_path):
    """A record that other readers would find other features in is named by the deep check."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    kit.change_record(directory, row, lambda record: record.__setitem__(slice(None), record.replace(b"image", b"imago")))
    assert f"record {row}: " in kit.problems_of(directory)[0]


@pytest.mark.parametrize("change", [
    lambda index: index.__setitem__((1, 1), index[1, 1] + 1), lambda index: index.__setitem__((1, 2), index[1, 2] - 1),
    lambda index: index.__setitem__((1, 0), index[1, 0] + 1), lambda index: index.__setitem__((0, 0), 4),
    lambda index: index.__setitem__((1, 0), -1), lambda index: index.__setitem__((1, 0), 2**62),
    lambda index: index.__setitem__(slice(None), index[::-1].copy()),
])  # fmt: skip
def test_index(change, tmp_path):
    """An index that says a record or a string is elsewhere than a parser finds it is found by the deep check."""
    directory = kit.copy_golden("text_tfrecord", tmp_path)
    shard = kit.first_shard(directory)
    path = directory / shard.index.file
    index = np.frombuffer(path.read_bytes(), "<i8").reshape(shard.rows, -1).copy()
    change(index)
    path.write_bytes(index.tobytes())
    kit.reseal(directory, path.name)
    assert kit.problems_of(directory, deep=False) == []
    assert [text for text in kit.problems_of(directory) if shard.data.file in text]
