"""What is published under a data_dir, told by its directories alone. Links, which could lead anywhere, are passed over."""

from __future__ import annotations

from collections.abc import Iterable

from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import FILENAME
from tfds_builder.contract.untrusted import CONFIG, VERSION
from tfds_builder.errors import DamagedFileError, MissingFileError, UnreadableFileError

_VERSION_CHARACTERS = 100
"""A version's three numbers are compared as numbers, which Python refuses to make of thousands of digits."""


def list_versions(directory: Directory) -> list[str]:
    """Published versions under `<data_dir>/<name>` or `<data_dir>/<name>/<config>`, the newest first.

    >>> list_versions(Directory.at("/data/digits"))      # doctest: +SKIP
    ['1.1.0', '1.0.0']

    A version that this user may not look into is one of them: it would be silent to take an older one for the newest.

    Raises:
      UnreadableFileError: this user may not list the directory.
      DamagedFileError: the system cannot list it.
    """
    return _pick_versions(directory, list_directories(directory))


def list_configs(dataset_dir: Directory) -> dict[str, list[str]]:
    """Published versions of a dataset by config: those without a config first, under `""`, then by the config's name.

    >>> list_configs(Directory.at("/data/digits"))       # doctest: +SKIP
    {'': ['1.0.0'], 'large': ['1.1.0', '1.0.0'], 'small': ['1.0.0']}

    A directory that could be a config and may not be listed is one without versions, so that the others are found.

    Raises:
      UnreadableFileError: this user may not list the dataset's directory itself.
      DamagedFileError: the system cannot list it.
    """
    names = list_directories(dataset_dir)
    found = {"": _pick_versions(dataset_dir, names)}
    unreadable = set()
    for name in sorted(name for name in names if CONFIG.fullmatch(name)):
        try:
            found[name] = list_versions(dataset_dir.below(name))
        except (UnreadableFileError, DamagedFileError):
            found[name] = []
            unreadable.add(name)
    return {config: versions for config, versions in found.items() if versions or config in unreadable}


def _pick_versions(directory: Directory, names: Iterable[str]) -> list[str]:
    """Those of the names of directories that are published versions, the newest first."""
    found = [
        name
        for name in names
        if VERSION.fullmatch(name) and len(name) <= _VERSION_CHARACTERS and is_published(directory.below(name))
    ]
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")], reverse=True)


def is_published(version_dir: Directory) -> bool:
    """Whether a directory has a manifest, or may have one that this user may not see: reading it will say what is wrong."""
    return version_dir.has(FILENAME, if_hidden=True)


def list_directories(directory: Directory) -> list[str]:
    """Names of the directories in a directory; none if that is a link, or is not there.

    Raises:
      UnreadableFileError: this user may not list it.
      DamagedFileError: the system cannot list it.
    """
    try:
        return [] if directory.is_link() else directory.directories()
    except MissingFileError:
        return []
