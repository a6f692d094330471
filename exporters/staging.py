"""Nothing is visible under its final name until it is whole: staged, fsynced, renamed once.

A version is staged in `<data_dir>/<name>/<version>.incomplete` (of a config, in
`<data_dir>/<name>/<config>/<version>.incomplete`), beside where it will be, so that publishing is one
rename inside one file system. TFDS takes no notice of such a directory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import mmap
import os
import pathlib
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from exporters import wording
from exporters.disk import begin_writeback, exchange, lock_directory, naming, sign, sync_directory, unlock
from exporters.errors import AlreadyPublishedError, DataDirError, ExportError, ResumeError
from tfds_builder import manifest as manifest_lib
from tfds_builder.manifest import File

_WRITEBACK_BYTES = 16 * 1024 * 1024
"""The kernel is told to begin writing to disk each time this much has been given to it, so that little is left for the
fsync at the end (one tenth of an export of large images)."""
_SHARD_NOTE, _STAGE_NOTE, _HOLDER_NOTE = ".shard.json", "stage", "holder"
_QUEUE_BUFFERS = 4
"""Buffers that may wait to be written: enough to keep both threads busy, a few batches of memory."""
_QUEUE_BYTES = 64 * 1024 * 1024
"""Bytes that may wait to be written. A larger buffer is written alone, before anything else is drained."""

_TRIES = 10
"""Times a directory is made again that others remove meanwhile."""


class StagedFile:
    """A file being written: its bytes are hashed and written by a thread of its own, in order.

    SHA-256 and `write` let go of the interpreter lock, so they run while the next batch
    is drained. A buffer given to `write` belongs to the file from then on.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self._begin()

    def _begin(self) -> None:
        self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115 (closed by close or abort)
        self._digest, self._size, self._begun = hashlib.sha256(), 0, 0
        self._error: BaseException | None = None
        self._queue: queue.Queue[Any] = queue.Queue(_QUEUE_BUFFERS)
        self._waiting, self._moved = 0, threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"write {self.path.name}", daemon=True)
        self._thread.start()

    def write(self, buffer: Any, release: Callable[[], None] | None = None) -> None:
        """Queues contiguous bytes; `release()` is called when they are written. Waits while too many bytes do.

        Raises:
          OSError: an earlier write failed.
        """
        size = memoryview(buffer).nbytes
        with self._moved:
            self._moved.wait_for(lambda: not self._waiting or self._waiting + size <= _QUEUE_BYTES)
            self._waiting += size
        self._queue.put((buffer, release, size))
        if size > _QUEUE_BYTES:
            with self._moved:
                self._moved.wait_for(lambda: not self._waiting)
        self._raise()

    def take_back(self) -> memoryview:
        """Everything written so far, still readable; the file begins anew, empty.

        Raises:
          OSError: an earlier write failed.
        """
        self._stop()
        self._raise()
        self._file.close()
        with open(self.path, "rb") as stream:
            written = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if self._size else b"")
        self.path.unlink()
        self._begin()
        return written

    def close(self) -> File:
        """Waits for the last byte to be on disk (fsync); returns name, size and SHA-256."""
        self._stop()
        self._raise()
        with naming(self.path):
            os.fsync(self._file.fileno())
            self._file.close()
        return File(file=self.path.name, bytes=self._size, sha256=self._digest.hexdigest())

    def abort(self) -> None:
        """Stops writing; the file is left as it is."""
        try:
            self._stop()
        finally:
            self._file.close()

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            buffer, release, size = item
            if self._error is None:
                try:
                    with naming(self.path):
                        self._write(buffer)
                    if release is not None:
                        release()
                except BaseException as error:  # handed to the thread that writes
                    self._error = error
            del item, buffer, release  # not held while the next one is waited for
            with self._moved:
                self._waiting -= size
                self._moved.notify_all()

    def _write(self, buffer: Any) -> None:
        view = memoryview(buffer)
        if not view.nbytes:
            return
        view = view.cast("B")
        self._digest.update(view)
        self._size += len(view)
        while view:
            view = view[self._file.write(view) :]
        if self._size - self._begun >= _WRITEBACK_BYTES:
            begin_writeback(self._file.fileno(), self._begun, self._size - self._begun)
            self._begun = self._size


class Stage:
    """The staged directory of one version of one dataset, or of one of its configs, held by one process.

    >>> with Stage("/data", "digits", "1.0.0", overwrite=False) as stage:      # doctest: +SKIP
    ...     ...                       # write files into stage.path
    ...     stage.publish()

    Beside it lies a directory of notes: the plan, the order of examples, what is finished. Leaving
    the stage without `publish` removes both, unless a shard is finished: then both stay, and the next
    stage of the same version begins with them. Nothing is published after an exception.

    Attributes:
      target: where the version will be.
      path: the stage.
      notes: the directory of notes.
      overwrite: whether a version that is there may be replaced, and what was stopped begun anew.

    Raises:
      AlreadyPublishedError: the version exists and `overwrite` is False.
      DataDirError: `data_dir` is a file, cannot be written, or another process holds the stage.
    """

    def __init__(self, data_dir: str | os.PathLike[str], name: str, version: str, *, config: str = "", overwrite: bool) -> None:
        parent = pathlib.Path(os.path.expanduser(os.fspath(data_dir))).absolute() / name / config
        self.target = parent / version
        self.path = parent / f"{version}.incomplete"
        self.notes = parent / f"{version}.resume"
        self.overwrite = overwrite
        self._made = [path for path in (parent, *parent.parents) if not os.path.exists(path)]
        self._lock: int | None = None
        self._published = False

    def __enter__(self) -> Stage:
        if os.path.lexists(self.target) and not (self.overwrite and self.target.is_dir()):
            self._clear_what_was_published()
            raise AlreadyPublishedError(
                f"{self.target} is already published; {wording.passing('overwrite', True)} to replace it, or "
                f"another {wording.argument('version')}"
            )
        try:
            self._lock = self._take_lock()
            self.notes.mkdir(exist_ok=True)
            sign(self.notes / _HOLDER_NOTE)
            if not (self.has_finished_shards() and self._noted_inode() == self.path.stat().st_ino):
                self.begin_anew()
        except OSError as error:
            self.__exit__()
            if isinstance(error, DataDirError):
                raise
            raise DataDirError(
                error.errno,
                f"cannot write to {self.path}: {error.strerror}; give a {wording.called('data_dir')} that can be written",
            ) from error
        return self

    def __exit__(self, _: object = None, error: BaseException | None = None, __: object = None) -> None:
        if self._lock is None:
            return
        finished: list[str] | None = None
        with contextlib.suppress(OSError):  # too many open files, say: what cannot be listed is kept
            finished = self._shard_notes() if self.path.is_dir() else []
        if error is not None and not self._published and finished:
            _note_how_to_go_on(error, len(finished), self.path)
        try:
            if self._published or finished == []:
                shutil.rmtree(self.notes, ignore_errors=True)
                shutil.rmtree(self.path, ignore_errors=True)
        finally:
            self._release()
        for path in self._made:
            with contextlib.suppress(OSError):  # not empty: something else lives there now
                path.rmdir()

    def _clear_what_was_published(self) -> None:
        """Removes what an export left behind that was killed between the rename and the end."""
        with contextlib.suppress(OSError):
            if self.notes.is_dir() and not (self.path.is_dir() and self._noted_inode() == self.path.stat().st_ino):
                self._lock, self._published = self._take_lock(), True
                self.__exit__()

    def begin_anew(self) -> None:
        """Removes what an export before left behind, and notes which directory the notes will be about."""
        for directory in (self.path, self.notes):
            for path in list(directory.iterdir()):
                if path.name == _HOLDER_NOTE:
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.note(_STAGE_NOTE, str(self.path.stat().st_ino).encode())

    def _noted_inode(self) -> int:
        """Which directory the notes are about: after a swap with a published one, another has its name."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.notes / _STAGE_NOTE).read_bytes())
        return -1

    def has_finished_shards(self) -> bool:
        """Whether there is something to go on with."""
        return bool(self._shard_notes())

    def _shard_notes(self) -> list[str]:
        return [name for name in os.listdir(self.notes) if name.endswith(_SHARD_NOTE)] if self.notes.is_dir() else []

    def has_note(self, name: str) -> bool:
        return (self.notes / name).is_file()

    def read_note(self, name: str) -> bytes:
        return (self.notes / name).read_bytes()

    def sync_note(self, name: str) -> None:
        """Fsyncs a note that was written in place."""
        with naming(self.notes / name), open(self.notes / name, "rb+") as stream:
            os.fsync(stream.fileno())

    def note(self, name: str, content: bytes) -> None:
        """Writes a note: whole and on disk, or not there at all."""
        draft = self.notes / f"{name}.draft"
        with naming(draft), open(draft, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(draft, self.notes / name)
        sync_directory(self.notes)

    def note_shard(self, split: str, number: int, content: bytes) -> None:
        """Notes that a shard is finished. Its file must be on disk."""
        sync_directory(self.path)
        self.note(f"{split}-{number:05d}{_SHARD_NOTE}", content)

    def finished_shards(self, split: str) -> Iterator[bytes]:
        """The notes of a split's finished shards, in order."""
        for number in itertools.count():
            note = self.notes / f"{split}-{number:05d}{_SHARD_NOTE}"
            if not note.exists():
                return
            yield note.read_bytes()

    def _take_lock(self) -> int:
        """Makes the stage and locks it; the kernel drops the lock when its process dies."""
        while True:
            _make_directory(self.path)
            lock = lock_directory(self.path, self.notes / _HOLDER_NOTE)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), os.stat(self.path)):
                    return lock
            unlock(lock)  # its holder removed it between our open and our lock: make a new one

    def _release(self) -> None:
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None

    def holds(self, file: File, name: str) -> bool:
        """Whether a staged file is there at its full size, under its own name or its published one."""
        return self.find(file, name) is not None

    def find(self, file: File, name: str) -> File | None:
        """A staged file under the name it has now, its own or its published one; None unless it is there at its full size."""
        for known in (file.file, name):
            with contextlib.suppress(FileNotFoundError):
                size = (self.path / known).stat().st_size
                return File(file=known, bytes=file.bytes, sha256=file.sha256) if size == file.bytes else None
        return None

    def rename(self, file: File, name: str) -> File:
        """Gives a staged file its published name (known once the number of shards is), if it has not got it yet."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path / file.file, self.path / name)
        if os.path.getsize(self.path / name) != file.bytes:
            raise DataDirError(errno.EIO, f"{self.path / name} is not what was written; remove {self.path} and export again")
        return File(file=name, bytes=file.bytes, sha256=file.sha256)

    def keep_only(self, names: Iterable[str]) -> None:
        """Removes what else lies in the stage: the shard, or the metadata, that an interrupted export was writing."""
        for name in set(os.listdir(self.path)) - set(names):
            os.unlink(self.path / name)

    def describe(self, name: str) -> File:
        """Fsyncs a small file written by someone else and returns its name, size and SHA-256."""
        with naming(self.path / name), open(self.path / name, "rb+") as stream:
            content = stream.read()
            os.fsync(stream.fileno())
        return File(file=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def write(self, name: str, content: bytes) -> File:
        """Writes and fsyncs a small file."""
        with naming(self.path / name):
            (self.path / name).write_bytes(content)
        return self.describe(name)

    def publish(self) -> pathlib.Path:
        """Renames the stage to its final name, once; the old version, if any, goes in the same step.

        Raises:
          AlreadyPublishedError: someone else published the version meanwhile.
        """
        sync_directory(self.path)
        if not (self.path / manifest_lib.FILENAME).is_file():
            raise DataDirError(errno.ENOENT, f"{self.path} has no manifest; nothing is published")
        if self.overwrite and self.target.exists():
            old = lock_directory(self.target, self.notes / _HOLDER_NOTE)  # it is about to be the stage, and is removed as such
            exchange(self.path, self.target)
            self._release()
            self._lock = old
            self._published = True
        else:
            try:
                os.rename(self.path, self.target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                raise AlreadyPublishedError(
                    f"{self.target} was published meanwhile; {wording.passing('overwrite', True)}"
                ) from error
            self._published = True
        try:
            for parent in (self.target.parent, *(path.parent for path in self._made)):
                sync_directory(parent)
        except OSError as error:
            text = f"{self.target} is published, but a power cut may undo it: {error}"
            raise DataDirError(error.errno, text) from error
        return self.target


def _note_how_to_go_on(error: BaseException, finished: int, path: pathlib.Path) -> None:
    """Says what is kept, and how to go on after it, unless the error says so itself."""
    if isinstance(error, ResumeError):
        return
    kept = f"{wording.plural(finished, 'finished shard')} {'is' if finished == 1 else 'are'} kept in {path}"
    how = f"{wording.again()} to go on after {'it' if finished == 1 else 'them'}"
    if isinstance(error, ExportError) and not isinstance(error, OSError):  # what mends it may be another argument
        how += f", or {wording.passing('overwrite', True)} if its arguments or features change"
    error.add_note(f"{kept}: {how}")


def _make_directory(path: pathlib.Path) -> None:
    """Makes a directory and its parents, also while another export that failed removes the parents it had made."""
    for attempt in range(_TRIES):
        try:
            path.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise
