"""HDF5 shards: each column a run of bytes, without gaps; what differs in length is bounded inside of the file. No records.

Read without an HDF5 library: the byte table says where the columns lie; `hdf5_structure` checks that a library would
find them there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from tfds_builder.aliases import Array
from tfds_builder.contract.columns import Column, Geometry
from tfds_builder.contract.shards import Shard
from tfds_builder.errors import DamagedFileError, ManifestError
from tfds_builder.formats import hdf5_structure
from tfds_builder.formats.base import FileMemory, Rows, SingleRows, StoredFormat, StoredRows
from tfds_builder.formats.extent import Extent, last_end, name_of

_MAX_ROWS = 2**40
"""Rows of a shard that take no bytes, which no file size bounds."""


class HDF5(StoredFormat):
    """One contiguous dataset a column; of a variable column a group of its values and their bounds."""

    name = "hdf5"
    template = "{DATASET}-{SPLIT}-{SHARD_X_OF_Y}.h5"
    media_type = "application/x-hdf5"

    def measure(self, columns: Sequence[Column], geometry: Geometry, rows: int, where: str) -> tuple[int, str]:
        extents = list(_extents(columns, geometry, rows, where))
        if rows > _MAX_ROWS:
            raise ManifestError(f"{where} has {rows} rows; more than {_MAX_ROWS} are refused")
        return last_end(extents, where)

    def check_structure(
        self, open_file: Callable[[], BinaryIO], columns: Sequence[Column], geometry: Geometry, rows: int
    ) -> None:
        with open_file() as stream:
            hdf5_structure.check_structure(stream, columns, geometry, rows)

    def read_without_us(self, version_dir: str, columns: Sequence[Column], split: str, file: str) -> tuple[str, str] | None:
        fixed = next((column for column in columns if not column.is_variable), None)
        if fixed is not None:
            read = f"    values = shard[{fixed.name!r}][:256]"
        else:
            read = (
                f"    column = shard[{columns[0].name!r}]\n"
                "    first = column['values'][column['row_splits'][0] : column['row_splits'][1]]"
            )
        return "h5py", f"import h5py\n\nwith h5py.File({f'{version_dir}/{file}'!r}) as shard:\n{read}"

    def rows(self, files: FileMemory, columns: Sequence[Column], geometries: Sequence[Geometry]) -> StoredRows:
        return _HDF5Rows(files, columns, geometries)


FORMAT = HDF5()


def _extents(columns: Sequence[Column], geometry: Geometry, rows: int, where: str) -> Iterator[Extent]:
    """What each column takes of the file."""
    places = zip(geometry.offsets, geometry.strides, geometry.row_splits, geometry.string_splits, strict=True)
    for column, (offset, stride, splits, strings) in zip(columns, places, strict=True):
        name = name_of(column)
        if column.is_variable:
            yield Extent(offset, offset, name)
            yield Extent(splits, splits + 8 * (rows * (1 if column.is_ragged else column.values) + 1), name)
            yield Extent(strings, strings, name)
        elif column.width:
            if rows > 1 and stride != column.width:
                raise ManifestError(f"{where}: rows of {name} overlap or leave gaps ({stride} bytes apart)")
            yield Extent(offset, offset + rows * column.width, name)


class _HDF5Rows(StoredRows):
    """Rows found by bounds (`row_splits`, and `string_splits` inside of these), which are datasets of the file."""

    def item_runs(self, shard: Shard, number: int, rows: Rows) -> tuple[Array, Array]:
        geometry, width = self._geometries[shard.geometry], self._columns[number].width
        first, last = self._bounds(shard, geometry.row_splits[number], rows, width)
        starts, lengths = geometry.offsets[number] + first * width, (last - first) * width
        self._expect_inside(shard, starts, lengths)
        self._expect_apart(shard, starts, lengths, rows)
        return starts, lengths

    def strings(self, shard: Shard, number: int, rows: Rows) -> tuple[Array, Array]:
        geometry = self._geometries[shard.geometry]
        splits = self._splits(shard, geometry.row_splits[number], shard.rows * self._columns[number].values)
        first, last = splits[:-1].reshape(shard.rows, -1)[rows], splits[1:].reshape(shard.rows, -1)[rows]
        starts, lengths = first + geometry.offsets[number], last - first
        self._expect_inside(shard, starts, lengths)
        self._expect_apart(shard, starts, lengths, rows)
        return starts, lengths

    def string_lists(self, shard: Shard, number: int, rows: Rows) -> Iterator[list[bytes]]:
        geometry, values = self._geometries[shard.geometry], self._columns[number].values
        items = self._bounds(shard, geometry.row_splits[number], rows, 8 * values)  # a bound for each string
        firsts, lasts = (bounds * values for bounds in items)
        self._expect_inside(shard, geometry.string_splits[number] + 8 * firsts, 8 * (lasts - firsts + 1))
        self._expect_apart(shard, firsts, 8 * (lasts - firsts), rows)
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            bounds = self._splits(shard, geometry.string_splits[number] + 8 * first, last - first)
            starts, lengths = geometry.offsets[number] + bounds[:-1], np.diff(bounds)
            self._expect_inside(shard, starts, lengths)
            self._expect_apart(shard, starts, lengths, slice(None))
            yield self._files.slices(shard.data, starts, lengths, populate=False)

    def _bounds(self, shard: Shard, start: int, rows: Rows, item_bytes: int) -> tuple[Array, Array]:
        """First and last bound of the asked rows, none beyond the items that the file can hold."""
        splits = self._splits(shard, start, shard.rows)
        first, last = splits[:-1][rows], splits[1:][rows]
        if not np.all((first >= 0) & (first <= last) & (last <= shard.data.bytes // item_bytes)):
            raise DamagedFileError(f"the row_splits of {self._files.path_of(shard.data)} point outside the file")
        return first, last

    def _splits(self, shard: Shard, start: int, count: int) -> Array:
        """`count` + 1 bounds that begin at a byte of the file: int64."""
        data = self._files.view(shard.data, start, start + 8 * (count + 1), populate=False)
        splits: Array = np.ndarray((count + 1,), np.dtype("<i8"), data)
        return splits

    def single(self, shard: Shard, data: Array) -> SingleRows:
        return _SingleRows(self, shard, data, self._columns, self._geometries[shard.geometry])


class _SingleRows(SingleRows):
    """Single rows of a mapped shard."""

    def __init__(self, rows: StoredRows, shard: Shard, data: Array, columns: Sequence[Column], geometry: Geometry) -> None:
        super().__init__(rows, shard)
        self._data, self._columns, self._geometry = data, columns, geometry

    def strings(self, number: int) -> Callable[[int], tuple[Sequence[int], Sequence[int]]]:
        count, offset = self._columns[number].values, self._geometry.offsets[number]
        splits = np.ndarray((self._shard.rows * count + 1,), np.dtype("<i8"), self._data, self._geometry.row_splits[number])

        def find(row: int) -> tuple[list[int], list[int]]:
            bounds = splits[row * count : (row + 1) * count + 1].tolist()
            return [offset + start for start in bounds[:-1]], [stop - start for start, stop in itertools.pairwise(bounds)]

        return find
