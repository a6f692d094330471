"""The byte table: `Table.read(rows) -> columns`, the one primitive every reader stands on.

A shard file is mapped into memory and its columns are runs of bytes at a constant stride, so a
block of rows of a column is one strided copy: no h5py, no protobuf, no Python per example. NumPy
only. Per-record CRCs are not checked here; `verify` does that.

>>> table = Table.of_split("/data/digits/1.0.0", "train")     # doctest: +SKIP
>>> table.read(slice(0, 256))["image"].shape                  # doctest: +SKIP
(256, 8, 8, 1)
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfds_builder import manifest as manifest_lib
from tfds_builder.errors import DamagedFileError, MissingFileError
from tfds_builder.manifest import STRINGS, VARINT, Column, Geometry, Manifest, Shard

Array = npt.NDArray[Any]

_OPEN_FILES = 256
"""Files kept mapped at once by one table; the least recently used is closed first."""


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


class _FileCache:
    """Memory maps of shard files, opened when first read, the least recently used closed."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._maps: collections.OrderedDict[str, Array] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, file: manifest_lib.File) -> Array:
        with self._lock:
            mapped = self._maps.get(file.file)
            if mapped is None:
                mapped = self._open(file)
                self._maps[file.file] = mapped
                if len(self._maps) > _OPEN_FILES:
                    self._maps.popitem(last=False)
            self._maps.move_to_end(file.file)
            return mapped

    def _open(self, file: manifest_lib.File) -> Array:
        check_file(self._directory, file)
        if not file.bytes:
            return np.empty(0, np.uint8)
        return np.memmap(self._directory / file.file, dtype=np.uint8, mode="r")


def check_file(directory: str | os.PathLike[str], file: manifest_lib.File) -> None:
    """Raises unless the file is there and has the size the manifest says.

    Raises:
      MissingFileError: it is not there.
      DamagedFileError: it is shorter or longer.
    """
    path = pathlib.Path(directory) / file.file
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing; the manifest lists it with {file.bytes} bytes") from error
    if size != file.bytes:
        raise DamagedFileError(f"{path} has {size} bytes, and the manifest says {file.bytes}: it is damaged or truncated")


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
        self._files = _FileCache(self._directory)

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
        self._files = _FileCache(self._directory)

    @property
    def segments(self) -> Sequence[Segment]:
        return self._segments

    def check_files(self) -> None:
        """Raises MissingFileError or DamagedFileError unless every file has its size."""
        for file in {file.file: file for segment in self._segments for file in segment.shard.files}.values():
            check_file(self._directory, file)

    def read(self, rows: slice | Array, columns: Sequence[str] | None = None) -> dict[str, Array]:
        """Reads rows, copied out of the files.

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

    def _pieces(self, rows: slice | Array) -> Iterator[tuple[range | Array, Segment, slice | Array]]:
        """Which rows go where: (places in the result, segment, rows of the segment's shard)."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                rows = np.arange(start, stop, step)
        if isinstance(rows, slice):
            number = int(np.searchsorted(self._ends, start, side="right"))
            done = 0
            while start < stop:
                segment, end = self._segments[number], int(self._ends[number])
                first = segment.stop - (end - start)
                take = min(stop, end) - start
                yield range(done, done + take), segment, slice(first, first + take)
                start, done, number = start + take, done + take, number + 1
            return
        rows = np.asarray(rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows must be between 0 and {len(self) - 1} (got {rows.min()} to {rows.max()})")
        numbers = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(numbers):
            segment = self._segments[number]
            places = np.flatnonzero(numbers == number)
            yield places, segment, rows[places] - int(self._ends[number]) + segment.stop

    def _read_column(self, name: str, pieces: Sequence[tuple[range | Array, Segment, slice | Array]], count: int) -> Array:
        number, column = self._columns[name]
        out: Array
        if column.encoding == STRINGS:
            out = np.empty((count, column.values), object)
        else:
            out = np.empty(count, f"V{column.width}") if column.width else np.empty(count, np.uint8)
        for places, segment, rows in pieces:
            target = slice(places.start, places.stop) if isinstance(places, range) else places
            if column.encoding == STRINGS:
                out[target] = self._read_strings(segment.shard, number, column, rows)
            elif column.width:
                out[target] = self._row_view(segment.shard, number, column, rows)
        if column.encoding == STRINGS:
            return out.reshape(count, *column.shape)
        if not column.width:
            return np.empty((count, *column.shape), to_numpy_dtype(column.dtype))
        return decode_column(column, out.view(np.uint8).reshape(count, column.width))

    def _row_view(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> Array:
        """The asked rows of a fixed-size column, one void item a row."""
        geometry = self._geometries[shard.geometry]
        data = self._files.get(shard.data)
        offset, stride, kind = geometry.offsets[number], geometry.strides[number], np.dtype(f"V{column.width}")
        if shard.index is None:
            view: Array = np.ndarray((shard.rows,), kind, data, offset, (stride,))
            return view[rows]
        starts = self._index(shard)[rows, 0] + offset
        self._check_range(shard, starts, column.width)
        if not len(starts):
            return np.empty(0, kind)
        windows: Array = np.ndarray((shard.data.bytes - column.width + 1,), kind, data, 0, (1,))  # one at every byte
        found: Array = windows[starts]
        return found

    def _read_strings(self, shard: Shard, number: int, column: Column, rows: slice | Array) -> Array:
        """Byte strings of the asked rows, object array of shape (n, values)."""
        data = self._files.get(shard.data)
        if shard.index is not None:
            slot = self._string_slots[column.name]
            index = self._index(shard)[rows, slot : slot + 2 * column.values]
            starts, lengths = index[:, 0::2], index[:, 1::2]
        else:
            starts, lengths = self._split_strings(shard, self._geometries[shard.geometry], number, column, rows)
        self._check_range(shard, starts, lengths)
        out = np.empty(starts.shape, object)
        flat, view = out.reshape(-1), memoryview(data)  # type: ignore[arg-type]  # ndarray is a buffer
        for i, (start, length) in enumerate(zip(starts.ravel().tolist(), lengths.ravel().tolist(), strict=True)):
            flat[i] = bytes(view[start : start + length])
        return out

    def _split_strings(
        self, shard: Shard, geometry: Geometry, number: int, column: Column, rows: slice | Array
    ) -> tuple[Array, Array]:
        """Starts and lengths in the file of an HDF5 column's strings, each of shape (n, values)."""
        data = self._files.get(shard.data)
        splits: Array = np.ndarray((shard.rows * column.values + 1,), np.dtype("<i8"), data, geometry.row_splits[number], (8,))
        first, last = splits[:-1].reshape(shard.rows, -1)[rows], splits[1:].reshape(shard.rows, -1)[rows]
        return first + geometry.offsets[number], last - first

    def _index(self, shard: Shard) -> Array:
        """A TFRecord shard's index: int64, shape (rows, 1 + 2 * strings a row)."""
        assert shard.index is not None
        return self._files.get(shard.index).view(np.dtype("<i8")).reshape(shard.rows, -1)

    def _check_range(self, shard: Shard, starts: Array, lengths: Array | int) -> None:
        """Raises DamagedFileError where an index points outside its file."""
        size = shard.data.bytes
        inside = (starts >= 0) & (starts <= size) & (np.asarray(lengths) >= 0)
        if not np.all(inside & (lengths <= size - starts)):
            raise DamagedFileError(f"the index of {self._directory / shard.data.file} points outside the file")


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
