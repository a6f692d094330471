"""A file of a stage while it is being written."""

from __future__ import annotations

import dataclasses
import hashlib
import mmap
import os
import pathlib
import queue
import threading
from collections.abc import Callable

from exporters.staging.disk import begin_writeback, naming, remove_file
from tfds_builder.aliases import Buffer
from tfds_builder.contract.manifest import File

_WRITEBACK_BYTES = 16 * 1024 * 1024
"""The kernel is told to begin writing to disk each time this much has been given to it, so that little is left for the
fsync at the end (one tenth of an export of large images)."""
_QUEUE_BYTES = 64 * 1024 * 1024
"""Bytes that may wait to be hashed and written. A buffer as large as that is written alone, before anything else is drained."""


class StagedFile:
    """A file being written: its bytes are hashed by one thread of its own and written by another, both in order.

    SHA-256 and `write` let go of the interpreter lock, so they run while the next batch is drained, and after `end` while the
    next shard is. A buffer given to `write` belongs to the file from then on.

    Args:
      path: where.
      ahead: how many buffers may wait: a few keep all threads busy, and stay in the cache. What waits at the end of a shard is
        hashed while the next one is drained, two hashes at a time: with more CPUs, more of them are worth their memory.
    """

    def __init__(self, path: str | os.PathLike[str], ahead: int) -> None:
        self.path, self._ahead = pathlib.Path(path), ahead
        self._begin()

    def _begin(self) -> None:
        remove_file(self.path)  # what was there may be another name of somebody's file
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 (closed when it is whole, or by abort)
        self._digest, self._size, self._begun = hashlib.sha256(), 0, 0
        self._error: BaseException | None = None
        self._is_whole, self._count, self._waiting, self._moved = False, 0, 0, threading.Condition()
        self._steps = [_Step(self._hash), _Step(self._write, self._sync)]
        for name, step in zip(("hash", "write"), self._steps, strict=True):
            step.thread = threading.Thread(target=self._work, args=(step,), name=f"{name} {self.path.name}", daemon=True)
            step.thread.start()

    def write(self, buffer: Buffer, release: Callable[[], None] | None = None) -> None:
        """Queues contiguous bytes; `release()` is called when they are written. Waits while too many bytes do.

        Raises:
          OSError: an earlier write failed.
        """
        size = memoryview(buffer).nbytes
        with self._moved:
            self._moved.wait_for(lambda: not self._count or self._has_room(size))
            self._count, self._waiting = self._count + 1, self._waiting + size
        view, need = _flat(buffer), _Need(size, len(self._steps), release)
        for step in self._steps:
            step.pieces.put((view, need))
        del buffer, view
        if size >= _QUEUE_BYTES:
            with self._moved:
                self._moved.wait_for(lambda: not self._count)
        self.check()

    def _has_room(self, size: int) -> bool:
        return self._count <= self._ahead and self._waiting + size <= _QUEUE_BYTES

    def check(self) -> None:
        """Raises what has gone wrong in the file's threads so far: an OSError, mostly."""
        if self._error is not None:
            raise self._error

    def take_back(self) -> memoryview:
        """Everything written so far, still readable; the file begins anew, empty.

        Raises:
          OSError: an earlier write failed.
        """
        self._stop()
        self.check()
        self._file.close()
        with open(self.path, "rb") as stream:
            written = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if self._size else b"")
        self.path.unlink()
        self._begin()
        return written

    def end(self) -> None:
        """Says that these were all bytes. What is left to do, fsync included, goes on in the file's threads."""
        self._is_whole = True
        self._tell_end()

    @property
    def is_ready(self) -> bool:
        """Whether `close` would not wait."""
        return not any(step.thread.is_alive() for step in self._steps)

    def close(self) -> File:
        """Waits for the last byte to be on disk (fsync); returns name, size and SHA-256.

        Raises:
          OSError: a write, or the fsync, failed.
        """
        if not self._is_whole:
            self.end()
        self._join()
        self.check()
        return File(file=self.path.name, bytes=self._size, sha256=self._digest.hexdigest())

    def abort(self) -> None:
        """Stops writing; the file is left as it is."""
        try:
            self._stop()
        finally:
            self._file.close()

    def _stop(self) -> None:
        self._tell_end()
        self._join()

    def _tell_end(self) -> None:
        for step in self._steps:
            step.pieces.put(None)

    def _join(self) -> None:
        for step in self._steps:
            step.thread.join()

    def _work(self, step: _Step) -> None:
        """What a thread of the file does. After something has gone wrong in one of them, both only let go of what comes."""
        while (piece := step.pieces.get()) is not None:
            view, need = piece
            self._try(step.work, view)
            del piece, view  # not held once it counts as gone, nor while the next one is waited for
            with self._moved:
                need.steps -= 1
                if not need.steps:
                    if need.release is not None and self._error is None:
                        need.release()
                    self._count, self._waiting = self._count - 1, self._waiting - need.size
                    self._moved.notify_all()
        self._try(step.finish)

    def _try(self, work: Callable[..., None], *arguments: memoryview) -> None:
        if self._error is None:
            try:
                with naming(self.path):
                    work(*arguments)
            except BaseException as error:  # handed to the thread that writes
                self._error = error

    def _hash(self, view: memoryview) -> None:
        self._digest.update(view)

    def _write(self, view: memoryview) -> None:
        self._size += len(view)
        while view:
            view = view[self._file.write(view) :]
        if self._size - self._begun >= _WRITEBACK_BYTES:
            begin_writeback(self._file.fileno(), self._begun, self._size - self._begun)
            self._begun = self._size

    def _sync(self) -> None:
        if self._is_whole:
            os.fsync(self._file.fileno())
            self._file.close()


def _flat(buffer: Buffer) -> memoryview:
    view = memoryview(buffer)
    return view.cast("B") if view.nbytes else memoryview(b"")  # which has no byte on any axis, and len() only knows the first


@dataclasses.dataclass
class _Need:
    """Who still needs a piece of a file.

    Attributes:
      size: its bytes.
      steps: how many threads do.
      release: to be called when nobody does.
    """

    size: int
    steps: int
    release: Callable[[], None] | None


class _Step:
    """What is done with all bytes of a file, in order, by a thread of its own.

    Args:
      work: done with each piece.
      finish: done after the last one.
    """

    thread: threading.Thread

    def __init__(self, work: Callable[[memoryview], None], finish: Callable[[], None] = lambda: None) -> None:
        self.work, self.finish = work, finish
        self.pieces: queue.SimpleQueue[tuple[memoryview, _Need] | None] = queue.SimpleQueue()
