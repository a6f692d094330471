"""Is a published directory still what was published, and is what was published a dataset?

Every byte is read once: the SHA-256 of a file (in a thread of its own, which lets go of the
interpreter lock) and the CRCs of its records are taken of the same block while it is in the cache.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from tfds_builder import formats
from tfds_builder.aliases import Buffer
from tfds_builder.catalog import location, metadata_files
from tfds_builder.catalog.metadata_files import Problem
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.directory import Directory
from tfds_builder.errors import DamagedFileError, DatasetError, MissingFileError, UnreadableFileError
from tfds_builder.install import check_tfds

if TYPE_CHECKING:
    from tfds_builder.contract.manifest import File, Manifest, Shard
    from tfds_builder.formats.base import FileChecker, StoredFormat

_CHUNK = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` looked at and found.

    Attributes:
      path: the version directory.
      files, bytes, examples: how much was checked.
      problems: empty when the dataset is whole.
      deep: whether every value was decoded too.
      not_decoded: features that only TensorFlow can decode, and it is not installed (`deep`).
    """

    path: str
    files: int
    bytes: int
    examples: int
    problems: list[Problem]
    deep: bool = False
    not_decoded: list[str] = dataclasses.field(default_factory=list)


def verify(path: str | os.PathLike[str], on_bytes: Callable[[int], object] = lambda count: None, *, deep: bool = False) -> Report:
    """Checks a published version directory, byte for byte.

    >>> tfds_builder.verify("/data/digits/1.0.0").problems        # doctest: +SKIP
    []

    Every file the manifest lists must be a regular file with its size and SHA-256; every TFRecord record
    must have its length and valid CRCs (a bad one is named by its number, from 0), every HDF5 shard
    its datasets where the manifest has them; the manifest must agree with its directory, TFDS's
    metadata with the manifest. A file that is not in the manifest is a problem if TFDS would read it or if
    it is named like a shard. Nothing found is executed, links are not followed.

    Args:
      path: `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.
      on_bytes: called with the number of bytes read, for a progress bar.
      deep: decode every value too, and check that what other TFRecord readers would make of each
        record is the same. Takes a few times as long, and needs TFDS; TensorFlow for features that are
        stored in TFDS's own encodings (images).

    Returns:
      A report; `.problems` is empty when the dataset is whole.

    Raises:
      MissingFileError: `path` is no directory (a directory without a manifest is a problem in the report, which says
        what version directories are in it).
      UnreadableFileError: this user may not look into the directory above it.
      BrokenInstallError: (`deep`) TFDS cannot be imported.
    """
    directory = Directory.at(path)
    if not directory.exists():
        raise MissingFileError(
            location.explain(directory, "version")
            or f"{directory} is not a directory; pass DATA_DIR/NAME/VERSION, or DATA_DIR/NAME/CONFIG/VERSION"
        )
    directory = directory.resolved()
    try:
        manifest = location.read_given(directory)
    except DatasetError as error:
        return Report(os.fspath(path), 1, 0, 0, [Problem.of(manifest_lib.FILENAME, error, directory)], deep)
    problems, total = _check_files(directory, manifest, on_bytes)
    not_decoded: list[str] = []
    if deep and not problems:  # of what is damaged already, nothing is learnt by decoding it
        check_tfds()
        from tfds_builder.checks import values as deep_lib

        problems, not_decoded = deep_lib.check(directory, manifest)
    examples = sum(split.examples for split in manifest.splits.values())
    return Report(os.fspath(path), len(manifest.files) + 1, total, examples, problems, deep, not_decoded)


def _check_files(directory: Directory, manifest: Manifest, on_bytes: Callable[[int], object]) -> tuple[list[Problem], int]:
    """What is wrong with the directory and its files, and how many bytes were read to find it out."""
    problems = list(_check_directory(directory, manifest))
    total = sum(file.bytes for file in manifest.metadata)
    on_bytes(total)
    stored = formats.find(manifest.format)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        for file, shard in _shard_files(manifest):
            reader = _FileReader(directory, file, on_bytes, thread)
            if shard is None:
                problems += reader.check(None, None)
            else:
                geometry = manifest.geometries[shard.geometry]
                problems += reader.check(stored.checker(manifest.columns, geometry), shard)
                problems += _check_structure(stored, directory, manifest, shard)
            total += reader.size
    return problems, total


def _shard_files(manifest: Manifest) -> Iterator[tuple[File, Shard | None]]:
    """Every data file with its shard, and every index file."""
    for split in manifest.splits.values():
        for shard in split.shards:
            yield from ((file, shard if file is shard.data else None) for file in shard.files)


def _check_directory(directory: Directory, manifest: Manifest) -> Iterator[Problem]:
    """The manifest against the directory it lies in, and TFDS's metadata against the manifest."""
    place = directory.parts[-len(manifest.place) :]
    if place != manifest.place:
        yield Problem(manifest_lib.FILENAME, f"describes {'/'.join(manifest.place)} and lies in {'/'.join(place)}")
    yield from metadata_files.check(directory, manifest)
    yield from metadata_files.check_lookalikes(directory, manifest)


def _check_structure(stored: StoredFormat, directory: Directory, manifest: Manifest, shard: Shard) -> list[Problem]:
    def open_file() -> BinaryIO:
        return directory.open(shard.data.file)

    try:
        stored.check_structure(open_file, manifest.columns, manifest.geometries[shard.geometry], shard.rows)
    except DamagedFileError as error:
        return [Problem(shard.data.file, str(error))]
    except (MissingFileError, UnreadableFileError):
        pass  # already reported
    return []


class _FileReader:
    """Reads one file once, for its size, its SHA-256 and the CRCs of its records.

    Args:
      directory, file: where it is, and what the manifest says of it.
      on_bytes: called with the number of bytes of each block.
      thread: takes the SHA-256.

    Attributes:
      size: bytes read.
    """

    def __init__(
        self,
        directory: Directory,
        file: File,
        on_bytes: Callable[[int], object],
        thread: concurrent.futures.ThreadPoolExecutor,
    ) -> None:
        self._directory, self._file, self._on_bytes, self._thread = directory, file, on_bytes, thread
        self._digest = hashlib.sha256()
        self.size = 0

    def check(self, checker: FileChecker | None, shard: Shard | None) -> list[Problem]:
        """What is wrong with the file.

        Args:
          checker: looks at its records, if it has any.
          shard: what the manifest says of them.
        """
        name = self._file.file
        try:
            self._read(checker)
        except DatasetError as error:
            return [Problem.of(name, error, self._directory)]
        except OSError as error:
            return [Problem(name, f"cannot be read: {error.strerror or error}")]
        problems = []
        if self.size != self._file.bytes:
            problems.append(Problem(name, f"has {self.size} bytes, the manifest says {self._file.bytes}"))
        elif (digest := self._digest.hexdigest()) != self._file.sha256:
            problems.append(Problem(name, f"has SHA-256 {digest}, the manifest says {self._file.sha256}"))
        if checker is not None and shard is not None:
            records = checker.finish()
            problems += [Problem(name, text) for text in checker.problems]
            if records != shard.rows and not checker.problems:
                problems.append(Problem(name, f"has {records} records, the manifest says {shard.rows}"))
        return problems

    def _read(self, checker: FileChecker | None) -> None:
        with self._directory.open(self._file.file, 0) as stream:
            if checker is None:
                block = bytearray(_CHUNK)
                while count := stream.readinto(block):  # type: ignore[attr-defined]  # a raw stream has it
                    self._digest.update(memoryview(block)[:count])
                    self._count(count)
                return
            import numpy as np

            room = np.empty(_CHUNK, np.uint8)
            while count := stream.readinto(room):  # type: ignore[attr-defined]
                self._hash_beside(room[:count], checker)
                self._count(count)

    def _hash_beside(self, data: Buffer, checker: FileChecker) -> None:
        """Takes the SHA-256 of a block in the thread and its CRCs here, at the same time."""
        running = threading.Event()

        def update() -> None:
            running.set()
            self._digest.update(data)

        done = self._thread.submit(update)
        running.wait()  # until it is about to let go of the interpreter lock, which the CRCs hold
        checker.feed(data)
        done.result()

    def _count(self, count: int) -> None:
        self.size += count
        self._on_bytes(count)
