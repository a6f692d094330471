"""A directory of datasets as one object: what is in it, opened, measured, mapped and written. On the local disk, for now.

Nobody vouches for what a dataset directory holds. So only regular files are opened, and no link is followed: a link could
lead anywhere, a FIFO would wait for ever, a device may do things when it is read. The kernel refuses a link in the last part
of a path as it opens it (`O_NOFOLLOW`, man 2 open), so nobody can put one there between a check and its use. The directories
before it are the caller's: somebody who can replace those while they are being read can show the reader another dataset, and
its checksums with it.

Nothing else in this package joins paths or opens files of a dataset (`tests/test_house.py`). A store of another kind is a
subclass of `Directory`; `test_another_store` in `tests/tfds_builder/contract/test_directory.py` is a small one, whole.
One that is named by a URL must be known again by its `path` as text: builders hand that on, and pathlib makes one slash of two.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import mmap
import os
import pathlib
import secrets
import stat
from collections.abc import Hashable, Iterator
from typing import BinaryIO, TypeAlias

from tfds_builder.errors import DamagedFileError, ManifestError, MissingFileError, OverwrittenError, UnreadableFileError

MANIFEST = "manifest.json"
AnyDirectory: TypeAlias = "Directory | str | os.PathLike[str]"
"""A directory, or its path as a caller gives it; `Directory.at` makes a directory of either."""
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclasses.dataclass(frozen=True)
class Directory:
    """A directory of the local disk, which need not be there. Names are those of its files, without any slash.

    >>> version = Directory.at("/data").below("digits", "1.0.0")
    >>> version.path_of("manifest.json")
    '/data/digits/1.0.0/manifest.json'
    >>> version.above(2)
    Directory(path=PosixPath('/data'))

    Attributes:
      path: where it is, for messages and for TFDS, which opens some files by itself.
      head: how the manifest in it must begin whenever a file is opened; with nothing, there need not be one.
    """

    path: pathlib.Path
    head: bytes = dataclasses.field(default=b"", kw_only=True, repr=False)

    @classmethod
    def at(cls, place: AnyDirectory) -> Directory:
        """The directory of a path, which is not looked at; a directory as it is."""
        return place if isinstance(place, Directory) else cls(pathlib.Path(place))

    @classmethod
    def given(cls, place: AnyDirectory) -> Directory:
        """The same of a path as a person gives it: with a `~` for their home."""
        return place if isinstance(place, Directory) else cls(pathlib.Path(os.path.expanduser(place)))

    def __str__(self) -> str:
        return os.fspath(self.path)

    def of_version(self, head: bytes) -> Directory:
        """The same directory, in which files are opened only while it is the version that its reader has read about: one
        that is open while its version is overwritten gets the old file or OverwrittenError."""
        return dataclasses.replace(self, head=head)

    @property
    def name(self) -> str:
        """Its own name; "" of a root."""
        return self.path.name

    @property
    def parts(self) -> tuple[str, ...]:
        """The names from the root on down to its own."""
        return self.path.parts

    def below(self, *names: str) -> Directory:
        """The directory that is reached by going down by these names; empty ones are left out."""
        return self._moved(self.path.joinpath(*names))

    def above(self, levels: int = 1) -> Directory:
        """The directory so many levels above.

        Raises:
          IndexError: there are not so many.
        """
        return self._moved(self.path.parents[levels - 1])

    def absolute(self) -> Directory:
        """The same directory by a path that does not depend on the working directory."""
        return self._moved(self.path.absolute())

    def resolved(self) -> Directory:
        """The same directory by a path without links."""
        return self._moved(pathlib.Path(os.path.realpath(self.path)))

    def _moved(self, path: pathlib.Path) -> Directory:
        """A directory of the same store, of no known version."""
        return dataclasses.replace(self, path=path, head=b"")

    def path_of(self, name: str) -> str:
        """The path of a file in it, for messages and for TFDS."""
        return os.fspath(self.path / name)

    def is_link(self) -> bool:
        """Whether the last part of its path is a symbolic link."""
        return os.path.islink(self.path)

    def is_taken(self) -> bool:
        """Whether there is anything at its path: a directory, a file, or a link to nowhere."""
        return os.path.lexists(self.path)

    def exists(self) -> bool:
        """Whether it is there, be it behind a link.

        Raises:
          UnreadableFileError: this user may not look into the directory above it.
        """
        try:
            return stat.S_ISDIR(os.stat(self.path).st_mode)
        except PermissionError as error:
            raise UnreadableFileError.of(self.path) from error
        except (OSError, ValueError):  # ValueError: NUL in the path
            return False

    def has(self, name: str, *, if_hidden: bool = False) -> bool:
        """Whether a file of that name is there, be it behind a link (which `open` refuses to follow).

        Args:
          if_hidden: what to answer if this user may not look.
        """
        try:
            return stat.S_ISREG(os.stat(self.path_of(name)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return if_hidden

    def names(self) -> list[str]:
        """Names of everything in it, in no order.

        Raises:
          MissingFileError: it is not there.
          UnreadableFileError: this user may not list it.
          DamagedFileError: the system cannot list it.
        """
        with self._entries() as entries:
            return [entry.name for entry in entries]

    def directories(self) -> list[str]:
        """Names of the directories in it, in no order, without links. Raises what `names` does."""
        with self._entries() as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def linked_directories(self) -> list[str]:
        """Names of the links in it that lead to directories, in no order. Raises what `names` does."""
        with self._entries() as entries:
            return [entry.name for entry in entries if entry.is_symlink() and os.path.isdir(entry.path)]

    @contextlib.contextmanager
    def _entries(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        try:
            with os.scandir(self.path) as entries:
                yield entries
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingFileError(f"{self} is missing, or no directory") from error
        except PermissionError as error:
            raise UnreadableFileError.of(self.path) from error
        except OSError as error:
            raise DamagedFileError(f"{self} cannot be listed: {error.strerror or error}") from error

    def open(self, name: str, buffering: int = -1) -> BinaryIO:
        """Opens a regular file for reading, in binary.

        An overwrite swaps directories. So the directory is opened once, its manifest looked at there, and the file opened there.

        Args:
          name: of the file.
          buffering: as of the built-in `open`.

        Raises:
          OverwrittenError: the directory is not the version it was (`of_version`).
          MissingFileError: the file is not there.
          UnreadableFileError: this user may not read it.
          DamagedFileError: it is a link, a directory or anything else that is no regular file, or it cannot be opened.
        """
        if not self.head:
            return _open_regular(self.path_of(name), buffering)
        with self._opened_version() as directory:
            return _open_regular(self.path_of(name), buffering, directory)

    def check_version(self) -> None:
        """Raises OverwrittenError unless the directory is still the version it was, and what `open` raises of its manifest."""
        if self.head:
            with self._opened_version():
                pass

    @contextlib.contextmanager
    def _opened_version(self) -> Iterator[int]:
        """A descriptor of the directory, whose manifest begins as it must."""
        try:
            directory = os.open(self.path, _DIRECTORY_FLAGS)
        except PermissionError as error:
            raise UnreadableFileError.of(self.path) from error
        except OSError as error:
            raise MissingFileError(f"{self} is missing, or no directory") from error
        try:
            with _open_regular(self.path_of(MANIFEST), 0, directory) as manifest:
                if manifest.read(len(self.head)) != self.head:
                    raise OverwrittenError(f"{self} was overwritten after it was opened; load the dataset again")
            yield directory
        finally:
            os.close(directory)

    def size(self, name: str) -> int:
        """Size of a regular file that can be read; whether it is of the same version is not looked at.

        Raises:
          MissingFileError: it is not there.
          UnreadableFileError: this user may not read it, or not look into its directory.
          DamagedFileError: it is no regular file.
        """
        path = self.path_of(name)
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingFileError(f"{path} is missing") from error
        except PermissionError as error:
            raise UnreadableFileError.of(path) from error
        except (OSError, ValueError) as error:
            raise DamagedFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        if not stat.S_ISREG(found.st_mode):
            raise DamagedFileError(f"{path} must be a regular file (links are not followed)")
        if not os.access(path, os.R_OK):
            raise UnreadableFileError.of(path)
        return found.st_size

    def stamp(self, name: str, stream: BinaryIO | None = None) -> tuple[Hashable, ...] | None:
        """What is another one once a file has been replaced or written to; None if that cannot be told. No byte of it is read.

        Args:
          name: of the file.
          stream: the file as `open` gave it, if it is that one which is asked about, and not the one there now.
        """
        try:
            found = os.lstat(self.path_of(name)) if stream is None else os.fstat(stream.fileno())
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def modified(self, name: str) -> float:
        """When a file was last written, in seconds since 1970.

        Raises:
          OSError: it is not there, or this user may not look.
        """
        return os.stat(self.path_of(name)).st_mtime

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file that is not larger than that; a larger one is refused unread.

        Raises:
          ManifestError: it is larger.
          OverwrittenError, MissingFileError, UnreadableFileError, DamagedFileError: see `open`.
        """
        with self.open(name) as stream:
            size = stream.seek(0, os.SEEK_END)
            if size > limit:
                raise ManifestError(f"{self.path_of(name)} has {size} bytes; more than {limit} are refused")
            stream.seek(0)
            return stream.read(limit)

    def sha256(self, name: str) -> str:
        """SHA-256 of a file, in hexadecimal. Lets go of the interpreter lock; raises what `open` does."""
        with self.open(name, 0) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # a raw stream is read in place

    def map(self, name: str, size: int) -> mmap.mmap:
        """A whole file as memory, read-only.

        Args:
          size: its bytes, which must not be none.

        Raises:
          DamagedFileError: it has another size.
          OverwrittenError, MissingFileError, UnreadableFileError: see `open`.
          OSError: it cannot be mapped, or there is no room for it (man 2 mmap): it is to be read instead, by `read_into`.
        """
        with self.open(name, 0) as stream:
            if os.fstat(stream.fileno()).st_size != size:
                raise DamagedFileError(f"{self.path_of(name)} has changed its size: somebody is writing to it")
            return mmap.mmap(stream.fileno(), size, prot=mmap.PROT_READ)

    def read_into(self, name: str, start: int, room: memoryview) -> int:
        """Reads a file from byte `start` on until `room` is full or the file ends; returns how many bytes that were. Raises
        what `open` does."""
        done = 0
        with self.open(name, 0) as stream:
            while done < len(room) and (count := os.preadv(stream.fileno(), [room[done:]], start + done)):
                done += count
        return done

    def view(self, name: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file, fewer where it ends before. Raises what `open` does."""
        parts = []
        with self.open(name, 0) as stream:
            while start < stop and (part := os.pread(stream.fileno(), stop - start, start)):
                parts.append(part)
                start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def make(self) -> None:
        """Makes the directory and those above it, if they are not there."""
        self.path.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Holds a lock (man 2 flock), which goes with the process that has it; its file stays.

        Raises:
          BlockingIOError: another process has it.
        """
        import fcntl  # not on Windows

        descriptor = os.open(self.path_of(name), _FLAGS | os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(descriptor)

    def create(self, name: str, content: bytes) -> None:
        """Writes a file that must not be there yet, and brings it to disk.

        Raises:
          FileExistsError: it is there. Of several who create it, one succeeds.
          OSError: it cannot be written; what was begun is removed.
        """
        path = self.path_of(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask, as every new file
        try:
            with open(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            os.unlink(path)
            raise

    def replace(self, name: str, content: bytes) -> None:
        """Writes a file by one rename: whoever reads it meanwhile reads all of the old one or all of the new one.

        Raises:
          OSError: it cannot be written; what was there is there still.
        """
        partial = f".{name}.{secrets.token_hex(8)}.incomplete"
        self.create(partial, content)
        try:
            os.replace(self.path_of(partial), self.path_of(name))
        except BaseException:
            self.remove(partial)
            raise

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path_of(name))

    def remove_if_empty(self) -> None:
        """Removes the directory, if it is there and nothing is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def _open_regular(path: str, buffering: int, directory: int | None = None) -> BinaryIO:
    """Opens a regular file for reading, in binary; see `Directory.open`.

    Args:
      directory: an open descriptor of the file's directory, in which its name is looked up instead.
    """
    try:
        descriptor = os.open(os.path.basename(path) if directory is not None else path, _FLAGS, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{path} is missing") from error
    except PermissionError as error:
        raise UnreadableFileError.of(path) from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        if getattr(error, "errno", None) == errno.ELOOP:
            raise DamagedFileError(f"{path} must be a regular file (it is a symbolic link, which is not followed)") from error
        raise DamagedFileError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFileError(f"{path} must be a regular file (it is a directory, a device, a FIFO or a socket)")
    return open(descriptor, "rb", buffering)
