"""TFRecord shards whose records all have the same length.

A record is a `tf.train.Example` in TFRecord framing. Protobuf lets a varint be longer than it need
be (5 may be written `85 80 00`), and every parser takes it, so integers get a fixed width and a
record becomes a constant template with holes: one array of shape (rows, record_bytes) a batch,
filled column by column. docs/format.md has the bytes.

Sources: record framing, tensorflow/core/lib/io/record_writer.h; wire format,
https://protobuf.dev/programming-guides/encoding; Example, tensorflow/core/example/feature.proto.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
from collections.abc import Iterator, Mapping, Sequence

import google_crc32c
import numpy as np

from exporters.arrays import Array
from exporters.errors import SchemaError
from exporters.formats.base import ShardContext, Sink
from exporters.formats.blocks import BLOCK_BYTES, Blocks
from exporters.layout import copy_into
from tfds_builder.manifest import STRINGS, VARINT, Column, Geometry
from tfds_builder.records import MASK_DELTA, masked_crc32c

_HEADER, _FOOTER = 12, 4
_MAX_RECORD = 2**31 - 1
_SMALL_RECORD = 1024
"""Below this many bytes a copy of a record costs less than a NumPy view of it."""
_LISTS = {"bytes_list": 0x0A, "float_list": 0x12, "int64_list": 0x1A}
"""Tags of the three lists of a Feature (fields 1 to 3, length-delimited). The list is its field 1 again:
one byte string, or the packed values."""
_LENGTH_BYTES = 5
"""Width of the one length that changes from record to record where a feature has no fixed size."""


def varint(value: int, width: int = 0) -> bytes:
    """A protobuf varint, padded to `width` bytes if that is more than it needs.

    >>> varint(5).hex(), varint(5, 3).hex()
    ('05', '858000')
    """
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        if not value and len(out) + 1 >= width:
            return bytes([*out, low])
        out.append(low | 0x80)


def _delimited(tag: int, payload: bytes) -> bytes:
    return bytes([tag]) + varint(len(payload)) + payload


class _Template:
    """The constant bytes of a record's fixed columns, and where the holes are."""

    def __init__(self, columns: Sequence[Column], lists: Mapping[str, str]) -> None:
        self.fixed = [column for column in columns if column.encoding != STRINGS]
        self.strings = [column for column in columns if column.encoding == STRINGS]
        entries, ends = b"", []
        for column in self.fixed:
            entries += _entry(column.name, _delimited(_LISTS[lists[column.name]], _delimited(0x0A, bytes(column.width))))
            ends.append(len(entries))
        prefix = bytes([0x0A])  # Example.features
        prefix += bytes(_LENGTH_BYTES) if self.strings else varint(len(entries))
        self.start = _HEADER + len(prefix)
        self.body = prefix + entries
        self.offsets = {column.name: self.start + end - column.width for column, end in zip(self.fixed, ends, strict=True)}
        self.record_bytes = _HEADER + len(self.body) + _FOOTER
        if self.record_bytes >= _MAX_RECORD:
            raise SchemaError(
                f"an example takes {self.record_bytes:,} bytes, and protobuf parses less than 2 GiB; use format='hdf5'"
            )
        self.row = np.frombuffer(_frame_header(len(self.body)) + self.body + bytes(_FOOTER), np.uint8)

    def make_block(self) -> Array:
        """Records with nothing but their constant bytes, as many as a block holds."""
        return np.broadcast_to(self.row, (max(1, BLOCK_BYTES // self.record_bytes), self.record_bytes)).copy()


def _entry(name: str, feature: bytes) -> bytes:
    """One entry of Features.feature, a map<string, Feature>."""
    return _delimited(0x0A, _delimited(0x0A, name.encode()) + _delimited(0x12, feature))


def _frame_header(length: int) -> bytes:
    size = length.to_bytes(8, "little")
    return size + masked_crc32c(google_crc32c.value(size)).to_bytes(4, "little")


class TFRecordFormat:
    """Records of constant size where every feature has one; with an index beside the shard otherwise."""

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        return tuple(columns)

    def needs_index(self, columns: Sequence[Column]) -> bool:
        return any(column.encoding == STRINGS for column in columns)

    def open(self, data: Sink, index: Sink | None, context: ShardContext) -> TFRecordWriter:
        return TFRecordWriter(data, index, context)


class TFRecordWriter:
    """Writes one TFRecord shard; see `exporters.formats.base.ShardWriter`."""

    def __init__(self, data: Sink, index: Sink | None, context: ShardContext) -> None:
        self._data, self._index, self._columns = data, index, context.columns
        self._template = _Template(context.columns, context.lists)
        self._blocks = Blocks(data, self._template.make_block, _fill_checksums)
        self._position = 0

    def append(self, columns: Mapping[str, Array]) -> None:
        rows = len(next(iter(columns.values())))
        if self._template.strings:
            records = np.broadcast_to(self._template.row, (rows, self._template.record_bytes)).copy()
            self._fill(records, columns, slice(None))
            self._append_indexed(records, columns)
            return
        for records, part in self._blocks.room(rows):
            self._fill(records, columns, part)

    def _fill(self, records: Array, columns: Mapping[str, Array], part: slice) -> None:
        """Writes the fixed columns of some rows into records whose constant bytes are in place."""
        for column in self._template.fixed:
            if column.width and len(records):
                fill(records, self._template.offsets[column.name], column, columns[column.name][part])

    def _append_indexed(self, records: Array, columns: Mapping[str, Array]) -> None:
        """Records of different lengths: the fixed part, then the strings; the index says where they went."""
        template = self._template
        fixed_bytes = template.record_bytes - _FOOTER
        index = np.empty((len(records), 1 + 2 * sum(column.values for column in template.strings)), "<i8")
        out: list[bytes] = []
        for row in range(len(records)):
            entries, places = _string_entries(template.strings, columns, row, self._position + fixed_bytes)
            features = fixed_bytes - template.start + len(entries)
            body = b"\n" + varint(features, _LENGTH_BYTES) + records[row, template.start : fixed_bytes].tobytes() + entries
            out += (_frame_header(len(body)), body, masked_crc32c(google_crc32c.value(body)).to_bytes(_FOOTER, "little"))
            index[row] = [self._position, *places]
            self._position += _HEADER + len(body) + _FOOTER
        assert self._index is not None, "a shard with strings is opened with an index"
        self._data.write(b"".join(out))
        self._index.write(index)

    def finish(self) -> Geometry:
        self._blocks.flush()
        template = self._template
        stride = 0 if template.strings else template.record_bytes
        return Geometry(
            offsets=tuple(template.offsets.get(column.name, 0) for column in self._columns),
            strides=tuple(0 if column.encoding == STRINGS else stride for column in self._columns),
            row_splits=tuple(0 for _ in self._columns),
        )


def fill(records: Array, start: int, column: Column, values: Array) -> None:
    """Writes a column's values into the holes of a batch of rows.

    Args:
      records: uint8, shape (rows, row_bytes), contiguous.
      start: where in a row the column's hole begins, bytes.
      column: a RAW or VARINT column.
      values: shape (rows, *column.shape), the column's dtype, any strides; copied exactly once.
    """
    if column.encoding == VARINT:
        _fill_varints(records[:, start : start + column.width], column, values)
        return
    strides = (records.shape[1], *_row_strides(column.shape, values.dtype.itemsize))
    holes: Array = np.ndarray(values.shape, values.dtype, records, start, strides)
    copy_into(holes, values)


@functools.cache
def _row_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides of one row of that shape in C order, bytes."""
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _fill_varints(target: Array, column: Column, values: Array) -> None:
    size = column.width // column.values
    signed = values.reshape(len(values), column.values)
    if size == 1:  # every value is below 128
        np.copyto(target, signed, casting="unsafe")
        return
    bits = signed if signed.dtype == np.uint64 else signed.astype(np.int64).view(np.uint64)
    for position in range(size):
        more = np.uint8(0x80 if position + 1 < size else 0)
        target[:, position::size] = ((bits >> np.uint64(7 * position)) & np.uint64(0x7F)).astype(np.uint8) | more


def _string_entries(columns: Sequence[Column], arrays: Mapping[str, Array], row: int, base: int) -> tuple[bytes, list[int]]:
    """The map entries of a row's strings, and start and length in the file of each string.

    `base` is where in the file the entries will begin.
    """
    entries, places = b"", list[int]()
    for column in columns:
        values = arrays[column.name][row : row + 1].ravel().tolist()
        payload = b"".join(_delimited(0x0A, value) for value in values)
        entries += _entry(column.name, _delimited(_LISTS["bytes_list"], payload))
        position = base + len(entries) - len(payload)
        for value in values:
            position += 1 + len(varint(len(value)))
            places += (position, len(value))
            position += len(value)
    return entries, places


def _fill_checksums(records: Array) -> None:
    """Puts the masked CRC-32C of each record's data into its last four bytes.

    Not in the writing thread: a call a row holds the interpreter lock, and the drain would wait for it.
    """
    size = records.shape[1] - _HEADER - _FOOTER
    values: Iterator[int]
    if size < _SMALL_RECORD:
        values = itertools.starmap(google_crc32c.value, struct.iter_unpack(f"{_HEADER}x{size}s{_FOOTER}x", records.data))
    else:
        values = map(google_crc32c.value, records[:, _HEADER:-_FOOTER])
    crcs = np.fromiter(values, np.uint32, len(records))
    masked = ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(MASK_DELTA)
    records[:, -_FOOTER:] = masked.astype("<u4").view(np.uint8).reshape(-1, _FOOTER)
