"""Is what any TFRecord reader makes of the records of a shard what the byte table says? Every record is looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tfds_builder.aliases import Array
from tfds_builder.contract.columns import STRINGS, VARINT, Column, Geometry
from tfds_builder.contract.decode import decode_column
from tfds_builder.contract.shards import File, Shard
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats import tfrecord_example as example
from tfds_builder.formats.base import FileMemory, expect_rows
from tfds_builder.formats.tfrecord_records import FOOTER, HEADER


class RecordComparison:
    """Compares the records of one shard with its columns; see `formats.base.RowChecker`.

    Args:
      columns, geometry: of the manifest.
      shard: the shard.
      files: the files of its version.
    """

    def __init__(self, columns: Sequence[Column], geometry: Geometry, shard: Shard, files: FileMemory) -> None:
        self._columns, self._geometry, self._shard, self._files = columns, geometry, shard, files
        self._first: Array | None = None

    def check(self, start: int, stop: int) -> None:
        """Raises DamagedFileError at the first of those rows whose record is another Example than the columns say."""
        if self._shard.index is None:
            self._check_equal(start, stop)
        else:
            self._check_indexed(self._shard.index, start, stop)

    def _check_equal(self, start: int, stop: int) -> None:
        """Records of one length: the first is parsed, the others must have the same bytes around their values."""
        stride = self._geometry.strides[0]
        data = self._files.view(self._shard.data, start * stride, stop * stride)
        records: Array = data.reshape(-1, stride)
        if self._first is None:
            self._first = records[0].copy()
            for number, column in enumerate(self._columns):
                offset = self._geometry.offsets[number]
                self._first[offset : offset + column.width] = 0
            self._first[-FOOTER:] = 0
            self._compare(records[0].tobytes(), {}, 0)
        constant = np.ones(stride, bool)
        constant[-FOOTER:] = False
        for number, column in enumerate(self._columns):
            offset = self._geometry.offsets[number]
            constant[offset : offset + column.width] = False
            if column.encoding == VARINT:
                self._check_varints(column, records[:, offset : offset + column.width], start)
        expect_rows(records[:, constant] == self._first[constant], start, "is not made like the first one")

    def _check_varints(self, column: Column, stored: Array, start: int) -> None:
        """Raises DamagedFileError where an integer ends before its last byte, or is too large for its dtype."""
        if not column.values:
            return
        size = column.width // column.values
        ends = stored.reshape(len(stored), column.values, size) < 0x80
        expect_rows(
            ends == (np.arange(size) == size - 1), start, f"{column.name} has an integer that does not end at its last byte"
        )
        wide = dataclasses.replace(column, dtype="uint64" if column.dtype == "uint64" else "int64")
        stored = np.ascontiguousarray(stored)
        values = decode_column(column, stored)
        expect_rows(decode_column(wide, stored) == values, start, f"{column.name} has a value that {column.dtype} cannot hold")

    def _check_indexed(self, file: File, start: int, stop: int) -> None:
        """Records of different lengths: each is parsed, and must have its strings where the index says."""
        width = file.bytes // self._shard.rows
        index = self._files.view(file, start * width, stop * width).view("<i8").reshape(stop - start, -1)
        for number, (place, *strings) in enumerate(index.tolist(), start):
            if number == 0 and place != 0:
                raise DamagedFileError(f"record 0: begins at byte 0, the index says {place}")
            head = self._files.view(self._shard.data, place, min(place + HEADER, self._shard.data.bytes), populate=False)
            end = place + HEADER + int.from_bytes(head[:8].tobytes(), "little") + FOOTER
            following = int(index[number - start + 1, 0]) if number + 1 < stop else None
            if end > self._shard.data.bytes or (following is not None and following != end):
                raise DamagedFileError(f"record {number}: ends at byte {end}, the index says {following}")
            record = self._files.view(self._shard.data, place, end, populate=False).tobytes()
            self._compare(record, dict(self._string_runs(strings, place)), number)

    def _string_runs(self, strings: list[int], place: int) -> Iterator[tuple[str, tuple[tuple[int, int], ...]]]:
        """Start and end in the record of each run of bytes of a row of the index, by column."""
        position = 0
        for column in self._columns:
            if column.is_variable:
                pairs = strings[position : position + 2 * column.index_slots]
                position += 2 * column.index_slots
                runs = zip(pairs[0::2], pairs[1::2], strict=True)
                yield column.name, tuple((start - place, start - place + length) for start, length in runs)

    def _compare(self, record: bytes, strings: dict[str, tuple[tuple[int, int], ...]], number: int) -> None:
        """Raises DamagedFileError unless a framed record is an Example with the columns where the table has them."""
        try:
            found = example.parse(record[HEADER:-FOOTER])
        except DamagedFileError as error:
            raise DamagedFileError(f"record {number}: {error}") from error
        names = {column.name for column in self._columns}
        if set(found) != names:
            raise DamagedFileError(
                f"record {number}: has the features {sorted(found)!s:.200}, the manifest {sorted(names)!s:.200}"
            )
        for column, offset in zip(self._columns, self._geometry.offsets, strict=True):
            values = found[column.name]
            runs = tuple((start + HEADER, end + HEADER) for start, end in values.runs)
            expected = strings.get(column.name, ((offset, offset + column.width),))
            if column.is_ragged and column.encoding == STRINGS:  # the index has the list they are in
                runs = ((values.content[0] + HEADER, values.content[1] + HEADER),)
            kinds = (example.INT64_LIST,) if column.encoding == VARINT else (example.BYTES_LIST, example.FLOAT_LIST)
            if (values.kind not in kinds and expected) or (runs != expected and (column.width or column.is_variable)):
                raise DamagedFileError(
                    f"record {number}: {column.name} is at {runs!s:.100}, and the manifest says {expected!s:.100}"
                )
