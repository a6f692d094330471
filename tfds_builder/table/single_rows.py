"""One row at a time: what `Table.read` does for a block, worked out in advance for a single row.

A column of fixed-size rows is an array that lies in the mapped file: a row of it is one item, copied once. What takes
more than that (a file that cannot be mapped, rows that differ in length) goes through `Table.read`.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from tfds_builder.aliases import Array, StoredValue
from tfds_builder.contract.decode import decode_column, to_numpy_dtype
from tfds_builder.contract.manifest import DTYPE_BYTES, RAW, STRINGS, VARINT, Column, Shard
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats.base import RowKey, SingleRows, Stride
from tfds_builder.table.mapped_files import LARGE_BYTES
from tfds_builder.table.table import Table

Reader = Callable[[RowKey], StoredValue]
"""Row of a shard (or what `SingleRows.key` makes of it) -> its value, which belongs to the caller."""

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

    def read(self, row: int) -> list[StoredValue]:
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
        readers, key = opened
        where = row + shift if key is None else key(row + shift)
        return [read(where) for read in readers]

    def _open(self, shard: Shard, data: Array) -> tuple[list[Reader], Callable[[int], RowKey] | None] | None:
        """The readers of the columns of a shard, all of whose bytes are given, and the function that turns a row's number into
        what they take. None if rows cannot be found in memory alone."""
        rows = self._table.stored.single(shard, data)
        if rows is None:
            return None
        opened, numbers = _Shard(shard, data), [self._table.number(name) for name in self._names]
        columns = zip(self._table.columns(self._names), numbers, self._names, strict=True)
        return [_reader(rows, number, column, name in self._items, opened) for column, number, name in columns], rows.key


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
    """Several row numbers, each as `check_row` gives it: int64 of shape (n,)."""
    rows = np.asarray(keys if isinstance(keys, np.ndarray | Sequence) else list(keys))
    if not rows.size:
        return np.empty(0, np.int64)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise TypeError(f"examples are asked for by integers (got {rows.dtype} of shape {rows.shape})")
    outside = (rows < -length) | (rows >= length)
    if outside.any():
        raise IndexError(f"there is no example {rows[outside][0]}: there are {length}")
    return np.where(rows < 0, rows + length, rows).astype(np.int64)


def values_of(column: StoredValue, as_items: bool = False) -> list[StoredValue]:
    """The rows of a column that `Table.read` gave, one by one, as `RowReader.read` gives them; arrays are views."""
    if as_items or (isinstance(column, np.ndarray) and column.dtype == object and column.ndim == 1):
        values: list[StoredValue] = column.tolist()
        return values
    if isinstance(column, np.ndarray) and column.ndim == 1:
        return [column[row, ...] for row in range(len(column))]  # arrays of shape (), not scalars
    return [column[row] for row in range(len(column))]


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A shard and all its bytes."""

    shard: Shard
    data: Array

    def rows(self, lies: Stride, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Array:
        """A column as it lies there: an array of shape (rows, *shape)."""
        item = np.dtype(dtype).itemsize
        dense = [item * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        return np.ndarray((self.shard.rows, *shape), dtype, self.data, lies.offset, (lies.stride, *dense))

    def check(self, starts: Sequence[int], lengths: Sequence[int]) -> None:
        """Raises DamagedFileError unless those values lie in the file, and one after the other."""
        size = self.data.size
        inside = all(length >= 0 and 0 <= start <= size - length for start, length in zip(starts, lengths, strict=True))
        if not inside or sum(lengths) > size:
            raise DamagedFileError(f"the index of {self.shard.data.file} points outside the file")

    def strings(self, shape: tuple[int, ...], starts: Sequence[int], lengths: Sequence[int]) -> StoredValue:
        """Byte strings: `bytes` of shape (), else an object array."""
        self.check(starts, lengths)
        found = [self.data[start : start + length].tobytes() for start, length in zip(starts, lengths, strict=True)]
        if not shape:
            return found[0]
        out = np.empty(len(found), object)
        out[:] = found
        return out.reshape(shape)


def _reader(rows: SingleRows, number: int, column: Column, as_item: bool, shard: _Shard) -> Reader:
    """The reader of the column that has that number in the manifest."""
    if column.encoding == STRINGS:
        find = rows.strings(number)
        return lambda key: shard.strings(column.item_shape, *find(key))
    lies = rows.stride(number)
    if lies is None:
        return _searching_reader(rows.start(number), column, as_item, shard)
    if not column.width:
        return lambda row: np.empty(column.item_shape, to_numpy_dtype(column.dtype))
    if column.encoding == RAW:
        values = shard.rows(lies, to_numpy_dtype(column.dtype), column.item_shape)
        if as_item:
            return values.item
        return (lambda row: values[row].copy()) if column.item_shape else lambda row: values[row, ...].copy()
    if as_item and column.width == 1 and column.dtype.startswith(("int", "uint")):
        first = shard.rows(lies, np.uint8, ())
        return lambda row: first.item(row) & 0x7F
    stored = shard.rows(lies, np.uint8, (column.width,))
    return lambda row: _decode(column, as_item, stored[row])


def _searching_reader(find: Callable[[RowKey], int], column: Column, as_item: bool, shard: _Shard) -> Reader:
    """The reader of a column of fixed-size rows that lie anywhere in the file."""

    def read(key: RowKey) -> StoredValue:
        start = find(key)
        shard.check([start], [column.width])
        return _decode(column, as_item, shard.data[start : start + column.width])

    return read


def _decode(column: Column, as_item: bool, stored: Array) -> StoredValue:
    """The value of a row of a fixed-size column, decoded from its bytes in the file."""
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
