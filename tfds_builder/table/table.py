"""The byte table: `Table.read(rows) -> columns`, the one primitive every reader stands on.

A shard file is mapped into memory and its columns are runs of bytes at a constant stride, so a
block of rows of a column is one strided copy: no h5py, no protobuf, no Python per example. NumPy
only. Checksums are looked at if that is asked for (`checking`).

>>> table = Table.of_split("/data/digits/1.0.0", "train")     # doctest: +SKIP
>>> table.read(slice(0, 256))["image"].shape                  # doctest: +SKIP
(256, 8, 8, 1)
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfds_builder import formats
from tfds_builder.aliases import Array, StoredValue
from tfds_builder.catalog.location import read_given
from tfds_builder.contract.decode import decode_column, to_numpy_dtype
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.contract.manifest import STRINGS, Column, Manifest, Shard
from tfds_builder.contract.ragged import Ragged
from tfds_builder.formats.base import StoredRows, runs_of
from tfds_builder.table.checked_rows import Checks
from tfds_builder.table.mapped_files import LARGE_BYTES, Files
from tfds_builder.table.ragged_columns import Piece, VariableReader, to_target
from tfds_builder.table.ragged_columns import Segment as Segment

_GATHER_BYTES = 1024 * 1024
"""Rows taken one by one go through a buffer of this size, which stays in the cache."""
_SHORT_RUN = 4
"""Row numbers are put in order first if that makes runs of neighbours of them so long on average."""
_RUN_BYTES = 16 * 1024
"""A run of so many bytes on average is worth a call of its own."""
_SMALL_ROW = 1024
_LARGE_ROW = 16 * 1024
"""Below this many bytes a row is one item to NumPy; from this many on, one taken by itself is worth a call of its own."""


class Table:
    """Rows of one or more shard segments, numbered from 0, readable in any order.

    Safe to read from several threads; picklable (maps are reopened on the other side).

    Args:
      directory: the version directory, or its path.
      manifest: its manifest.
      segments: the runs of rows the table is made of, in order.
      verify: whether rows are checked before they are read: the CRCs of their records (TFRecord), or the SHA-256 of their
        file, once (HDF5).
    """

    def __init__(self, directory: AnyDirectory, manifest: Manifest, segments: Sequence[Segment], *, verify: bool = False) -> None:
        self._directory = Directory.at(directory).of_version(manifest.head)
        self._columns = {column.name: (i, column) for i, column in enumerate(manifest.columns)}
        self._geometries, self._format, self._verify = manifest.geometries, formats.find(manifest.format), verify
        self._segments = [segment for segment in segments if segment.stop > segment.start]
        self._ends = np.cumsum([segment.stop - segment.start for segment in self._segments], dtype=np.int64)
        self._open()

    @classmethod
    def of_split(cls, version_dir: AnyDirectory, split: str, *, verify: bool = False) -> Table:
        """The whole of one split of a published version directory."""
        manifest = read_given(version_dir)
        return cls(version_dir, manifest, [Segment(s, 0, s.rows) for s in manifest.splits[split].shards], verify=verify)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_files", "_stored", "_variable", "_checks")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        self._files = Files(self._directory)
        self._stored = self._format.rows(self._files, self.columns(), self._geometries)
        self._variable = VariableReader(self._files, self._stored)
        self._checks = Checks(self._files, self._stored) if self._verify else None

    @property
    def segments(self) -> Sequence[Segment]:
        return self._segments

    @property
    def directory(self) -> Directory:
        """The version directory, which must be of the version of the manifest, unless that was read from no file."""
        return self._directory

    @property
    def files(self) -> Files:
        """Its files, as memory."""
        return self._files

    def columns(self, names: Sequence[str] | None = None) -> list[Column]:
        """The columns of those names; all by default."""
        return [self._columns[name][1] for name in (self._columns if names is None else names)]

    def find(self, row: int) -> tuple[Shard, int]:
        """The shard of a row, and its number there."""
        number = int(np.searchsorted(self._ends, row, side="right"))
        segment = self._segments[number]
        return segment.shard, row - int(self._ends[number]) + segment.stop

    @property
    def stored(self) -> StoredRows:
        """Where in its files the rows lie."""
        return self._stored

    def number(self, name: str) -> int:
        """The number of a column in the manifest."""
        return self._columns[name][0]

    def record(self, row: int) -> bytes:
        """The record of a row as it is stored, where the format has records (`StoredFormat.has_records`).

        Raises:
          MissingFileError, DamagedFileError: its shard is not what the manifest says.
        """
        self.check_row(row)
        return self._stored.record(*self.find(row))

    def row_bytes(self, names: Sequence[str] | None = None) -> int:
        """Bytes that a row of some columns (of all, by default) takes on average in the shard where rows are largest. If one of
        these columns differs in length, all columns that differ in length are counted."""
        columns = self.columns(names)
        varying = self._varying_bytes if any(column.is_variable for column in columns) else 0
        return sum(column.width for column in columns if not column.is_variable) + varying

    @functools.cached_property
    def _varying_bytes(self) -> int:
        fixed = sum(column.width for column in self.columns() if not column.is_variable)
        shards = (segment.shard for segment in self._segments)
        return max((max(0, shard.data.bytes // shard.rows - fixed) for shard in shards), default=0)

    @property
    def is_large(self) -> bool:
        """Whether its rows, as a rule, are so large that each is read by itself."""
        return self.row_bytes() >= LARGE_BYTES

    def check_files(self) -> None:
        """Raises MissingFileError or DamagedFileError unless every file has its size."""
        for file in {file.file: file for segment in self._segments for file in segment.shard.files}.values():
            self._files.check(file)

    def check_row(self, row: int) -> None:
        """Raises DamagedFileError if rows are checked, and this one is not what was exported."""
        if self._checks is not None:
            self._checks.check_row(*self.find(row))

    def close(self) -> None:
        """Unmaps the files and lets go of kept memory; a later read maps them again."""
        self._files.close()

    def read(self, rows: slice | Array, columns: Sequence[str] | None = None) -> dict[str, StoredValue]:
        """Reads rows. The arrays belong to the caller: writing into them changes nothing else.

        Args:
          rows: a slice of step 1, or an array of row numbers, shape (n,), any integer dtype.
          columns: flat names of the columns to read; all of them by default. What is not asked
            for is not touched on disk.

        Returns:
          A mapping of column name to array of shape (n, *column shape) and the column's dtype, or to
          `Ragged` where rows differ in length; strings come as `bytes` in an object array.

        Raises:
          MissingFileError, DamagedFileError: a shard is not what the manifest says.
          KeyError: no such column.
          IndexError: a row number out of range.
        """
        names = list(self._columns) if columns is None else columns
        pieces = list(self._pieces(rows))
        if self._checks is not None:
            self._checks.check(pieces)
            if self.is_large:
                self._files.let_go()  # of what the check has mapped
        count = sum(len(target) for target, _, _ in pieces)
        return {name: self._read_column(name, pieces, count) for name in names}

    def _pieces(self, rows: slice | Array) -> Iterator[Piece]:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                yield from self._run_pieces(start, max(start, stop), 0)
                return
            rows = np.arange(start, stop, step)
        rows = np.asarray(rows).astype(np.int64)
        if not rows.size:
            return
        if not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows must be between 0 and {len(self) - 1} (got {rows.min()} to {rows.max()})")
        if rows[-1] - rows[0] == len(rows) - 1 and len(runs_of(rows)) == 2:
            yield from self._run_pieces(int(rows[0]), int(rows[0]) + len(rows), 0)
            return
        order = np.argsort(rows)
        ordered = rows[order]
        if (len(runs_of(ordered)) - 1) * _SHORT_RUN <= len(rows):
            ends = np.searchsorted(ordered, self._ends)
            for number in np.flatnonzero(np.diff(ends, prepend=0)).tolist():
                segment, part = self._segments[number], slice(int(ends[number - 1]) if number else 0, int(ends[number]))
                yield order[part], segment, ordered[part] - int(self._ends[number]) + segment.stop
            return
        numbers = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(numbers):
            segment = self._segments[number]
            places = np.flatnonzero(numbers == number)
            yield places, segment, rows[places] - int(self._ends[number]) + segment.stop

    def _run_pieces(self, start: int, stop: int, done: int) -> Iterator[Piece]:
        """Rows `start` to `stop`, whose places begin at `done`, shard by shard."""
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            segment, end = self._segments[number], int(self._ends[number])
            first = segment.stop - (end - start)
            take = min(stop, end) - start
            yield range(done, done + take), segment, slice(first, first + take)
            start, done, number = start + take, done + take, number + 1

    def _read_column(self, name: str, pieces: Sequence[Piece], count: int) -> Array | Ragged:
        number, column = self._columns[name]
        if column.is_ragged:
            if column.encoding == STRINGS:
                return self._variable.read_string_lists(number, column, pieces, count)
            stored, row_splits = self._variable.read_items(number, column, pieces, count)
            return Ragged(decode_column(column, stored), row_splits)
        if column.encoding == STRINGS:
            strings = np.empty((count, column.values), object)
            for places, segment, rows in pieces:
                strings[to_target(places)] = self._variable.read_strings(segment.shard, number, rows)
            return strings.reshape(count, *column.item_shape)
        if not column.width or not count:
            return np.empty((count, *column.item_shape), to_numpy_dtype(column.dtype))
        out = self._files.buffers.empty(count, column.width, again=column.width < LARGE_BYTES)
        for piece in pieces:
            self._copy_rows(out, piece, number, column)
        return decode_column(column, out)

    def _run(self, piece: Piece, number: int, column: Column) -> Array | None:
        """Neighbouring rows of a fixed-size column where they lie, as `_as_rows` shows them. None where
        records differ in length."""
        _, segment, rows = piece
        shard = segment.shard
        lies = self._stored.stride(shard, number)
        if lies is None or not isinstance(rows, slice):
            return None
        (offset, stride), count = lies, rows.stop - rows.start
        start = offset + rows.start * stride
        data = self._files.view(shard.data, start, start + (count - 1) * stride + column.width)
        return _as_rows(data, count, column.width, stride)

    def _copy_rows(self, out: Array, piece: Piece, number: int, column: Column) -> None:
        """Copies the asked rows of a fixed-size column to their places in `out`, uint8 of shape (n, width)."""
        places, segment, rows = piece
        if column.width >= LARGE_BYTES:
            for place, start in zip(places, self._stored.starts(segment.shard, number, rows).tolist(), strict=True):
                self._files.read_into(segment.shard.data, start, out[place])
            return
        target = _as_rows(out, len(out), column.width, column.width)
        lying = self._run(piece, number, column)
        if lying is not None:
            target[to_target(places)] = lying
            return
        if self._copy_runs(target, piece, number, column):
            return
        starts = self._stored.starts(segment.shard, number, rows)
        run = (starts[:1], starts[-1:] + column.width) if isinstance(rows, slice) else None
        data = self._files.map(segment.shard.data, run)
        if data is None:  # cannot be mapped: a read a row
            for place, start in zip(places, starts.tolist(), strict=True):
                self._files.read_into(segment.shard.data, start, out[place])
        elif column.width >= _LARGE_ROW:
            for place, start in zip(places, starts.tolist(), strict=True):
                out[place] = data[start : start + column.width]
        else:
            windows = _as_rows(data, data.size - column.width + 1, column.width, 1)  # one at every byte
            step = max(1, _GATHER_BYTES // column.width)
            for first in range(0, len(starts), step):
                target[to_target(places[first : first + step])] = windows[starts[first : first + step]]

    def _copy_runs(self, out: Array, piece: Piece, number: int, column: Column) -> bool:
        """Copies rows run by run, if they are runs of neighbours that are worth it; whether it did."""
        places, segment, rows = piece
        shard = segment.shard
        lies = self._stored.stride(shard, number)
        if lies is None or not isinstance(rows, np.ndarray):
            return False
        runs = runs_of(rows)
        count = len(runs) - 1
        if count * _SHORT_RUN > len(rows) or count * _RUN_BYTES > len(rows) * column.width:
            return False
        offset, stride = lies
        first, last = rows[runs[:-1]], rows[runs[1:] - 1]
        data = self._files.map(shard.data, (first * stride + offset, last * stride + offset + column.width))
        if data is None:
            return False
        lying = _as_rows(data[offset:], shard.rows, column.width, stride)
        for begin, end, row in zip(runs[:-1].tolist(), runs[1:].tolist(), first.tolist(), strict=True):
            out[places[begin:end]] = lying[row : row + end - begin]
        return True


def _as_rows(data: Array, count: int, width: int, stride: int) -> Array:
    """Rows of bytes, a stride apart. Small ones as one void item each: NumPy copies those twice as fast, but
    holds the interpreter lock; larger ones as uint8 of shape (count, width), which it copies without the lock."""
    rows: Array
    if width < _SMALL_ROW:
        rows = np.ndarray((count,), f"V{width}", data, 0, (stride,))
    else:
        rows = np.ndarray((count, width), np.uint8, data, 0, (stride, 1))
    return rows
