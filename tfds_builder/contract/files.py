"""Opening what a dataset directory holds, which nobody vouches for: regular files only, no links followed.

A link could lead anywhere, a FIFO would wait for ever, a device may do things when it is read. The
kernel refuses a link in the last part of a path as it opens it (`O_NOFOLLOW`, man 2 open), so nobody
can put one there between a check and its use. The directories before it are the caller's: somebody who
can replace those while they are being read can show the reader another dataset, and its checksums with it.
"""

from __future__ import annotations

import errno
import os
import pathlib
import stat
from typing import BinaryIO

from tfds_builder.errors import DamagedFileError, ManifestError, MissingFileError, OverwrittenError, UnreadableFileError

MANIFEST = "manifest.json"
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: str | os.PathLike[str], buffering: int = -1, directory: int | None = None) -> BinaryIO:
    """Opens a regular file for reading, in binary.

    Args:
      path: the file.
      buffering: as of `open`.
      directory: an open descriptor of the file's directory, in which its name is looked up instead.

    Raises:
      MissingFileError: it is not there.
      UnreadableFileError: this user may not read it.
      DamagedFileError: it is a link, a directory or anything else that is no regular file, or it cannot be opened.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(os.path.basename(name) if directory is not None else name, _FLAGS, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{name} is missing") from error
    except PermissionError as error:
        raise permission_denied(name) from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        if getattr(error, "errno", None) == errno.ELOOP:
            raise DamagedFileError(f"{name} must be a regular file (it is a symbolic link, which is not followed)") from error
        raise DamagedFileError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFileError(f"{name} must be a regular file (it is a directory, a device, a FIFO or a socket)")
    return open(descriptor, "rb", buffering)


def open_of_version(path: pathlib.Path, head: bytes, buffering: int = -1) -> BinaryIO:
    """Opens a regular file of a version directory, which must be the version that its reader has read about.

    An overwrite swaps directories. So the directory is opened once, its manifest looked at there, and the file opened there.

    Args:
      path: the file.
      head: how the manifest beside it must begin; with nothing it need not be there.
      buffering: as of `open`.

    Raises:
      OverwrittenError: the manifest is another one.
      MissingFileError, UnreadableFileError, DamagedFileError: see `open_regular`.
    """
    if not head:
        return open_regular(path, buffering)
    try:
        directory = os.open(path.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
    except PermissionError as error:
        raise permission_denied(path.parent) from error
    except OSError as error:
        raise MissingFileError(f"{path.parent} is missing, or no directory") from error
    try:
        with open_regular(path.parent / MANIFEST, 0, directory) as manifest:
            if manifest.read(len(head)) != head:
                raise OverwrittenError(f"{path.parent} was overwritten after it was opened; load the dataset again")
        return open_regular(path, buffering, directory)
    finally:
        os.close(directory)


def size_of(path: str | os.PathLike[str]) -> int:
    """Size of a regular file that can be read.

    Raises:
      MissingFileError: it is not there.
      UnreadableFileError: this user may not read it, or not look into its directory.
      DamagedFileError: it is no regular file.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{os.fspath(path)} is missing") from error
    except PermissionError as error:
        raise permission_denied(path) from error
    except (OSError, ValueError) as error:
        raise DamagedFileError(f"{os.fspath(path)} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DamagedFileError(f"{os.fspath(path)} must be a regular file (links are not followed)")
    if not os.access(path, os.R_OK):
        raise permission_denied(path)
    return found.st_size


def read_limited(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content of a regular file that is not larger than that; a larger one is refused unread.

    Raises:
      MissingFileError: it is not there.
      UnreadableFileError: this user may not read it.
      DamagedFileError: it is no regular file, or cannot be opened.
      ManifestError: it is larger.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise ManifestError(f"{os.fspath(path)} has {size} bytes; more than {limit} are refused")
        return stream.read(limit)


def permission_denied(path: str | os.PathLike[str]) -> UnreadableFileError:
    """The error that says who can let this user read a file or directory.

    >>> permission_denied("/data/faces/1.0.0/manifest.json")          # doctest: +SKIP
    UnreadableFileError('/data/faces/1.0.0/manifest.json cannot be read: permission denied; ask its owner, alice, for access')
    """
    name = os.fspath(path)
    return UnreadableFileError(f"{name} cannot be read: permission denied; ask its owner, {_owner(name)}, for access")


def _owner(name: str) -> str:
    """Whose a path is, or, where even that may not be seen, whose the directory is that hides it."""
    path = pathlib.Path(name).absolute()
    for place in (path, *path.parents):
        try:
            user = os.lstat(place).st_uid
        except OSError:
            continue
        try:
            import pwd
        except ImportError:  # Windows
            break
        try:
            return pwd.getpwuid(user).pw_name
        except KeyError:
            return f"user {user}"
    return "whoever made it"
