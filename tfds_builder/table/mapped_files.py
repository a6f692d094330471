"""Shard files as memory to copy from.

Files are mapped, whole and read-only. Pages are brought in by one call that lets go of the
interpreter lock (`MADV_POPULATE_READ`, man 2 madvise, Linux 5.14), not by faults in the middle of a
copy; and what is kept mapped is bounded. A file that cannot be mapped (an address space limit, a
file system without mmap), or must not be, so that there is room for what is read, is read instead (`Directory.read_into`).

Rows are always copied out. TensorFlow would take them as they lie in the file, but it also writes
into what it is given: an operation may put its result where its input was, and a slice of a tensor
forgets that the memory came from NumPy (seen with TF 2.21). A private mapping made anew for each
block would be safe, and was measured: slower than a copy into memory that is used again.
"""

from __future__ import annotations

import collections
import ctypes
import errno
import os
import resource
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from tfds_builder.aliases import Array
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.contract.holds import hold
from tfds_builder.contract.manifest import File
from tfds_builder.errors import DamagedFileError, MissingFileError
from tfds_builder.table.memory import Buffers

Made = TypeVar("Made")

LARGE_BYTES = 32 * 1024**2
"""Runs of so many bytes are read straight to where they are wanted: of a mapped file, every page that has been read counts as
the process's memory until the kernel takes it back."""
_FILES = 256
_BYTES = 2 * 1024**3
"""Files and bytes kept mapped at once; the least recently used is let go first. Mapping a file again
costs a tenth of copying it."""
_RANDOM_BYTES = 64 * 1024**3
"""The same where single rows are read at random, unless the address space is limited: mapping a file for a single row
costs twenty times as much as reading it."""
_CHUNK = 256 * 1024
"""Pages are brought in, and remembered to be in, by chunks of this size."""
_MADV_POPULATE_READ = 22
_REFUSALS = (errno.ENOMEM, errno.ENODEV, errno.EAGAIN, errno.EPERM)
"""Why a file that can be read may not be mapped (man 2 mmap)."""


class _Mapping:
    """A whole file, mapped; which chunks of it have been brought in; and what readers have made of it."""

    def __init__(self, directory: Directory, file: File) -> None:
        self.data: Array = np.frombuffer(directory.map(file.file, file.bytes), np.uint8)
        self._path, self._present = directory.path_of(file.file), np.zeros(-(-file.bytes // _CHUNK), bool)
        self.made: dict[Hashable, Any] = {}

    def populate(self, start: int, stop: int) -> None:
        """Brings in the pages of a range; see `_populate`."""
        first, last = start // _CHUNK, -(-stop // _CHUNK)
        if not self._present[first:last].all():
            _populate(self.data[first * _CHUNK : last * _CHUNK], self._path)
            self._present[first:last] = True

    def populate_runs(self, starts: Array, stops: Array) -> None:
        """The same for several ranges."""
        if not self._present.all():
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                self.populate(start, stop)


def _populate(pages: Array, path: str) -> None:
    """Brings in the pages of a mapped range, which begins at a page.

    An older kernel does not know how: then they come when they are touched.

    Raises:
      DamagedFileError: the file has been truncated since it was mapped, or the disk cannot read it.
    """
    if _madvise(ctypes.c_void_p(pages.ctypes.data), ctypes.c_size_t(pages.size), _MADV_POPULATE_READ):
        code = ctypes.get_errno()
        if code in (errno.EFAULT, errno.EIO):
            raise DamagedFileError(f"{path} cannot be read ({os.strerror(code)}): it is damaged or truncated")


def _relieve(files: Files) -> Callable[[], None]:
    """Has files stop mapping, without keeping them: what nobody reads any more is let go at once, not by a garbage collection."""
    found = weakref.ref(files)

    def relieve() -> None:
        files = found()
        if files is not None:
            files.stop_mapping()

    return relieve


_ALL_FILES: weakref.WeakSet[Files] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child: whichever thread of the parent held a lock, it is not here to release it."""
    for files in list(_ALL_FILES):
        files.renew_lock()


os.register_at_fork(after_in_child=_renew_locks)


class Files:
    """The files of one version directory, as memory. Safe to use from several threads, and after a fork.

    Args:
      directory: where they are. If it must be of a version (`Directory.of_version`), it is whenever a file is opened.
        It is held as long as this lives (`contract.holds`).

    Attributes:
      buffers: memory for rows that are copied.
    """

    def __init__(self, directory: AnyDirectory) -> None:
        self.directory, self.buffers = Directory.at(directory), Buffers(_relieve(self))
        self._mappings: collections.OrderedDict[str, _Mapping | None] = collections.OrderedDict()
        self._bytes, self._maps = 0, True
        self._hold = hold(self.directory)
        self._lock = threading.RLock()
        _ALL_FILES.add(self)

    def check(self, file: File) -> None:
        """Checks that a file can be read as the manifest has it.

        Raises:
          OverwrittenError: this is not the version any more that was opened.
          MissingFileError: the file is not there.
          DamagedFileError: it is shorter or longer, or a link or anything else that is no regular file.
        """
        self.directory.check_version()
        path = self.path_of(file)
        try:
            size = self.directory.size(file.file)
        except MissingFileError as error:
            raise MissingFileError(f"{path} is missing; the manifest lists it with {file.bytes} bytes") from error
        if size != file.bytes:
            raise DamagedFileError(f"{path} has {size} bytes, and the manifest says {file.bytes}: it is damaged or truncated")

    def path_of(self, file: File) -> str:
        """The path of a file, for messages."""
        return self.directory.path_of(file.file)

    def renew_lock(self) -> None:
        """A new lock, for a child in which the old one may be held for ever."""
        self._lock = threading.RLock()
        self.buffers.renew_lock()

    def view(self, file: File, start: int, stop: int, *, populate: bool = True) -> Array:
        """Bytes `start` to `stop` of a file to be copied from: uint8.

        Args:
          populate: whether all of it is about to be used; otherwise pages come when they are touched.

        Raises:
          MissingFileError, DamagedFileError: the file is not what the manifest says.
        """
        if stop <= start:
            return np.empty(0, np.uint8)
        mapping = self._get(file)
        if mapping is None:
            return self._pread(file, start, stop)
        if populate:
            mapping.populate(start, stop)
        part: Array = mapping.data[start:stop]
        return part

    def map(self, file: File, runs: tuple[Array, Array] | None = None) -> Array | None:
        """The whole file to be copied from: uint8. None if it cannot be mapped.

        Args:
          runs: where runs of bytes start and stop that are about to be used; the other pages come when they are touched.

        Raises:
          MissingFileError, DamagedFileError: the file is not what the manifest says.
        """
        mapping = self._get(file, at_random=True)
        if mapping is None:
            return None
        if runs is not None:
            mapping.populate_runs(*runs)
        return mapping.data

    def made(self, file: File, key: Hashable, make: Callable[[Array], Made]) -> Made | None:
        """What `make` makes of the whole file, made once for each key and kept for as long as the file is mapped. None
        if it cannot be mapped."""
        mapping = self._get(file, at_random=True)
        if mapping is None:
            return None
        found: Made | None = mapping.made.get(key)
        if found is None:
            found = mapping.made[key] = make(mapping.data)
        return found

    def _get(self, file: File, at_random: bool = False) -> _Mapping | None:
        with self._lock:
            if file.file in self._mappings:
                self._mappings.move_to_end(file.file)
                return self._mappings[file.file]
            self.check(file)
            if not self._maps:
                return None
            limit = _random_bytes() if at_random else _BYTES
            while self._mappings and (len(self._mappings) >= _FILES or self._bytes + file.bytes > limit):
                _, mapping = self._mappings.popitem(last=False)
                self._bytes -= mapping.data.size if mapping is not None else 0
            mapping = self._mappings[file.file] = self._insist(lambda: _Mapping(self.directory, file))
            self._bytes += mapping.data.size if mapping is not None else 0
            self.buffers.keeps = True
            return mapping

    def _insist(self, make: Callable[[], Made]) -> Made | None:
        """What `make` maps; None if the system refuses it, even after all that is kept is let go."""
        for _ in range(2):
            try:
                return make()
            except OSError as error:
                if error.errno not in _REFUSALS:
                    raise
                self.let_go()
        return None

    def let_go(self) -> None:
        """Unmaps every file that nobody reads at the moment; it is mapped again when it is needed."""
        with self._lock:
            self._mappings.clear()
            self._bytes = 0

    def stop_mapping(self) -> None:
        """Reads, and maps nothing, from now on: mapped files have left no address space for what is read of them."""
        self._maps = False
        self.let_go()

    def close(self) -> None:
        """Lets go of everything, also of what is still lent when it comes back. A later read opens what it needs again."""
        self.let_go()
        self.buffers.clear()

    def _pread(self, file: File, start: int, stop: int) -> Array:
        room: Array = self.buffers.empty(1, stop - start)[0]
        self.read_into(file, start, room)
        return room

    def read_into(self, file: File, start: int, room: Array) -> None:
        """Reads the bytes of a file from `start` on, without mapping it, until `room` is full: uint8, contiguous.

        Raises:
          MissingFileError, DamagedFileError: the file is not what the manifest says.
        """
        done = self.directory.read_into(file.file, start, memoryview(room))  # type: ignore[arg-type]  # ndarray is a buffer
        if done < len(room):
            raise self._ends(file, start + done)

    def read_run(self, file: File, start: int, stop: int) -> bytes:
        """A run of bytes of a file as an object of its own."""
        found = self.directory.view(file.file, start, stop)
        if start + len(found) < stop:
            raise self._ends(file, start + len(found))
        return found

    def slices(self, file: File, starts: Array, lengths: Array, *, populate: bool) -> list[bytes]:
        """Runs of bytes of a file, each as an object of its own.

        Args:
          starts, lengths: int64, shape (n,); inside of the file.
          populate: whether most of what lies between the first and the last is about to be used.
        """
        if not starts.size:
            return []
        if int(lengths.max()) >= LARGE_BYTES:
            runs = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
            return [self.read_run(file, start, stop) for start, stop in runs]
        first, last = int(starts.min()), int((starts + lengths).max())
        view = memoryview(self.view(file, first, last, populate=populate))  # type: ignore[arg-type]  # ndarray is a buffer
        return [
            bytes(view[start : start + length]) for start, length in zip((starts - first).tolist(), lengths.tolist(), strict=True)
        ]

    def _ends(self, file: File, place: int) -> DamagedFileError:
        return DamagedFileError(f"{self.path_of(file)} ends at {place}: it is damaged or truncated")


def _random_bytes() -> int:
    """How much is kept mapped for random reads: others need address space too."""
    return _BYTES if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY else _RANDOM_BYTES


def _load_madvise() -> Any:
    """`madvise` of the C library; called through ctypes, which lets go of the interpreter lock (mmap.madvise does not)."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "madvise", None)
    return function if function is not None else lambda *_: 0


_madvise = _load_madvise()
