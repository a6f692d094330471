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
from typing import Any

import google_crc32c
import numpy as np

from exporters.errors import SchemaError
from exporters.formats.base import ShardContext, Sink
from exporters.formats.blocks import Blocks
from exporters.formats.hands import Hands
from exporters.tensors.arrays import Columns
from tfds_builder.aliases import Array, Buffer
from tfds_builder.contract.layout import copy_into
from tfds_builder.contract.manifest import STRINGS, VARINT, Column, Geometry
from tfds_builder.contract.ragged import Ragged
from tfds_builder.formats import tfrecord
from tfds_builder.formats.tfrecord_records import FOOTER, FRAME, HEADER, SMALL_RECORD, frame_header, mask_crcs

_MAX_RECORD = 2**31 - 1
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
        self.fixed = [column for column in columns if not column.is_variable]
        self.variable = [_Variable(column, lists[column.name]) for column in columns if column.is_variable]
        headers = [_entry_header(column.name, _LISTS[lists[column.name]], column.width) for column in self.fixed]
        entries = sum(map(len, headers)) + sum(column.width for column in self.fixed)
        prefix = bytes([0x0A])  # Example.features
        prefix += bytes(_LENGTH_BYTES) if self.variable else varint(entries)
        self.start = HEADER + len(prefix)
        self.offsets = dict[str, int]()
        self._constants, place = list[tuple[int, bytes]](), self.start
        for column, header in zip(self.fixed, headers, strict=True):
            self._constants.append((place, header))
            self.offsets[column.name] = place + len(header)
            place += len(header) + column.width
        self.record_bytes = place + FOOTER
        if self.record_bytes >= _MAX_RECORD:
            raise SchemaError(
                f"an example takes {self.record_bytes:,} bytes, and protobuf parses less than 2 GiB; use format='hdf5'"
            )
        self._constants.append((0, frame_header(place - HEADER) + prefix))

    def make(self, rows: int) -> Array:
        """Records with nothing but their constant bytes: uint8, shape (rows, record_bytes)."""
        records = np.zeros((rows, self.record_bytes), np.uint8)
        for place, constant in self._constants:
            records[:, place : place + len(constant)] = np.frombuffer(constant, np.uint8)
        return records


class _Variable:
    """A column whose rows differ in length: the bytes around the list of a row, and the list.

    All lengths are five bytes wide, so that what lies around a list has one size.
    """

    def __init__(self, column: Column, list_name: str) -> None:
        self.column = column
        self._packs = column.encoding != STRINGS or column.shape == ()  # one run of bytes: numbers, a tensor, a string
        name = _delimited(0x0A, column.name.encode())
        parts = [b"\x0a", None, name + b"\x12", None, bytes([_LISTS[list_name]]), None, *([b"\x0a", None] if self._packs else [])]
        self._row, self._places = b"", list[int]()
        for part in parts:
            if part is None:
                self._places.append(len(self._row))
            self._row += bytes(_LENGTH_BYTES) if part is None else part
        self.size = len(self._row)

    def headers(self, lengths: Array) -> Array:
        """What comes before the list of each row (before the run of bytes, if it is one): uint8, shape (rows, size).

        Args:
          lengths: bytes of each row's list (of its run): int64, shape (rows,).
        """
        out: Array = np.broadcast_to(np.frombuffer(self._row, np.uint8), (len(lengths), self.size)).copy()
        for place in self._places:  # each length counts all that follows it
            _put_varints(out[:, place : place + _LENGTH_BYTES], lengths + (self.size - place - _LENGTH_BYTES), _LENGTH_BYTES)
        return out

    def lists(self, values: Array | Ragged) -> tuple[Sequence[Buffer], Array, Array]:
        """The list (the run of bytes) of each row as a buffer; the bytes of each, int64, shape (rows,); and for the index start
        and length of each of its runs, counted from the list's start: int64, shape (rows, 2 * slots)."""
        runs: Sequence[Buffer]
        if self._packs and isinstance(values, Ragged):
            bounds = values.row_splits * self.column.width
            packed = memoryview(self._pack(values.values))  # type: ignore[arg-type]  # ndarray is a buffer
            runs = [packed[start:stop] for start, stop in itertools.pairwise(bounds.tolist())]
        elif isinstance(values, Ragged):
            runs = [b"".join(map(_string_item, values[row].ravel().tolist())) for row in range(len(values))]
        elif self._packs:
            runs = values.tolist()
        else:
            return self._slots(values)
        lengths = _lengths(runs)
        return runs, lengths, np.stack([np.zeros_like(lengths), lengths], axis=1)

    def _slots(self, values: Array) -> tuple[Sequence[Buffer], Array, Array]:
        """As `lists`, where every row has as many strings."""
        rows = values.reshape(len(values), -1)
        lists = [b"".join(map(_string_item, row)) for row in rows.tolist()]
        lengths = _lengths(rows.ravel().tolist()).reshape(rows.shape)
        starts = np.cumsum(lengths + (1 + _LENGTH_BYTES), axis=1) - lengths
        return lists, _lengths(lists), np.stack([starts, lengths], axis=2).reshape(len(rows), -1)

    def _pack(self, items: Array) -> Array:
        """Values as the bytes of a list: uint8, one axis."""
        if self.column.encoding != VARINT:
            return np.ascontiguousarray(items).reshape(-1).view(np.uint8)
        out = np.empty((len(items), self.column.width), np.uint8)
        _fill_varints(out, self.column, items)
        return out.reshape(-1)


def _string_item(text: bytes) -> bytes:
    """One string of a bytes_list."""
    return b"\x0a" + varint(len(text), _LENGTH_BYTES) + text


def _lengths(runs: Sequence[Buffer]) -> Array:
    """How many bytes each of some buffers has."""
    return np.fromiter(map(len, runs), np.int64, len(runs))


def _entry_header(name: str, kind: int, width: int) -> bytes:
    """What comes before the value in one entry of Features.feature, a map<string, Feature>: a list of that kind with one run of
    `width` bytes."""
    header = b"\x0a" + varint(width)
    for tag, before in ((kind, b""), (0x12, _delimited(0x0A, name.encode())), (0x0A, b"")):
        header = before + bytes([tag]) + varint(len(header) + width) + header
    return header


class TFRecordFormat:
    """Records of constant size where every feature has one; with an index beside the shard otherwise."""

    stored = tfrecord.FORMAT

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        return tuple(columns)

    def open(self, data: Sink, index: Sink | None, context: ShardContext, hands: Hands) -> TFRecordWriter:
        return TFRecordWriter(data, index, context, hands)


FORMAT = TFRecordFormat()


class TFRecordWriter:
    """Writes one TFRecord shard; see `exporters.formats.base.ShardWriter`."""

    def __init__(self, data: Sink, index: Sink | None, context: ShardContext, hands: Hands) -> None:
        self._data, self._index, self._columns = data, index, context.columns
        self._template = _Template(context.columns, context.lists)
        self._blocks = Blocks(data, self._template.make, self._template.record_bytes, hands)
        self._position = 0
        self._fixed = np.empty((0, 0), np.uint8)  # the fixed parts of the records of a batch

    def append(self, columns: Columns) -> None:
        rows = len(next(iter(columns.values())))
        if self._template.variable:
            self._append_indexed(columns, rows)
            return

        def fill(records: Array, part: slice) -> None:
            self._fill(records, columns, part)
            _fill_checksums(records)

        self._blocks.append(rows, fill)

    def _fill(self, records: Array, columns: Columns, part: slice) -> None:
        """Writes the fixed columns of some rows into records whose constant bytes are in place."""
        for column in self._template.fixed:
            if column.width and len(records):
                values = columns[column.name]
                assert isinstance(values, np.ndarray)
                _put_values(records, self._template.offsets[column.name], column, values[part])

    def _append_indexed(self, columns: Columns, rows: int) -> None:
        """Records of different lengths: the fixed part, then the lists; the index says where they went."""
        template, fixed_bytes = self._template, self._template.record_bytes - FOOTER
        if len(self._fixed) < rows:
            self._fixed = template.make(rows)
        fixed = self._fixed[:rows, :fixed_bytes]
        self._fill(self._fixed[:rows], columns, slice(None))
        ends, pieces, index = np.full(rows, fixed_bytes), list[Sequence[Any]](), list[Array]()
        for variable in template.variable:
            lists, lengths, places = variable.lists(columns[variable.column.name])
            pieces += [_split(variable.headers(lengths)), lists]
            places[:, 0::2] += (ends + variable.size)[:, None]
            index.append(places)
            ends = ends + variable.size + lengths
        _put_varints(fixed[:, template.start - _LENGTH_BYTES : template.start], ends - template.start, _LENGTH_BYTES)
        _put_frame_headers(fixed, ends - HEADER)
        records = zip(_split(fixed), *pieces, itertools.repeat(bytes(FOOTER)), strict=False)  # the last has no end
        out = bytearray().join(itertools.chain.from_iterable(records))
        stops = np.cumsum(ends + FOOTER)
        starts = stops - ends - FOOTER
        _put_checksums(np.frombuffer(out, np.uint8), starts + HEADER, starts + ends)
        starts += self._position
        for places in index:
            places[:, 0::2] += starts[:, None]
        assert self._index is not None, "a shard with variable columns is opened with an index"
        self._data.write(out)
        self._index.write(np.concatenate([starts[:, None], *index], axis=1, dtype="<i8"))
        self._position += len(out)

    def finish(self) -> Geometry:
        self._blocks.flush()
        template = self._template
        stride = 0 if template.variable else template.record_bytes
        return Geometry(
            offsets=tuple(template.offsets.get(column.name, 0) for column in self._columns),
            strides=tuple(0 if column.is_variable else stride for column in self._columns),
            row_splits=tuple(0 for _ in self._columns),
            string_splits=tuple(0 for _ in self._columns),
        )


def _put_values(records: Array, start: int, column: Column, values: Array) -> None:
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
    strides = (records.shape[1], *_row_strides(column.item_shape, values.dtype.itemsize))
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
    _put_varints(target, signed, size)


def _put_varints(target: Array, values: Array, size: int) -> None:
    """Writes integers as varints of `size` bytes: shape (rows, values) into (rows, values * size)."""
    bits = values.reshape(len(values), math.prod(values.shape[1:]))
    bits = bits if bits.dtype == np.uint64 else bits.astype(np.int64).view(np.uint64)
    for position in range(size):
        more = np.uint8(0x80 if position + 1 < size else 0)
        target[:, position::size] = ((bits >> np.uint64(7 * position)) & np.uint64(0x7F)).astype(np.uint8) | more


def _split(records: Array) -> list[bytes]:
    """The rows of an array as `bytes`: uint8, shape (rows, bytes)."""
    rows: list[Buffer] = np.ascontiguousarray(records).view(np.dtype((np.void, records.shape[1]))).ravel().tolist()
    return rows


def _put_frame_headers(records: Array, lengths: Array) -> None:
    """Writes the first 12 bytes of each record, whose data has that many bytes."""
    sizes = lengths.astype("<u8").view(np.uint8).reshape(-1, 8)
    crcs = np.fromiter(map(google_crc32c.value, _split(sizes)), np.uint32, len(sizes))
    records[:, :8], records[:, 8:HEADER] = sizes, mask_crcs(crcs).view(np.uint8).reshape(-1, 4)


def _put_checksums(out: Array, starts: Array, stops: Array) -> None:
    """Writes the masked CRC-32C of each run of bytes behind it."""
    runs = map(out.__getitem__, map(slice, starts.tolist(), stops.tolist()))
    crcs = np.fromiter(map(google_crc32c.value, runs), np.uint32, len(starts))
    out[stops[:, None] + np.arange(FOOTER)] = mask_crcs(crcs).view(np.uint8).reshape(-1, FOOTER)


def _fill_checksums(records: Array) -> None:
    """Puts the masked CRC-32C of each record's data into its last four bytes.

    Not in the file's threads: a call a row holds the interpreter lock, and the drain would wait for it.
    """
    size = records.shape[1] - FRAME
    values: Iterator[int]
    if size < SMALL_RECORD:
        values = itertools.starmap(google_crc32c.value, struct.iter_unpack(f"{HEADER}x{size}s{FOOTER}x", records.data))
    else:
        values = map(google_crc32c.value, records[:, HEADER:-FOOTER])
    crcs = np.fromiter(values, np.uint32, len(records))
    records[:, -FOOTER:] = mask_crcs(crcs).view(np.uint8).reshape(-1, FOOTER)
