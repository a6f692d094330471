"""A catalog directory -> registered builders, without running any code found in it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from tfds_builder.builder import list_versions, make_builder_class
from tfds_builder.catalog import catalog
from tfds_builder.consistency import NAME
from tfds_builder.errors import MissingFileError


@dataclasses.dataclass(frozen=True)
class Entry:
    """One published version found under a data_dir."""

    name: str
    version: str
    path: str


def scan(data_dir: str | os.PathLike[str]) -> Iterator[Entry]:
    """Every published version under a directory, by name, the newest version first. Links under it are not followed.

    Raises:
      MissingFileError: the directory does not exist.
    """
    root = pathlib.Path(os.path.expanduser(os.fspath(data_dir)))
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{root} is not a directory; pass the data_dir datasets were exported to") from error
    for name in names:
        for version in list_versions(root / name):
            yield Entry(name, version, os.fspath(root / name / version))


def register(data_dir: str | os.PathLike[str]) -> list[str]:
    """Makes every dataset under a directory known to `tfds.load`, in this process.

    >>> tfds_builder.register("/data")           # doctest: +SKIP
    ['digits']
    >>> tfds.load("digits", split="train")       # doctest: +SKIP

    Only directories are listed; nothing found there is imported, executed or unpickled, and a damaged
    dataset is an error when it is loaded, not before. Registering again replaces what was registered
    under the same name.

    Args:
      data_dir: a directory that datasets were exported to.

    Returns:
      The names registered, sorted.

    Raises:
      MissingFileError: the directory does not exist.
    """
    root = pathlib.Path(os.path.expanduser(os.fspath(data_dir))).absolute()
    names = sorted({entry.name for entry in scan(root)})
    for name in names:
        catalog.add(make_builder_class(name, root))
    return names
