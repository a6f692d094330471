"""Does a manifest agree with itself? Names, and every row of the byte table inside its file and its own place.

What is accepted here can be read without leaving a file, and without reading the same byte for two
columns, so what a reader allocates is bounded by what lies on disk. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tfds_builder.contract.columns import Column, Geometry
from tfds_builder.contract.names import CONFIG, NAME, VERSION
from tfds_builder.contract.shards import Shard
from tfds_builder.contract.untrusted import show
from tfds_builder.errors import ManifestError

if TYPE_CHECKING:
    from tfds_builder.contract.manifest import Manifest

_SPLIT = re.compile(r"\w+(-\w+)*")
_UNSAFE_COLUMN = re.compile(r"[\x00-\x1f\x7f]")
_NAME_BYTES = 255
_MAX_ROWS = 2**40
"""Rows of a shard that take no bytes, which no file size bounds."""
_FRAME, _HEADER, _FOOTER = 16, 12, 4
"""Bytes of a TFRecord record around its data: length and CRC before, CRC after."""


def check(manifest: Manifest, where: str) -> None:
    """Raises ManifestError unless the manifest agrees with itself.

    Args:
      manifest: its parts are sound, each by itself.
      where: what to call it in an error.
    """
    _check_names(manifest, where)
    files = [file.file for file in manifest.files]
    if len(set(files)) != len(files):
        raise ManifestError(f"{where}: a file is listed twice")
    indexed = manifest.format == "tfrecord" and any(column.is_variable for column in manifest.columns)
    index_row = 8 * (1 + 2 * sum(column.index_slots for column in manifest.columns))
    ends: dict[tuple[int, int], tuple[int, str]] = {}
    for shard in (shard for split in manifest.splits.values() for shard in split.shards):
        if shard.geometry >= len(manifest.geometries):
            raise ManifestError(f"{where}: {shard.data.file} has no geometry {shard.geometry}")
        if indexed != (shard.index is not None):
            raise ManifestError(f"{where}: {shard.data.file} {'needs' if indexed else 'must not have'} an index")
        if shard.index is not None and shard.index.bytes != shard.rows * index_row:
            raise ManifestError(f"{where}: {shard.index.file} must be {shard.rows * index_row} bytes")
        key = (shard.geometry, shard.rows)
        if shard.rows and key not in ends:
            ends[key] = _measure(manifest, shard, f"{where}: {shard.data.file}")
        if shard.rows and ends[key][0] > shard.data.bytes:
            end, column = ends[key]
            raise ManifestError(f"{where}: {column} ends at byte {end} of {shard.data.file}, which has {shard.data.bytes}")


def _check_names(manifest: Manifest, where: str) -> None:
    names = [column.name for column in manifest.columns]
    if len(set(names)) != len(names):
        raise ManifestError(f"{where}: column names must be unique (got {show(names)})")
    groups = {"/".join(parts[:end]) for parts in (name.split("/") for name in names) for end in range(1, min(len(parts), 100))}
    for name in names:
        if _UNSAFE_COLUMN.search(name) or name in groups or name.count("/") > 64:
            raise ManifestError(f"{where}: a column cannot be called {show(name)}: no control characters, no column inside one")
    if not names and any(split.examples for split in manifest.splits.values()):
        raise ManifestError(f"{where} has rows and no column")
    if not NAME.fullmatch(manifest.name) or len(manifest.name) > _NAME_BYTES:
        raise ManifestError(f"{where} name must be lower_snake_case (got {show(manifest.name)})")
    if not VERSION.fullmatch(manifest.version) or len(manifest.version) > _NAME_BYTES:
        raise ManifestError(f"{where} version must be x.y.z (got {show(manifest.version)})")
    _check_config(manifest, where)
    for split in manifest.splits:
        if not _SPLIT.fullmatch(split) or split == "all" or len(split.encode()) > _NAME_BYTES:
            raise ManifestError(f"{where}: a split cannot be called {show(split)}")
    unknown = set(manifest.labels) - set(names) - groups
    if unknown:
        raise ManifestError(f"{where}: labels of {show(sorted(unknown))}, which is no column")
    keys, tops = manifest.supervised_keys, {name.partition("/")[0] for name in names}
    if keys is not None and (len(keys) not in (2, 3) or not set(keys) <= tops):
        raise ManifestError(f"{where} supervised_keys must be 2 or 3 features (got {show(list(keys))})")


def _check_config(manifest: Manifest, where: str) -> None:
    name = manifest.config_name
    if name and (not CONFIG.fullmatch(name) or len(name) > _NAME_BYTES):
        raise ManifestError(
            f"{where} config_name must begin with a letter or digit, hold no more than these and '_', '-', '.', and be neither "
            f"like a version nor like a module (got {show(name)})"
        )
    if manifest.config_description and not name:
        raise ManifestError(f"{where} has a config_description and no config_name")
    for version in manifest.release_notes:
        if not VERSION.fullmatch(version) or len(version) > _NAME_BYTES:
            raise ManifestError(f"{where} release_notes are by version, x.y.z (got {show(version)})")


def _measure(manifest: Manifest, shard: Shard, where: str) -> tuple[int, str]:
    """The least bytes a shard of that many rows and that geometry has, and which column says so.

    Raises:
      ManifestError: rows or columns lie over each other.
    """
    geometry = manifest.geometries[shard.geometry]
    if manifest.format == "hdf5":
        runs = list(_hdf5_runs(manifest.columns, geometry, shard.rows, where))
        if shard.rows > _MAX_ROWS:
            raise ManifestError(f"{where} has {shard.rows} rows; more than {_MAX_ROWS} are refused")
        return _end_of(runs, where)
    runs = [
        (offset, offset + column.width, _name(column))
        for column, offset in zip(manifest.columns, geometry.offsets, strict=True)
        if column.width and not column.is_variable
    ]
    end, name = _end_of(runs, where)
    if runs and min(runs)[0] < _HEADER:
        raise ManifestError(f"{where}: {min(runs)[2]} begins inside the header of its record")
    if shard.index is not None:
        return max((end + _FOOTER, name), (shard.rows * _FRAME, "the index"))
    strides = set(geometry.strides)
    if len(strides) > 1 or min(strides) < max(_FRAME, end + _FOOTER if runs else 0):
        raise ManifestError(
            f"{where}: rows overlap: records of {show(sorted(strides))} bytes cannot hold columns up to byte {end} "
            f"(column {name}) and {_FOOTER} of CRC"
        )
    return shard.rows * min(strides), "the last record"


def _hdf5_runs(columns: Sequence[Column], geometry: Geometry, rows: int, where: str) -> Iterator[tuple[int, int, str]]:
    """Where each column of an HDF5 shard begins and ends, and its name."""
    places = zip(geometry.offsets, geometry.strides, geometry.row_splits, geometry.string_splits, strict=True)
    for column, (offset, stride, splits, strings) in zip(columns, places, strict=True):
        if column.is_variable:
            yield offset, offset, _name(column)
            yield splits, splits + 8 * (rows * (1 if column.is_ragged else column.values) + 1), _name(column)
            yield strings, strings, _name(column)
        elif column.width:
            if rows > 1 and stride != column.width:
                raise ManifestError(f"{where}: rows of {_name(column)} overlap or leave gaps ({stride} bytes apart)")
            yield offset, offset + rows * column.width, _name(column)


def _end_of(runs: Sequence[tuple[int, int, str]], where: str) -> tuple[int, str]:
    """Where the last of the runs ends, and its name. Raises ManifestError if two lie over each other."""
    last, name = 0, "nothing"
    for start, end, column in sorted(runs):
        if start < last and start < end:
            raise ManifestError(f"{where}: {column} and {name} overlap")
        if end > last or name == "nothing":
            last, name = end, column
    return last, name


def _name(column: Column) -> str:
    return f"column {show(column.name)}"
