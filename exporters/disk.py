"""What a stage asks of the operating system: a lock, fsync, the swap of two directories, errors that say which file."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator

from exporters.errors import DataDirError

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
_LIBC = ctypes.CDLL(None, use_errno=True)
_HELD: set[int] = set()
"""Descriptors that hold a lock. A forked child (a worker of a DataLoader) shares it, and would keep it alive."""


def _drop_held() -> None:
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_drop_held)


def lock_directory(path: pathlib.Path, holder: pathlib.Path) -> int:
    """An open descriptor that holds the lock of a directory; the kernel drops it when its process dies.

    Args:
      path: the directory.
      holder: where `sign` has said who holds it.

    Raises:
      DataDirError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise DataDirError(error.errno, f"cannot lock {path}: {error.strerror}") from error
        raise DataDirError(
            errno.EBUSY, f"another export{_read_holder(holder)} is writing {path}; wait for it, end it, or export another version"
        ) from error
    _HELD.add(descriptor)
    return descriptor


def unlock(descriptor: int) -> None:
    """Drops a lock."""
    _HELD.discard(descriptor)
    os.close(descriptor)


def sign(holder: pathlib.Path) -> None:
    """Says who holds a lock: this process, from now on."""
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))


def _read_holder(holder: pathlib.Path) -> str:
    """Who has signed, in words; nothing if that is not there, or not yet."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(holder.read_bytes())
        return f" (process {content['pid']} on {content['host']}, since {content['since']})"
    return ""


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of the operating system that name no file, as those of `write` and `fsync`, become a DataDirError that does."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or isinstance(error, DataDirError):
            raise
        raise DataDirError(error.errno, f"cannot write {os.fspath(path)}: {error.strerror or error}") from error


def begin_writeback(descriptor: int, start: int, size: int) -> None:
    """Tells the kernel to begin writing a range to disk (man 2 sync_file_range, Linux). Only a hint: fsync is what counts."""
    sync_file_range = getattr(_LIBC, "sync_file_range", None)
    if sync_file_range is not None:
        sync_file_range(descriptor, ctypes.c_int64(start), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Fsyncs a directory, so that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(first: pathlib.Path, second: pathlib.Path) -> None:
    """Swaps two directories of one file system.

    Atomic where the kernel can (Linux `renameat2` with RENAME_EXCHANGE, man 2 rename); elsewhere by
    three renames, of which the second name is missing for an instant between the first two.
    """
    at_fdcwd, rename_exchange = -100, 2
    renameat2 = getattr(_LIBC, "renameat2", None)
    if renameat2 is not None:
        if renameat2(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), rename_exchange) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise DataDirError(code, f"cannot swap {first} and {second}: {os.strerror(code)}")
    aside = second.with_name(f"{second.name}.replaced")
    os.rename(second, aside)
    try:
        os.rename(first, second)
    except OSError:
        os.rename(aside, second)
        raise
    os.rename(aside, first)
