"""One row at a time: what `Table.read` does for a block, worked out in advance for a single row.

A column of fixed-size rows is an array that lies in the mapped file: a row of it is one item, copied once. What takes
more than that (rows of different lengths, a file that cannot be mapped) goes through `Table.read`.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from tfds_builder.errors import DamagedFileError
from tfds_builder.manifest import RAW, VARINT, Column, Shard
from tfds_builder.records import FOOTER, HEADER
from tfds_builder.table import Array, Table, decode_column, to_numpy_dtype

Reader = Callable[[int], Any]
"""Row of a shard -> its value, which belongs to the caller."""


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
        self._places = [
            (segment.shard, self._is_fixed(segment.shard), segment.stop - end)
            for segment, end in zip(table.segments, self._ends, strict=True)
        ]

    def _is_fixed(self, shard: Shard) -> bool:
        """Whether the columns are at hand: all of a fixed size, in records of one length."""
        columns = [self._table.place(shard, name)[0] for name in self._names]
        return shard.index is None and all(column.encoding in (RAW, VARINT) and column.width for column in columns)

    def read(self, row: int) -> list[Any]:
        """The values of one row, from 0 to the table's length: arrays (of shape () too) that belong to the caller,
        Python's own numbers for `items`, `bytes` for a string.

        Raises:
          MissingFileError, DamagedFileError: its shard is not what the manifest says.
        """
        shard, is_fixed, shift = self._places[bisect.bisect_right(self._ends, row)]
        readers = self._table.files.made(shard.data, self, functools.partial(self._open, shard)) if is_fixed else None
        if readers is None:
            columns = self._table.read(slice(row, row + 1), self._names)
            return [values_of(columns[name], name in self._items)[0] for name in self._names]
        row += shift
        return [read(row) for read in readers]

    def _open(self, shard: Shard, data: Array) -> list[Reader]:
        """The readers of a shard's columns, of all its bytes."""
        readers = []
        for name in self._names:
            column, offset, stride = self._table.place(shard, name)
            readers.append(_reader(column, name in self._items, _Run(data, shard.rows, offset, stride)))
        return readers


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
class _Run:
    """Where a column lies in its file: rows from `offset` on, a stride apart."""

    data: Array
    rows: int
    offset: int
    stride: int

    def view(self, dtype: Any, shape: tuple[int, ...]) -> Array:
        """The column as it lies there: an array of shape (rows, *shape)."""
        item = np.dtype(dtype).itemsize
        dense = [item * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        return np.ndarray((self.rows, *shape), dtype, self.data, self.offset, (self.stride, *dense))


def _reader(column: Column, as_item: bool, run: _Run) -> Reader:
    """How to read one value of a fixed-size column."""
    if column.encoding == RAW:
        values = run.view(to_numpy_dtype(column.dtype), column.shape)
        if as_item:
            return values.item
        return (lambda row: values[row].copy()) if column.shape else lambda row: values[row, ...].copy()
    stored = run.view(np.uint8, (column.width,))
    if not as_item:
        return lambda row: decode_column(column, stored[row : row + 1].copy())[0, ...]
    if column.width == 1 and column.dtype != "bool":
        first = run.view(np.uint8, ())
        return lambda row: first.item(row) & 0x7F
    return lambda row: _read_varint(stored[row].tobytes(), column.dtype)


def _read_varint(stored: bytes, dtype: str) -> int | bool:
    """One padded varint as `decode_column` reads it, without its arrays."""
    value = 0
    for byte in reversed(stored):
        value = value << 7 | byte & 0x7F
    value &= 2**64 - 1
    if dtype != "uint64" and value >= 2**63:
        value -= 2**64
    return bool(value) if dtype == "bool" else value


def read_record(table: Table, row: int) -> bytes:
    """The data of one record of a TFRecord table, a serialized `tf.train.Example`.

    Raises:
      MissingFileError, DamagedFileError: its shard is not what the manifest says.
    """
    shard, number = table.find(row)
    if shard.index is None:
        stride = table.place(shard, next(iter(table.names)))[2]
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
