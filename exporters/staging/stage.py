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
import os
import pathlib
import shlex
import warnings
from collections.abc import Iterable

from exporters import wording
from exporters.errors import AlreadyPublishedError, DataDirError, ExportWarning, ResumeError
from exporters.staging import contents, publishing
from exporters.staging.contents import COMMAND_NOTE, HOLDER_NOTE, PUBLISHING_NOTE, STAGE_NOTE
from exporters.staging.disk import another_version, explain, may_remove, sign, sync_directory
from exporters.staging.files import StagedFiles
from exporters.staging.notes import Notes, say_what_is_kept
from exporters.staging.place import Place


class Stage:
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
      notes: what is planned and finished.
      files: what is staged.
      joins: whether it is written by others too, who hold its lock together: the ranks of an array job, once it is planned.
      overwrite: whether a version that is there may be replaced, and what was stopped begun anew.
      was_moved: whether the stage is another directory than the notes are about: a copy, say. Then what is finished must
        be compared byte for byte.

    Raises:
      AlreadyPublishedError: the version exists and `overwrite` is False.
      ResumeError: what an export before left behind cannot be gone on with.
      DataDirError: `data_dir` is a file or cannot be written; a link is in the way, or something no export wrote; another
        process holds the stage.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        name: str,
        version: str,
        *,
        config: str = "",
        overwrite: bool,
        joins: bool = False,
    ) -> None:
        self._place = Place(data_dir, name, version, config)
        self.target, self.path = self._place.target, self._place.stage
        self.notes, self.files = Notes(self._place.notes, self.path), StagedFiles(self._place)
        self.overwrite, self.joins = overwrite, joins
        self._published, self.was_moved = False, False

    def __enter__(self) -> Stage:
        fresh = [path for path in (self.path, self.notes.directory) if not os.path.lexists(path)]
        try:
            self._place.check(overwrite=self.overwrite)
            if self.joins:
                self._join()
                return self
            if os.path.lexists(self.target) and not self.overwrite:
                self._clear_what_was_published()
                raise AlreadyPublishedError(
                    f"{self.target} is already published; {wording.passing('overwrite', True)} to replace it, or "
                    f"{another_version()}"
                )
            self._place.lock()
            self._take_over()
        except BaseException as error:
            self._leave_untouched(fresh)
            if isinstance(error, OSError) and not isinstance(error, DataDirError | AlreadyPublishedError):
                raise explain(error, self.path, self.notes.directory) from error
            raise
        return self

    def __exit__(self, _: object = None, error: BaseException | None = None, __: object = None) -> None:
        if not self._place.is_locked:
            return
        if self.joins:
            self._place.release()
            return
        finished: list[str] | None = None
        with contextlib.suppress(OSError):  # too many open files, say: what cannot be listed is kept
            finished = self.notes.shard_names() if self.path.is_dir() else []
        if finished and self.overwrite and os.path.lexists(self.target):
            finished = []  # nobody could go on after them: the version is there, and replacing it begins anew
        if finished == [] and self.notes.has(COMMAND_NOTE):
            finished = None  # it is planned, and kept for those who will write it
        if error is not None and not self._published and finished:
            say_what_is_kept(error, len(finished), self.path, begins_anew=self.overwrite)
        try:
            if self._published or finished == []:
                self._remove_all(tells=error is None and self._published)
        finally:
            self._place.release()
        self._place.remove_made()

    def _join(self) -> None:
        """Takes part in what is planned and not yet published; raises DataDirError if there is no such thing."""
        if not (self.path.is_dir() and self.notes.has(COMMAND_NOTE)):
            raise DataDirError(errno.ENOENT, f"{self.path} is no planned export: torch2tfds plan makes one")
        self._place.lock(shared=True)

    def _leave_untouched(self, fresh: Iterable[pathlib.Path]) -> None:
        """Removes the directories that were made to no avail, and drops the lock."""
        try:
            for path in fresh if self._place.is_locked else ():
                with contextlib.suppress(OSError):
                    self._place.remove_directory(path)
        finally:
            self._place.release()
        self._place.remove_made()

    def _clear_what_was_published(self) -> None:
        """Removes what an export left behind that was killed between the rename and the end."""
        has_notes = self.notes.directory.is_dir() and not self.path.is_dir()
        with contextlib.suppress(OSError):
            if publishing.is_published(self._place, self.notes) or (has_notes and not self.notes.shard_names()):
                self._place.lock()
                try:
                    self._remove_all(tells=True)
                finally:
                    self._place.release()

    def _take_over(self) -> None:
        """Removes what is left of an export that was published; begins anew unless one that was stopped can be gone on with.

        Raises:
          ResumeError: it can neither be gone on with nor be removed without a word.
        """
        for place in filter(os.path.lexists, (self.path, self.notes.directory)):
            if not may_remove(place):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(place))
        if os.path.lexists(self._place.aside):
            self._put_back()
        if publishing.is_published(self._place, self.notes):
            self._remove_contents()
        self._place.refuse_foreign()
        noted = self.notes.identity()
        problem = self.notes.find_problem(noted, self.files.names())
        if problem and not self.overwrite:
            raise ResumeError(f"{problem}, or {wording.passing('overwrite', True)} to begin anew")
        self.notes.directory.mkdir(exist_ok=True)
        sign(self.notes.directory / HOLDER_NOTE)
        if self.overwrite or problem or not noted or not noted["inode"] or not self.has_finished_shards():
            self.begin_anew()
        else:
            self.was_moved = noted["inode"] != self.path.stat().st_ino or self.notes.has(PUBLISHING_NOTE)

    def _put_back(self) -> None:
        """Puts an old version back whose swap was cut off between its renames; where the new one is there, the old one goes."""
        aside = self._place.aside
        if not self.notes.has(PUBLISHING_NOTE):
            raise DataDirError(
                errno.EEXIST, f"{aside} is in the way; move it away, or remove it (rm -r {shlex.quote(str(aside))})"
            )
        if os.path.lexists(self.target):
            self._place.remove_directory(aside)
            return
        os.rename(aside, self.target)
        sync_directory(self.target.parent)
        if not self.overwrite:
            raise AlreadyPublishedError(
                f"{self.target} is published; replacing it was cut off: {wording.passing('overwrite', True)} to go on"
            )

    def has_finished_shards(self) -> bool:
        """Whether there is something to go on with."""
        return bool(self.notes.shard_names()) or self.notes.has(COMMAND_NOTE)

    def begin_anew(self) -> None:
        """Removes what an export before left behind, and notes which directory the notes will be about.

        The notes go first: there is never a note of a shard that is not there.
        """
        self.notes.write_identity(0)
        with self._place.opened(self.notes.directory) as notes:
            contents.remove_ours(notes, contents.is_note, keep=(HOLDER_NOTE, STAGE_NOTE))
        with self._place.opened(self.path) as stage:
            contents.remove_ours(stage, self._place.is_ours)
        self.settle_in()

    def settle_in(self) -> None:
        """Notes that the notes are about the directory that has the stage's name."""
        self.notes.write_identity(self.path.stat().st_ino)
        self.was_moved = False

    def _remove_all(self, *, tells: bool) -> None:
        """Removes the stage and the notes, as far as it goes; what stays of a version that was replaced can be told."""
        places = (self.path, self._place.aside, self.notes.directory)
        try:
            self._remove_contents()
            for path in filter(os.path.lexists, (self.notes.directory, self.path)):
                self._place.remove_empty(path)
        except OSError as reason:
            if tells:
                for left in filter(os.path.lexists, places):
                    text = f"{self.target} is published, but {left}, which nobody reads, could not be removed: {reason}"
                    warnings.warn(f"{text}; remove it: rm -r {shlex.quote(str(left))}", ExportWarning, stacklevel=2)

    def _remove_contents(self) -> None:
        """Removes what lies in the stage, or in the version that was swapped into its place, and then the notes."""
        if os.path.lexists(self._place.aside):
            self._place.remove_directory(self._place.aside)
        with contextlib.suppress(FileNotFoundError), self._place.opened(self.path) as stage:
            if not self._place.is_of_lock(stage):
                return  # it is published, and another export has begun
            contents.remove_ours(stage, self._place.is_ours)
        with contextlib.suppress(FileNotFoundError), self._place.opened(self.notes.directory) as notes:
            contents.remove_ours(notes, contents.is_note, last=(STAGE_NOTE, PUBLISHING_NOTE, COMMAND_NOTE))

    def publish(self) -> pathlib.Path:
        """Makes the version visible; returns where it is (see `publishing.publish`)."""
        publishing.publish(self._place, self.notes, overwrite=self.overwrite)
        self._published = True
        publishing.sync_published(self._place)
        return self.target
