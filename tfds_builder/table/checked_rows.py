"""What is read is checked while it is read, if that is asked for (`verify=True`).

Where a format has checksums of its rows (the CRCs of records), those of exactly the rows that are read, each time they are: a
disk that goes bad later is found too. Other files have none (HDF5 shards, indexes): the SHA-256 of the whole file is compared
with the manifest's before the first of its rows is read, once in a process for as long as the file stays what it is.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from tfds_builder.contract.manifest import File, Shard
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats.base import Damage, StoredRows
from tfds_builder.table.mapped_files import Files
from tfds_builder.table.ragged_columns import Piece

_CHUNK = 1024 * 1024
_whole: set[tuple[Any, ...]] = set()
"""Files whose SHA-256 was right, as they were then."""
_locks: dict[tuple[Any, ...], threading.Lock] = {}
"""Held while a file is read for the first time: others wait for it, or check other files meanwhile."""

os.register_at_fork(after_in_child=_locks.clear)


class Checks:
    """Checks rows of a table before they are copied.

    Args:
      directory: the version directory.
      files: its files.
      stored: where the rows lie in them, and what their own checksums say.
    """

    def __init__(self, directory: pathlib.Path, files: Files, stored: StoredRows) -> None:
        self._directory, self._files, self._stored = directory, files, stored

    def check(self, pieces: Sequence[Piece]) -> None:
        """Raises DamagedFileError unless the rows are what was exported."""
        self._check_files([file for _, segment, _ in pieces for file in self._stored.sealed_files(segment.shard)])
        for _, segment, rows in pieces:
            self._expect_none(segment.shard, self._stored.damage(segment.shard, rows))

    def check_row(self, shard: Shard, row: int) -> None:
        """Raises DamagedFileError unless one row of a shard is what was exported."""
        self._check_files(self._stored.sealed_files(shard))
        self._expect_none(shard, self._stored.damage_of_row(shard, row))

    def _expect_none(self, shard: Shard, found: Damage | None) -> None:
        if found is not None:
            path = self._directory / shard.data.file
            raise DamagedFileError(
                f"{path} is damaged: record {found.row} (byte {found.start}) {found.what}; {_mend(self._directory)}"
            )

    def _check_files(self, files: Iterable[File]) -> None:
        """Checks whole files, those first that nobody else is reading."""
        waiting = []
        for file in files:
            path = self._directory / file.file
            if _is_known(path, file):
                continue
            lock = _locks.setdefault((path, file.sha256), threading.Lock())
            if lock.acquire(blocking=False):
                try:
                    self._check_file(path, file)
                finally:
                    lock.release()
            else:
                waiting.append((path, file, lock))
        for path, file, lock in waiting:
            with lock:
                self._check_file(path, file)

    def _check_file(self, path: pathlib.Path, file: File) -> None:
        """Raises DamagedFileError unless a file has its SHA-256. Lets go of the interpreter lock."""
        with self._files.open(file) as stream:
            found = os.fstat(stream.fileno())
            if _is_whole(found, file):
                return
            digest, room = hashlib.sha256(), bytearray(_CHUNK)
            while count := stream.readinto(room):  # type: ignore[attr-defined]  # a raw stream has it
                digest.update(memoryview(room)[:count])
        if digest.hexdigest() != file.sha256:
            raise DamagedFileError(
                f"{path} is damaged: its SHA-256 is {digest.hexdigest()}, the manifest says {file.sha256}; {_mend(path.parent)}"
            )
        _whole.add(_identity(found, file))


def _mend(directory: pathlib.Path) -> str:
    return f"`torch2tfds verify {directory}` lists what is wrong; copy the dataset again, or export it again"


def _is_known(path: pathlib.Path, file: File) -> bool:
    """The same of the file that is at a path, without opening it."""
    try:
        return _is_whole(os.lstat(path), file)
    except OSError:
        return False


def _is_whole(found: os.stat_result, file: File) -> bool:
    """Whether the SHA-256 of a file has been right, and it is still what it was then."""
    return _identity(found, file) in _whole


def _identity(found: os.stat_result, file: File) -> tuple[Any, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, file.sha256
