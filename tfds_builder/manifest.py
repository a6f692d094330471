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
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builder.errors import ManifestError, MissingFileError
from tfds_builder.validators import (
    expect,
    expect_field,
    expect_file_name,
    expect_natural,
    expect_naturals,
    expect_sha256,
    expect_unicode,
)

FORMAT_VERSION = 1
"""Version of the bytes described by docs/format.md; a reader refuses a higher one."""

FILENAME = "manifest.json"
MAX_BYTES = 256 * 1024 * 1024
"""A manifest larger than this is refused unread (100,000 shards take about 25 MB)."""

FORMATS = ("tfrecord", "hdf5")

_HEAD = b'{"manifest_sha256": "'
"""How a manifest begins; the digest follows, then `",` and the bytes it is the digest of."""

RAW, VARINT, STRINGS = "raw", "varint", "strings"
"""Encodings of a column. RAW: little-endian values in C order. VARINT: each value a protobuf
varint padded to `width / values` bytes. STRINGS: byte strings of any length, found by an index."""

DTYPE_BYTES: Mapping[str, int] = {
    "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4, "int32": 4,
    "uint64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
    "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Every fixed-size dtype that can be stored, with its size in bytes."""

STRING_DTYPE = "string"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One stored column: the flat name of a feature, and how a row of it is encoded.

    Attributes:
      name: flat feature name, nested ones joined by `/` (`"target/boxes"`).
      dtype: a key of `DTYPE_BYTES`, or `"string"`.
      shape: shape of one row, channels-last, without the batch axis.
      encoding: `RAW`, `VARINT` or `STRINGS`.
      width: bytes one row takes; 0 for `STRINGS`, whose rows differ.
      source_dtype: dtype the DataLoader gave, for the way back.
      source_layout: layout the DataLoader gave (`"NCHW"`), or `""` where it was not permuted.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    encoding: str
    width: int
    source_dtype: str = ""
    source_layout: str = ""

    def __post_init__(self) -> None:
        where = f"column {self.name!r}"
        if not self.name or any(not part for part in self.name.split("/")):
            raise ManifestError(f"a column's name must not have empty parts (got {self.name!r})")
        if self.encoding == STRINGS:
            expected, allowed = 0, self.dtype == STRING_DTYPE
        elif self.encoding == RAW:
            expected = self.values * DTYPE_BYTES.get(self.dtype, 0)
            allowed = self.dtype in DTYPE_BYTES
        elif self.encoding == VARINT:
            expected = self.width if self.values else 0
            allowed = self.dtype in DTYPE_BYTES and (
                self.values == 0 or (self.width % self.values == 0 and 1 <= self.width // self.values <= 10)
            )
        else:
            raise ManifestError(f"{where}: encoding must be one of raw, varint, strings (got {self.encoding!r})")
        if not allowed or self.width != expected:
            raise ManifestError(
                f"{where}: {self.encoding} of dtype {self.dtype!r} and shape {self.shape} cannot be {self.width} bytes wide"
            )

    @property
    def values(self) -> int:
        """Number of values in one row: the product of its shape."""
        return math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_json(cls, content: Any, where: str = "column") -> Column:
        content = expect(content, dict, where)
        text = {
            key: expect(expect_field(content, key, where), str, f"{where} {key}")
            for key in ("name", "dtype", "encoding", "source_dtype", "source_layout")
        }
        return cls(
            shape=expect_naturals(expect_field(content, "shape", where), f"{where} shape"),
            width=expect_natural(expect_field(content, "width", where), f"{where} width"),
            **text,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the columns of a shard lie: the byte table. Shards that agree share one.

    For column `i`, row `r` starts at `offsets[i] + r * strides[i]` from the start of the file.
    For a STRINGS column of an HDF5 shard, `offsets[i]` is where its `values` start and `row_splits[i]` where its
    int64 `row_splits` do. A TFRecord shard with a STRINGS column has records of different
    lengths: `strides` are 0, `offsets` count from the record's start, and an index file says
    where each record and each string is.
    """

    offsets: tuple[int, ...]
    strides: tuple[int, ...]
    row_splits: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {key: list(value) for key, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, content: Any, columns: int, where: str) -> Geometry:
        content = expect(content, dict, where)
        parts = {
            field.name: expect_naturals(expect_field(content, field.name, where), f"{where} {field.name}")
            for field in dataclasses.fields(cls)
        }
        if any(len(part) != columns for part in parts.values()):
            raise ManifestError(f"{where} must have one entry for each of the {columns} columns")
        return cls(**parts)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A published file: its plain name, size in bytes and SHA-256."""

    file: str
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Any, where: str) -> File:
        content = expect(content, dict, where)
        return cls(
            file=expect_file_name(expect_field(content, "file", where), f"{where} file"),
            bytes=expect_natural(expect_field(content, "bytes", where), f"{where} bytes"),
            sha256=expect_sha256(expect_field(content, "sha256", where), f"{where} sha256"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One shard: its file, its rows, the geometry it follows, and its index file if it has one."""

    data: File
    rows: int
    geometry: int
    index: File | None = None

    @property
    def files(self) -> tuple[File, ...]:
        return (self.data,) if self.index is None else (self.data, self.index)

    def to_json(self) -> dict[str, Any]:
        content = {**self.data.to_json(), "rows": self.rows, "geometry": self.geometry}
        return content if self.index is None else {**content, "index": self.index.to_json()}

    @classmethod
    def from_json(cls, content: Any, where: str) -> Shard:
        data = File.from_json(content, where)
        index = content.get("index")
        return cls(
            data=data,
            rows=expect_natural(expect_field(content, "rows", where), f"{where} rows"),
            geometry=expect_natural(expect_field(content, "geometry", where), f"{where} geometry"),
            index=None if index is None else File.from_json(index, f"{where} index"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """One split: its shards, in the order of the DataLoader."""

    shards: tuple[Shard, ...]

    @property
    def examples(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for shard in self.shards for file in shard.files)


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

    @property
    def files(self) -> tuple[File, ...]:
        """Every published file but the manifest itself."""
        shards = [file for split in self.splits.values() for shard in split.shards for file in shard.files]
        return (*self.metadata, *shards)

    def to_json(self) -> bytes:
        """The manifest as canonical UTF-8 JSON that begins with the SHA-256 of the rest of it."""
        content = {
            "format_version": FORMAT_VERSION,
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "columns": [column.to_json() for column in self.columns],
            "geometries": [geometry.to_json() for geometry in self.geometries],
            "metadata": [file.to_json() for file in self.metadata],
            "splits": [
                {"name": name, "shards": [shard.to_json() for shard in split.shards]} for name, split in self.splits.items()
            ],
        }
        body = (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()[1:]
        return _HEAD + hashlib.sha256(body).hexdigest().encode() + b'",' + body

    @classmethod
    def from_json(cls, text: bytes, where: str = FILENAME) -> Manifest:
        """Reads and checks a manifest.

        Args:
          text: the file's content, UTF-8 JSON.
          where: what to call it in an error.

        Raises:
          ManifestError: it is not JSON, comes from a newer format version, is not what was written
            (its SHA-256 differs), or contradicts itself.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{where} is not valid JSON: {error}") from error
        content = expect(content, dict, where)
        expect_unicode(text, content, where)
        version = expect_natural(expect_field(content, "format_version", where), f"{where} format_version")
        if version > FORMAT_VERSION:
            raise ManifestError(
                f"{where} has format_version {version}, and this torch2tfds reads up to {FORMAT_VERSION}: "
                "upgrade it (pip install --upgrade torch2tfds)"
            )
        if version < 1:
            raise ManifestError(f"{where} has format_version {version}, and the first is 1")
        digest = hashlib.sha256(text[len(_HEAD) + 66 :]).hexdigest()
        if not text.startswith(_HEAD) or content.get("manifest_sha256") != digest:
            raise ManifestError(
                f"{where} is damaged: its SHA-256 is {digest}, and it says {content.get('manifest_sha256')!r:.80}"
            )
        manifest = cls(**_read_fields(content, where))
        manifest._check(where)
        return manifest

    def _check(self, where: str) -> None:
        """Raises ManifestError unless every row the byte table promises lies inside its file."""
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ManifestError(f"{where}: column names must be unique (got {names})")
        files = [file.file for file in self.files]
        if len(set(files)) != len(files):
            raise ManifestError(f"{where}: a file is listed twice")
        indexed = self.format == "tfrecord" and any(column.encoding == STRINGS for column in self.columns)
        index_row = 8 * (1 + 2 * sum(column.values for column in self.columns if column.encoding == STRINGS))
        for split in self.splits.values():
            for shard in split.shards:
                if shard.geometry >= len(self.geometries):
                    raise ManifestError(f"{where}: {shard.data.file} has no geometry {shard.geometry}")
                if indexed != (shard.index is not None):
                    raise ManifestError(f"{where}: {shard.data.file} {'needs' if indexed else 'must not have'} an index")
                if shard.index is not None and shard.index.bytes != shard.rows * index_row:
                    raise ManifestError(f"{where}: {shard.index.file} must be {shard.rows * index_row} bytes")
                self._check_geometry(shard, where)

    def _check_geometry(self, shard: Shard, where: str) -> None:
        geometry = self.geometries[shard.geometry]
        if not shard.rows:
            return
        for column, offset, stride, splits in zip(
            self.columns, geometry.offsets, geometry.strides, geometry.row_splits, strict=True
        ):
            if column.encoding == STRINGS:
                end = splits + 8 * (shard.rows * column.values + 1) if self.format == "hdf5" else 0
            elif shard.index is not None:
                end = offset + column.width
            else:
                end = offset + (shard.rows - 1) * stride + column.width
                if shard.rows > 1 and stride < column.width:
                    raise ManifestError(f"{where}: rows of column {column.name!r} in {shard.data.file} overlap")
            if end > shard.data.bytes:
                raise ManifestError(
                    f"{where}: column {column.name!r} ends at byte {end} of {shard.data.file}, which has {shard.data.bytes}"
                )


def _read_fields(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The constructor's arguments out of a manifest's JSON, each checked for its type."""

    def text_map(key: str) -> dict[str, str]:
        value = expect(expect_field(content, key, where), dict, f"{where} {key}")
        return {name: expect(item, str, f"{where} {key} {name!r}") for name, item in value.items()}

    def texts(value: Any, place: str) -> tuple[str, ...]:
        return tuple(expect(item, str, place) for item in expect(value, list, place))

    def items(key: str) -> list[Any]:
        value: list[Any] = expect(expect_field(content, key, where), list, f"{where} {key}")
        return value

    columns = tuple(Column.from_json(item, f"{where} column {i}") for i, item in enumerate(items("columns")))
    splits: dict[str, Split] = {}
    for item in items("splits"):
        split = expect(item, dict, f"{where} split")
        name = expect(expect_field(split, "name", where), str, f"{where} split name")
        if name in splits:
            raise ManifestError(f"{where}: split {name!r} is listed twice")
        shards = expect(expect_field(split, "shards", where), list, f"{where} split {name!r} shards")
        splits[name] = Split(shards=tuple(Shard.from_json(s, f"{where} split {name!r} shard {i}") for i, s in enumerate(shards)))
    labels = expect(expect_field(content, "labels", where), dict, f"{where} labels")
    keys = expect_field(content, "supervised_keys", where)
    name, version, kind = (
        expect(expect_field(content, key, where), str, f"{where} {key}") for key in ("name", "version", "format")
    )
    if kind not in FORMATS:
        raise ManifestError(f"{where} format must be one of {', '.join(FORMATS)} (got {kind!r:.80})")
    return {
        "name": name,
        "version": version,
        "format": kind,
        "producer": expect(content.get("producer", ""), str, f"{where} producer"),
        "features": expect(expect_field(content, "features", where), dict, f"{where} features"),
        "labels": {key: texts(value, f"{where} labels of {key!r}") for key, value in labels.items()},
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
      version_dir: `<data_dir>/<name>/<version>`.

    Raises:
      MissingFileError: there is no manifest there.
      ManifestError: it is damaged, too large, or of a newer format version.
    """
    path = pathlib.Path(version_dir) / FILENAME
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ManifestError(f"{path} has {size} bytes; a manifest of more than {MAX_BYTES} is refused")
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(
            f"{path} does not exist: {version_dir} is not a version directory published by torch2tfds"
        ) from error
    return Manifest.from_json(text, os.fspath(path))
