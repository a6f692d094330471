"""A version that is being read is held, so that whoever would remove it can know: a shared lock of its manifest (man 2 flock).

>>> held = hold(Directory.at("/data/digits/1.0.0"))              # doctest: +SKIP
>>> with refusing_readers(Directory.at("/data/digits/1.0.0")):   # doctest: +SKIP
...     remove it
BlockingIOError: ...

The lock goes with the process that has it, whatever becomes of that, and with the last child that inherited it. Reading never
depends on it: a file system without locks, or one that keeps them to one machine, only means that a reader is not seen.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import BinaryIO

from tfds_builder.contract.directory import MANIFEST, Directory
from tfds_builder.errors import DatasetError

_MOST = 200
"""So many versions are held by a process at once: each costs an open file, of which there are often no more than 1,024."""
_PAUSE = 10.0
"""Seconds between two looks whether some that are held are garbage, where there are so many."""


class Hold:
    """A version that is held for as long as this lives."""

    def __init__(self, stream: BinaryIO) -> None:
        weakref.finalize(self, stream.close)


_held: weakref.WeakValueDictionary[tuple[int, int], Hold] = weakref.WeakValueDictionary()
_lock = threading.Lock()
_looked = [float("-inf")]


def _renew_lock() -> None:
    """In a forked child: whichever thread of the parent had it is not here to release it."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def hold(directory: Directory) -> Hold | None:
    """Holds a version for as long as what this returns is kept; readers of one process share it. None if it cannot be held."""
    try:
        stream = directory.open(MANIFEST, 0)
    except DatasetError:
        return None
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # it is no file of this system: another store (`Directory`)
        stream.close()
        return None
    key = found.st_dev, found.st_ino
    if len(_held) >= _MOST and time.monotonic() - _looked[0] > _PAUSE:
        gc.collect()
        _looked[0] = time.monotonic()
    with _lock:
        known = _held.get(key)
        if known is not None or len(_held) >= _MOST or not _try_lock(stream, exclusive=False):
            stream.close()
            return known
        made = _held[key] = Hold(stream)
        return made


@contextlib.contextmanager
def refusing_readers(directory: Directory) -> Iterator[None]:
    """Makes sure that nobody holds a version, and that nobody does in the meantime.

    Raises:
      BlockingIOError: somebody reads it, in this process or in another one.
      DatasetError: its manifest cannot be opened.
    """
    with directory.open(MANIFEST, 0) as stream:
        if not _try_lock(stream, exclusive=True):
            gc.collect()  # datasets of this process that nobody has any more
            if not _try_lock(stream, exclusive=True):
                raise BlockingIOError(f"{directory} is being read")
        yield


def _try_lock(stream: BinaryIO, *, exclusive: bool) -> bool:
    """Whether a lock was got, or there are none on this file system."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(stream.fileno(), (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here, or none for a file that is open for reading alone
        return True
    return True
