"""The deep part of `verify`: every value decoded, and every record as other readers would see it."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builder.catalog.metadata_files import Problem
from tfds_builder.contract.manifest import STRINGS, VARINT, Column, Manifest, Shard
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import DamagedFileError, DatasetError
from tfds_builder.features.feature_json import features_of
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import nest
from tfds_builder.features.specs import flatten_features
from tfds_builder.formats import tfrecord_example as example
from tfds_builder.formats.tfrecord_records import FOOTER, HEADER
from tfds_builder.table.mapped_files import Files
from tfds_builder.table.table import Array, Segment, Table, decode_column

_BLOCK_BYTES = 4 * 1024 * 1024
_BLOCK_ROWS = 4096


def check(directory: pathlib.Path, manifest: Manifest) -> tuple[list[Problem], list[str]]:
    """Decodes every value of a version directory whose files are what the manifest says.

    Args:
      directory: the version directory.
      manifest: its manifest.

    Returns:
      What is wrong; and flat names of features that were not decoded because TensorFlow is not installed.
    """
    try:
        features = features_of(manifest)
    except DatasetError as error:
        return [Problem("manifest.json", str(error))], []
    encoded = [name for name, feature in flatten_features(features) if not kind_of(feature).is_direct]
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    problems = []
    for split in manifest.splits.values():
        for shard in split.shards:
            try:
                _ShardChecker(directory, manifest, shard, features).check()
                if encoded and has_tensorflow:
                    _decode(directory, manifest, shard, features, encoded)
            except DatasetError as error:
                problems.append(Problem(shard.data.file, str(error).replace(f"{directory / shard.data.file} ", "")))
    return problems, [] if has_tensorflow else encoded


def _decode(directory: pathlib.Path, manifest: Manifest, shard: Shard, features: Any, names: list[str]) -> None:
    """Has TFDS decode the features that are stored in encodings of its own.

    Raises:
      DamagedFileError: it cannot.
    """
    from tfds_builder.readers import tf_data as reading

    wanted = tfds.decode.PartialDecoding(nest(dict.fromkeys(names, True)))
    request = reading.Request(wanted.extract_features(features), None, None, False, None, tfds.ReadConfig())
    table = Table(directory, manifest, [Segment(shard, 0, shard.rows)])
    row = 0
    try:
        for _ in reading.make_dataset(table, manifest, request):
            row += 1
    except Exception as error:  # TensorFlow raises whatever its decoders raise
        if isinstance(error, DatasetError):
            raise
        raise DamagedFileError(f"record {row}: {', '.join(names)} cannot be decoded: {error!s:.200}") from error


class _ShardChecker:
    """Checks the rows of one shard, a block at a time.

    Args:
      directory, manifest: where it is.
      shard: the shard.
      features: the FeaturesDict of the manifest.
    """

    def __init__(self, directory: pathlib.Path, manifest: Manifest, shard: Shard, features: Any) -> None:
        self._manifest, self._shard = manifest, shard
        self._geometry = manifest.geometries[shard.geometry]
        self._table, self._files = Table(directory, manifest, [Segment(shard, 0, shard.rows)]), Files(directory)
        self._classes = {name: feature.num_classes for name, feature in kind_of(features).labels() if feature.num_classes}
        self._first: Array | None = None

    def check(self) -> None:
        """Raises DatasetError at the first row that is not sound."""
        row_bytes = sum(column.width for column in self._manifest.columns) or (16 if self._manifest.format == "tfrecord" else 0)
        if not row_bytes and not any(column.is_variable for column in self._manifest.columns):
            return  # rows of no bytes at all: there is nothing to decode, however many they are
        rows = self._shard.rows
        step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, row_bytes)))
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            columns = self._table.read(slice(start, stop))
            for column in self._manifest.columns:
                self._check_values(column, columns[column.name], start)
            if self._shard.index is not None:
                self._check_indexed(start, stop)
            elif self._manifest.format == "tfrecord":
                self._check_equal(start, stop)

    def _check_values(self, column: Column, found: Array | Ragged, start: int) -> None:
        """Raises DamagedFileError where a bool is neither 0 nor 1, or a label is of no class and not -1, "no label"."""
        values = found.values if isinstance(found, Ragged) else found
        if column.encoding == STRINGS or not values.size:
            return
        splits = found.row_splits if isinstance(found, Ragged) else None
        if column.dtype == "bool":
            self._expect(values.view(np.uint8) <= 1, start, f"{column.name} is neither true nor false", splits)
        classes = self._classes.get(column.name.removesuffix("/ragged_flat_values"))
        if classes is not None and values.dtype.kind in "iu":
            self._expect((values >= -1) & (values < classes), start, f"{column.name} is not one of its {classes} classes", splits)

    def _expect(self, good: Array, start: int, message: str, row_splits: Array | None = None) -> None:
        """Raises DamagedFileError for the first row (or item, whose row the bounds tell) that is not good."""
        bad = np.flatnonzero(~good.reshape(len(good), -1).all(axis=1))
        if len(bad):
            row = int(bad[0]) if row_splits is None else int(np.searchsorted(row_splits, bad[0], side="right")) - 1
            raise DamagedFileError(f"record {start + row}: {message}")

    def _check_equal(self, start: int, stop: int) -> None:
        """Records of one length: the first is parsed, the others must have the same bytes around their values."""
        stride = self._geometry.strides[0]
        data = self._files.view(self._shard.data, start * stride, stop * stride)
        records: Array = data.reshape(-1, stride)
        if self._first is None:
            self._first = records[0].copy()
            for number, column in enumerate(self._manifest.columns):
                offset = self._geometry.offsets[number]
                self._first[offset : offset + column.width] = 0
            self._first[-FOOTER:] = 0
            self._compare(records[0].tobytes(), {}, 0)
        constant = np.ones(stride, bool)
        constant[-FOOTER:] = False
        for number, column in enumerate(self._manifest.columns):
            offset = self._geometry.offsets[number]
            constant[offset : offset + column.width] = False
            if column.encoding == VARINT:
                self._check_varints(column, records[:, offset : offset + column.width], start)
        self._expect(records[:, constant] == self._first[constant], start, "is not made like the first one")

    def _check_varints(self, column: Column, stored: Array, start: int) -> None:
        """Raises DamagedFileError where an integer ends before its last byte, or is too large for its dtype."""
        if not column.values:
            return
        size = column.width // column.values
        ends = stored.reshape(len(stored), column.values, size) < 0x80
        self._expect(ends == (np.arange(size) == size - 1), start, f"{column.name} is not of its fixed width")
        wide = dataclasses.replace(column, dtype="uint64" if column.dtype == "uint64" else "int64")
        stored = np.ascontiguousarray(stored)
        values = decode_column(column, stored)
        self._expect(decode_column(wide, stored) == values, start, f"{column.name} is no {column.dtype}")

    def _check_indexed(self, start: int, stop: int) -> None:
        """Records of different lengths: each is parsed, and must have its strings where the index says."""
        assert self._shard.index is not None
        width = self._shard.index.bytes // self._shard.rows
        index = self._files.view(self._shard.index, start * width, stop * width).view("<i8").reshape(stop - start, -1)
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
        for column in self._manifest.columns:
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
        names = {column.name for column in self._manifest.columns}
        if set(found) != names:
            raise DamagedFileError(
                f"record {number}: has the features {sorted(found)!s:.200}, the manifest {sorted(names)!s:.200}"
            )
        for column, offset in zip(self._manifest.columns, self._geometry.offsets, strict=True):
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
