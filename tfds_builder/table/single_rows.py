"""One row at a time: what `Table.read` does for a block, worked out in advance for a single row.

A column of fixed-size rows is an array that lies in the mapped file: a row of it is one item, copied once. What takes
more than that (a file that cannot be mapped, rows that differ in length) goes through `Table.read`.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from tfds_builder.contract.manifest import DTYPE_BYTES, RAW, STRINGS, VARINT, Column, Shard
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats.tfrecord_records import FOOTER, HEADER
from tfds_builder.table.mapped_files import LARGE_BYTES
from tfds_builder.table.table import Array, Place, Table, decode_column, to_numpy_dtype

Reader = Callable[[Any], Any]
"""Row of a shard (or, where it has an index, the index's row) -> its value, which belongs to the caller."""

_INTEGERS = ("bool", "int", "uint")


class RowReader:
    """Reads single rows of some columns.

    >>> RowReader(table, ["image", "label"], items=["label"]).read(7)     # doctest: +SKIP
    [array([[[...]]], dtype=uint8), 3]

    Args:
      table: to read from.
      names: the columns, in the order they are wanted.
      items: those of them, of shape (), that are wanted as Python's own `int`, `bool` or `float`.
    """

    def __init__(self, table: Table, names: Sequence[str], items: Iterable[str] = ()) -> None:
        self._table, self._names, self._items = table, list(names), frozenset(items)
        self._ends = np.cumsum([segment.stop - segment.start for segment in table.segments], dtype=np.int64).tolist()
        self._places = [(segment.shard, segment.stop - end) for segment, end in zip(table.segments, self._ends, strict=True)]
        is_ragged = any(column.is_ragged for column in table.columns(self._names))
        self._is_known = not is_ragged and table.row_bytes(self._names) < LARGE_BYTES

    def read(self, row: int) -> list[Any]:
        """The values of one row, from 0 to the table's length: arrays (of shape () too) that belong to the caller,
        Python's own numbers for `items`, `bytes` for a string.

        Raises:
          MissingFileError, DamagedFileError: its shard is not what the manifest says.
        """
        shard, shift = self._places[bisect.bisect_right(self._ends, row)]
        opened = None
        if self._is_known and shard.data.bytes:
            opened = self._table.files.made(shard.data, self, functools.partial(self._open, shard))
        if opened is None:
            columns = self._table.read(slice(row, row + 1), self._names)
            return [values_of(columns[name], name in self._items)[0] for name in self._names]
        self._table.check_row(row)
        readers, index = opened
        where = row + shift if index is None else index[row + shift].tolist()
        return [read(where) for read in readers]

    def _open(self, shard: Shard, data: Array) -> tuple[list[Reader], Array | None] | None:
        """The readers of a shard's columns, of all its bytes, and its index if it has one. None if that cannot be mapped."""
        places = [(self._table.place(shard, name), name in self._items) for name in self._names]
        if shard.index is None:
            return [_reader(place, as_item, _Shard(shard, data)) for place, as_item in places], None
        stored = self._table.files.map(shard.index)
        if stored is None:
            return None
        index = np.ndarray((shard.rows, shard.index.bytes // 8 // shard.rows), np.dtype("<i8"), stored)
        return [_indexed_reader(place, as_item, _Shard(shard, data)) for place, as_item in places], index


def check_row(key: SupportsIndex, length: int) -> int:
    """A row number, counted from the end if it is negative, as one from 0 on.

    Raises:
      IndexError: there is no such row.
      TypeError: it is no integer.
    """
    row = operator.index(key)
    if not -length <= row < length:
        raise IndexError(f"there is no example {row}: there are {length}")
    return row if row >= 0 else row + length


def check_rows(keys: Iterable[SupportsIndex], length: int) -> Array:
    """The same for several: int64 of shape (n,)."""
    rows = np.asarray(keys if isinstance(keys, np.ndarray | Sequence) else list(keys))
    if not rows.size:
        return np.empty(0, np.int64)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise TypeError(f"examples are asked for by integers (got {rows.dtype} of shape {rows.shape})")
    outside = (rows < -length) | (rows >= length)
    if outside.any():
        raise IndexError(f"there is no example {rows[outside][0]}: there are {length}")
    return np.where(rows < 0, rows + length, rows).astype(np.int64)


def values_of(column: Any, as_items: bool = False) -> list[Any]:
    """The rows of a column that `Table.read` gave, one by one, as `RowReader.read` gives them; arrays are views."""
    if as_items or (isinstance(column, np.ndarray) and column.dtype == object and column.ndim == 1):
        values: list[Any] = column.tolist()
        return values
    if isinstance(column, np.ndarray) and column.ndim == 1:
        return [column[row, ...] for row in range(len(column))]  # arrays of shape (), not scalars
    return [column[row] for row in range(len(column))]


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A shard and all its bytes."""

    shard: Shard
    data: Array

    def rows(self, place: Place, dtype: Any, shape: tuple[int, ...]) -> Array:
        """A column as it lies there: an array of shape (rows, *shape)."""
        item = np.dtype(dtype).itemsize
        dense = [item * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        return np.ndarray((self.shard.rows, *shape), dtype, self.data, place.offset, (place.stride, *dense))

    def check(self, starts: Sequence[int], lengths: Sequence[int]) -> None:
        """Raises DamagedFileError unless those values lie in the file, and one after the other."""
        size = self.data.size
        inside = all(length >= 0 and 0 <= start <= size - length for start, length in zip(starts, lengths, strict=True))
        if not inside or sum(lengths) > size:
            raise DamagedFileError(f"the index of {self.shard.data.file} points outside the file")

    def strings(self, shape: tuple[int, ...], starts: Sequence[int], lengths: Sequence[int]) -> Any:
        """Byte strings: `bytes` of shape (), else an object array."""
        self.check(starts, lengths)
        found = [self.data[start : start + length].tobytes() for start, length in zip(starts, lengths, strict=True)]
        if not shape:
            return found[0]
        out = np.empty(len(found), object)
        out[:] = found
        return out.reshape(shape)


def _reader(place: Place, as_item: bool, shard: _Shard) -> Reader:
    """Of a column whose rows are a constant stride apart, or have row splits."""
    column = place.column
    if column.encoding == STRINGS:
        return _split_reader(place, shard)
    if not column.width:
        return lambda row: np.empty(column.item_shape, to_numpy_dtype(column.dtype))
    if column.encoding == RAW:
        values = shard.rows(place, to_numpy_dtype(column.dtype), column.item_shape)
        if as_item:
            return values.item
        return (lambda row: values[row].copy()) if column.item_shape else lambda row: values[row, ...].copy()
    if as_item and column.width == 1 and column.dtype.startswith(("int", "uint")):
        first = shard.rows(place, np.uint8, ())
        return lambda row: first.item(row) & 0x7F
    stored = shard.rows(place, np.uint8, (column.width,))
    return lambda row: _decode(column, as_item, stored[row])


def _split_reader(place: Place, shard: _Shard) -> Reader:
    """Of a column of strings in HDF5."""
    shape, count = place.column.item_shape, place.column.values
    splits = np.ndarray((shard.shard.rows * count + 1,), np.dtype("<i8"), shard.data, place.row_splits)

    def read(row: int) -> Any:
        bounds = splits[row * count : (row + 1) * count + 1].tolist()
        lengths = [stop - start for start, stop in itertools.pairwise(bounds)]
        return shard.strings(shape, [place.offset + start for start in bounds[:-1]], lengths)

    return read


def _indexed_reader(place: Place, as_item: bool, shard: _Shard) -> Reader:
    """Of a column of a TFRecord shard whose records differ in length: it takes the record's row of the index."""
    column, slot, stop = place.column, place.slot, place.slot + 2 * place.column.values
    if column.encoding == STRINGS:
        return lambda index: shard.strings(column.item_shape, index[slot:stop:2], index[slot + 1 : stop : 2])

    def read(index: list[int]) -> Any:
        start = index[0] + place.offset
        shard.check([start], [column.width])
        return _decode(column, as_item, shard.data[start : start + column.width])

    return read


def _decode(column: Column, as_item: bool, stored: Array) -> Any:
    """The value of a fixed-size column, of its bytes in the file."""
    if as_item and column.encoding == VARINT and column.dtype.startswith(_INTEGERS):
        return _read_varint(stored.tobytes(), column.dtype)
    value = decode_column(column, stored.copy()[None])[0, ...]
    return value.item() if as_item else value


def _read_varint(stored: bytes, dtype: str) -> int | bool:
    """One padded varint as `decode_column` reads it, without its arrays."""
    value = 0
    for byte in reversed(stored):
        value = value << 7 | byte & 0x7F
    if dtype == "bool":
        return value & (2**64 - 1) != 0
    bits = 8 * DTYPE_BYTES[dtype]
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.startswith("int") and value >> (bits - 1) else value


def read_record(table: Table, row: int) -> bytes:
    """The data of one record of a TFRecord table, a serialized `tf.train.Example`.

    Raises:
      MissingFileError, DamagedFileError: its shard is not what the manifest says.
    """
    table.check_row(row)
    shard, number = table.find(row)
    if shard.index is None:
        stride = table.place(shard, next(iter(table.columns())).name).stride
        start, stop = number * stride, (number + 1) * stride
    else:
        step = shard.index.bytes // shard.rows
        start = _integer(table.files.view(shard.index, number * step, number * step + 8))
        stop = start + HEADER + FOOTER
        if start >= 0 and stop <= shard.data.bytes:
            stop += _integer(table.files.view(shard.data, start, start + 8))
        if not 0 <= start <= stop <= shard.data.bytes:
            raise DamagedFileError(f"record {number} of {shard.data.file} is not where its index has it")
    return bytes(table.files.view(shard.data, start + HEADER, stop - FOOTER))


def _integer(stored: Array) -> int:
    return int.from_bytes(stored.tobytes(), "little", signed=True)
