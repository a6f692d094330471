"""Where one version is staged and will be, and the lock of it. No directory below `data_dir` is reached through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

from exporters import wording
from exporters.errors import DataDirError
from exporters.staging import contents
from exporters.staging.contents import HOLDER_NOTE
from exporters.staging.disk import (
    another_version,
    check_replaceable,
    lock_directory,
    make_directory,
    open_below,
    refuse_link,
    unlock,
)
from tfds_builder.catalog.builder_module import module_name


class Place:
    """The directories of one version of a dataset, or of one of its configs.

    Attributes:
      target: where the version will be.
      stage: where it is written, `<version>.incomplete`.
      notes: where it is noted what is planned and finished, `<version>.resume`.
      aside: where an old version lies for an instant, if the kernel cannot swap directories, `<version>.replaced`.
      is_ours: tells, by name, files of a stage or version that an export wrote.
      made: directories that were not there before, the innermost first.
    """

    def __init__(self, data_dir: str | os.PathLike[str], name: str, version: str, config: str) -> None:
        self._data_dir = pathlib.Path(os.path.expanduser(os.fspath(data_dir))).absolute()
        self._below = (name, config) if config else (name,)
        parent = self._data_dir.joinpath(*self._below)
        self.target, self.stage = parent / version, parent / f"{version}.incomplete"
        self.notes, self.aside = parent / f"{version}.resume", parent / f"{version}.replaced"
        self._module = self._data_dir / name / module_name(name)
        self.is_ours = contents.is_of_version(name)
        self.made = [path for path in (parent, *parent.parents) if not os.path.exists(path)]
        self._lock: int | None = None
        self._parent = -1

    def check(self, *, overwrite: bool) -> None:
        """Raises DataDirError, before anything is made, where a link, or something else that is not ours, has a place of ours."""
        place = self._data_dir
        for name in self._below:
            place /= name
            behind = wording.passing("data_dir", os.path.dirname(os.path.realpath(place)))
            refuse_link(place, f", or {behind}" if place.parent == self._data_dir else "")
        for place in (self.stage, self.notes, self.aside, self._module):
            refuse_link(place, "")
        refuse_link(self.target, f", or {another_version()}")
        if not overwrite or not os.path.lexists(self.target):
            return
        check_replaceable(self.target)
        with self.opened(self.target) as version:
            contents.refuse_foreign(self.target, version, self.is_ours)

    @contextlib.contextmanager
    def opened(self, path: pathlib.Path) -> Iterator[int]:
        """A descriptor of one of these directories, reached without following a link."""
        if self._parent >= 0:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._parent)
        else:
            descriptor = open_below(self._data_dir, (*self._below, path.name))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @property
    def is_locked(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock is not None

    def lock(self, *, shared: bool = False) -> None:
        """Makes the stage and locks it; the kernel drops the lock when its process dies.

        Args:
          shared: whether others may hold it too, who take it so.

        Raises:
          DataDirError: another process holds it.
        """
        while True:
            make_directory(self.stage)
            with contextlib.suppress(FileNotFoundError):  # another export removed a parent meanwhile
                self._parent = open_below(self._data_dir, self._below)
                lock = lock_directory(self.stage, self.notes / HOLDER_NOTE, self._parent, shared=shared)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), os.stat(self.stage.name, dir_fd=self._parent, follow_symlinks=False)):
                        self._lock = lock
                        return
                unlock(lock)  # its holder removed it between our open and our lock: make a new one
            self._close_parent()

    def is_of_lock(self, directory: int) -> bool:
        """Whether an open directory is the one whose lock is held: nobody has put another in its place."""
        return self._lock is not None and os.path.samestat(os.fstat(directory), os.fstat(self._lock))

    @contextlib.contextmanager
    def locking_target(self) -> Iterator[None]:
        """Holds the lock of the version that is about to be swapped into the stage's place; after it, that alone."""
        other = lock_directory(self.target, self.notes / HOLDER_NOTE, self._parent)
        try:
            yield
        except BaseException:
            unlock(other)
            raise
        if self._lock is not None:
            unlock(self._lock)
        self._lock = other

    def release(self) -> None:
        """Drops the lock, if it is held."""
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None
        self._close_parent()

    def _close_parent(self) -> None:
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1

    def require_lock(self) -> None:
        """Raises DataDirError if the stage is no longer the directory whose lock is held."""
        with self.opened(self.stage) as stage:
            if not self.is_of_lock(stage):
                raise DataDirError(errno.ESTALE, f"somebody has put another directory in the place of {self.stage}; export again")

    def is_ours_in(self, path: pathlib.Path) -> contents.IsOurs:
        """What tells our files in one of these directories by name."""
        return contents.is_note if path == self.notes else self.is_ours

    def refuse_foreign(self) -> None:
        """Raises DataDirError if something lies in the stage, or among the notes, that no export wrote."""
        for path in (self.stage, self.notes):
            with contextlib.suppress(FileNotFoundError), self.opened(path) as directory:
                contents.refuse_foreign(path, directory, self.is_ours_in(path))

    def remove_directory(self, path: pathlib.Path) -> None:
        """Removes one of these directories with what is ours in it.

        Raises:
          DataDirError: something in it was written by no export.
        """
        is_ours = self.is_ours_in(path)
        with self.opened(path) as directory:
            contents.refuse_foreign(path, directory, is_ours)
            contents.remove_ours(directory, is_ours)
        self.remove_empty(path)

    def remove_empty(self, path: pathlib.Path) -> None:
        """Removes one of these directories, which is empty."""
        os.rmdir(path.name, dir_fd=self._parent)

    def remove_made(self) -> None:
        """Removes the directories that were made for it, as far as nothing lives in them."""
        for path in self.made:
            with contextlib.suppress(OSError):  # not empty: something else lives there now
                path.rmdir()
