"""Columns whose rows differ in length: strings, and rows of any number of items. Where they lie, their format says
(`formats.base.StoredRows`), which has checked that they lie inside of the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from tfds_builder.aliases import Array
from tfds_builder.contract.manifest import Column, Shard
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats.base import Rows, StoredRows
from tfds_builder.table.mapped_files import LARGE_BYTES, Files

Piece: TypeAlias = "tuple[range | Array, Segment, Rows]"
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
      files: those of its version directory.
      stored: where in them the rows lie.
    """

    def __init__(self, files: Files, stored: StoredRows) -> None:
        self._files, self._stored = files, stored

    def read_items(self, number: int, column: Column, pieces: Sequence[Piece], count: int) -> tuple[Array, Array]:
        """Reads rows of any number of items: the bytes of the items, uint8 of shape (items, width), and where each row begins and
        ends among them."""
        sizes, found = np.zeros(count, np.int64), []
        for places, segment, rows in pieces:
            starts, lengths = self._stored.item_runs(segment.shard, number, rows)
            if np.any(lengths % column.width):
                raise DamagedFileError(f"{self._files.path_of(segment.shard.data)} has an incomplete item in {column.name}")
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

    def read_string_lists(self, number: int, column: Column, pieces: Sequence[Piece], count: int) -> Ragged:
        """Rows of any number of strings."""
        rows_of: list[list[bytes]] = [[] for _ in range(count)]
        for places, segment, rows in pieces:
            for place, strings in zip(places, self._stored.string_lists(segment.shard, number, rows), strict=True):
                rows_of[place] = strings
        strings = [string for row in rows_of for string in row]
        values = np.empty(len(strings), object)
        values[:] = strings
        items = np.array([0, *map(len, rows_of)], np.int64) // column.values
        return Ragged(values.reshape(-1, *column.item_shape), np.cumsum(items))

    def read_strings(self, shard: Shard, number: int, rows: Rows) -> Array:
        """Byte strings of the asked rows, object array of shape (n, values)."""
        starts, lengths = self._stored.strings(shard, number, rows)
        out = np.empty(starts.size, object)
        out[:] = self._files.slices(shard.data, starts.ravel(), lengths.ravel(), populate=isinstance(rows, slice))
        return out.reshape(starts.shape)


def to_target(places: range | Array) -> slice | Array:
    """Places in the result as NumPy indexes them fastest."""
    return slice(places.start, places.stop) if isinstance(places, range) else places
