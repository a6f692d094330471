"""To whom what lies in a stage, in its notes or in a version belongs: to an export, to somebody, or to nobody, as litter.

What an export wrote is told by its name and by being a regular file; only that is ever removed. What a file server or a
desktop puts into every directory is passed over. Anything else is somebody's, and an export says so instead of removing it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Iterable

from exporters import wording
from exporters.errors import DataDirError

STAGE_NOTE, HOLDER_NOTE, PUBLISHING_NOTE, PLAN_NOTE, TOLD_NOTE = "stage", "holder", "publishing", "plan.json", "told"
COMMAND_NOTE = "command.json"
"""By what command the ranks of an array job make their loaders. Where it is, a stage is kept though no shard is finished."""
SHARD_NOTE = ".shard.json"
IsOurs = Callable[[str], bool]
"""Tells by its name whether an export wrote a file."""
ASIDE = "again-"
"""Directories among the notes in which a shard is written once more, to be compared, begin with this."""

_NUMBER = r"\d{5,}"
_ATTEMPT = re.compile(rf".+-{_NUMBER}\.[0-9a-f]{{8}}\.(data|index)", re.DOTALL)
_STAGED = re.compile(rf".+-{_NUMBER}(\.[0-9a-f]{{8}})?\.(data|index)", re.DOTALL)
_OF_SHARD = re.compile(rf"(?P<split>.+)-(?P<number>{_NUMBER})(\.data|{re.escape(SHARD_NOTE)})", re.DOTALL)
_METADATA = re.compile(r"manifest\.json|dataset_info\.json|features\.json|LICENSE|.+\.labels\.txt", re.DOTALL)
_NOTE = re.compile(
    rf"({STAGE_NOTE}|{HOLDER_NOTE}|{PUBLISHING_NOTE}|{re.escape(PLAN_NOTE)}|{TOLD_NOTE}|{re.escape(COMMAND_NOTE)}|"
    rf".+\.(order|finished)|"
    rf".+-{_NUMBER}\.(state|seen|shard\.json))(\.[0-9a-f]{{8}}\.draft)?",
    re.DOTALL,
)
_ASIDE = re.compile(rf"{ASIDE}[a-z0-9_]+|tmp[a-z0-9_]{{8}}")

_LITTER_FILES = re.compile(
    r"\.DS_Store|\._.*|\.nfs[0-9a-f]+|\.fuse_hidden.*|\.smbdelete.*|[Tt]humbs\.db|ehthumbs\.db|desktop\.ini|\.directory|"
    r"\.localized|\.apdisk",
    re.DOTALL,
)
_LITTER_DIRECTORIES = re.compile(r"@eaDir|\.@__thumb|\.AppleDouble|\.AppleDB|\.AppleDesktop")
_LITTER_KEPT = re.compile(
    r"lost\+found|[#@][Rr]ecycle|@Recently-Snapshot|\.snapshots?|\.zfs|\.Trashes|\.Trash-.*|\.Spotlight-V100|\.fseventsd|"
    r"System Volume Information|\$RECYCLE\.BIN"
)
"""Litter: files and directories that are remade as they are removed, and directories whose content may be somebody's, which
are removed only if they are empty."""


def is_of_version(dataset: str) -> IsOurs:
    """Tells names of what an export, or TFDS, writes into a stage or version of a dataset.

    >>> [is_of_version("ds")(name) for name in ("train-00000.data", "ds-train.tfrecord-00000-of-00001", "thesis.tex")]
    [True, True, False]
    """
    published = re.compile(rf"{re.escape(dataset)}-.+-{_NUMBER}-of-{_NUMBER}(\.\w+)?", re.DOTALL)
    return lambda name: any(pattern.fullmatch(name) for pattern in (_STAGED, _METADATA, published))


def shard_of(name: str) -> tuple[str, int] | None:
    """Split and number of the shard that a note is of, or a staged data file.

    >>> shard_of("train-00003.data"), shard_of("train-00003.shard.json"), shard_of("plan.json")
    (('train', 3), ('train', 3), None)
    """
    found = _OF_SHARD.fullmatch(name)
    return (found["split"], int(found["number"])) if found else None


def is_attempt(name: str) -> bool:
    """Tells names of files that a process of an engine wrote: each attempt at a shard has a name of its own.

    >>> is_attempt("train-00003.0f3c91aa.data"), is_attempt("train-00003.data")
    (True, False)
    """
    return _ATTEMPT.fullmatch(name) is not None


def is_note(name: str) -> bool:
    """Tells names of notes, drafts of them included."""
    return _NOTE.fullmatch(name) is not None


def _mode(directory: int, name: str) -> int:
    """The kind of an entry, no link followed; 0 if it is gone."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _find_foreign(directory: int, is_ours: IsOurs) -> list[str]:
    """What lies in an open directory and is neither ours nor litter: names, in order. A link is never ours."""
    return sorted(name for name in os.listdir(directory) if _kind(directory, name, is_ours) == "foreign")


def _kind(directory: int, name: str, is_ours: IsOurs) -> str:
    mode = _mode(directory, name)
    if not mode:
        return "gone"
    if stat.S_ISREG(mode):
        if is_ours(name):
            return "ours"
        return "litter" if _LITTER_FILES.fullmatch(name) else "foreign"
    if stat.S_ISDIR(mode):
        if is_ours is is_note and _ASIDE.fullmatch(name):
            return "tree" if all(map(_STAGED.fullmatch, _entries(directory, name))) else "foreign"
        if is_ours(name):
            return "foreign"  # it has the place of a file of ours
        if _LITTER_DIRECTORIES.fullmatch(name):
            return "tree"
        return "litter" if _LITTER_KEPT.fullmatch(name) or not _entries(directory, name) else "foreign"
    return "foreign"


def _entries(directory: int, name: str) -> list[str]:
    """What a directory in an open directory holds; something, if it cannot be looked into."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return ["?"]
    try:
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def refuse_foreign(path: str | os.PathLike[str], directory: int, is_ours: IsOurs) -> None:
    """Raises if something in a directory is not ours.

    Args:
      path: the directory, for the message.
      directory: the same, open.
      is_ours: tells our files by name.

    Raises:
      DataDirError: it names what is there.
    """
    foreign = _find_foreign(directory, is_ours)
    if not foreign:
        return
    first = os.path.join(path, foreign[0])
    what = f"{first} is a symbolic link" if stat.S_ISLNK(_mode(directory, foreign[0])) else f"{first} was written by no export"
    others = f" (and {len(foreign) - 1} more: {', '.join(foreign[1:4])})" if foreign[1:] else ""
    away = shlex.quote(os.path.dirname(os.path.dirname(first)))
    raise DataDirError(
        errno.ENOTEMPTY,
        f"{what}{others}, and everything in {os.fspath(path)} is about to be replaced; nothing was touched: move it away "
        f"(mv {shlex.quote(first)} {away}/) and {wording.again()}",
    )


def remove_ours(directory: int, is_ours: IsOurs, keep: Iterable[str] = (), last: Iterable[str] = ()) -> None:
    """Removes from an open directory what is ours, and litter as far as it goes. Follows no link.

    Args:
      directory: the open directory.
      is_ours: tells our files by name.
      keep: names that stay.
      last: names that go last.
    """
    names, last = set(os.listdir(directory)) - set(keep), list(last)
    for name in [*sorted(names - set(last)), *(name for name in last if name in names)]:
        kind = _kind(directory, name, is_ours)
        if kind == "ours":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        elif kind == "tree":
            shutil.rmtree(name, ignore_errors=True, dir_fd=directory)
        elif kind == "litter":
            with contextlib.suppress(OSError):  # not empty, or a file server's own, which comes back: it may stay
                mode = _mode(directory, name)
                os.rmdir(name, dir_fd=directory) if stat.S_ISDIR(mode) else os.unlink(name, dir_fd=directory)
