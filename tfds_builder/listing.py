"""What is published under a data_dir, told by its directories alone. Links, which could lead anywhere, are passed over."""

from __future__ import annotations

import os
import pathlib

from tfds_builder.consistency import CONFIG, VERSION
from tfds_builder.manifest import FILENAME

_VERSION_CHARACTERS = 100
"""A version's three numbers are compared as numbers, which Python refuses to make of thousands of digits."""


def list_versions(directory: str | os.PathLike[str]) -> list[str]:
    """Published versions under `<data_dir>/<name>` or `<data_dir>/<name>/<config>`, the newest first.

    >>> list_versions("/data/digits")      # doctest: +SKIP
    ['1.1.0', '1.0.0']
    """
    found = [
        name
        for name in _directories(directory)
        if VERSION.fullmatch(name) and len(name) <= _VERSION_CHARACTERS and (pathlib.Path(directory) / name / FILENAME).is_file()
    ]
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")], reverse=True)


def list_configs(dataset_dir: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Published versions of a dataset by config: those without a config first, under `""`, then by the config's name.

    >>> list_configs("/data/digits")       # doctest: +SKIP
    {'': ['1.0.0'], 'large': ['1.1.0', '1.0.0'], 'small': ['1.0.0']}
    """
    names = sorted(name for name in _directories(dataset_dir) if CONFIG.fullmatch(name))
    found = {"": list_versions(dataset_dir)} | {name: list_versions(pathlib.Path(dataset_dir) / name) for name in names}
    return {config: versions for config, versions in found.items() if versions}


def _directories(directory: str | os.PathLike[str]) -> list[str]:
    """Names of the directories in a directory; none if that is a link, or is not there."""
    if os.path.islink(directory):
        return []
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
