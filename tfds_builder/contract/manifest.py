"""The contract between the two sides: what one published version directory holds, byte for byte.

`exporters` writes a `Manifest`, `tfds_builder` reads it. Nothing here needs more than the standard
library. Nothing read from a directory is trusted: `catalog.read` either gives a manifest that is consistent with itself or
raises `ManifestError`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence

from tfds_builder.aliases import JsonMapping
from tfds_builder.contract.columns import DTYPE_BYTES, RAW, STRING_DTYPE, STRINGS, VARINT, Column, Geometry
from tfds_builder.contract.directory import MANIFEST
from tfds_builder.contract.integers import Integers
from tfds_builder.contract.shards import File, Shard, Split

__all__ = [
    "DTYPE_BYTES",
    "FILENAME",
    "FORMAT_VERSION",
    "HEAD",
    "RAW",
    "STRINGS",
    "STRING_DTYPE",
    "VARINT",
    "Column",
    "File",
    "Geometry",
    "Integers",
    "Manifest",
    "Shard",
    "Split",
    "ToldHazard",
]

FORMAT_VERSION = 2
"""Version of the bytes described by docs/format.md, which says when it rises. A reader reads every version up to its own."""

FILENAME = MANIFEST

_LEFT_OUT_IF_EMPTY = ("config_name", "config_description", "hazards", "integers", "release_notes")
HEAD = b'{"manifest_sha256": "'
"""How a manifest begins; the digest follows, then `",` and the bytes it is the digest of."""


@dataclasses.dataclass(frozen=True)
class ToldHazard:
    """What was told of a loader that was exported: it does something to the data that its owner may not know.

    Attributes:
      name: which hazard: docs/hazards.md has them all.
      split: where.
      meaning: what a loader that has it does.
    """

    name: str
    split: str
    meaning: str


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
      integers: of the features whose floats are stored as integers.
      hazards: what was told of the loaders, by split and then in the order of docs/hazards.md; what was ignored is not there.
      digest: the SHA-256 that the file it was read from has of itself; `""` if it was read from none.
    """

    name: str
    version: str
    format: str
    features: JsonMapping
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
    integers: tuple[Integers, ...] = ()
    hazards: tuple[ToldHazard, ...] = ()
    digest: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def head(self) -> bytes:
        """How the file it was read from begins; nothing if it was read from none."""
        return HEAD + self.digest.encode() if self.digest else b""

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
            "hazards": [dataclasses.asdict(hazard) for hazard in self.hazards],
            "integers": [table.to_json() for table in self.integers],
            "metadata": [file.to_json() for file in self.metadata],
            "splits": [
                {"name": name, "shards": [shard.to_json() for shard in split.shards]} for name, split in self.splits.items()
            ],
        }
        for key in _LEFT_OUT_IF_EMPTY:
            if not content[key]:
                del content[key]
        body = (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()[1:]
        return HEAD + hashlib.sha256(body).hexdigest().encode() + b'",' + body
