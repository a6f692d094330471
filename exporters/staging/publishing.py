"""The one step by which a version becomes visible: a rename, or a swap with the version it replaces."""

from __future__ import annotations

import contextlib
import errno
import os

from exporters import wording
from exporters.errors import AlreadyPublishedError, DataDirError
from exporters.staging.contents import PUBLISHING_NOTE
from exporters.staging.disk import exchange, sync_directory
from exporters.staging.notes import Notes
from exporters.staging.place import Place
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import FILENAME


def publish(place: Place, notes: Notes, *, overwrite: bool) -> None:
    """Renames the stage to its final name, once; the old version, if any, goes in the same step.

    Raises:
      AlreadyPublishedError: someone else published the version meanwhile.
      DataDirError: something else has the stage's place, or that of the version; or the stage has no manifest.
    """
    sync_directory(place.stage)
    if not (place.stage / FILENAME).is_file():
        raise DataDirError(errno.ENOENT, f"{place.stage} has no manifest; nothing is published")
    place.require_lock()
    notes.write(PUBLISHING_NOTE, Directory.at(place.stage).sha256(FILENAME).encode())
    if overwrite and os.path.lexists(place.target):
        place.check(overwrite=True)
        with place.locking_target():
            exchange(place.stage, place.target, place.aside)
        return
    try:
        os.rename(place.stage, place.target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise AlreadyPublishedError(f"{place.target} was published meanwhile; {wording.passing('overwrite', True)}") from error


def sync_published(place: Place) -> None:
    """Fsyncs the directories above a version that was published.

    Raises:
      DataDirError: it cannot be; the version is there all the same.
    """
    try:
        for parent in (place.target.parent, *(path.parent for path in place.made)):
            sync_directory(parent)
    except OSError as error:
        text = f"{place.target} is published, but a power cut may undo it: {error}"
        raise DataDirError(error.errno, text) from error


def is_published(place: Place, notes: Notes) -> bool:
    """Whether what the notes are about is published: the version that is there has the manifest noted before the rename."""
    with contextlib.suppress(OSError):
        noted = notes.read(PUBLISHING_NOTE)
        return not place.target.is_symlink() and Directory.at(place.target).sha256(FILENAME).encode() == noted
    return False
