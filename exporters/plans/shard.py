"""Write one shard: the unit of work that every engine shares."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

from exporters.formats import Format, ShardContext
from exporters.staging.staged_file import StagedFile
from exporters.tensors.arrays import Columns
from tfds_builder import formats
from tfds_builder.aliases import JsonMapping, JsonObject
from tfds_builder.contract.manifest import STRINGS, Column, File, Geometry
from tfds_builder.contract.ragged import Ragged


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """A staged shard.

    Attributes:
      data, index: its files, still under their staged names.
      rows: its examples. If there are none, because none of its batches had rows, it has no files and is not published.
      start, stop: number of its first batch in the split, and of the one behind its last.
      geometry: where its columns lie.
    """

    data: File
    index: File | None
    rows: int
    start: int
    stop: int
    geometry: Geometry

    def files(self, format: str, name: str, split: str, number: int, count: int) -> list[tuple[File, str]]:
        """Its files, data before index, each with its published name as shard `number` of `count`; none if it has no rows."""
        if not self.rows:
            return []
        stored = formats.find(format)
        names = [(self.data, stored.file_name(name, split, number, count))]
        return names if self.index is None else [*names, (self.index, stored.index_name(name, split, number, count))]

    @classmethod
    def empty(cls, start: int, stop: int) -> ShardResult:
        """A shard whose batches had no rows."""
        return cls(File(file="", bytes=0, sha256=""), None, 0, start, stop, Geometry(offsets=(), strides=(), row_splits=()))

    def to_json(self) -> JsonObject:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: JsonMapping) -> ShardResult:
        index, geometry = content["index"], content["geometry"]
        return cls(
            data=File(**content["data"]),
            index=None if index is None else File(**index),
            rows=content["rows"],
            start=content["start"],
            stop=content["stop"],
            geometry=Geometry(**{name: tuple(value) for name, value in geometry.items()}),
        )


def write_shard(
    format: Format, context: ShardContext, directory: pathlib.Path, stem: str, batches: Iterator[tuple[int, Columns]]
) -> ShardResult:
    """Drains `batches` (their number in the split, and stored columns by flat name) into one shard.

    Args:
      format: how to encode it.
      context: the columns and what is said about them.
      directory: the stage.
      stem: staged file name, without suffix.
      batches: one at least; used up; an exception they raise passes through, and the shard's files stay behind
        unfinished for the stage to remove.

    Returns:
      The shard, every byte of it fsynced.
    """
    files: list[StagedFile] = []
    try:
        for suffix in ("data", "index") if format.stored.needs_index(context.columns) else ("data",):
            files.append(StagedFile(directory / f"{stem}.{suffix}"))  # noqa: PERF401 (if one fails, the other is closed)
        writer, rows = format.open(files[0], files[1] if len(files) > 1 else None, context), 0
        numbers = list[int]()
        for number, columns in batches:
            writer.append(columns)
            rows += stored_rows(columns)
            numbers[1:] = [number]  # the first, and the last so far
            del columns
        geometry = writer.finish()
        written = [file.close() for file in files]
    except BaseException:
        for file in files:
            file.abort()
        raise
    return ShardResult(written[0], written[1] if len(written) > 1 else None, rows, numbers[0], numbers[-1] + 1, geometry)


def stored_rows(columns: Columns) -> int:
    """Number of rows of a batch's stored columns."""
    return len(next(iter(columns.values())))


def stored_bytes(columns: Columns, specs: Sequence[Column]) -> int:
    """Bytes a batch's columns take on disk, record framing aside."""
    total = 0
    for spec in specs:
        column = columns[spec.name]
        values = column.values if isinstance(column, Ragged) else column
        total += sum(map(len, values.ravel().tolist())) if spec.encoding == STRINGS else len(values) * spec.width
    return total
