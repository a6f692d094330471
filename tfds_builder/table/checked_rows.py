"""What is read is checked while it is read, if that is asked for (`verify=True`).

Of TFRecord shards, the CRCs of exactly those records that are read, each time they are: a disk that goes bad later is
found too. HDF5 shards have no checksums inside, and neither have indexes: the SHA-256 of the whole file is compared with
the manifest's before the first of its rows is read, once in a process for as long as the file stays what it is.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfds_builder.contract.manifest import File, Geometry, Shard
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats.tfrecord_records import FOOTER, HEADER, damage, first_damaged
from tfds_builder.table.mapped_files import Files
from tfds_builder.table.ragged_columns import Piece, read_index, runs_of

Array = npt.NDArray[Any]

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
      geometries: of the manifest.
      has_records: whether shards are TFRecord files.
    """

    def __init__(self, directory: pathlib.Path, files: Files, geometries: Sequence[Geometry], has_records: bool) -> None:
        self._directory, self._files, self._geometries, self._has_records = directory, files, geometries, has_records

    def check(self, pieces: Sequence[Piece]) -> None:
        """Raises DamagedFileError unless the rows are what was exported."""
        shards = [segment.shard for _, segment, _ in pieces]
        self._check_files([file for shard in shards for file in shard.files if file is not shard.data or not self._has_records])
        if self._has_records:
            for _, segment, rows in pieces:
                self._check_records(segment.shard, np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)

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

    def _check_records(self, shard: Shard, rows: Array) -> None:
        strides = self._geometries[shard.geometry].strides
        if not strides or not len(rows):
            return
        stride = strides[0] if shard.index is None else 0
        starts = rows * stride if shard.index is None else read_index(self._files, shard, rows)[:, 0]
        data = self._files.map(shard.data, _long_runs(rows, stride))
        if data is not None:
            found = first_damaged(data, starts, stride)
            if found is not None:
                raise self._damaged(shard, int(rows[found[0]]), int(starts[found[0]]), found[1])
            return
        for row in rows.tolist():
            self._check_record(shard, row)

    def check_row(self, shard: Shard, row: int) -> None:
        """Raises DamagedFileError unless one row of a shard is what was exported."""
        self._check_files([file for file in shard.files if file is not shard.data or not self._has_records])
        if self._has_records:
            self._check_record(shard, row)

    def _check_record(self, shard: Shard, row: int) -> None:
        strides = self._geometries[shard.geometry].strides
        stride = strides[0] if strides and shard.index is None else 0
        start = row * stride if shard.index is None else int(read_index(self._files, shard, slice(row, row + 1))[0, 0])
        data = self._files.map(shard.data)
        what = damage(data, start, stride) if data is not None else damage(self._read_record(shard, start), 0, stride)
        if what is not None:
            raise self._damaged(shard, row, start, what)

    def _read_record(self, shard: Shard, start: int) -> Array:
        """The bytes from where a record begins to where it says that it ends, as far as they are in the file."""
        size = shard.data.bytes
        head = self._files.view(shard.data, min(max(0, start), size), min(max(0, start) + HEADER, size))
        length = int.from_bytes(head[:8].tobytes(), "little")
        return self._files.view(shard.data, start, min(start + HEADER + length + FOOTER, size)) if len(head) == HEADER else head

    def _damaged(self, shard: Shard, row: int, start: int, what: str) -> DamagedFileError:
        path = self._directory / shard.data.file
        return DamagedFileError(f"{path} is damaged: record {row} (byte {start}) {what}; {_mend(self._directory)}")


def _mend(directory: pathlib.Path) -> str:
    return f"`torch2tfds verify {directory}` lists what is wrong; copy the dataset again, or export it again"


def _long_runs(rows: Array, stride: int) -> tuple[Array, Array] | None:
    """Where runs of records begin and end in the file, if they are runs."""
    runs = runs_of(rows)
    if not stride or 2 * (len(runs) - 1) > len(rows):
        return None
    return rows[runs[:-1]] * stride, (rows[runs[1:] - 1] + 1) * stride


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
