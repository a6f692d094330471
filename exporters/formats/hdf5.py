"""HDF5 shards: one contiguous dataset for each column, groups for nested names, readable in plain h5py.

h5py lays out an empty file (a sparse one in memory, so no data is written twice); its metadata and
our columns then go to the shard in one sequential pass. Nothing in it holds a time, so the same
input gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from exporters import wording
from exporters.errors import MissingDependencyError
from exporters.formats.base import ShardContext, Sink
from exporters.formats.blocks import Blocks
from exporters.formats.hands import Hands
from exporters.tensors.arrays import Columns
from tfds_builder.aliases import Array, Buffer, DType, JsonMapping
from tfds_builder.contract.decode import to_numpy_dtype
from tfds_builder.contract.layout import copy_into
from tfds_builder.contract.manifest import DTYPE_BYTES, RAW, STRINGS, VARINT, Column, Geometry
from tfds_builder.contract.ragged import Ragged
from tfds_builder.formats import hdf5
from tfds_builder.install import how_to_install

try:
    import h5py
except ImportError as error:
    raise MissingDependencyError(f"{wording.argument('format', 'hdf5')} needs h5py: {how_to_install('hdf5')}") from error

_VALUES, _ROW_SPLITS, _STRING_SPLITS = "values", "row_splits", "string_splits"
"""A variable column is a group of these datasets: the items of all rows (or the bytes of all strings) end to end; the bounds of
the rows (or of the strings, where every row has the same number of them); and the bounds of the strings, where rows have any
number of them."""


_Node: TypeAlias = Any
"""An h5py file, group or dataset."""


class HDF5Format:
    """Every column at its native width, one run of bytes; no index beside the file."""

    stored = hdf5.FORMAT

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """Integers that TFRecord keeps as varints are plain little-endian values here."""
        return tuple(
            dataclasses.replace(c, encoding=RAW, width=c.values * DTYPE_BYTES[c.dtype]) if c.encoding == VARINT else c
            for c in columns
        )

    def open(self, data: Sink, index: Sink | None, context: ShardContext, hands: Hands) -> HDF5Writer:
        return HDF5Writer(data, context, hands)


FORMAT = HDF5Format()


class HDF5Writer:
    """Gathers the columns of one shard in memory and writes them at its end.

    The first column in the file, which is the widest, goes out as it is drained if the loader says
    how many rows there will be: what lies before it depends on that number. If there come more or
    fewer, it is taken back and the shard is written as if nothing had been said.
    """

    def __init__(self, data: Sink, context: ShardContext, hands: Hands) -> None:
        self._data, self._context, self._hands = data, context, hands
        self._streamed: _Stream | None = None
        self._skeleton: tuple[_SparseFile, dict[str, int]] | None = None  # of the rows that were expected
        self._rows = 0
        self._chunks: dict[str, list[Array]] = {column.name: [] for column in context.columns}
        self._variable = {column.name: _Variable(column) for column in context.columns if column.is_variable}
        if context.expected_rows and not self._variable:
            self._begin_stream(context.expected_rows)

    def _begin_stream(self, rows: int) -> None:
        """Writes what comes before the first column of a shard of that many rows."""
        skeleton, places = self._skeleton = self._lay_out(rows)
        column = min((c for c in self._context.columns if c.width), key=lambda c: places[c.name], default=None)
        if column is not None:
            self._copy_metadata(skeleton, 0, places[column.name])
            self._streamed = _Stream(self._data, column, places[column.name], self._hands)

    def append(self, columns: Columns) -> None:
        for column in self._context.columns:
            values = columns[column.name]
            if column.is_variable:
                self._variable[column.name].append(values)
                continue
            assert isinstance(values, np.ndarray)
            if self._streamed is not None and column.name == self._streamed.column.name:
                self._streamed.append(values)
            else:
                chunk = np.empty(values.shape, to_numpy_dtype(column.dtype))
                copy_into(chunk, values)
                self._chunks[column.name].append(chunk.reshape(-1).view(np.uint8))
        self._rows += len(values)

    def finish(self) -> Geometry:
        if self._streamed is not None:
            self._streamed.flush()
        if self._skeleton is not None and self._rows != self._context.expected_rows:
            self._skeleton = None
            if self._streamed is not None:
                self._take_back(self._streamed)
        skeleton, places = self._skeleton or self._lay_out(self._rows)
        self._write(skeleton, places)
        columns = self._context.columns
        return Geometry(
            offsets=tuple(places[f"{c.name}/{_VALUES}" if c.is_variable else c.name] for c in columns),
            strides=tuple(0 if c.is_variable else c.width for c in columns),
            row_splits=tuple(places.get(f"{c.name}/{_ROW_SPLITS}", 0) if c.is_variable else 0 for c in columns),
            string_splits=tuple(places.get(f"{c.name}/{_STRING_SPLITS}", 0) if c.is_variable else 0 for c in columns),
        )

    def _take_back(self, streamed: _Stream) -> None:
        """The streamed column as one that was gathered: nothing has been written then."""
        written = np.frombuffer(self._data.take_back(), np.uint8)
        self._chunks[streamed.column.name] = [written[streamed.start :]]
        self._streamed = None

    def _lay_out(self, rows: int) -> tuple[_SparseFile, dict[str, int]]:
        """A file's structure with room for the columns, the widest first; and where each dataset begins."""
        skeleton = _SparseFile()
        with _create_file(skeleton) as file:
            file.attrs.update(_to_attributes(self._context.attributes))
            created = {}
            for column in sorted(self._context.columns, key=lambda column: -column.width):
                if column.is_variable:
                    group = _make_groups(file, f"{column.name}/")
                    group.attrs.update(_to_attributes(self._context.column_attributes[column.name]))
                    for name, (shape, dtype) in self._variable[column.name].datasets().items():
                        created[f"{column.name}/{name}"] = _create_dataset(group, name, shape, dtype)
                else:
                    group = _make_groups(file, column.name)
                    shape = (rows, *column.item_shape)
                    dataset = _create_dataset(group, column.name.split("/")[-1], shape, _stored_dtype(column.dtype))
                    dataset.attrs.update(_to_attributes(self._context.column_attributes[column.name]))
                    created[column.name] = dataset
            return skeleton, {name: dataset.id.get_offset() or 0 for name, dataset in created.items()}

    def _write(self, skeleton: _SparseFile, places: Mapping[str, int]) -> None:
        """The whole file in order: h5py's metadata with our columns in the gaps it left."""
        pieces: dict[str, list[Array]] = {}
        for column in self._context.columns:
            if column.is_variable:
                for name, chunks in self._variable[column.name].chunks.items():
                    pieces[f"{column.name}/{name}"] = chunks
            else:
                pieces[column.name] = self._chunks[column.name]
        position = 0
        if self._streamed is not None:
            pieces.pop(self._streamed.column.name)
            position = self._streamed.start + self._rows * self._streamed.column.width
        for name in sorted(pieces, key=lambda name: places[name]):
            chunks = [chunk for chunk in pieces[name] if chunk.nbytes]
            if not chunks:
                continue
            self._copy_metadata(skeleton, position, places[name])
            for chunk in chunks:
                self._data.write(chunk)
            position = places[name] + sum(chunk.nbytes for chunk in chunks)
        self._copy_metadata(skeleton, position, skeleton.size)

    def _copy_metadata(self, skeleton: _SparseFile, start: int, stop: int) -> None:
        if stop > start:
            self._data.write(skeleton.read_at(start, stop - start))


class _Variable:
    """A variable column of one shard, gathered in memory.

    Attributes:
      chunks: parts of each of its datasets, by name, in order.
    """

    def __init__(self, column: Column) -> None:
        self._column, self._has_strings = column, column.encoding == STRINGS
        names = [_VALUES, _ROW_SPLITS, *([_STRING_SPLITS] if column.is_ragged and self._has_strings else [])]
        self.chunks: dict[str, list[Array]] = {name: [np.zeros(1, "<i8")] for name in names}
        self.chunks[_VALUES] = []
        self._totals = dict.fromkeys(names, 0)

    def append(self, values: Array | Ragged) -> None:
        """Adds the rows of a batch."""
        if isinstance(values, Ragged):
            self._append_splits(_ROW_SPLITS, np.diff(values.row_splits))
            items = values.values
        else:
            items = values
        if not self._has_strings:
            chunk = np.ascontiguousarray(items, to_numpy_dtype(self._column.dtype))
            self.chunks[_VALUES].append(chunk.reshape(-1).view(np.uint8).copy())
            return
        strings = items.ravel().tolist()
        lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        self._append_splits(_STRING_SPLITS if isinstance(values, Ragged) else _ROW_SPLITS, lengths)
        self.chunks[_VALUES].append(np.frombuffer(b"".join(strings), np.uint8))

    def _append_splits(self, name: str, lengths: Array) -> None:
        self.chunks[name].append(np.cumsum(lengths, dtype="<i8") + self._totals[name])
        self._totals[name] += int(lengths.sum())

    def datasets(self) -> dict[str, tuple[tuple[int, ...], DType]]:
        """Shape and dtype of each dataset, by name."""
        sizes = {name: sum(chunk.size for chunk in chunks) for name, chunks in self.chunks.items()}
        found: dict[str, tuple[tuple[int, ...], DType]] = {name: ((size,), np.dtype("<i8")) for name, size in sizes.items()}
        if self._has_strings:
            found[_VALUES] = ((sizes[_VALUES],), np.dtype("u1"))
        else:
            shape = (sizes[_VALUES] // self._column.width, *self._column.item_shape)
            found[_VALUES] = (shape, _stored_dtype(self._column.dtype))
        return found


class _Stream:
    """A column that goes to the file as it is drained; `start` is where it begins."""

    def __init__(self, data: Sink, column: Column, start: int, hands: Hands) -> None:
        self.column, self.start = column, start
        shape, dtype = column.item_shape, to_numpy_dtype(column.dtype)
        self._blocks = Blocks(data, lambda rows: np.empty((rows, *shape), dtype), column.width, hands)
        self.flush = self._blocks.flush

    def append(self, values: Array) -> None:
        self._blocks.append(len(values), lambda rows, part: copy_into(rows, values[part]))


class _SparseFile(io.RawIOBase):
    """A file in memory that keeps only the pages written: room set aside for columns costs nothing."""

    _PAGE = 4096

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[int, bytearray] = {}
        self._position = self.size = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        for done in range(0, len(view), self._PAGE):
            self._write_piece(self._position + done, view[done : done + self._PAGE])
        self._position += len(view)
        self.size = max(self.size, self._position)
        return len(view)

    def _write_piece(self, position: int, piece: memoryview) -> None:
        """Writes at most a page, which may lie across two."""
        while piece:
            number, start = divmod(position, self._PAGE)
            take = min(len(piece), self._PAGE - start)
            self._pages.setdefault(number, bytearray(self._PAGE))[start : start + take] = piece[:take]
            piece, position = piece[take:], position + take

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read_at(self._position, min(len(view), max(0, self.size - self._position)))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def read_at(self, start: int, count: int) -> bytes:
        """Bytes of a range; zeros where nothing was written."""
        first, last = start // self._PAGE, (start + count + self._PAGE - 1) // self._PAGE
        data = b"".join(bytes(self._pages.get(number, bytes(self._PAGE))) for number in range(first, last))
        return data[start - first * self._PAGE :][:count]


def _create_file(skeleton: _SparseFile) -> _Node:
    """An HDF5 1.8 file (any h5py reads it; attributes may be large) that tracks no times."""
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V18)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, skeleton)
    return h5py.File(h5py.h5f.create(repr(skeleton).encode(), h5py.h5f.ACC_TRUNC, creation, access))


def _make_groups(file: _Node, name: str) -> _Node:
    """The group a dataset lies in, made with its parents; `a/b` gives `a`, `a/` gives `a`."""
    group = file
    for part in name.split("/")[:-1]:
        if part not in group:
            creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            creation.set_obj_track_times(False)
            h5py.h5g.create(group.id, part.encode(), gcpl=creation)
        group = group[part]
    return group


def _create_dataset(group: _Node, name: str, shape: tuple[int, ...], dtype: DType) -> _Node:
    """A contiguous dataset whose room is set aside at once and left unfilled."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(shape), creation))


def _stored_dtype(name: str) -> DType:
    """The dtype h5py shows; HDF5 1.8 has no bfloat16, so its bits are uint16 (and an attribute says so)."""
    return np.dtype("<u2") if name == "bfloat16" else to_numpy_dtype(name)


def _to_attributes(facts: JsonMapping) -> dict[str, object]:
    """Facts as HDF5 attributes: text stays text, a list of text an array of it, the rest JSON."""
    out: dict[str, object] = {}
    for name, value in facts.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            out[name] = np.array(value, dtype=h5py.string_dtype())
        else:
            out[name] = value if isinstance(value, str | int) else json.dumps(value, sort_keys=True)
    return out
