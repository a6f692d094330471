"""The deep part of `verify`: every value decoded, and every record as other readers would see it."""

from __future__ import annotations

import importlib.util

import numpy as np
import tensorflow_datasets as tfds

from tfds_builder import formats
from tfds_builder.aliases import Array, Features
from tfds_builder.catalog.metadata_files import Problem
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import STRINGS, Column, Manifest, Shard
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import DamagedFileError, DatasetError
from tfds_builder.features.feature_json import features_of
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import nest
from tfds_builder.features.specs import flatten_features
from tfds_builder.formats.base import expect_rows
from tfds_builder.table.mapped_files import Files
from tfds_builder.table.table import Segment, Table

_BLOCK_BYTES = 4 * 1024 * 1024
_BLOCK_ROWS = 4096


def check(directory: Directory, manifest: Manifest) -> tuple[list[Problem], list[str]]:
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
                problems.append(Problem(shard.data.file, str(error).replace(f"{directory.path_of(shard.data.file)} ", "")))
    return problems, [] if has_tensorflow else encoded


def _decode(directory: Directory, manifest: Manifest, shard: Shard, features: Features, names: list[str]) -> None:
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

    def __init__(self, directory: Directory, manifest: Manifest, shard: Shard, features: Features) -> None:
        self._manifest, self._shard = manifest, shard
        self._table = Table(directory, manifest, [Segment(shard, 0, shard.rows)])
        geometry = manifest.geometries[shard.geometry]
        self._records = formats.find(manifest.format).row_checker(manifest.columns, geometry, shard, Files(directory))
        self._classes = {name: feature.num_classes for name, feature in kind_of(features).labels() if feature.num_classes}

    def check(self) -> None:
        """Raises DatasetError at the first row that is not sound."""
        row_bytes = sum(column.width for column in self._manifest.columns)
        if not row_bytes and self._records is None and not any(column.is_variable for column in self._manifest.columns):
            return  # rows of no bytes at all: there is nothing to decode, however many they are
        rows = self._shard.rows
        step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, row_bytes)))
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            columns = self._table.read(slice(start, stop))
            for column in self._manifest.columns:
                self._check_values(column, columns[column.name], start)
            if self._records is not None:
                self._records.check(start, stop)

    def _check_values(self, column: Column, found: Array | Ragged, start: int) -> None:
        """Raises DamagedFileError where a bool is neither 0 nor 1, or a label is of no class and not -1, "no label"."""
        values = found.values if isinstance(found, Ragged) else found
        if column.encoding == STRINGS or not values.size:
            return
        splits = found.row_splits if isinstance(found, Ragged) else None
        if column.dtype == "bool":
            expect_rows(values.view(np.uint8) <= 1, start, f"{column.name} is neither true nor false", splits)
        classes = self._classes.get(column.name.removesuffix("/ragged_flat_values"))
        if classes is not None and values.dtype.kind in "iu":
            expect_rows((values >= -1) & (values < classes), start, f"{column.name} is not one of its {classes} classes", splits)
