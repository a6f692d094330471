"""HDF5 shards: one contiguous dataset a column, groups for nested names, readable in plain h5py.

h5py lays out an empty file (a sparse temporary one, so no data is written twice); its metadata and
our columns then go to the shard in one sequential pass. Nothing in it holds a time, so the same
input gives the same bytes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

from exporters.errors import MissingDependencyError
from exporters.formats.base import ShardContext, Sink
from exporters.layout import copy_into
from exporters.loader import Array
from tfds_builder.manifest import DTYPE_BYTES, RAW, STRINGS, VARINT, Column, Geometry
from tfds_builder.table import to_numpy_dtype

try:
    import h5py
except ImportError as error:
    raise MissingDependencyError('format="hdf5" needs h5py: pip install "torch2tfds[hdf5]"') from error

VALUES, ROW_SPLITS = "values", "row_splits"
"""Datasets of the group that a column of strings is: their bytes end to end, and int64 bounds."""


class HDF5Format:
    """Every column at its native width, one run of bytes; no index beside the file."""

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """Integers that TFRecord keeps as varints are plain little-endian values here."""
        return tuple(
            Column(**{**vars(c), "encoding": RAW, "width": c.values * DTYPE_BYTES[c.dtype]}) if c.encoding == VARINT else c
            for c in columns
        )

    def needs_index(self, columns: Sequence[Column]) -> bool:
        return False

    def open(self, data: Sink, index: Sink | None, context: ShardContext) -> HDF5Writer:
        return HDF5Writer(data, context)


class HDF5Writer:
    """Gathers the columns of one shard in memory and writes them at its end."""

    def __init__(self, data: Sink, context: ShardContext) -> None:
        self._data, self._context = data, context
        self._rows = 0
        self._chunks: dict[str, list[Array]] = {column.name: [] for column in context.columns}
        self._splits: dict[str, list[Array]] = {c.name: [np.zeros(1, "<i8")] for c in context.columns if c.encoding == STRINGS}

    def append(self, columns: Mapping[str, Array]) -> None:
        for column in self._context.columns:
            values = columns[column.name]
            if column.encoding == STRINGS:
                self._append_strings(column.name, values)
            else:
                chunk = np.empty(values.shape, to_numpy_dtype(column.dtype))
                copy_into(chunk, values)
                self._chunks[column.name].append(chunk.reshape(-1).view(np.uint8))
        self._rows += len(values)

    def _append_strings(self, name: str, values: Array) -> None:
        strings = values.ravel().tolist()
        lengths = np.fromiter(map(len, strings), "<i8", len(strings))
        self._splits[name].append(np.cumsum(lengths, dtype="<i8") + self._splits[name][-1][-1:])
        self._chunks[name].append(np.frombuffer(b"".join(strings), np.uint8))

    def finish(self) -> Geometry:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "skeleton.h5")
            places = self._lay_out(path)
            with open(path, "rb") as skeleton:
                self._write(skeleton, places)
        columns = self._context.columns
        return Geometry(
            offsets=tuple(places[f"{c.name}/{VALUES}" if c.encoding == STRINGS else c.name] for c in columns),
            strides=tuple(c.width for c in columns),
            row_splits=tuple(places[f"{c.name}/{ROW_SPLITS}"] if c.encoding == STRINGS else 0 for c in columns),
        )

    def _lay_out(self, path: str) -> dict[str, int]:
        """Creates the file's structure with room for the columns; returns where each dataset begins."""
        with _create_file(path) as file:
            file.attrs.update(_to_attributes(self._context.attributes))
            created = {}
            for column in self._context.columns:
                if column.encoding == STRINGS:
                    group = _make_groups(file, f"{column.name}/")
                    group.attrs.update(_to_attributes(self._context.column_attributes[column.name]))
                    total = int(self._splits[column.name][-1][-1])
                    created[f"{column.name}/{VALUES}"] = _create_dataset(group, VALUES, (total,), np.dtype("u1"))
                    splits = (self._rows * column.values + 1,)
                    created[f"{column.name}/{ROW_SPLITS}"] = _create_dataset(group, ROW_SPLITS, splits, np.dtype("<i8"))
                else:
                    group = _make_groups(file, column.name)
                    shape = (self._rows, *column.shape)
                    dataset = _create_dataset(group, column.name.split("/")[-1], shape, _stored_dtype(column.dtype))
                    dataset.attrs.update(_to_attributes(self._context.column_attributes[column.name]))
                    created[column.name] = dataset
            return {name: dataset.id.get_offset() or 0 for name, dataset in created.items()}

    def _write(self, skeleton: IO[bytes], places: Mapping[str, int]) -> None:
        """The whole file in order: h5py's metadata with our columns in the gaps it left."""
        pieces: dict[str, list[Array]] = {}
        for column in self._context.columns:
            if column.encoding == STRINGS:
                pieces[f"{column.name}/{VALUES}"] = self._chunks[column.name]
                pieces[f"{column.name}/{ROW_SPLITS}"] = self._splits[column.name]
            else:
                pieces[column.name] = self._chunks[column.name]
        position = 0
        for name in sorted(pieces, key=lambda name: places[name]):
            chunks = [chunk for chunk in pieces[name] if chunk.nbytes]
            if not chunks:
                continue
            self._copy_metadata(skeleton, position, places[name])
            for chunk in chunks:
                self._data.write(chunk)
            position = places[name] + sum(chunk.nbytes for chunk in chunks)
        self._copy_metadata(skeleton, position, os.fstat(skeleton.fileno()).st_size)

    def _copy_metadata(self, skeleton: IO[bytes], start: int, stop: int) -> None:
        if stop > start:
            self._data.write(os.pread(skeleton.fileno(), stop - start, start))


def _create_file(path: str) -> Any:
    """An HDF5 1.8 file (any h5py reads it; attributes may be large) that tracks no times."""
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V18)
    return h5py.File(h5py.h5f.create(path.encode(), h5py.h5f.ACC_TRUNC, creation, access))


def _make_groups(file: Any, name: str) -> Any:
    """The group a dataset lies in, made with its parents; `a/b` gives `a`, `a/` gives `a`."""
    group = file
    for part in name.split("/")[:-1]:
        if part not in group:
            creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            creation.set_obj_track_times(False)
            h5py.h5g.create(group.id, part.encode(), gcpl=creation)
        group = group[part]
    return group


def _create_dataset(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A contiguous dataset whose room is set aside at once and left unfilled."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(shape), creation))


def _stored_dtype(name: str) -> np.dtype[Any]:
    """The dtype h5py shows; HDF5 1.8 has no bfloat16, so its bits are uint16 (and an attribute says so)."""
    return np.dtype("<u2") if name == "bfloat16" else to_numpy_dtype(name)


def _to_attributes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as HDF5 attributes: text stays text, a list of text an array of it, the rest JSON."""
    out: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            out[name] = np.array(value, dtype=h5py.string_dtype())
        else:
            out[name] = value if isinstance(value, str | int) else json.dumps(value, sort_keys=True)
    return out
