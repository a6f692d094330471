"""The contract between the two sides: what one published version directory holds, byte for byte.

`exporters` writes a `Manifest`, `tfds_builder` reads it. Nothing here needs more than the standard
library, and nothing read from a directory is trusted: `Manifest.from_json` either returns a
manifest that is consistent with itself or raises `ManifestError`.

>>> manifest = read("/data/digits/1.0.0")            # doctest: +SKIP
>>> manifest.splits["train"].examples                # doctest: +SKIP
1437
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builder.contract import consistency
from tfds_builder.contract.columns import DTYPE_BYTES, RAW, STRING_DTYPE, STRINGS, VARINT, Column, File, Geometry, Shard, Split
from tfds_builder.contract.files import MANIFEST, read_limited
from tfds_builder.contract.untrusted import expect, expect_field, expect_natural, expect_shallow, expect_unicode, parse_json, show
from tfds_builder.errors import DatasetError, ManifestError, MissingFileError, OverwrittenError, UnsupportedVersionError
from tfds_builder.install import how_to_upgrade

__all__ = [
    "DTYPE_BYTES",
    "FILENAME",
    "FORMATS",
    "FORMAT_VERSION",
    "MAX_BYTES",
    "RAW",
    "STRINGS",
    "STRING_DTYPE",
    "VARINT",
    "Column",
    "File",
    "Geometry",
    "Manifest",
    "Shard",
    "Split",
    "read",
    "read_place",
]

FORMAT_VERSION = 2
"""Version of the bytes described by docs/format.md, which says when it rises. A reader reads every version up to its own."""

FILENAME = MANIFEST
MAX_BYTES = 64 * 1024 * 1024
"""A manifest larger than this is refused unread (100,000 shards take about 25 MB, 50 MB with indexes)."""
_MAX_VALUES = 3_000_000
"""And one that has more values (100,000 shards with indexes have 1.2 million)."""
_MAX_DEPTH = 100
"""TFDS reads nested features by recursion; no dataset nests them as deep as this."""

FORMATS = ("tfrecord", "hdf5")

_LEFT_OUT_IF_EMPTY = ("config_name", "config_description", "release_notes")
_HEAD = b'{"manifest_sha256": "'
"""How a manifest begins; the digest follows, then `",` and the bytes it is the digest of."""
_PLACE = re.compile(rb'^ "(config_name|name|version)": (".*"),?$', re.MULTILINE)
"""The lines of a canonical manifest that say where it belongs: no other line begins with a single space and these names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a reader needs to know about one published version of a dataset.

    Attributes:
      name, version, format: as in the path `<data_dir>/<name>/<version>`.
      features: the FeaturesDict as TFDS's own JSON (`features.json`'s content).
      labels: class names of each ClassLabel that has any, by flat feature name.
      supervised_keys: as TFDS has them, or None.
      card: description, homepage, citation, license.
      decisions: what the export decided about each feature, in words.
      columns: the stored columns, in the order of every `Geometry`.
      geometries: the distinct byte tables.
      splits: by name, in the order they were exported.
      metadata: the other published files (`dataset_info.json`, ...).
      producer: name and version of what wrote it.
      config_name: of the config, `<data_dir>/<name>/<config_name>/<version>`; `""` if there is none.
      config_description: what the config is.
      release_notes: what changed, by version.
      digest: the SHA-256 that the file it was read from has of itself; `""` if it was read from none.
    """

    name: str
    version: str
    format: str
    features: Mapping[str, Any]
    labels: Mapping[str, Sequence[str]]
    supervised_keys: Sequence[str] | None
    card: Mapping[str, str]
    decisions: Sequence[str]
    columns: tuple[Column, ...]
    geometries: tuple[Geometry, ...]
    splits: Mapping[str, Split]
    metadata: tuple[File, ...] = ()
    producer: str = ""
    config_name: str = ""
    config_description: str = ""
    release_notes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    digest: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def head(self) -> bytes:
        """How the file it was read from begins; nothing if it was read from none."""
        return _HEAD + self.digest.encode() if self.digest else b""

    @property
    def place(self) -> tuple[str, ...]:
        """Names of the directories it is in, from the data_dir on: name, config if there is one, version."""
        return tuple(filter(None, (self.name, self.config_name, self.version)))

    @property
    def tfds_name(self) -> str:
        """What `tfds.load` calls it: `name:version` or `name/config:version`."""
        return f"{'/'.join(self.place[:-1])}:{self.version}"

    @property
    def files(self) -> tuple[File, ...]:
        """Every published file but the manifest itself."""
        shards = [file for split in self.splits.values() for shard in split.shards for file in shard.files]
        return (*self.metadata, *shards)

    def to_json(self) -> bytes:
        """The manifest as canonical UTF-8 JSON that begins with the SHA-256 of the rest of it."""
        content = {
            "format_version": FORMAT_VERSION,
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "digest"},
            "columns": [column.to_json() for column in self.columns],
            "geometries": [geometry.to_json() for geometry in self.geometries],
            "metadata": [file.to_json() for file in self.metadata],
            "splits": [
                {"name": name, "shards": [shard.to_json() for shard in split.shards]} for name, split in self.splits.items()
            ],
        }
        for key in _LEFT_OUT_IF_EMPTY:
            if not content[key]:
                del content[key]
        body = (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()[1:]
        return _HEAD + hashlib.sha256(body).hexdigest().encode() + b'",' + body

    @classmethod
    def from_json(cls, text: bytes, where: str = FILENAME) -> Manifest:
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
        digest = hashlib.sha256(text[len(_HEAD) + 66 :]).hexdigest()
        has_head = text.startswith(_HEAD)
        is_whole = has_head and content.get("manifest_sha256") == digest
        if version > FORMAT_VERSION and (is_whole or not has_head):  # else it may be a lower one with a bit flipped
            raise UnsupportedVersionError(
                f"{where} is not supported: it has format_version {version}, and this torch2tfds reads up to {FORMAT_VERSION}; "
                f"upgrade it: {how_to_upgrade()}"
            )
        if version < 1:
            raise ManifestError(f"{where} has format_version {version}, and the first is 1")
        if not is_whole:
            raise ManifestError(
                f"{where} is damaged: its SHA-256 is {digest}, and it says {show(content.get('manifest_sha256'))}"
            )
        manifest = cls(**_read_fields(content, where), digest=digest)
        consistency.check(manifest, where)
        return manifest


def _read_fields(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The constructor's arguments out of a manifest's JSON, each checked for its type."""

    def text_map(key: str, *default: Any) -> dict[str, str]:
        value = expect(content.get(key, *default) if default else expect_field(content, key, where), dict, f"{where} {key}")
        return {name: expect(item, str, f"{where} {key} {show(name)}") for name, item in value.items()}

    def texts(value: Any, place: str) -> tuple[str, ...]:
        return tuple(expect(item, str, place) for item in expect(value, list, place))

    def items(key: str) -> list[Any]:
        value: list[Any] = expect(expect_field(content, key, where), list, f"{where} {key}")
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
    labels = expect(expect_field(content, "labels", where), dict, f"{where} labels")
    keys = expect_field(content, "supervised_keys", where)
    name, version, kind = (
        expect(expect_field(content, key, where), str, f"{where} {key}") for key in ("name", "version", "format")
    )
    if kind not in FORMATS:
        raise ManifestError(f"{where} format must be one of {', '.join(FORMATS)} (got {show(kind)})")
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
        "splits": splits,
        "metadata": tuple(File.from_json(item, f"{where} metadata {i}") for i, item in enumerate(items("metadata"))),
    }


def read(version_dir: str | os.PathLike[str]) -> Manifest:
    """Reads the manifest of a published version directory.

    Args:
      version_dir: `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.

    Raises:
      MissingFileError: there is no manifest there; the message says which folder may be meant.
      UnreadableFileError: this user may not read it.
      DamagedFileError: it is no regular file (a link, for example), or the system cannot open it.
      UnsupportedVersionError: it is of a newer format version.
      ManifestError: it is damaged or too large.
    """
    path = pathlib.Path(version_dir) / FILENAME
    try:
        text = read_limited(path, MAX_BYTES)
    except MissingFileError as error:
        from tfds_builder.catalog import location

        raise MissingFileError(
            location.explain(version_dir, "version")
            or f"{path} does not exist: {version_dir} is not a version directory published by torch2tfds"
        ) from error
    return Manifest.from_json(text, os.fspath(path))


def read_place(version_dir: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """`Manifest.place` alone, as the manifest of a directory says it; None if none can be read. It is not checked as `read` does.

    >>> read_place("/data/noise/small/1.0.0")            # doctest: +SKIP
    ('noise', 'small', '1.0.0')
    """
    path = pathlib.Path(version_dir) / FILENAME
    try:
        text = read_limited(path, MAX_BYTES)
        found = {key.decode(): json.loads(value) for key, value in _PLACE.findall(text)}
        if not {"name", "version"} <= set(found):
            return Manifest.from_json(text, os.fspath(path)).place
    except (DatasetError, ValueError):
        return None
    name, config, version = found["name"], found.get("config_name", ""), found["version"]
    sound = consistency.NAME.fullmatch(name) and consistency.VERSION.fullmatch(version)
    if not sound or (config and not consistency.CONFIG.fullmatch(config)):
        return None
    return tuple(filter(None, (name, config, version)))


def refuse_another(manifest: Manifest, head: bytes, version_dir: str | os.PathLike[str]) -> None:
    """Raises OverwrittenError unless a manifest that was read again is the one that was read before."""
    if manifest.head != head:
        raise OverwrittenError(f"{os.fspath(version_dir)} was overwritten after it was opened; load the dataset again")
