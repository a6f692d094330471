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
import pwd
import shlex
import socket
import stat
import time
from collections.abc import Iterable, Iterator

from exporters import wording
from exporters.errors import DataDirError
from exporters.staging import space as room

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
_TRIES = 10
"""Times a directory is made again that others remove meanwhile."""
_WAITS, _SECONDS = 40, 0.05
"""Times a lock is tried again whose holder has ended, and seconds between them."""
_LIBC = ctypes.CDLL(None, use_errno=True)
_HELD: set[int] = set()
"""Descriptors that hold a lock. A forked child (a worker of a DataLoader) shares it, and would keep it alive."""


def _drop_held() -> None:
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_drop_held)


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def refuse_link(path: pathlib.Path, advice: str) -> None:
    """Raises if there is a symbolic link in the last place of a path.

    Args:
      path: what must not be a link.
      advice: what else there is to do than to remove it; "" if there is nothing.

    Raises:
      DataDirError: it is one.
    """
    if path.is_symlink():
        raise DataDirError(
            errno.ELOOP,
            f"{path} is a symbolic link (to {os.readlink(path)}), which is not followed; nothing behind it was touched: remove "
            f"the link (rm {shlex.quote(os.fspath(path))}){advice}",
        )


def make_directory(path: pathlib.Path) -> None:
    """Makes a directory and its parents, also while another export that failed removes the parents it had made."""
    for attempt in range(_TRIES):
        try:
            path.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise


def open_below(directory: pathlib.Path, names: Iterable[str]) -> int:
    """An open descriptor of a directory below another, reached without following a link.

    Args:
      directory: where to begin; this path may hold links.
      names: the directories from there on.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def lock_directory(path: pathlib.Path, holder: pathlib.Path, parent: int, *, shared: bool = False) -> int:
    """An open descriptor that holds the lock of a directory; the kernel drops it when its process dies.

    Args:
      path: the directory; a link is not followed.
      holder: where `sign` has said who holds it.
      parent: its parent, open.
      shared: whether others may hold it too, who take it so.

    Raises:
      DataDirError: another process holds it.
    """
    descriptor = os.open(path.name, _DIRECTORY, dir_fd=parent)
    try:
        for _ in range(_WAITS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            if not _has_ended(holder):
                break
            time.sleep(_SECONDS)  # a process that it had forked an instant before holds it still
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
    remove_file(holder)
    with open(holder, "x") as stream:
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": since}, stream)


def remove_file(path: pathlib.Path) -> None:
    """Removes a file, if it is there. If it is a link, only the link is removed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def open_no_link(path: str, flags: int) -> int:
    """An opener (of `open`) that follows no link in the last place of the path."""
    return os.open(path, flags | os.O_NOFOLLOW)


def _has_ended(holder: pathlib.Path) -> bool:
    """Whether whoever has signed was a process of this machine that is there no more."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(holder.read_bytes())
        if content["host"] == socket.gethostname():
            try:
                os.kill(int(content["pid"]), 0)
            except ProcessLookupError:
                return True
    return False


def _read_holder(holder: pathlib.Path) -> str:
    """Who has signed, in words; nothing if nobody has, or not yet."""
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


def exchange(first: pathlib.Path, second: pathlib.Path, aside: pathlib.Path) -> None:
    """Swaps two directories of one file system.

    Atomic where the kernel can (Linux `renameat2` with RENAME_EXCHANGE, man 2 rename); elsewhere by
    three renames, of which the second name is missing for an instant between the first two.

    Args:
      first, second: the directories.
      aside: a name that is free; if the last of three renames fails, what was `second` is left there.

    Raises:
      DataDirError: neither way works. Both are where they were.
    """
    at_fdcwd, rename_exchange = -100, 2
    renameat2 = getattr(_LIBC, "renameat2", None)
    if renameat2 is not None:
        if renameat2(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), rename_exchange) == 0:
            return
        if ctypes.get_errno() == errno.ENOENT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(first))
    try:
        os.rename(second, aside)
    except OSError as error:
        why = _words_of_owner(second)
        if error.errno == errno.EXDEV:
            why = "it lies in a lower layer of an overlay, out of which the kernel moves no directory"
        raise DataDirError(
            error.errno,
            f"{second} cannot be replaced: {error.strerror} ({why}); remove it (rm -r {shlex.quote(os.fspath(second))}) and "
            f"{wording.again()}, which then goes on",
        ) from error
    try:
        os.rename(first, second)
    except OSError:
        os.rename(aside, second)
        raise
    with contextlib.suppress(OSError):
        os.rename(aside, first)


def _words_of_owner(path: str | os.PathLike[str]) -> str:
    """Whose a file or directory is, what its mode is, and who asks."""
    found = os.lstat(path)
    return f"{os.fspath(path)} is {_user(found.st_uid)}'s, {stat.filemode(found.st_mode)}; you are {_user(os.geteuid())}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def may_remove(path: pathlib.Path) -> bool:
    """Whether this process may rename a directory and remove what is in it, as far as modes tell (a sticky parent included)."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return True  # that is another error, and the kernel will say so
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return False
    parent, user = os.stat(path.parent), os.geteuid()
    return not parent.st_mode & stat.S_ISVTX or user in (0, parent.st_uid, os.lstat(path).st_uid)


def check_replaceable(version: pathlib.Path) -> None:
    """Raises DataDirError unless a version is a directory that this process may replace."""
    if not version.is_dir():
        raise DataDirError(errno.ENOTDIR, f"{version} is no directory; move it away, or {another_version()}")
    if not may_remove(version):
        raise DataDirError(
            errno.EACCES,
            f"this version cannot be replaced: {_words_of_owner(version)}; have its owner remove it, or {another_version()}",
        )


def another_version() -> str:
    """Advice to publish beside what is in the way."""
    return f"{wording.either('pass', 'give')} another {wording.argument('version')}"


def explain(error: OSError, *places: pathlib.Path) -> DataDirError:
    """An error of the operating system as a stage was taken, with whose directory it was about and what to do.

    Args:
      error: what happened.
      places: the stage, and what else of an export may be there already.
    """
    advice = f"give a {wording.called('data_dir')} that can be written"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = f"{room.left(next(path for path in places[0].parents if path.exists()))}; make room, or {advice}"
    elif error.errno in (errno.EACCES, errno.EPERM):
        for path in filter(os.path.lexists, places):
            if not may_remove(path):
                advice = f"{_words_of_owner(path)}: have its owner remove it, or {another_version()}"
                break
        else:
            advice += f" ({_words_of_owner(next(path for path in places[0].parents if path.exists()))})"
    return DataDirError(error.errno, f"cannot write to {places[0]}: {error.strerror}; {advice}")
