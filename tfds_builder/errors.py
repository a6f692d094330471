"""The consumer's exceptions: everything this package raises on purpose is a `DatasetError`.

Each leaf also inherits the built-in that fits, so `except FileNotFoundError` keeps working for
callers who know nothing of this package.
"""

from __future__ import annotations

import os
import pathlib


class DatasetError(Exception):
    """Root of the exceptions `tfds_builder` raises about a dataset directory."""


class ManifestError(DatasetError, ValueError):
    """The manifest is not JSON, is not what was published, or contradicts itself."""


class UnsupportedVersionError(ManifestError):
    """The dataset is of a newer format version than this torch2tfds reads: it is not damaged, and an upgrade reads it."""


class MissingFileError(DatasetError, FileNotFoundError):
    """A file or directory that the dataset needs is not there."""


class DamagedFileError(DatasetError, OSError):
    """A file is there but is not the file the manifest describes: its size, its structure or a checksum differs."""


class OverwrittenError(DatasetError, OSError):
    """The version was overwritten after it was opened: load it again. What is read would be of two versions."""


class UnreadableFileError(DatasetError, PermissionError):
    """A file or directory is there and this user may not read it; the message names its owner."""

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> UnreadableFileError:
        """The error that says who can let this user read a file or directory.

        >>> UnreadableFileError.of("/data/faces/1.0.0/manifest.json")          # doctest: +SKIP
        UnreadableFileError('/data/faces/1.0.0/manifest.json cannot be read: permission denied; ask its owner, alice, for access')
        """
        name = os.fspath(path)
        return cls(f"{name} cannot be read: permission denied; ask its owner, {_owner(name)}, for access")


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


class UnsupportedReadError(DatasetError, NotImplementedError):
    """The read asked for cannot be honoured for this dataset; the message says what can."""


class BrokenInstallError(DatasetError, ImportError):
    """Two packages that TFDS needs do not go together; the message has both with their versions, and the line that mends it."""


class DatasetWarning(UserWarning):
    """A directory of datasets is probably not what was meant; the message says what is, and what to do about it."""


class MissingPackageError(DatasetError, ImportError):
    """A package that this needs is not installed; the message has the line that installs it."""


class SiteError(DatasetError, ValueError):
    """A site cannot be where it is asked for: something else is there, or somebody else is at it; the message says which."""


class SearchPathError(DatasetError, ValueError):
    """`TORCH2TFDS_PATH` or the user's `catalogs.toml` names no directory of datasets; the message says what it should be."""
