"""Stored bytes as values."""

import consumer_kit as kit
import hypothesis
import hypothesis.strategies as st
import numpy as np

from tfds_builder import formats
from tfds_builder.contract.decode import decode_column
from tfds_builder.contract.manifest import VARINT, Column, File, Geometry, Shard
from tfds_builder.table import single_rows as rows


@hypothesis.given(st.sampled_from(["bool", "uint8", "int8", "uint32", "int32", "uint64", "int64"]), st.data())
def test_one_varint(dtype, data):
    """A single padded varint reads as the block reader has it, of every integer type, width and sign."""
    info = np.iinfo(dtype) if dtype != "bool" else None
    value = data.draw(st.integers(int(info.min), int(info.max)) if info else st.integers(0, 1))
    bits = value & (2**64 - 1)
    width = data.draw(st.integers(max(1, -(-bits.bit_length() // 7)), 10))
    stored = [(bits >> 7 * k) & 0x7F | (0x80 if k < width - 1 else 0) for k in range(width)]
    data = np.array([255, *stored, 255, *stored, 255], np.uint8)
    shard = Shard(data=File(file="x", bytes=data.size, sha256=""), rows=2, geometry=0)
    column = Column(name="x", dtype=dtype, shape=(), encoding=VARINT, width=width)
    wanted = decode_column(column, np.array([stored], np.uint8))[0].item()
    geometry = Geometry(offsets=(1,), strides=(width + 1,), row_splits=(0,))
    stored_rows = formats.find("tfrecord").rows(None, [column], [geometry]).single(shard, data)
    for row in range(2):
        item, array = (rows._reader(stored_rows, 0, column, as_item, rows._Shard(shard, data))(row) for as_item in (True, False))
        assert kit.typed(item) == kit.typed(wanted) == kit.typed(value if info else bool(value))
        assert kit.typed(array) == kit.typed(np.array(value, dtype))
