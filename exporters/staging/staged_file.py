"""A file of a stage while it is being written."""

from __future__ import annotations

import hashlib
import mmap
import os
import pathlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from exporters.staging.disk import begin_writeback, naming, remove_file
from tfds_builder.aliases import Buffer
from tfds_builder.contract.manifest import File

_WRITEBACK_BYTES = 16 * 1024 * 1024
"""The kernel is told to begin writing to disk each time this much has been given to it, so that little is left for the
fsync at the end (one tenth of an export of large images)."""
_QUEUE_BUFFERS = 4
"""Buffers that may wait to be written: enough to keep both threads busy, a few batches of memory."""
_QUEUE_BYTES = 64 * 1024 * 1024
"""Bytes that may wait to be written. A larger buffer is written alone, before anything else is drained."""


class StagedFile:
    """A file being written: its bytes are hashed and written by a thread of its own, in order.

    SHA-256 and `write` let go of the interpreter lock, so they run while the next batch
    is drained. A buffer given to `write` belongs to the file from then on.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self._begin()

    def _begin(self) -> None:
        remove_file(self.path)  # what was there may be another name of somebody's file
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 (closed by close or abort)
        self._digest, self._size, self._begun = hashlib.sha256(), 0, 0
        self._error: BaseException | None = None
        self._queue: queue.Queue[Any] = queue.Queue(_QUEUE_BUFFERS)
        self._waiting, self._moved = 0, threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"write {self.path.name}", daemon=True)
        self._thread.start()

    def write(self, buffer: Buffer, release: Callable[[], None] | None = None) -> None:
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

    def _write(self, buffer: Buffer) -> None:
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
