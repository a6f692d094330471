"""One shard: what is staged of it, what is noted of it, and how large its batches are."""

import hashlib
import json

import numpy as np
import pytest

from exporters import formats
from exporters.formats import ShardContext
from exporters.plans.shard import ShardResult, stored_bytes, stored_rows, write_shard
from tfds_builder.contract.manifest import RAW, STRINGS, Column
from tfds_builder.contract.ragged import Ragged

X = Column(name="x", dtype="int32", shape=(2,), encoding=RAW, width=8)
CONTEXT = ShardContext(columns=[X], lists={"x": "bytes_list"}, attributes={}, column_attributes={"x": {}})


def batches(*numbers):
    for number in numbers:
        yield number, {"x": np.full((3, 2), number, np.int32)}


def test_what_is_written_is_noted(format, tmp_path):
    """A shard has the rows and the numbers of the batches it was made of, and the files that were written; a note of it says
    the same."""
    result = write_shard(formats.find(format), CONTEXT, tmp_path, "stem", batches(4, 5, 6))
    assert (result.rows, result.start, result.stop) == (9, 4, 7)
    data = (tmp_path / "stem.data").read_bytes()
    assert (result.data.bytes, result.data.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert ShardResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_what_batches_raise(format, tmp_path):
    """An error of the batches passes through, and no file stays open."""

    def broken():
        yield from batches(0)
        raise RuntimeError("of the loader")

    with pytest.raises(RuntimeError, match="of the loader"):
        write_shard(formats.find(format), CONTEXT, tmp_path, "stem", broken())


def test_sizes():
    """Bytes are those of the values: of each string its own, of rows that differ in length those that are there."""
    text = np.array([b"ab", b"", b"cde"], object)
    strings = Column(name="t", dtype="string", shape=(), encoding=STRINGS, width=0)
    ragged = Column(name="r", dtype="int32", shape=(None, 2), encoding=RAW, width=8)
    columns = {
        "x": np.zeros((3, 2), np.int32),
        "t": text,
        "r": Ragged(np.zeros((5, 2), np.int32), np.array([0, 1, 1, 5])),
    }
    assert stored_rows(columns) == 3
    assert stored_bytes(columns, [X, strings, ragged]) == 3 * 8 + 5 + 5 * 8
