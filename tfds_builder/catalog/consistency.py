"""Does a manifest agree with itself? Its names are checked, and that every row of the byte table lies inside its file, in a place
of its own.

What is accepted here can be read without leaving a file, and without reading the same byte for two
columns, so what a reader allocates is bounded by what lies on disk. How far a shard must reach, its format says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tfds_builder import formats
from tfds_builder.contract.columns import RAW
from tfds_builder.contract.untrusted import CONFIG, NAME, VERSION, show
from tfds_builder.errors import ManifestError

if TYPE_CHECKING:
    from tfds_builder.contract.manifest import Manifest

_SPLIT = re.compile(r"\w+(-\w+)*")
_UNSAFE_COLUMN = re.compile(r"[\x00-\x1f\x7f]")
_NAME_BYTES = 255


def check(manifest: Manifest, where: str) -> None:
    """Raises ManifestError unless the manifest agrees with itself.

    Args:
      manifest: its parts are sound, each by itself.
      where: what to call it in an error.
    """
    _check_names(manifest, where)
    _check_integers(manifest, where)
    files = [file.file for file in manifest.files]
    if len(set(files)) != len(files):
        raise ManifestError(f"{where}: a file is listed twice")
    stored = formats.find(manifest.format)
    ends: dict[tuple[int, int], tuple[int, str]] = {}
    for shard in (shard for split in manifest.splits.values() for shard in split.shards):
        if shard.geometry >= len(manifest.geometries):
            raise ManifestError(f"{where}: {shard.data.file} has no geometry {shard.geometry}")
        stored.check_index(manifest.columns, shard, where)
        key = (shard.geometry, shard.rows)
        if shard.rows and key not in ends:
            geometry = manifest.geometries[shard.geometry]
            ends[key] = stored.measure(manifest.columns, geometry, shard.rows, f"{where}: {shard.data.file}")
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


def _check_integers(manifest: Manifest, where: str) -> None:
    """Raises ManifestError unless each table is of a feature that is there, and fits what is stored of it."""
    names, listed = [table.name for table in manifest.integers], {file.file for file in manifest.metadata}
    if len(set(names)) != len(names):
        raise ManifestError(f"{where}: integers of one feature are listed twice")
    for table in manifest.integers:
        columns = [column for column in manifest.columns if f"{column.name}/".startswith(f"{table.name}/")]
        if not columns:
            raise ManifestError(f"{where}: integers of {show(table.name)}, which is no feature")
        numbers = [column for column in columns if column.encoding == RAW]
        own = [column for column in numbers if column.dtype == table.stored_dtype]
        if numbers and not own:
            raise ManifestError(f"{where}: {table.name!r} is {numbers[-1].dtype}, and its table is of {table.stored_dtype}")
        sizes = [column.shape[-1:] for column in own if column.name == table.name]
        if table.channels > 1 and any(size not in ((), (None,), (table.channels,)) for size in sizes):
            raise ManifestError(f"{where}: {table.name!r} has a table of {table.channels} channels, and another number of them")
        if table.file_name and table.file_name not in listed:
            raise ManifestError(f"{where}: {table.file_name} is not listed")


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
