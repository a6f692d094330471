"""Memory to copy rows to, which is used again when the arrays made of it are gone."""

from __future__ import annotations

import collections
import mmap
import threading
import time
from collections.abc import Callable

import numpy as np

from tfds_builder.aliases import Array

ALIGNMENT = 64
"""TensorFlow takes an array at a multiple of this address as it is and copies any other, under the
interpreter lock (EIGEN_MAX_ALIGN_BYTES; tensorflow/python/lib/core/py_func.cc)."""
_REUSED_FROM, _REUSED_BYTES = 256 * 1024, 1024**3
"""Arrays of this many bytes and more are made of memory that is used again; so many bytes of it are kept at most."""
_IDLE_BYTES = 256 * 1024**2
"""Where nothing that is kept has the right size, what is kept is of no use: so many bytes of it stay, with the new one."""
_TRIES, _PAUSE = 50, 0.02
"""How often memory is asked for before it is an error, and the seconds between."""


class Buffers:
    """Aligned memory that is used again when the arrays made of it are gone.

    New memory costs as much as copying into it: the kernel has to find and clear its pages. A large
    array from here gives its memory back when the last view of it is dropped (for a tensor, when
    TensorFlow lets go of it). Safe to use from several threads, and after a fork.

    An array may be dropped anywhere, even by a garbage collection while this thread holds the lock. So what comes back
    is put down without it, and taken in by whoever holds it next; and nothing but attributes is used for that, which are
    still there when the interpreter ends and modules are empty.

    Args:
      relieve: called when there is no memory to be had, before it is asked for once more.

    Attributes:
      keeps: whether memory that comes back is kept.
    """

    def __init__(self, relieve: Callable[[], None] = lambda: None) -> None:
        self._relieve, self._limit, self.keeps = relieve, _REUSED_BYTES, True
        self.renew_lock()

    def renew_lock(self) -> None:
        """A new lock, and nothing kept, for a child in which the old one may be held for ever."""
        self._returned: collections.deque[Array] = collections.deque()
        self._free: list[Array] = []
        self._bytes = 0
        self._lock = threading.Lock()

    def empty(self, rows: int, row_bytes: int, *, again: bool = True) -> Array:
        """Room for rows, not initialised, that belongs to the caller: uint8, shape (rows, row_bytes).

        Args:
          again: whether the memory is used again.
        """
        size = rows * row_bytes
        if size < _REUSED_FROM:
            return _aligned(size).reshape(rows, row_bytes)
        if not again:
            return self._take(size)[:size].reshape(rows, row_bytes)
        loan = _Loan(self, self._take(size))
        return np.asarray(loan)[:size].reshape(rows, row_bytes)

    def _take(self, size: int) -> Array:
        found = self._find(size)
        if found is not None:
            return found
        for _ in range(_TRIES):
            try:
                return _anonymous(size)
            except OSError:
                with self._lock:
                    self._drop()
                self._relieve()
                time.sleep(_PAUSE)  # until another thread has read what it holds mapped
        return _anonymous(size)

    def _find(self, size: int) -> Array | None:
        """Memory that is kept, for so many bytes; None if there is none."""
        found = None
        with self._lock:
            self._take_in()
            for number, memory in enumerate(self._free):
                if size <= memory.size <= 2 * size:
                    found = self._free.pop(number)
                    self._bytes -= found.size
                    break
            while found is None and self._free and self._bytes + size > _IDLE_BYTES:
                self._bytes -= self._free.pop(0).size
        self._settle()
        return found

    def give_back(self, memory: Array) -> None:
        """Keeps memory for the next one who asks, unless enough is kept already or nobody is expected."""
        self._returned.append(memory)
        self._settle()

    def clear(self) -> None:
        """Lets go of what is kept, and keeps nothing until `keeps` is set again."""
        self.keeps = False
        self._settle()

    def _settle(self) -> None:
        """Takes in what has come back. If the lock is held, whoever holds it does so afterwards."""
        while (self._returned or (self._free and not self.keeps)) and self._lock.acquire(blocking=False):
            try:
                self._take_in()
            finally:
                self._lock.release()

    def _take_in(self) -> None:
        """What `_settle` does, by the one who holds the lock."""
        while self._returned:
            memory = self._returned.popleft()
            if self.keeps and self._bytes + memory.size <= self._limit:
                self._bytes += memory.size
                self._free.append(memory)
        if not self.keeps:
            self._drop()

    def _drop(self) -> None:
        self._free.clear()
        self._bytes = 0


class _Loan:
    """Owner of the memory of an array; NumPy keeps it as the array's base."""

    def __init__(self, owner: Buffers, memory: Array) -> None:
        self._owner, self._memory = owner, memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._owner.give_back(self._memory)


def _aligned(size: int) -> Array:
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def _anonymous(size: int) -> Array:
    """New memory straight from the kernel. NumPy asks for huge pages for large arrays, and where memory is in pieces
    the kernel then moves others together first: half a second for 150 MB has been seen. Private: by default it would be
    shared with forked workers, which then write into each other's batches."""
    memory: Array = np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
    return memory
