"""Every version published under a data_dir: a walk over its directories, which asks each dataset for one manifest only.

>>> [entry.tfds_name for entry in scan("/data")]                 # doctest: +SKIP
['digits:1.1.0', 'digits:1.0.0', 'noise/small:1.0.0']
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping

from tfds_builder.catalog import location
from tfds_builder.catalog.listing import list_configs
from tfds_builder.catalog.location import enumerate_some
from tfds_builder.catalog.read import read_place
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.untrusted import NAME
from tfds_builder.errors import DamagedFileError, DatasetError, DatasetWarning, MissingFileError, UnreadableFileError


@dataclasses.dataclass(frozen=True)
class Entry:
    """One published version found under a data_dir.

    Attributes:
      name, config, version: as in its path; `config` is "" if it has none, `version` "" if its directory cannot be listed.
      path: of the version directory, or of what cannot be listed.
      problem: why it cannot be listed, or "".
    """

    name: str
    config: str
    version: str
    path: str
    problem: str = ""

    @property
    def tfds_name(self) -> str:
        """What `tfds.load` calls it: `name:version` or `name/config:version`."""
        return "/".join(filter(None, (self.name, self.config))) + (f":{self.version}" if self.version else "")


def scan(data_dir: str | os.PathLike[str]) -> list[Entry]:
    """Every published version under a directory, by name and config, the newest version first. Links are not followed.

    What this user may not look into is an entry with a `problem`. A DatasetWarning names folders that look like datasets and
    are none, such as a data_dir inside the data_dir.

    Raises:
      MissingFileError: the directory does not exist, or is no data_dir: the message says which folder is.
      UnreadableFileError: this user may not list the directory.
    """
    entries, notes = survey(find_root(data_dir))
    for note in notes:
        warnings.warn(note, DatasetWarning, stacklevel=2)
    return entries


def find_root(data_dir: str | os.PathLike[str]) -> Directory:
    """A data_dir as it was given.

    Raises:
      MissingFileError: it is a URL.
    """
    if location.is_url(data_dir):
        raise MissingFileError(location.explain_url(data_dir))
    return Directory.given(data_dir)


def survey(root: Directory) -> tuple[list[Entry], list[str]]:
    """What `scan` returns, and what it warns of."""
    names, links = _list_names(root)
    entries: list[Entry] = []
    elsewhere = []
    for name in names:
        found = list(_scan_dataset(root, name))
        if _belongs(found):
            entries += found
        else:
            elsewhere.append(name)
    if not any(entry.version for entry in entries) and (text := location.explain(root, "data_dir")):
        raise MissingFileError(text)
    notes = [location.explain_elsewhere(root.below(name)) for name in elsewhere]
    if links:
        text = enumerate_some(links, "and")
        notes.append(f"symbolic links are not followed, and in {root} these lead to directories: {text}; pass what they lead to")
    return entries, notes


def has_dataset(root: Directory, name: str) -> bool:
    """Whether `survey` would list a dataset of that name, also one that is damaged or not readable.

    Raises:
      MissingFileError, DamagedFileError, UnreadableFileError: the directory cannot be listed.
    """
    if not NAME.fullmatch(name) or name not in root.directories():
        return False
    found = list(_scan_dataset(root, name))
    return bool(found) and _belongs(found)


def _list_names(root: Directory) -> tuple[list[str], list[str]]:
    """Names under a data_dir that a dataset can have: of directories, and of links to directories."""
    try:
        directories, links = root.directories(), root.linked_directories()
    except (MissingFileError, DamagedFileError) as error:
        hint = location.explain(root, "data_dir") if root.is_taken() else None
        raise MissingFileError(hint or f"{root} is not a directory; pass the data_dir datasets were exported to") from error
    return sorted(filter(NAME.fullmatch, directories)), sorted(filter(NAME.fullmatch, links))


def _scan_dataset(root: Directory, name: str) -> Iterator[Entry]:
    """The versions under what may be the directory of a dataset."""
    try:
        published: Mapping[str, list[str]] = list_configs(root.below(name))
    except DatasetError as error:
        yield Entry(name, "", "", str(root.below(name)), str(error))
        return
    for config, versions in published.items():
        directory = root.below(name, config)
        for version in versions:
            yield Entry(name, config, version, str(directory.below(version)))
        if not versions:
            yield Entry(name, config, "", str(directory), str(UnreadableFileError.of(directory.path)))


def _belongs(entries: list[Entry]) -> bool:
    """Whether these are versions of a dataset of that name: not so if a manifest in its place is of another data_dir.

    One that lies under names which are not its own says nothing: it was moved there, and is an error when it is loaded.
    """
    for entry in entries:
        place = read_place(Directory.at(entry.path)) if entry.version else None
        if place == tuple(filter(None, (entry.name, entry.config, entry.version))):
            return True
        if place and location.find_data_dir(Directory.at(entry.path), place):
            return False
    return True
