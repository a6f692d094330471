"""Room on the disk: said before the first byte where it is known, and when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator

from exporters import wording
from exporters.errors import ExportWarning

_FEW = 64
"""Inodes. Where fewer are free than that when a disk is full, they ran out: what could not be made is removed by then."""


def free_bytes(path: pathlib.Path) -> int:
    """Bytes that this user may still write to the file system of a path."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def left(path: pathlib.Path) -> str:
    """What is free on the file system of a path that was found full, in words: bytes, and inodes where those are what is lacking.

    File systems that make inodes as they need them count none (`f_files` is 0).
    """
    found = os.statvfs(path)
    if not found.f_files or found.f_favail >= _FEW:
        return f"{free_bytes(path):,} bytes are free at {path}"
    return (
        f"{wording.plural(found.f_favail, 'inode')}, of which every file needs one, and {free_bytes(path):,} bytes are free at "
        f"{path}: remove files there, or give a {wording.called('data_dir')} on a file system with more inodes"
    )


def warn_of_little(path: pathlib.Path, needed: int | None) -> None:
    """Warns if more is about to be written than there is room for. A file system that compresses may hold it all the same.

    Args:
      path: where it is written.
      needed: bytes; None if that cannot be told.
    """
    free = free_bytes(path)
    if needed is not None and needed > free:
        warnings.warn(
            f"{needed:,} bytes are about to be written to {path}, and {free:,} are free there; make room, or give a "
            f"{wording.called('data_dir')} on a larger disk. Shards that are finished when it is full are kept, and may be moved",
            ExportWarning,
            stacklevel=2,
        )


@contextlib.contextmanager
def noting(path: pathlib.Path, needed: Callable[[], int | None]) -> Iterator[None]:
    """Says, where a disk or a quota is full, how much is free, of bytes or of inodes, and about how many bytes are still to be
    written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with contextlib.suppress(OSError):
                rest = needed()
                more = "" if rest is None else f", and about {rest:,} bytes are still to be written"
                quota = " (a quota may be used up, of bytes or of files)" if error.errno == errno.EDQUOT else ""
                error.add_note(f"{left(path)}{quota}{more}")
        raise
