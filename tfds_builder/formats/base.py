"""The interface of a format: everything about files of shards that one format knows and another does otherwise.

A format is a `StoredFormat`: its names, what its files can be checked for, and the `StoredRows` that say where in the
files of a table the values of a row lie. To add one, write both in a module of its own and put its name in `formats.NAMES`;
docs/architecture.md ("Where a change goes") has the rest.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np

from tfds_builder.aliases import Array
from tfds_builder.contract.columns import Column, Geometry
from tfds_builder.contract.shards import File, Shard
from tfds_builder.errors import DamagedFileError, ManifestError

Rows: TypeAlias = "slice | Array"
"""Rows of a shard: a slice of step 1, or their numbers, int64 of shape (n,)."""

RowKey: TypeAlias = Any
"""What `SingleRows.key` makes of a row's number: whatever that format finds the row by."""


class FileMemory(Protocol):
    """The files of a version directory as memory; `table.mapped_files.Files` is one."""

    def path_of(self, file: File) -> str:
        """The path of a file, for messages."""

    def view(self, file: File, start: int, stop: int, *, populate: bool = True) -> Array:
        """Bytes `start` to `stop` of a file, uint8, to be copied from; `populate` says that all of them are about to be used."""

    def map(self, file: File, runs: tuple[Array, Array] | None = None) -> Array | None:
        """The whole file, of which those runs are about to be used; None if it cannot be mapped."""

    def slices(self, file: File, starts: Array, lengths: Array, *, populate: bool) -> list[bytes]:
        """Runs of bytes of a file, each as an object of its own."""


class FileChecker(Protocol):
    """Looks at the bytes of a shard's data file as they go by.

    Attributes:
      problems: what is wrong, in words.
    """

    problems: list[str]

    def feed(self, data: Array) -> None:
        """Takes the next bytes: uint8, contiguous."""

    def finish(self) -> int:
        """Says that the file ends here; returns the number of records that could be told apart."""


class RowChecker(Protocol):
    """Compares the rows of a shard with what other readers of its format would make of them."""

    def check(self, start: int, stop: int) -> None:
        """Raises DamagedFileError at the first of those rows that is not sound. Called with all rows of a shard, in order."""


class Stride(NamedTuple):
    """Rows at a constant stride: row `r` begins at `offset + r * stride` of the file."""

    offset: int
    stride: int


class Damage(NamedTuple):
    """What is wrong with the record of a row, and where in the file it begins."""

    row: int
    start: int
    what: str


class StoredFormat(abc.ABC):
    """A format of shards.

    Attributes:
      name: what the manifest calls it; its module's name.
      template: names of data files, in TFDS's template language (`filepathTemplate` of dataset_info.json).
      index_template: names of index files; None if it never has any.
      tfds_name: what stock TFDS calls it, and reads it as (`fileFormat`); None if stock TFDS does not read it. TFDS takes any
        directory with a `features.json` for one that it can read, so one lies beside the shards where it can, and only there.
      has_records: whether it has records that can be read as they are, and TFDS deserializes.
      media_type: what other catalogs call its data files: a media type, or an address that says what they are.
    """

    name: ClassVar[str]
    template: ClassVar[str]
    index_template: ClassVar[str | None] = None
    tfds_name: ClassVar[str | None] = None
    has_records: ClassVar[bool] = False
    media_type: ClassVar[str] = "application/octet-stream"

    def file_name(self, name: str, split: str, number: int, count: int) -> str:
        """The published name of the data file of shard `number` of `count`."""
        return self._expand(self.template, name, split, number, count)

    def index_name(self, name: str, split: str, number: int, count: int) -> str:
        """The published name of the index file of shard `number` of `count`.

        Raises:
          ValueError: no shard of this format has one.
        """
        if self.index_template is None:
            raise ValueError(f"{self.name} has no index files")
        return self._expand(self.index_template, name, split, number, count)

    def _expand(self, template: str, name: str, split: str, number: int, count: int) -> str:
        """A template as TFDS expands it (`naming.ShardedFileTemplate`)."""
        digits = max(5, len(str(count)))
        shard = f"{number:0{digits}d}-of-{count:0{digits}d}"
        return template.format(DATASET=name, SPLIT=split, FILEFORMAT=self.tfds_name, SHARD_X_OF_Y=shard)

    def needs_index(self, columns: Sequence[Column]) -> bool:
        """Whether a shard of these columns has an index file beside it."""
        return False

    def index_bytes(self, columns: Sequence[Column], rows: int) -> int:
        """Size of the index of so many rows, where there is one."""
        return 0

    def check_index(self, columns: Sequence[Column], shard: Shard, where: str) -> None:
        """Raises ManifestError unless a shard lists an index of the right size, if it needs one, and none otherwise."""
        needed = self.needs_index(columns)
        if needed != (shard.index is not None):
            raise ManifestError(f"{where}: {shard.data.file} {'needs' if needed else 'must not have'} an index")
        if shard.index is not None and shard.index.bytes != (size := self.index_bytes(columns, shard.rows)):
            raise ManifestError(f"{where}: {shard.index.file} must be {size} bytes")

    @abc.abstractmethod
    def measure(self, columns: Sequence[Column], geometry: Geometry, rows: int, where: str) -> tuple[int, str]:
        """The smallest number of bytes that the data file of so many rows (at least one) can have; and, in words, which column
        asks for so many.

        Args:
          columns, geometry: of the manifest; not trusted.
          where: what to call the shard in an error.

        Raises:
          ManifestError: rows or columns lie over each other.
        """

    def checker(self, columns: Sequence[Column], geometry: Geometry) -> FileChecker | None:
        """What looks at the records of a shard as its file is read; None if it has none."""
        return None

    @abc.abstractmethod
    def check_structure(
        self, open_file: Callable[[], BinaryIO], columns: Sequence[Column], geometry: Geometry, rows: int
    ) -> None:
        """Raises DamagedFileError unless another library would find in the file what the manifest says.

        Args:
          open_file: opens it, if it must be looked into once more (its bytes have gone by `checker`).
          columns, geometry, rows: of the manifest.
        """

    def row_checker(self, columns: Sequence[Column], geometry: Geometry, shard: Shard, files: FileMemory) -> RowChecker | None:
        """What compares the rows of a shard with what other readers make of them; None if `check_structure` has said it all."""
        return None

    def read_without_us(self, version_dir: str, columns: Sequence[Column], split: str, file: str) -> tuple[str, str] | None:
        """How a split is read with nothing of ours installed: with what, for a heading, and the Python for it; None if no way
        is known.

        Args:
          version_dir: where the version is, in the caller's words.
          columns: of the manifest.
          split: the one to be read.
          file: a data file of it that has rows.
        """
        if self.tfds_name is None:
            return None
        return "Stock TFDS", (
            f"import tensorflow_datasets as tfds\n\nbuilder = tfds.builder_from_directory({version_dir!r})\n"
            f"dataset = builder.as_dataset(split={split!r})"
        )

    @abc.abstractmethod
    def rows(self, files: FileMemory, columns: Sequence[Column], geometries: Sequence[Geometry]) -> StoredRows:
        """Where the rows of a version's shards lie."""


class StoredRows(abc.ABC):
    """Where the rows of a version's shards lie, in files of one format. Nothing that a file says of itself is believed
    before it has been checked against the file's size.

    Args:
      files: those of the version directory.
      columns, geometries: of its manifest. Columns are asked for by their number among these.
    """

    def __init__(self, files: FileMemory, columns: Sequence[Column], geometries: Sequence[Geometry]) -> None:
        self._files, self._columns, self._geometries = files, columns, geometries

    def stride(self, shard: Shard, number: int) -> Stride | None:
        """Where a column of fixed-size rows lies; None if rows are found by an index."""
        geometry = self._geometries[shard.geometry]
        return Stride(geometry.offsets[number], geometry.strides[number])

    def starts(self, shard: Shard, number: int, rows: Rows) -> Array:
        """Where in the file rows of a column of fixed-size rows begin: int64, shape (n,)."""
        geometry = self._geometries[shard.geometry]
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else np.asarray(rows, np.int64)
        starts: Array = numbers * geometry.strides[number] + geometry.offsets[number]
        return starts

    @abc.abstractmethod
    def item_runs(self, shard: Shard, number: int, rows: Rows) -> tuple[Array, Array]:
        """Where in the file rows of any number of items begin, and their bytes: int64, shape (n,)."""

    @abc.abstractmethod
    def strings(self, shard: Shard, number: int, rows: Rows) -> tuple[Array, Array]:
        """Where in the file the strings of rows begin, and their bytes: int64, shape (n, strings of a row)."""

    @abc.abstractmethod
    def string_lists(self, shard: Shard, number: int, rows: Rows) -> Iterator[list[bytes]]:
        """The strings of rows that have any number of them, row by row."""

    def single(self, shard: Shard, data: Array) -> SingleRows | None:
        """Where single rows of a shard lie; None if that is not known without reading.

        Args:
          data: the whole data file, mapped.
        """
        return SingleRows(self, shard)

    def sealed_files(self, shard: Shard) -> Sequence[File]:
        """Files of a shard without checksums of their rows: only the SHA-256 of the whole file says whether they are whole."""
        return shard.files

    def damage(self, shard: Shard, rows: Rows) -> Damage | None:
        """The first of those rows whose own checksums are wrong."""
        return None

    def damage_of_row(self, shard: Shard, row: int) -> Damage | None:
        """The damage of one row, if its own checksum is wrong."""
        return None

    def record(self, shard: Shard, row: int) -> bytes:
        """The record of a row as it is stored, without its framing.

        Raises:
          DamagedFileError: it is not where its index has it.
          TypeError: the format has no records (`StoredFormat.has_records`).
        """
        raise TypeError("files of this format have no records")

    def _expect_inside(self, shard: Shard, starts: Array, lengths: Array | int) -> None:
        """Raises DamagedFileError where an index points outside its file."""
        size = shard.data.bytes
        inside = (starts >= 0) & (starts <= size) & (np.asarray(lengths) >= 0)
        if not np.all(inside & (lengths <= size - starts)):
            raise DamagedFileError(f"the index of {self._files.path_of(shard.data)} points outside the file")

    def _expect_apart(self, shard: Shard, starts: Array, lengths: Array, rows: Rows) -> None:
        """Raises DamagedFileError where strings lie over each other, which could make memory of any size out of a small file."""
        if starts.size and lengths.sum(dtype=np.float64) > shard.data.bytes:
            once = np.unique(rows, return_index=True)[1] if isinstance(rows, np.ndarray) else slice(None)
            if lengths[once].sum(dtype=np.float64) > shard.data.bytes:
                raise DamagedFileError(f"the index of {self._files.path_of(shard.data)} has strings that overlap")


class SingleRows:
    """Where single rows of one shard lie, worked out in advance. These are at a constant stride.

    Attributes:
      key: makes of a row's number, once for all columns, what the functions below take; None if they take the number itself.
    """

    key: Callable[[int], RowKey] | None = None

    def __init__(self, rows: StoredRows, shard: Shard) -> None:
        self._rows, self._shard = rows, shard

    def stride(self, number: int) -> Stride | None:
        """As `StoredRows.stride`."""
        return self._rows.stride(self._shard, number)

    def start(self, number: int) -> Callable[[RowKey], int]:
        """Where a row of a column of fixed-size rows begins that has no stride; not checked."""
        raise LookupError("rows are at a constant stride")

    def strings(self, number: int) -> Callable[[RowKey], tuple[Sequence[int], Sequence[int]]]:
        """Where the strings of a row begin, and their bytes; not checked."""
        raise LookupError("a shard without an index has no strings")


def runs_of(rows: Array) -> Array:
    """Where runs of neighbours begin among row numbers, and where the last one ends.

    >>> runs_of(np.array([3, 4, 5, 9, 7, 8])).tolist()
    [0, 3, 4, 6]
    """
    breaks = np.flatnonzero(rows[1:] != rows[:-1] + 1) + 1
    return np.concatenate([[0], breaks, [len(rows)]])


def expect_rows(good: Array, start: int, message: str, row_splits: Array | None = None) -> None:
    """Raises DamagedFileError for the first row that is not good.

    Args:
      good: bool, first axis rows (or items, of which `row_splits` tells the rows).
      start: number of the first row.
      message: what is wrong with it, in words.
    """
    bad = np.flatnonzero(~good.reshape(len(good), -1).all(axis=1))
    if len(bad):
        row = int(bad[0]) if row_splits is None else int(np.searchsorted(row_splits, bad[0], side="right")) - 1
        raise DamagedFileError(f"record {start + row}: {message}")
