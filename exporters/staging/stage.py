"""Nothing is visible under its final name until it is whole: staged, fsynced, renamed once.

A version is staged in `<data_dir>/<name>/<version>.incomplete` (of a config, in
`<data_dir>/<name>/<config>/<version>.incomplete`), beside where it will be, so that publishing is one
rename inside one file system. TFDS takes no notice of such a directory.

The directories below `data_dir` may be writable for others. None of them is reached through a link, and what is
removed is removed by descriptor, and only if an export wrote it (`exporters.staging.contents`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pathlib
import shlex
import warnings
from collections.abc import Iterable, Iterator

from exporters import wording
from exporters.errors import AlreadyPublishedError, DataDirError, ExportWarning, ResumeError
from exporters.staging import contents
from exporters.staging.contents import HOLDER_NOTE, PUBLISHING_NOTE, STAGE_NOTE
from exporters.staging.disk import (
    another_version,
    check_replaceable,
    exchange,
    explain,
    hash_file,
    lock_directory,
    make_directory,
    may_remove,
    naming,
    open_below,
    open_no_link,
    refuse_link,
    remove_file,
    sign,
    sync_directory,
    unlock,
)
from exporters.staging.notes import Notes, say_what_is_kept
from tfds_builder.catalog.builder_module import module_name
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.manifest import File


class Stage(Notes):
    """The staged directory of one version of one dataset, or of one of its configs, held by one process.

    >>> with Stage("/data", "digits", "1.0.0", overwrite=False) as stage:      # doctest: +SKIP
    ...     ...                       # write files into stage.path
    ...     stage.publish()

    Beside it lies a directory of notes: the plan, the order of examples, what is finished. Leaving
    the stage without `publish` removes both, unless a shard is finished: then both stay, and the next
    stage of the same version begins with them. Nothing is published after an exception.

    Attributes:
      target: where the version will be.
      path: the stage.
      notes: the directory of notes.
      overwrite: whether a version that is there may be replaced, and what was stopped begun anew.
      was_moved: whether the stage is another directory than the notes are about: a copy, say. Then what is finished must
        be compared byte for byte.

    Raises:
      AlreadyPublishedError: the version exists and `overwrite` is False.
      ResumeError: what an export before left behind cannot be gone on with.
      DataDirError: `data_dir` is a file or cannot be written; a link is in the way, or something no export wrote; another
        process holds the stage.
    """

    def __init__(self, data_dir: str | os.PathLike[str], name: str, version: str, *, config: str = "", overwrite: bool) -> None:
        self._data_dir = pathlib.Path(os.path.expanduser(os.fspath(data_dir))).absolute()
        self._below = (name, config) if config else (name,)
        parent = self._data_dir.joinpath(*self._below)
        self.target = parent / version
        self.path = parent / f"{version}.incomplete"
        self.notes = parent / f"{version}.resume"
        self._aside = parent / f"{version}.replaced"
        self._module = self._data_dir / name / module_name(name)
        self.overwrite = overwrite
        self._is_ours = contents.is_of_version(name)
        self._made = [path for path in (parent, *parent.parents) if not os.path.exists(path)]
        self._lock: int | None = None
        self._parent = -1
        self._published, self.was_moved = False, False

    def __enter__(self) -> Stage:
        fresh = [path for path in (self.path, self.notes) if not os.path.lexists(path)]
        try:
            self._check_places()
            if os.path.lexists(self.target) and not self.overwrite:
                self._clear_what_was_published()
                raise AlreadyPublishedError(
                    f"{self.target} is already published; {wording.passing('overwrite', True)} to replace it, or "
                    f"{another_version()}"
                )
            self._lock = self._take_lock()
            self._take_over()
        except BaseException as error:
            self._leave_untouched(fresh)
            if isinstance(error, OSError) and not isinstance(error, DataDirError | AlreadyPublishedError):
                raise explain(error, self.path, self.notes) from error
            raise
        return self

    def __exit__(self, _: object = None, error: BaseException | None = None, __: object = None) -> None:
        if self._lock is None:
            return
        finished: list[str] | None = None
        with contextlib.suppress(OSError):  # too many open files, say: what cannot be listed is kept
            finished = self._shard_notes() if self.path.is_dir() else []
        if finished and self.overwrite and os.path.lexists(self.target):
            finished = []  # nobody could go on after them: the version is there, and replacing it begins anew
        if error is not None and not self._published and finished:
            say_what_is_kept(error, len(finished), self.path, begins_anew=self.overwrite)
        try:
            if self._published or finished == []:
                self._remove_all(error)
        finally:
            self._release()
        self._remove_made()

    def _leave_untouched(self, fresh: Iterable[pathlib.Path]) -> None:
        """Removes the directories that were made to no avail, and drops the lock."""
        try:
            for path in fresh if self._lock is not None else ():
                with contextlib.suppress(OSError):
                    self._remove_directory(path)
        finally:
            self._release()
        self._remove_made()

    def _remove_made(self) -> None:
        for path in self._made:
            with contextlib.suppress(OSError):  # not empty: something else lives there now
                path.rmdir()

    def _check_places(self) -> None:
        """Raises, before anything is made, where a link, or something else that is not ours, has a place of ours."""
        place = self._data_dir
        for name in self._below:
            place /= name
            behind = wording.passing("data_dir", os.path.dirname(os.path.realpath(place)))
            refuse_link(place, f", or {behind}" if place.parent == self._data_dir else "")
        for place in (self.path, self.notes, self._aside, self._module):
            refuse_link(place, "")
        refuse_link(self.target, f", or {another_version()}")
        if not self.overwrite or not os.path.lexists(self.target):
            return
        check_replaceable(self.target)
        with self._opened(self.target) as version:
            contents.refuse_foreign(self.target, version, self._is_ours)

    def _clear_what_was_published(self) -> None:
        """Removes what an export left behind that was killed between the rename and the end."""
        with contextlib.suppress(OSError):
            if self._is_published() or (self.notes.is_dir() and not self.path.is_dir() and not self._shard_notes()):
                self._lock, self._published = self._take_lock(), True
                self.__exit__()

    def _is_published(self) -> bool:
        """Whether what the notes are about is published: the version that is there has the manifest noted before the rename."""
        with contextlib.suppress(OSError):
            noted = self.read_note(PUBLISHING_NOTE)
            return not self.target.is_symlink() and hash_file(self.target / manifest_lib.FILENAME).encode() == noted
        return False

    def _take_over(self) -> None:
        """Removes what is left of an export that was published; begins anew unless one that was stopped can be gone on with.

        Raises:
          ResumeError: it can neither be gone on with nor be removed without a word.
        """
        for place in filter(os.path.lexists, (self.path, self.notes)):
            if not may_remove(place):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(place))
        if os.path.lexists(self._aside):
            self._put_back()
        if self._is_published():
            self._remove_contents()
        self._refuse_foreign()
        noted = self.identity()
        problem = self.find_problem(noted, self._files())
        if problem and not self.overwrite:
            raise ResumeError(f"{problem}, or {wording.passing('overwrite', True)} to begin anew")
        self.notes.mkdir(exist_ok=True)
        sign(self.notes / HOLDER_NOTE)
        if self.overwrite or problem or not noted or not noted["inode"] or not self.has_finished_shards():
            self.begin_anew()
        else:
            self.was_moved = noted["inode"] != self.path.stat().st_ino or self.has_note(PUBLISHING_NOTE)

    def _put_back(self) -> None:
        """Puts an old version back whose swap was cut off between its renames; where the new one is there, the old one goes."""
        if not self.has_note(PUBLISHING_NOTE):
            raise DataDirError(
                errno.EEXIST, f"{self._aside} is in the way; move it away, or remove it (rm -r {shlex.quote(str(self._aside))})"
            )
        if not os.path.lexists(self.target):
            os.rename(self._aside, self.target)
            sync_directory(self.target.parent)
            if not self.overwrite:
                raise AlreadyPublishedError(
                    f"{self.target} is published; replacing it was cut off: {wording.passing('overwrite', True)} to go on"
                )
        else:
            self._remove_directory(self._aside)

    def _files(self) -> list[str]:
        with self._opened(self.path) as stage:
            return [name for name in os.listdir(stage) if self._is_ours(name)]

    def _refuse_foreign(self) -> None:
        for path, is_ours in ((self.path, self._is_ours), (self.notes, contents.is_note)):
            with contextlib.suppress(FileNotFoundError), self._opened(path) as directory:
                contents.refuse_foreign(path, directory, is_ours)

    def begin_anew(self) -> None:
        """Removes what an export before left behind, and notes which directory the notes will be about.

        The notes go first: there is never a note of a shard that is not there.
        """
        self.note_identity(0)
        with self._opened(self.notes) as notes:
            contents.remove_ours(notes, contents.is_note, keep=(HOLDER_NOTE, STAGE_NOTE))
        with self._opened(self.path) as stage:
            contents.remove_ours(stage, self._is_ours)
        self.settle_in()

    def settle_in(self) -> None:
        """Notes that the notes are about the directory that has the stage's name."""
        self.note_identity(self.path.stat().st_ino)
        self.was_moved = False

    def _remove_all(self, error: BaseException | None) -> None:
        """Removes the stage and the notes, as far as it goes; what stays of a version that was replaced is told."""
        try:
            self._remove_contents()
            for path in filter(os.path.lexists, (self.notes, self.path)):
                os.rmdir(path.name, dir_fd=self._parent)
        except OSError as reason:
            if error is None and self._published:
                for left in filter(os.path.lexists, (self.path, self._aside, self.notes)):
                    text = f"{self.target} is published, but {left}, which nobody reads, could not be removed: {reason}"
                    warnings.warn(f"{text}; remove it: rm -r {shlex.quote(str(left))}", ExportWarning, stacklevel=2)

    def _remove_contents(self) -> None:
        """Removes what lies in the stage, or in the version that was swapped into its place, and then the notes."""
        if os.path.lexists(self._aside):
            self._remove_directory(self._aside)
        with contextlib.suppress(FileNotFoundError), self._opened(self.path) as stage:
            if self._lock is None or not os.path.samestat(os.fstat(stage), os.fstat(self._lock)):
                return  # it is published, and another export has begun
            contents.remove_ours(stage, self._is_ours)
        with contextlib.suppress(FileNotFoundError), self._opened(self.notes) as notes:
            contents.remove_ours(notes, contents.is_note, last=(STAGE_NOTE, PUBLISHING_NOTE))

    def _remove_directory(self, path: pathlib.Path) -> None:
        is_ours = contents.is_note if path == self.notes else self._is_ours
        with self._opened(path) as directory:
            contents.refuse_foreign(path, directory, is_ours)
            contents.remove_ours(directory, is_ours)
        os.rmdir(path.name, dir_fd=self._parent)

    @contextlib.contextmanager
    def _opened(self, path: pathlib.Path) -> Iterator[int]:
        """A descriptor of a directory beside the version, reached without following a link."""
        if self._parent >= 0:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._parent)
        else:
            descriptor = open_below(self._data_dir, (*self._below, path.name))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _take_lock(self) -> int:
        """Makes the stage and locks it; the kernel drops the lock when its process dies."""
        while True:
            make_directory(self.path)
            with contextlib.suppress(FileNotFoundError):  # another export removed a parent meanwhile
                self._parent = open_below(self._data_dir, self._below)
                lock = lock_directory(self.path, self.notes / HOLDER_NOTE, self._parent)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), os.stat(self.path.name, dir_fd=self._parent, follow_symlinks=False)):
                        return lock
                unlock(lock)  # its holder removed it between our open and our lock: make a new one
            self._close_parent()

    def _release(self) -> None:
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None
        self._close_parent()

    def _close_parent(self) -> None:
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1

    def is_empty(self) -> bool:
        """Whether nothing that an export wrote lies in the stage."""
        return not self._files()

    def find(self, file: File, name: str) -> File | None:
        """A staged file under the name it has now, its own or its published one; None unless it is there at its full size."""
        for known in (file.file, name):
            with contextlib.suppress(FileNotFoundError):
                size = (self.path / known).stat().st_size
                return File(file=known, bytes=file.bytes, sha256=file.sha256) if size == file.bytes else None
        return None

    def find_damage(self, file: File, name: str) -> str:
        """What is wrong with a finished file, under its own name or its published one, in words; "" if nothing is. Its
        bytes are read if the stage is another directory than it was."""
        found = self.find(file, name)
        if found is None:
            return f"{self.path / file.file} is gone, or has not the {file.bytes:,} bytes that were written"
        if self.was_moved and hash_file(self.path / found.file) != file.sha256:
            return f"{self.path / found.file} has other bytes than were written"
        return ""

    def rename(self, file: File, name: str) -> File:
        """Gives a staged file its published name (known once the number of shards is), if it has not got it yet."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path / file.file, self.path / name)
        if os.path.getsize(self.path / name) != file.bytes:
            raise DataDirError(errno.EIO, f"{self.path / name} is not what was written; remove {self.path} and export again")
        return File(file=name, bytes=file.bytes, sha256=file.sha256)

    def keep_only(self, names: Iterable[str]) -> None:
        """Removes what else lies in the stage: the shard, or the metadata, that an interrupted export was writing.

        Raises:
          DataDirError: something that no export wrote lies there.
        """
        with self._opened(self.path) as stage:
            contents.refuse_foreign(self.path, stage, self._is_ours)
            contents.remove_ours(stage, self._is_ours, keep=names)

    def describe(self, name: str) -> File:
        """Fsyncs a small file written by someone else and returns its name, size and SHA-256."""
        with naming(self.path / name), open(self.path / name, "rb+", opener=open_no_link) as stream:
            content = stream.read()
            os.fsync(stream.fileno())
        return File(file=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def write(self, name: str, content: bytes) -> File:
        """Writes and fsyncs a small file."""
        remove_file(self.path / name)
        with naming(self.path / name), open(self.path / name, "xb") as stream:
            stream.write(content)
        return self.describe(name)

    def publish(self) -> pathlib.Path:
        """Renames the stage to its final name, once; the old version, if any, goes in the same step.

        Raises:
          AlreadyPublishedError: someone else published the version meanwhile.
          DataDirError: something else has the stage's place, or that of the version.
        """
        sync_directory(self.path)
        if not (self.path / manifest_lib.FILENAME).is_file():
            raise DataDirError(errno.ENOENT, f"{self.path} has no manifest; nothing is published")
        with self._opened(self.path) as stage:
            if self._lock is None or not os.path.samestat(os.fstat(stage), os.fstat(self._lock)):
                raise DataDirError(errno.ESTALE, f"somebody has put another directory in the place of {self.path}; export again")
        self.note(PUBLISHING_NOTE, hash_file(self.path / manifest_lib.FILENAME).encode())
        if self.overwrite and os.path.lexists(self.target):
            self._check_places()
            old = lock_directory(
                self.target, self.notes / HOLDER_NOTE, self._parent
            )  # about to be the stage, and removed as such
            try:
                exchange(self.path, self.target, self._aside)
            except BaseException:
                unlock(old)
                raise
            unlock(self._lock)
            self._lock = old
        else:
            try:
                os.rename(self.path, self.target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                raise AlreadyPublishedError(
                    f"{self.target} was published meanwhile; {wording.passing('overwrite', True)}"
                ) from error
        self._published = True
        try:
            for parent in (self.target.parent, *(path.parent for path in self._made)):
                sync_directory(parent)
        except OSError as error:
            text = f"{self.target} is published, but a power cut may undo it: {error}"
            raise DataDirError(error.errno, text) from error
        return self.target
