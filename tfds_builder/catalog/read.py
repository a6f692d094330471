"""Reading a manifest, which nobody vouches for: it is consistent with itself, or it is refused.

>>> read_manifest("/data/digits/1.0.0").splits["train"].examples                # doctest: +SKIP
1437
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from tfds_builder import formats
from tfds_builder.aliases import Json, JsonMapping, JsonObject
from tfds_builder.catalog import consistency
from tfds_builder.contract.columns import Column, Geometry
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.contract.integers import Integers
from tfds_builder.contract.manifest import FILENAME, FORMAT_VERSION, HEAD, Manifest, ToldHazard
from tfds_builder.contract.shards import File, Shard, Split
from tfds_builder.contract.untrusted import (
    CONFIG,
    NAME,
    VERSION,
    expect,
    expect_field,
    expect_natural,
    expect_shallow,
    expect_unicode,
    parse_json,
    show,
)
from tfds_builder.errors import DatasetError, ManifestError, MissingFileError, OverwrittenError, UnsupportedVersionError
from tfds_builder.install import how_to_upgrade

MAX_BYTES = 64 * 1024 * 1024
"""A manifest larger than this is refused unread (100,000 shards take about 25 MB, 50 MB with indexes)."""
_MAX_VALUES = 3_000_000
"""And one that has more values (100,000 shards with indexes have 1.2 million)."""
_MAX_DEPTH = 100
"""TFDS reads nested features by recursion; no dataset nests them as deep as this."""
_PLACE = re.compile(rb'^ "(config_name|name|version)": (".*"),?$', re.MULTILINE)
"""The lines of a canonical manifest that say where it belongs: no other line begins with a single space and these names."""


def parse_manifest(text: bytes, where: str = FILENAME) -> Manifest:
    """Reads and checks a manifest.

    Args:
      text: the file's content, UTF-8 JSON.
      where: what to call it in an error.

    Raises:
      UnsupportedVersionError: it is of a newer format version.
      ManifestError: it is not JSON, is not what was written (its SHA-256 differs), or contradicts itself.
    """
    content = expect(parse_json(text, _MAX_VALUES, where), dict, where)
    expect_unicode(text, content, where)
    version = expect_natural(expect_field(content, "format_version", where), f"{where} format_version")
    digest = hashlib.sha256(text[len(HEAD) + 66 :]).hexdigest()
    has_head = text.startswith(HEAD)
    is_whole = has_head and content.get("manifest_sha256") == digest
    if version > FORMAT_VERSION and (is_whole or not has_head):  # else it may be a lower one with a bit flipped
        raise UnsupportedVersionError(
            f"{where} is not supported: it has format_version {version}, and this torch2tfds reads up to {FORMAT_VERSION}; "
            f"upgrade it: {how_to_upgrade()}"
        )
    if version < 1:
        raise ManifestError(f"{where} has format_version {version}, and the first is 1")
    if not is_whole:
        raise ManifestError(f"{where} is damaged: its SHA-256 is {digest}, and it says {show(content.get('manifest_sha256'))}")
    manifest = Manifest(**_read_fields(content, where), digest=digest)
    consistency.check(manifest, where)
    return manifest


def _read_fields(content: JsonMapping, where: str) -> JsonObject:
    """The constructor's arguments out of a manifest's JSON, each checked for its type."""

    def text_map(key: str, *default: Any) -> dict[str, str]:
        value = expect(content.get(key, *default) if default else expect_field(content, key, where), dict, f"{where} {key}")
        return {name: expect(item, str, f"{where} {key} {show(name)}") for name, item in value.items()}

    def texts(value: object, place: str) -> tuple[str, ...]:
        return tuple(expect(item, str, place) for item in expect(value, list, place))

    def items(key: str) -> list[Json]:
        value: list[Json] = expect(expect_field(content, key, where), list, f"{where} {key}")
        return value

    expect_shallow(content.get("features"), _MAX_DEPTH, f"{where} features")
    columns = tuple(Column.from_json(item, f"{where} column {i}") for i, item in enumerate(items("columns")))
    splits: dict[str, Split] = {}
    for item in items("splits"):
        split = expect(item, dict, f"{where} split")
        name = expect(expect_field(split, "name", where), str, f"{where} split name")
        if name in splits:
            raise ManifestError(f"{where}: split {show(name)} is listed twice")
        shards = expect(expect_field(split, "shards", where), list, f"{where} split {show(name)} shards")
        place = f"{where} split {show(name)} shard"
        splits[name] = Split(shards=tuple(Shard.from_json(s, f"{place} {i}") for i, s in enumerate(shards)))
    hazards: list[Json] = expect(content.get("hazards", []), list, f"{where} hazards")
    labels = expect(expect_field(content, "labels", where), dict, f"{where} labels")
    keys = expect_field(content, "supervised_keys", where)
    name, version, kind = (
        expect(expect_field(content, key, where), str, f"{where} {key}") for key in ("name", "version", "format")
    )
    if kind not in formats.NAMES:
        raise ManifestError(f"{where} format must be one of {', '.join(formats.NAMES)} (got {show(kind)})")
    return {
        "name": name,
        "version": version,
        "format": kind,
        **{key: expect(content.get(key, ""), str, f"{where} {key}") for key in ("producer", "config_name", "config_description")},
        "release_notes": text_map("release_notes", {}),
        "features": expect(expect_field(content, "features", where), dict, f"{where} features"),
        "labels": {key: texts(value, f"{where} labels of {show(key)}") for key, value in labels.items()},
        "supervised_keys": None if keys is None else texts(keys, f"{where} supervised_keys"),
        "card": text_map("card"),
        "decisions": texts(items("decisions"), f"{where} decisions"),
        "columns": columns,
        "geometries": tuple(
            Geometry.from_json(item, len(columns), f"{where} geometry {i}") for i, item in enumerate(items("geometries"))
        ),
        "integers": tuple(
            Integers.from_json(item, f"{where} integers {i}")
            for i, item in enumerate(expect(content.get("integers", []), list, f"{where} integers"))
        ),
        "hazards": tuple(_read_hazard(item, f"{where} hazard {i}") for i, item in enumerate(hazards)),
        "splits": splits,
        "metadata": tuple(File.from_json(item, f"{where} metadata {i}") for i, item in enumerate(items("metadata"))),
    }


def _read_hazard(value: Json, where: str) -> ToldHazard:
    item = expect(value, dict, where)
    return ToldHazard(*(expect(expect_field(item, key, where), str, f"{where} {key}") for key in ("name", "split", "meaning")))


def read_manifest(version_dir: AnyDirectory) -> Manifest:
    """Reads the manifest of a published version directory.

    Args:
      version_dir: `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.

    Raises:
      MissingFileError: there is no manifest there (`catalog.location.read_manifest` says which folder may be meant).
      UnreadableFileError: this user may not read it.
      DamagedFileError: it is no regular file (a link, for example), or the system cannot open it.
      OverwrittenError: it is another one than the directory must have (`Directory.of_version`).
      UnsupportedVersionError: it is of a newer format version.
      ManifestError: it is damaged or too large.
    """
    directory = Directory.at(version_dir)
    path = directory.path_of(FILENAME)
    try:
        text = directory.read(FILENAME, MAX_BYTES)
    except MissingFileError as error:
        raise MissingFileError(
            f"{path} does not exist: {version_dir} is not a version directory published by torch2tfds"
        ) from error
    return parse_manifest(text, path)


def read_tables(manifest: Manifest, version_dir: AnyDirectory) -> dict[str, Integers]:
    """Which floats integers were, by flat name of each feature that was floats; large tables are read from their files.

    Raises:
      DatasetError: such a file is not there, or not what was published.
    """
    directory = Directory.at(version_dir)
    return {table.name: table.loaded(directory, manifest.metadata) for table in manifest.integers}


def read_place(version_dir: Directory) -> tuple[str, ...] | None:
    """`Manifest.place` alone, as the manifest of a directory says it; None if none can be read. It is not checked as `read` does.

    >>> read_place(Directory.at("/data/noise/small/1.0.0"))            # doctest: +SKIP
    ('noise', 'small', '1.0.0')
    """
    try:
        text = version_dir.read(FILENAME, MAX_BYTES)
        found = {key.decode(): json.loads(value) for key, value in _PLACE.findall(text)}
        if not {"name", "version"} <= set(found):
            return parse_manifest(text, version_dir.path_of(FILENAME)).place
    except (DatasetError, ValueError):
        return None
    name, config, version = found["name"], found.get("config_name", ""), found["version"]
    sound = NAME.fullmatch(name) and VERSION.fullmatch(version)
    if not sound or (config and not CONFIG.fullmatch(config)):
        return None
    return tuple(filter(None, (name, config, version)))


def refuse_another(manifest: Manifest, head: bytes, version_dir: AnyDirectory) -> None:
    """Raises OverwrittenError unless a manifest that was read again is the one that was read before."""
    if manifest.head != head:
        raise OverwrittenError(f"{Directory.at(version_dir)} was overwritten after it was opened; load the dataset again")
