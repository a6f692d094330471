"""The files of a version, the shards that are made of them, and the splits that are made of those. Standard library only.

Each can be read from JSON nobody vouches for (`from_json` checks the type and the range of every value).
"""

from __future__ import annotations

import dataclasses

from tfds_builder.aliases import Json, JsonObject
from tfds_builder.contract.untrusted import expect, expect_field, expect_file_name, expect_natural, expect_sha256


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A published file: its plain name, size in bytes and SHA-256."""

    file: str
    bytes: int
    sha256: str

    def to_json(self) -> JsonObject:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Json, where: str) -> File:
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

    def to_json(self) -> JsonObject:
        content = {**self.data.to_json(), "rows": self.rows, "geometry": self.geometry}
        return content if self.index is None else {**content, "index": self.index.to_json()}

    @classmethod
    def from_json(cls, content: Json, where: str) -> Shard:
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
