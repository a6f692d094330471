"""Columns whose rows differ in length, out of either format: strings, and rows of any number of items.

Where they lie is found by an index: of a TFRecord shard a file beside it, of an HDF5 shard the bounds
inside of it. Nothing in an index is believed before it has been checked against the file it points into.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tfds_builder.contract.manifest import Column, Geometry, Shard
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats import tfrecord_example as example
from tfds_builder.table.mapped_files import LARGE_BYTES, Files

Array = npt.NDArray[Any]
Piece: TypeAlias = "tuple[range | Array, Segment, slice | Array]"
"""Which rows go where: (places in the result, segment, rows of the segment's shard)."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """Rows `start` to `stop` of one shard: a run of rows of the table."""

    shard: Shard
    start: int
    stop: int


class VariableReader:
    """Reads the variable columns of a table.

    Args:
      directory: the version directory.
      files: its files.
      columns, geometries: of its manifest.

    Attributes:
      slots: where in a row of a TFRecord shard's index the (start, length) pairs of each variable column begin.
    """

    def __init__(self, directory: pathlib.Path, files: Files, columns: Sequence[Column], geometries: Sequence[Geometry]) -> None:
        self._directory, self._files, self._geometries = directory, files, geometries
        self.slots = _index_slots(columns)

    def read_items(self, number: int, column: Column, pieces: Sequence[Piece], count: int) -> tuple[Array, Array]:
        """Rows of any number of items: their bytes, uint8 of shape (items, width), and the bounds of the rows among them."""
        sizes, found = np.zeros(count, np.int64), []
        for places, segment, rows in pieces:
            starts, lengths = self._item_runs(segment.shard, number, column, rows)
            if np.any(lengths % column.width):
                raise DamagedFileError(f"{self._directory / segment.shard.data.file} has a part of an item in {column.name}")
            sizes[to_target(places)] = lengths
            found.append((places, segment.shard, starts, lengths, isinstance(rows, slice)))
        ends = np.cumsum(sizes)
        again = not count or int(sizes.max()) < LARGE_BYTES
        out = self._files.buffers.empty(int(ends[-1]) if count else 0, 1, again=again).reshape(-1)
        for places, shard, starts, lengths, is_run in found:
            self._copy_runs(out, (ends - sizes)[to_target(places)], shard, starts, lengths, populate=is_run)
        return out.reshape(-1, column.width), np.concatenate([[0], ends // column.width])

    def _copy_runs(self, out: Array, targets: Array, shard: Shard, starts: Array, lengths: Array, *, populate: bool) -> None:
        """Copies runs of bytes of a file to their places; in one go where they follow each other on both sides."""
        full = np.flatnonzero(lengths)
        if not len(full):
            return
        starts, lengths, targets = starts[full], lengths[full], targets[full]
        if int(lengths.max()) >= LARGE_BYTES:
            for start, length, place in zip(starts.tolist(), lengths.tolist(), targets.tolist(), strict=True):
                self._files.read_into(shard.data, start, out[place : place + length])
            return
        first, last = int(starts.min()), int((starts + lengths).max())
        data = self._files.view(shard.data, first, last, populate=populate)
        starts = starts - first
        if np.array_equal(starts[1:], (starts + lengths)[:-1]) and np.array_equal(targets[1:], (targets + lengths)[:-1]):
            out[targets[0] : targets[0] + len(data)] = data
            return
        source, target = memoryview(data), memoryview(out)  # type: ignore[arg-type]  # ndarray is a buffer
        for start, length, place in zip(starts.tolist(), lengths.tolist(), targets.tolist(), strict=True):
            target[place : place + length] = source[start : start + length]

    def _item_runs(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> tuple[Array, Array]:
        """Where in the file the asked rows of a ragged column begin, and their bytes: int64, shape (n,)."""
        if shard.index is not None:
            slot = self.slots[column.name]
            index = read_index(self._files, shard, rows)
            starts, lengths = index[:, slot], index[:, slot + 1]
        else:
            geometry = self._geometries[shard.geometry]
            first, last = self._bounds(shard, geometry.row_splits[number], rows, column.width)
            starts, lengths = geometry.offsets[number] + first * column.width, (last - first) * column.width
        self.check_range(shard, starts, lengths)
        self._check_total(shard, starts, lengths, rows)
        return starts, lengths

    def read_string_lists(self, number: int, column: Column, pieces: Sequence[Piece], count: int) -> Ragged:
        """Rows of any number of strings."""
        rows_of: list[list[bytes]] = [[] for _ in range(count)]
        for places, segment, rows in pieces:
            shard = segment.shard
            read = self._split_string_lists if shard.index is None else self._parse_string_lists
            for place, strings in zip(places, read(shard, number, column, rows), strict=True):
                rows_of[place] = strings
        strings = [string for row in rows_of for string in row]
        values = np.empty(len(strings), object)
        values[:] = strings
        items = np.array([0, *map(len, rows_of)], np.int64) // column.values
        return Ragged(values.reshape(-1, *column.item_shape), np.cumsum(items))

    def _parse_string_lists(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> Iterator[list[bytes]]:
        """The strings of the asked rows of a TFRecord shard, whose lists are parsed."""
        for content in self._slices(shard, *self._item_runs(shard, number, column, rows), populate=isinstance(rows, slice)):
            strings = [content[first:last] for first, last in example.parse_list(content)]
            if len(strings) % column.values:
                raise DamagedFileError(f"{self._directory / shard.data.file} has a part of an item in {column.name}")
            yield strings

    def _split_string_lists(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> Iterator[list[bytes]]:
        """The strings of the asked rows of an HDF5 shard, whose bounds are bounded in turn."""
        geometry = self._geometries[shard.geometry]
        items = self._bounds(shard, geometry.row_splits[number], rows, 8 * column.values)  # a bound for each string
        firsts, lasts = (bounds * column.values for bounds in items)
        self.check_range(shard, geometry.string_splits[number] + 8 * firsts, 8 * (lasts - firsts + 1))
        self._check_total(shard, firsts, 8 * (lasts - firsts), rows)
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            bounds = self._splits(shard, geometry.string_splits[number] + 8 * first, last - first)
            starts, lengths = geometry.offsets[number] + bounds[:-1], np.diff(bounds)
            self.check_range(shard, starts, lengths)
            self._check_total(shard, starts, lengths, slice(None))
            yield self._slices(shard, starts, lengths, populate=False)

    def _bounds(self, shard: Shard, start: int, rows: slice | Array, item_bytes: int) -> tuple[Array, Array]:
        """First and last bound of the asked rows of an HDF5 shard, none beyond the items that the file can hold."""
        splits = self._splits(shard, start, shard.rows)
        first, last = splits[:-1][rows], splits[1:][rows]
        if not np.all((first >= 0) & (first <= last) & (last <= shard.data.bytes // item_bytes)):
            raise DamagedFileError(f"the row_splits of {self._directory / shard.data.file} point outside the file")
        return first, last

    def _splits(self, shard: Shard, start: int, count: int) -> Array:
        """`count` + 1 bounds that begin at a byte of an HDF5 shard: int64."""
        data = self._files.view(shard.data, start, start + 8 * (count + 1), populate=False)
        splits: Array = np.ndarray((count + 1,), np.dtype("<i8"), data)
        return splits

    def read_strings(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> Array:
        """Byte strings of the asked rows, object array of shape (n, values)."""
        if shard.index is not None:
            slot = self.slots[column.name]
            index = read_index(self._files, shard, rows)[:, slot : slot + 2 * column.values]
            starts, lengths = index[:, 0::2], index[:, 1::2]
        else:
            starts, lengths = self._split_strings(shard, number, column, rows)
        self.check_range(shard, starts, lengths)
        self._check_total(shard, starts, lengths, rows)
        out = np.empty(starts.size, object)
        out[:] = self._slices(shard, starts.ravel(), lengths.ravel(), populate=isinstance(rows, slice))
        return out.reshape(starts.shape)

    def _slices(self, shard: Shard, starts: Array, lengths: Array, *, populate: bool) -> list[bytes]:
        """Runs of bytes of a file, each as an object of its own."""
        if not starts.size:
            return []
        if int(lengths.max()) >= LARGE_BYTES:
            runs = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
            return [self._files.read_bytes(shard.data, start, stop) for start, stop in runs]
        first, last = int(starts.min()), int((starts + lengths).max())
        view = memoryview(self._files.view(shard.data, first, last, populate=populate))  # type: ignore[arg-type]  # ndarray is a buffer
        return [
            bytes(view[start : start + length]) for start, length in zip((starts - first).tolist(), lengths.tolist(), strict=True)
        ]

    def _split_strings(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> tuple[Array, Array]:
        """Starts and lengths in the file of an HDF5 column's strings, each of shape (n, values)."""
        geometry = self._geometries[shard.geometry]
        splits = self._splits(shard, geometry.row_splits[number], shard.rows * column.values)
        first, last = splits[:-1].reshape(shard.rows, -1)[rows], splits[1:].reshape(shard.rows, -1)[rows]
        return first + geometry.offsets[number], last - first

    def check_range(self, shard: Shard, starts: Array, lengths: Array | int) -> None:
        """Raises DamagedFileError where an index points outside its file."""
        size = shard.data.bytes
        inside = (starts >= 0) & (starts <= size) & (np.asarray(lengths) >= 0)
        if not np.all(inside & (lengths <= size - starts)):
            raise DamagedFileError(f"the index of {self._directory / shard.data.file} points outside the file")

    def _check_total(self, shard: Shard, starts: Array, lengths: Array, rows: slice | Array) -> None:
        """Raises DamagedFileError where strings lie over each other, which could make memory of any size out of a small file."""
        if starts.size and lengths.sum(dtype=np.float64) > shard.data.bytes:
            once = np.unique(rows, return_index=True)[1] if isinstance(rows, np.ndarray) else slice(None)
            if lengths[once].sum(dtype=np.float64) > shard.data.bytes:
                raise DamagedFileError(f"the index of {self._directory / shard.data.file} has strings that overlap")


def runs_of(rows: Array) -> Array:
    """Where runs of neighbours begin among row numbers, and where the last one ends.

    >>> runs_of(np.array([3, 4, 5, 9, 7, 8])).tolist()
    [0, 3, 4, 6]
    """
    breaks = np.flatnonzero(rows[1:] != rows[:-1] + 1) + 1
    return np.concatenate([[0], breaks, [len(rows)]])


def read_index(files: Files, shard: Shard, rows: slice | Array) -> Array:
    """Rows of a TFRecord shard's index: int64, shape (n, 1 + 2 * strings a row)."""
    assert shard.index is not None
    data = files.view(shard.index, 0, shard.index.bytes, populate=False)
    index: Array = np.ndarray((shard.rows, shard.index.bytes // 8 // shard.rows), np.dtype("<i8"), data)[rows]
    return index


def to_target(places: range | Array) -> slice | Array:
    """Places in the result as NumPy indexes them fastest."""
    return slice(places.start, places.stop) if isinstance(places, range) else places


def _index_slots(columns: Sequence[Column]) -> dict[str, int]:
    """Where in a TFRecord index row each variable column's (start, length) pairs begin."""
    slots, slot = {}, 1
    for column in columns:
        if column.is_variable:
            slots[column.name] = slot
            slot += 2 * column.index_slots
    return slots
