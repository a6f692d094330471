"""A catalog directory -> registered builders, without running any code found in it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from tfds_builder.builder import make_builder_class
from tfds_builder.catalog import catalog
from tfds_builder.consistency import NAME
from tfds_builder.errors import MissingFileError
from tfds_builder.listing import list_configs


@dataclasses.dataclass(frozen=True)
class Entry:
    """One published version found under a data_dir; `config` is "" if it has none."""

    name: str
    config: str
    version: str
    path: str

    @property
    def tfds_name(self) -> str:
        """What `tfds.load` calls it: `name:version` or `name/config:version`."""
        return f"{self.name}/{self.config}:{self.version}" if self.config else f"{self.name}:{self.version}"


def scan(data_dir: str | os.PathLike[str]) -> Iterator[Entry]:
    """Every published version under a directory, by name and config, the newest version first. Links are not followed.

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
        for config, versions in list_configs(root / name).items():
            for version in versions:
                yield Entry(name, config, version, os.fspath(root / name / config / version))


def register(data_dir: str | os.PathLike[str]) -> list[str]:
    """Makes every dataset under a directory known to `tfds.load`, in this process.

    >>> tfds_builder.register("/data")           # doctest: +SKIP
    ['digits']
    >>> tfds.load("digits", split="train")       # doctest: +SKIP

    `"digits"` is the newest version without a config; if all have one, that of the first config by name. `"digits/large"` and
    `"digits/large:1.0.0"` say which. What is published later is found too, if the dataset was there before.

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
