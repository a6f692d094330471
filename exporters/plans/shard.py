"""Write one shard: the unit of work that every engine shares."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

from exporters.formats import Format, ShardContext
from exporters.formats.hands import Hands
from exporters.staging.staged_file import StagedFile
from exporters.tensors.arrays import Columns
from tfds_builder import formats
from tfds_builder.aliases import JsonMapping, JsonObject
from tfds_builder.contract.manifest import STRINGS, Column, File, Geometry
from tfds_builder.contract.ragged import Ragged

_FEW, _AHEAD = 4, 64
"""Buffers that wait for each file at most: blocks of a megabyte, mostly."""


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


Written = tuple[ShardResult, ...]
"""What a task has written: one shard, or those of a lane."""


@dataclasses.dataclass(frozen=True)
class DrainedShard:
    """A shard that was drained, on its way to the disk: its files' own threads hash and write what is left, and fsync it.

    Attributes:
      files: its files, data before index; all their bytes were given.
      rows, start, stop, geometry: as `ShardResult` has them.
    """

    files: Sequence[StagedFile]
    rows: int
    start: int
    stop: int
    geometry: Geometry

    @property
    def is_ready(self) -> bool:
        """Whether `close` would not wait."""
        return all(file.is_ready for file in self.files)

    def close(self) -> ShardResult:
        """Waits until every byte is fsynced.

        Raises:
          OSError: a file could not be written. None of the shard's files stays open.
        """
        try:
            written = [file.close() for file in self.files]
        except BaseException:
            self.wait()
            raise
        index = written[1] if len(written) > 1 else None
        return ShardResult(written[0], index, self.rows, self.start, self.stop, self.geometry)

    def wait(self) -> None:
        """Waits until no thread of it runs, and no file of it is open, whatever became of them."""
        for file in self.files:
            file.abort()


def write_shard(
    format: Format,
    context: ShardContext,
    directory: pathlib.Path,
    stem: str,
    batches: Iterator[tuple[int, Columns]],
    threads: int = 1,
) -> DrainedShard:
    """Drains `batches` (their number in the split, and stored columns by flat name) into one shard.

    Args:
      format: how to encode it.
      context: the columns and what is said about them.
      directory: the stage.
      stem: staged file name, without suffix.
      batches: one at least; used up; an exception they raise passes through, and the shard's files stay behind
        unfinished for the stage to remove.
      threads: how many make its bytes, that which calls included. Where there are several, CPUs are plenty, and more waits to be
        hashed: at the end of the shard that is done beside the next one's.

    Returns:
      The shard, which may not be on disk yet.
    """
    files: list[StagedFile] = []
    try:
        for suffix in ("data", "index") if format.stored.needs_index(context.columns) else ("data",):
            files.append(StagedFile(directory / f"{stem}.{suffix}", _AHEAD if threads > 1 else _FEW))  # noqa: PERF401 (if one fails, the other is closed)
        with Hands(threads) as hands:
            writer, rows = format.open(files[0], files[1] if len(files) > 1 else None, context, hands), 0
            numbers = list[int]()
            for number, columns in batches:
                writer.append(columns)
                rows += stored_rows(columns)
                numbers[1:] = [number]  # the first, and the last so far
                del columns
            geometry = writer.finish()
        for file in files:
            file.end()
    except BaseException:
        for file in files:
            file.abort()
        raise
    return DrainedShard(files, rows, numbers[0], numbers[-1] + 1, geometry)


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
