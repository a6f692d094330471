"""Taking away what nobody needs: stages that exports left behind and no process holds, and whole versions.

Both go by the lock that an export holds, and remove what an export wrote and nothing else (`exporters.staging.contents`), by
descriptors, so that no link put in the way leads elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import pathlib
import re
from collections.abc import Iterator

from exporters.errors import DataDirError
from exporters.staging.contents import SHARD_NOTE
from exporters.staging.disk import open_below, refuse_link, sync_directory
from exporters.staging.place import Place
from tfds_builder.catalog.builder_module import refresh
from tfds_builder.catalog.listing import list_directories
from tfds_builder.catalog.location import explain_misplaced, find_data_dir, read_given
from tfds_builder.contract.directory import MANIFEST, Directory
from tfds_builder.contract.holds import refusing_readers
from tfds_builder.contract.untrusted import CONFIG, NAME, VERSION

_LEFT = re.compile(r"(?P<version>.+)\.(incomplete|resume|replaced)")
_CACHE = ".catalog"


@dataclasses.dataclass(frozen=True)
class Left:
    """What an export left behind of one version, or is writing now.

    Attributes:
      name, config, version: of the version; `config` is "" if it has none.
      paths: the directories: the stage, its notes, and an old version that was on its way out.
      bytes: of the files in them.
      modified: when the last of them was written to, seconds since 1970.
      finished_shards: how many shards the same export would go on after.
      is_held: whether a process holds the stage now, as far as the file system tells.
      problem: why it must stay, though nobody holds it; or "".
    """

    name: str
    config: str
    version: str
    paths: tuple[str, ...]
    bytes: int
    modified: float
    finished_shards: int
    is_held: bool
    problem: str = ""


def find_left(data_dir: str | os.PathLike[str]) -> list[Left]:
    """Every stage under a data_dir, of datasets and their configs. Links are not followed.

    Raises:
      MissingFileError, UnreadableFileError, DamagedFileError: the directory cannot be listed.
    """
    root = Directory.given(data_dir)
    names = sorted(root.directories())
    return [left for name in names if NAME.fullmatch(name) for left in _find_left_of(root, name)]


def _find_left_of(root: Directory, name: str) -> Iterator[Left]:
    dataset_dir = root.below(name)
    inside = list_directories(dataset_dir)
    for config in ["", *sorted(entry for entry in inside if CONFIG.fullmatch(entry) and not _LEFT.fullmatch(entry))]:
        found = [_LEFT.fullmatch(entry) for entry in (list_directories(dataset_dir.below(config)) if config else inside)]
        for version in sorted({match["version"] for match in found if match and VERSION.fullmatch(match["version"])}):
            yield _look(root, name, config, version)


def _look(root: Directory, name: str, config: str, version: str) -> Left:
    place = Place(root.path, name, version, config)
    paths = [path for path in (place.stage, place.notes, place.aside) if path.is_dir() and not path.is_symlink()]
    sizes, times, finished = 0, [0.0], 0
    for path in paths:
        with contextlib.suppress(OSError), os.scandir(path) as entries:  # it goes while it is looked at
            times.append(path.stat().st_mtime)
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                sizes += found.st_size if entry.is_file(follow_symlinks=False) else 0
                times.append(found.st_mtime)
                finished += path == place.notes and entry.name.endswith(SHARD_NOTE)
    problem = ""
    if place.aside in paths and not os.path.lexists(place.target):
        problem = f"{place.aside} is the only copy of a version whose replacing was cut off: run that export again"
    shown = tuple(map(os.fspath, paths))
    return Left(name, config, version, shown, sizes, max(times), finished, _is_held(root, place), problem)


def _is_held(root: Directory, place: Place) -> bool:
    """Whether a process holds the lock of a stage. It is taken for an instant, shared, to find out."""
    try:
        descriptor = open_below(root.path, place.stage.relative_to(root.path.absolute()).parts)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_left(data_dir: str | os.PathLike[str], left: Left) -> None:
    """Removes what an export left behind. What was finished in it is lost; whatever is published stays.

    Raises:
      DataDirError: a process holds it, something in it was written by no export, or it must stay (`Left.problem`).
      OSError: it cannot be removed.
    """
    if left.problem:
        raise DataDirError(errno.EEXIST, left.problem)
    place = Place(Directory.given(data_dir).path, left.name, left.version, left.config)
    place.check(overwrite=False)
    place.lock()
    try:
        place.refuse_foreign()
        for path in (place.aside, place.notes, place.stage):  # never a note of a shard that is not there
            if os.path.lexists(path):
                place.remove_directory(path)
    finally:
        place.release()


def remove_version(version_dir: str | os.PathLike[str]) -> None:
    """Removes one published version, in one step for whoever looks: it gets the name of a stage, and its files then go. If that
    is cut off, `find_left` finds what is left.

    The builder module beside it is written anew for what remains, or removed with the last version. Statistics that were
    kept of it go too. Readers of this package hold a version by a lock (`tfds_builder.contract.holds`), and it then stays. Stock
    TFDS holds none: it keeps the files that it has open, and does not find the others.

    Args:
      version_dir: `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.

    Raises:
      DataDirError: somebody reads it, an export of this version is under way or was stopped, something in it was written by no
        export, it is behind a link, or this user may not remove it.
      MissingFileError, ManifestError: there is no version there, or it is damaged, or lies under other names than its own.
    """
    directory = Directory.given(version_dir).absolute()
    refuse_link(directory.path, ", or give what it leads to")
    manifest = read_given(directory)
    data_dir = find_data_dir(directory, manifest.place)
    if data_dir is None:
        raise DataDirError(errno.EINVAL, explain_misplaced(directory, manifest.place))
    place = Place(data_dir.path, manifest.name, manifest.version, manifest.config_name)
    place.check(overwrite=True)
    if place.stage.is_dir() and any(place.stage.iterdir()):
        raise DataDirError(
            errno.EBUSY, f"an export of this version is under way, or was stopped: {place.stage} has its shards; end it, or gc it"
        )
    place.lock()
    try:
        with place.opened(place.target) as version:
            if not os.path.samestat(os.fstat(version), os.stat(directory.path)):
                raise DataDirError(errno.ESTALE, f"{directory} is another directory than {place.target}, which it looked like")
        with place.locking_target(), refusing_readers(directory):
            os.rename(place.target, place.stage)  # over the empty stage that was made for its lock
        sync_directory(place.target.parent)
        place.remove_directory(place.stage)
        if place.notes.is_dir():
            place.remove_directory(place.notes)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rmdir(place.stage)  # the one made for the lock
        if isinstance(error, DataDirError):
            raise
        if isinstance(error, BlockingIOError):
            held = directory.path_of(MANIFEST)
            told = f"{directory} is being read by a process that has loaded it; end that one first (fuser -v {held} names it)"
            raise DataDirError(errno.EBUSY, told) from error
        raise DataDirError(error.errno, f"{place.target} cannot be removed: {error.strerror}") from error
    finally:
        place.release()
    data_dir.below(_CACHE).remove(f"{manifest.digest}.json")
    refresh(data_dir.below(manifest.name), manifest.name)
    for parent in (place.target.parent, pathlib.Path(data_dir.below(manifest.name).path)):
        with contextlib.suppress(OSError):  # something else lives there
            parent.rmdir()
