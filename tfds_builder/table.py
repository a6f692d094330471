"""The byte table: `Table.read(rows) -> columns`, the one primitive every reader stands on.

A shard file is mapped into memory and its columns are runs of bytes at a constant stride, so a
block of rows of a column is one strided copy: no h5py, no protobuf, no Python per example. NumPy
only. Per-record CRCs are not checked here; `verify` does that.

>>> table = Table.of_split("/data/digits/1.0.0", "train")     # doctest: +SKIP
>>> table.read(slice(0, 256))["image"].shape                  # doctest: +SKIP
(256, 8, 8, 1)
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tfds_builder import manifest as manifest_lib
from tfds_builder.errors import DamagedFileError
from tfds_builder.manifest import STRINGS, VARINT, Column, Manifest, Shard
from tfds_builder.mapping import Files, check_file

Array = npt.NDArray[Any]
_Piece: TypeAlias = "tuple[range | Array, Segment, slice | Array]"
"""Which rows go where: (places in the result, segment, rows of the segment's shard)."""

_GATHER_BYTES = 1024 * 1024
"""Rows taken one by one go through a buffer of this size, which stays in the cache."""
_LONG_RUN = 8
"""Row numbers are taken for runs of neighbours if they are so long on average."""
_SMALL_ROW = 1024
_LARGE_ROW = 16 * 1024
"""Below this many bytes a row is one item to NumPy; from this many on, one taken by itself is worth a call of its own."""


def to_numpy_dtype(name: str) -> np.dtype[Any]:
    """The little-endian NumPy dtype of a manifest's dtype name.

    >>> to_numpy_dtype("uint8")
    dtype('uint8')
    """
    if name == "bfloat16":
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    if name == manifest_lib.STRING_DTYPE:
        return np.dtype(object)
    return np.dtype(name).newbyteorder("<")


@dataclasses.dataclass(frozen=True)
class Segment:
    """Rows `start` to `stop` of one shard: a run of rows of the table."""

    shard: Shard
    start: int
    stop: int


class Table:
    """Rows of one or more shard segments, numbered from 0, readable in any order.

    Safe to read from several threads; picklable (maps are reopened on the other side).

    Args:
      directory: the version directory.
      manifest: its manifest.
      segments: the runs of rows the table is made of, in order.
    """

    def __init__(self, directory: str | os.PathLike[str], manifest: Manifest, segments: Sequence[Segment]) -> None:
        self._directory = pathlib.Path(directory)
        self._columns = {column.name: (i, column) for i, column in enumerate(manifest.columns)}
        self._geometries = manifest.geometries
        self._indexed = manifest.format == "tfrecord"
        self._segments = [segment for segment in segments if segment.stop > segment.start]
        self._ends = np.cumsum([segment.stop - segment.start for segment in self._segments], dtype=np.int64)
        self._string_slots = _string_slots(manifest.columns)
        self._files = Files(self._directory)

    @classmethod
    def of_split(cls, version_dir: str | os.PathLike[str], split: str) -> Table:
        """The whole of one split of a published version directory."""
        manifest = manifest_lib.read(version_dir)
        return cls(version_dir, manifest, [Segment(s, 0, s.rows) for s in manifest.splits[split].shards])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_files"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._files = Files(self._directory)

    @property
    def segments(self) -> Sequence[Segment]:
        return self._segments

    def check_files(self) -> None:
        """Raises MissingFileError or DamagedFileError unless every file has its size."""
        for file in {file.file: file for segment in self._segments for file in segment.shard.files}.values():
            check_file(self._directory, file)

    def close(self) -> None:
        """Unmaps the files and lets go of kept memory; a later read maps them again."""
        self._files.close()

    def read(self, rows: slice | Array, columns: Sequence[str] | None = None) -> dict[str, Array]:
        """Reads rows. The arrays belong to the caller: writing into them changes nothing else.

        Args:
          rows: a slice of step 1, or an array of row numbers, shape (n,), any integer dtype.
          columns: flat names of the columns to read; all of them by default. What is not asked
            for is not touched on disk.

        Returns:
          A mapping of column name to array of shape (n, *column shape) and the column's dtype;
          strings come as `bytes` in an object array.

        Raises:
          MissingFileError, DamagedFileError: a shard is not what the manifest says.
          KeyError: no such column.
          IndexError: a row number out of range.
        """
        names = list(self._columns) if columns is None else columns
        pieces = list(self._pieces(rows))
        count = sum(len(target) for target, _, _ in pieces)
        return {name: self._read_column(name, pieces, count) for name in names}

    def _pieces(self, rows: slice | Array) -> Iterator[_Piece]:
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
        starts = np.flatnonzero(np.diff(rows, prepend=rows[0]) != 1)  # of runs of neighbours; the first row begins one too
        if len(starts) * _LONG_RUN <= len(rows) or len(starts) == 1:
            for done, end in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
                yield from self._run_pieces(int(rows[done]), int(rows[done]) + end - done, done)
            return
        numbers = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(numbers):
            segment = self._segments[number]
            places = np.flatnonzero(numbers == number)
            yield places, segment, rows[places] - int(self._ends[number]) + segment.stop

    def _run_pieces(self, start: int, stop: int, done: int) -> Iterator[_Piece]:
        """Rows `start` to `stop`, whose places begin at `done`, shard by shard."""
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            segment, end = self._segments[number], int(self._ends[number])
            first = segment.stop - (end - start)
            take = min(stop, end) - start
            yield range(done, done + take), segment, slice(first, first + take)
            start, done, number = start + take, done + take, number + 1

    def _read_column(self, name: str, pieces: Sequence[_Piece], count: int) -> Array:
        number, column = self._columns[name]
        if column.encoding == STRINGS:
            strings = np.empty((count, column.values), object)
            for places, segment, rows in pieces:
                strings[_target(places)] = self._read_strings(segment.shard, number, column, rows)
            return strings.reshape(count, *column.shape)
        if not column.width or not count:
            return np.empty((count, *column.shape), to_numpy_dtype(column.dtype))
        out = self._files.buffers.empty(count, column.width)
        for piece in pieces:
            self._copy_rows(out, piece, number, column)
        return decode_column(column, out)

    def _run(self, piece: _Piece, number: int, column: Column) -> Array | None:
        """Neighbouring rows of a fixed-size column where they lie, as `_as_rows` shows them. None where
        records differ in length."""
        _, segment, rows = piece
        shard = segment.shard
        if shard.index is not None or not isinstance(rows, slice):
            return None
        geometry = self._geometries[shard.geometry]
        offset, stride, count = geometry.offsets[number], geometry.strides[number], rows.stop - rows.start
        start = offset + rows.start * stride
        data = self._files.view(shard.data, start, start + (count - 1) * stride + column.width)
        return _as_rows(data, count, column.width, stride)

    def _copy_rows(self, out: Array, piece: _Piece, number: int, column: Column) -> None:
        """Copies the asked rows of a fixed-size column to their places in `out`, uint8 of shape (n, width)."""
        places, segment, rows = piece
        target = _as_rows(out, len(out), column.width, column.width)
        run = self._run(piece, number, column)
        if run is not None:
            target[_target(places)] = run
            return
        starts, data = self._starts(segment.shard, number, column, rows)
        if data is None:  # cannot be mapped: a read a row
            for place, start in zip(places, starts.tolist(), strict=True):
                out[place] = self._files.view(segment.shard.data, start, start + column.width)
        elif column.width >= _LARGE_ROW:
            for place, start in zip(places, starts.tolist(), strict=True):
                out[place] = data[start : start + column.width]
        else:
            windows = _as_rows(data, data.size - column.width + 1, column.width, 1)  # one at every byte
            step = max(1, _GATHER_BYTES // column.width)
            for first in range(0, len(starts), step):
                target[_target(places[first : first + step])] = windows[starts[first : first + step]]

    def _starts(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> tuple[Array, Array | None]:
        """Where in the file the asked rows of a fixed-size column begin, and the file, if it can be mapped."""
        geometry = self._geometries[shard.geometry]
        if shard.index is None:
            starts = np.asarray(rows, np.int64) * geometry.strides[number] + geometry.offsets[number]
        else:
            starts = self._index(shard, rows)[:, 0] + geometry.offsets[number]
            self._check_range(shard, starts, column.width)
        if isinstance(rows, slice) and len(starts):
            self._files.view(shard.data, int(starts[0]), int(starts[-1]) + column.width)  # bring it in
        return starts, self._files.map(shard.data)

    def _read_strings(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> Array:
        """Byte strings of the asked rows, object array of shape (n, values)."""
        if shard.index is not None:
            slot = self._string_slots[column.name]
            index = self._index(shard, rows)[:, slot : slot + 2 * column.values]
            starts, lengths = index[:, 0::2], index[:, 1::2]
        else:
            starts, lengths = self._split_strings(shard, number, column, rows)
        self._check_range(shard, starts, lengths)
        self._check_total(shard, starts, lengths, rows)
        out = np.empty(starts.shape, object)
        if not out.size:
            return out
        first, last = int(starts.min()), int((starts + lengths).max())
        data = self._files.view(shard.data, first, last, populate=isinstance(rows, slice))
        flat, view = out.reshape(-1), memoryview(data)  # type: ignore[arg-type]  # ndarray is a buffer
        for i, (start, length) in enumerate(zip((starts - first).ravel().tolist(), lengths.ravel().tolist(), strict=True)):
            flat[i] = bytes(view[start : start + length])
        return out

    def _split_strings(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> tuple[Array, Array]:
        """Starts and lengths in the file of an HDF5 column's strings, each of shape (n, values)."""
        geometry = self._geometries[shard.geometry]
        begin, count = geometry.row_splits[number], shard.rows * column.values + 1
        data = self._files.view(shard.data, begin, begin + 8 * count, populate=False)
        splits: Array = np.ndarray((count,), np.dtype("<i8"), data)
        first, last = splits[:-1].reshape(shard.rows, -1)[rows], splits[1:].reshape(shard.rows, -1)[rows]
        return first + geometry.offsets[number], last - first

    def _index(self, shard: Shard, rows: slice | Array) -> Array:
        """Rows of a TFRecord shard's index: int64, shape (n, 1 + 2 * strings a row)."""
        assert shard.index is not None
        data = self._files.view(shard.index, 0, shard.index.bytes, populate=False)
        index: Array = np.ndarray((shard.rows, shard.index.bytes // 8 // shard.rows), np.dtype("<i8"), data)[rows]
        return index

    def _check_range(self, shard: Shard, starts: Array, lengths: Array | int) -> None:
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


def _as_rows(data: Array, count: int, width: int, stride: int) -> Array:
    """Rows of bytes, a stride apart. Small ones as one void item each: NumPy copies those twice as fast, but
    holds the interpreter lock; larger ones as uint8 of shape (count, width), which it copies without the lock."""
    rows: Array
    if width < _SMALL_ROW:
        rows = np.ndarray((count,), f"V{width}", data, 0, (stride,))
    else:
        rows = np.ndarray((count, width), np.uint8, data, 0, (stride, 1))
    return rows


def _target(places: range | Array) -> slice | Array:
    """Places in the result as NumPy indexes them fastest."""
    return slice(places.start, places.stop) if isinstance(places, range) else places


def _string_slots(columns: Sequence[Column]) -> dict[str, int]:
    """Where in a TFRecord index row each STRINGS column's (start, length) pairs begin."""
    slots, slot = {}, 1
    for column in columns:
        if column.encoding == STRINGS:
            slots[column.name] = slot
            slot += 2 * column.values
    return slots


def decode_column(column: Column, stored: Array) -> Array:
    """Turns the stored bytes of rows into values.

    Args:
      column: a RAW or VARINT column.
      stored: uint8 of shape (n, column.width), contiguous.

    Returns:
      Array of shape (n, *column.shape) and the column's dtype; a view of `stored` if RAW.
    """
    dtype = to_numpy_dtype(column.dtype)
    if column.encoding != VARINT:
        return stored.view(dtype).reshape(len(stored), *column.shape)
    size = column.width // column.values
    groups = stored.reshape(len(stored), column.values, size)
    values = np.zeros(groups.shape[:2], np.uint64)
    for position in range(size):
        values |= (groups[:, :, position] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * position)
    signed = values if column.dtype == "uint64" else values.view(np.int64)
    return signed.astype(dtype).reshape(len(stored), *column.shape)
