"""What is read is checked while it is read, if that is asked for (`verify=True`).

Where a format has checksums of its rows (the CRCs of records), those of exactly the rows that are read, each time they are: a
disk that goes bad later is found too. Other files have none (HDF5 shards, indexes): the SHA-256 of the whole file is compared
with the manifest's before the first of its rows is read, once in a process for as long as the file stays what it is.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Hashable, Iterable, Sequence

from tfds_builder.contract.manifest import File, Shard
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats.base import Damage, StoredRows
from tfds_builder.table.mapped_files import Files
from tfds_builder.table.ragged_columns import Piece

_whole: set[tuple[Hashable, str]] = set()
"""Files whose SHA-256 was right, as they were then: their stamps (`Directory.stamp`), and which SHA-256."""
_locks: dict[tuple[object, ...], threading.Lock] = {}
"""Held while a file is read for the first time: others wait for it, or check other files meanwhile."""

os.register_at_fork(after_in_child=_locks.clear)


class Checks:
    """Checks rows of a table before they are copied.

    Args:
      files: those of its version directory.
      stored: where the rows lie in them, and what their own checksums say.
    """

    def __init__(self, files: Files, stored: StoredRows) -> None:
        self._directory, self._files, self._stored = files.directory, files, stored

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
            path = self._files.path_of(shard.data)
            raise DamagedFileError(f"{path} is damaged: record {found.row} (byte {found.start}) {found.what}; {self._mend()}")

    def _check_files(self, files: Iterable[File]) -> None:
        """Checks whole files, those first that nobody else is reading."""
        waiting = []
        for file in files:
            if (self._directory.stamp(file.file), file.sha256) in _whole:
                continue
            lock = _locks.setdefault((self._files.path_of(file), file.sha256), threading.Lock())
            if lock.acquire(blocking=False):
                try:
                    self._check_file(file)
                finally:
                    lock.release()
            else:
                waiting.append((file, lock))
        for file, lock in waiting:
            with lock:
                self._check_file(file)

    def _check_file(self, file: File) -> None:
        """Raises DamagedFileError unless a file has its SHA-256. Lets go of the interpreter lock."""
        with self._directory.open(file.file, 0) as stream:
            found = self._directory.stamp(file.file, stream)
            if (found, file.sha256) in _whole:
                return
            digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # a raw stream is read in place
        if digest != file.sha256:
            path = self._files.path_of(file)
            raise DamagedFileError(f"{path} is damaged: its SHA-256 is {digest}, the manifest says {file.sha256}; {self._mend()}")
        if found is not None:
            _whole.add((found, file.sha256))

    def _mend(self) -> str:
        return f"`torch2tfds verify {self._directory}` lists what is wrong; copy the dataset again, or export it again"
