"""TFRecord shards: a record a row, at a constant stride; where records differ in length, an index beside the file says where
each of them begins, and each run of bytes in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from tfds_builder.aliases import Array
from tfds_builder.contract.columns import Column, Geometry
from tfds_builder.contract.shards import File, Shard
from tfds_builder.contract.untrusted import show
from tfds_builder.errors import DamagedFileError, ManifestError
from tfds_builder.formats import tfrecord_example as example
from tfds_builder.formats.base import Damage, FileMemory, Rows, SingleRows, StoredFormat, StoredRows, Stride, runs_of
from tfds_builder.formats.extent import Extent, last_end, name_of
from tfds_builder.formats.tfrecord_comparison import RecordComparison
from tfds_builder.formats.tfrecord_records import FOOTER, FRAME, HEADER, Checker, damage, first_damaged


class TFRecord(StoredFormat):
    """Records of `tf.train.Example`, which stock TFDS reads too."""

    name = tfds_name = "tfrecord"
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    index_template = "{DATASET}-{SPLIT}.index-{SHARD_X_OF_Y}"
    media_type = "https://www.tensorflow.org/tutorials/load_data/tfrecord"
    has_records = True

    def needs_index(self, columns: Sequence[Column]) -> bool:
        return any(column.is_variable for column in columns)

    def index_bytes(self, columns: Sequence[Column], rows: int) -> int:
        return 8 * rows * (1 + 2 * sum(column.index_slots for column in columns))

    def measure(self, columns: Sequence[Column], geometry: Geometry, rows: int, where: str) -> tuple[int, str]:
        extents = [
            Extent(offset, offset + column.width, name_of(column))
            for column, offset in zip(columns, geometry.offsets, strict=True)
            if column.width and not column.is_variable
        ]
        end, name = last_end(extents, where)
        if extents and min(extents).start < HEADER:
            raise ManifestError(f"{where}: {min(extents).name} begins inside the header of its record")
        if self.needs_index(columns):
            return max((end + FOOTER, name), (rows * FRAME, "the index"))
        strides = set(geometry.strides)
        if len(strides) > 1 or min(strides) < max(FRAME, end + FOOTER if extents else 0):
            raise ManifestError(
                f"{where}: rows overlap: records of {show(sorted(strides))} bytes cannot hold columns up to byte {end} "
                f"(column {name}) and {FOOTER} of CRC"
            )
        return rows * min(strides), "the last record"

    def checker(self, columns: Sequence[Column], geometry: Geometry) -> Checker:
        return Checker(_stride_of(geometry, self.needs_index(columns)))

    def check_structure(
        self, open_file: Callable[[], BinaryIO], columns: Sequence[Column], geometry: Geometry, rows: int
    ) -> None:
        """There is nothing around the records, and these have all been looked at (`checker`)."""

    def row_checker(self, columns: Sequence[Column], geometry: Geometry, shard: Shard, files: FileMemory) -> RecordComparison:
        return RecordComparison(columns, geometry, shard, files)

    def rows(self, files: FileMemory, columns: Sequence[Column], geometries: Sequence[Geometry]) -> StoredRows:
        return _TFRecordRows(files, columns, geometries)


FORMAT = TFRecord()


def _stride_of(geometry: Geometry, is_indexed: bool) -> int:
    """Bytes from one record to the next; 0 if they differ."""
    return 0 if is_indexed or not geometry.strides else geometry.strides[0]


class _TFRecordRows(StoredRows):
    """Rows at a constant stride, or found by the index of their shard."""

    def __init__(self, files: FileMemory, columns: Sequence[Column], geometries: Sequence[Geometry]) -> None:
        super().__init__(files, columns, geometries)
        ends = np.cumsum([1, *(2 * column.index_slots for column in columns)]).tolist()
        self._slots: list[int] = ends[:-1]  # where in a row of the index the (start, length) pairs of each column begin

    def stride(self, shard: Shard, number: int) -> Stride | None:
        return super().stride(shard, number) if shard.index is None else None

    def starts(self, shard: Shard, number: int, rows: Rows) -> Array:
        if shard.index is None:
            return super().starts(shard, number, rows)
        starts: Array = self._read_index(shard, rows)[:, 0] + self._geometries[shard.geometry].offsets[number]
        self._expect_inside(shard, starts, self._columns[number].width)
        return starts

    def item_runs(self, shard: Shard, number: int, rows: Rows) -> tuple[Array, Array]:
        slot = self._slots[number]
        index = self._read_index(shard, rows)
        starts, lengths = index[:, slot], index[:, slot + 1]
        self._expect_inside(shard, starts, lengths)
        self._expect_apart(shard, starts, lengths, rows)
        return starts, lengths

    def strings(self, shard: Shard, number: int, rows: Rows) -> tuple[Array, Array]:
        slot = self._slots[number]
        index = self._read_index(shard, rows)[:, slot : slot + 2 * self._columns[number].values]
        starts, lengths = index[:, 0::2], index[:, 1::2]
        self._expect_inside(shard, starts, lengths)
        self._expect_apart(shard, starts, lengths, rows)
        return starts, lengths

    def string_lists(self, shard: Shard, number: int, rows: Rows) -> Iterator[list[bytes]]:
        column = self._columns[number]
        for content in self._files.slices(shard.data, *self.item_runs(shard, number, rows), populate=isinstance(rows, slice)):
            strings = [content[first:last] for first, last in example.parse_list(content)]
            if len(strings) % column.values:
                raise DamagedFileError(f"{self._files.path_of(shard.data)} has an incomplete item in {column.name}")
            yield strings

    def _read_index(self, shard: Shard, rows: Rows) -> Array:
        """Rows of the index of a shard that has one: int64, shape (n, 1 + 2 * strings a row)."""
        assert shard.index is not None
        data = self._files.view(shard.index, 0, shard.index.bytes, populate=False)
        index: Array = _as_index(shard, shard.index, data)[rows]
        return index

    def single(self, shard: Shard, data: Array) -> SingleRows | None:
        if shard.index is None:
            return super().single(shard, data)
        stored = self._files.map(shard.index)
        if stored is None:
            return None
        return _SingleRows(self, shard, _as_index(shard, shard.index, stored), self._columns, self._slots, self._geometries)

    def sealed_files(self, shard: Shard) -> Sequence[File]:
        return shard.files[1:]

    def damage(self, shard: Shard, rows: Rows) -> Damage | None:
        strides = self._geometries[shard.geometry].strides
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        if not strides or not len(numbers):
            return None
        stride = _stride_of(self._geometries[shard.geometry], shard.index is not None)
        starts = numbers * stride if shard.index is None else self._read_index(shard, numbers)[:, 0]
        data = self._files.map(shard.data, _long_runs(numbers, stride))
        if data is None:
            found = (self.damage_of_row(shard, row) for row in numbers.tolist())
            return next((one for one in found if one is not None), None)
        first = first_damaged(data, starts, stride)
        return None if first is None else Damage(int(numbers[first[0]]), int(starts[first[0]]), first[1])

    def damage_of_row(self, shard: Shard, row: int) -> Damage | None:
        stride = _stride_of(self._geometries[shard.geometry], shard.index is not None)
        start = row * stride if shard.index is None else int(self._read_index(shard, slice(row, row + 1))[0, 0])
        data = self._files.map(shard.data)
        what = damage(data, start, stride) if data is not None else damage(self._read_framed(shard, start), 0, stride)
        return None if what is None else Damage(row, start, what)

    def _read_framed(self, shard: Shard, start: int) -> Array:
        """The bytes from where a record begins to where it says that it ends, as far as they are in the file."""
        size = shard.data.bytes
        head = self._files.view(shard.data, min(max(0, start), size), min(max(0, start) + HEADER, size))
        length = int.from_bytes(head[:8].tobytes(), "little")
        return self._files.view(shard.data, start, min(start + FRAME + length, size)) if len(head) == HEADER else head

    def record(self, shard: Shard, row: int) -> bytes:
        if shard.index is None:
            stride = _stride_of(self._geometries[shard.geometry], False)
            start, stop = row * stride, (row + 1) * stride
        else:
            step = shard.index.bytes // shard.rows
            start = _to_integer(self._files.view(shard.index, row * step, row * step + 8))
            stop = start + FRAME
            if start >= 0 and stop <= shard.data.bytes:
                stop += _to_integer(self._files.view(shard.data, start, start + 8))
            if not 0 <= start <= stop <= shard.data.bytes:
                raise DamagedFileError(f"record {row} of {shard.data.file} is not where its index has it")
        return bytes(self._files.view(shard.data, start + HEADER, stop - FOOTER))


class _SingleRows(SingleRows):
    """Single rows of a shard that has an index: its row is the key."""

    def __init__(
        self,
        rows: StoredRows,
        shard: Shard,
        index: Array,
        columns: Sequence[Column],
        slots: Sequence[int],
        geometries: Sequence[Geometry],
    ) -> None:
        super().__init__(rows, shard)
        self._columns, self._slots, self._offsets = columns, slots, geometries[shard.geometry].offsets
        self.key = lambda row: index[row].tolist()

    def start(self, number: int) -> Callable[[list[int]], int]:
        offset = self._offsets[number]
        return lambda key: key[0] + offset

    def strings(self, number: int) -> Callable[[list[int]], tuple[Sequence[int], Sequence[int]]]:
        slot = self._slots[number]
        stop = slot + 2 * self._columns[number].values
        return lambda key: (key[slot:stop:2], key[slot + 1 : stop : 2])


def _as_index(shard: Shard, file: File, data: Array) -> Array:
    """The bytes of an index as what they are: int64, shape (rows, 1 + 2 * strings a row)."""
    index: Array = np.ndarray((shard.rows, file.bytes // 8 // shard.rows), np.dtype("<i8"), data)
    return index


def _long_runs(rows: Array, stride: int) -> tuple[Array, Array] | None:
    """Where runs of records begin and end in the file, if they are runs."""
    runs = runs_of(rows)
    if not stride or 2 * (len(runs) - 1) > len(rows):
        return None
    return rows[runs[:-1]] * stride, (rows[runs[1:] - 1] + 1) * stride


def _to_integer(stored: Array) -> int:
    return int.from_bytes(stored.tobytes(), "little", signed=True)
