"""Where a directory lies in a catalog: which folder was meant by one that is too high or too deep.

Directories alone do not tell: `shared/noise/1.0.0` is version 1.0.0 of the dataset `noise` under the data_dir `shared`, and as
well config `noise` of a dataset `shared`. A manifest says what it is of (`Manifest.place`), and so how many directories above it
the data_dir is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from tfds_builder.catalog.listing import is_published, list_directories, list_versions
from tfds_builder.catalog.read import read_manifest, read_place
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.contract.manifest import Manifest
from tfds_builder.contract.untrusted import VERSION
from tfds_builder.errors import DatasetError, MissingFileError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""How a URL begins, also after pathlib has made one slash of two."""
_DEPTH = 5
"""Directories from the first that is looked at down to a version: one or two above `<data_dir>/<name>/<config>/<version>`."""
_DIRECTORIES = 2000
"""So many directories are looked into, and no more, to find out what was meant by one that holds no dataset."""
_SHOWN = 3


def is_url(path: AnyDirectory) -> bool:
    """Whether a path is a URL (`s3://bucket/data`) instead, and no directory is called that."""
    return bool(_URL.match(_as_given(path))) and not Directory.at(path).is_taken()


def _as_given(path: AnyDirectory) -> str:
    return str(path) if isinstance(path, Directory) else os.fspath(path)


def explain_url(path: AnyDirectory) -> str:
    """What to do about a URL."""
    text = _as_given(path)
    url = text.replace(":/", "://", 1) if "://" not in text else text
    return f"{url} is a URL, and URLs are not read yet: copy the folder to a local disk first, and pass the copy"


def find_data_dir(version_dir: Directory, place: Sequence[str]) -> Directory | None:
    """The data_dir of a version directory with the manifest of that place; None if it lies under other names.

    >>> find_data_dir(Directory.at("/data/noise/small/1.0.0"), ("noise", "small", "1.0.0"))
    Directory(path=PosixPath('/data'))
    """
    found = version_dir.resolved()
    return found.above(len(place)) if found.parts[-len(place) :] == tuple(place) else None


def find_versions(directory: Directory) -> Iterator[Directory]:
    """Published version directories at or under a directory, the nearest first; only so many directories are looked into."""
    if is_published(directory):
        yield directory
    level, looked = [directory], 0
    for _ in range(_DEPTH):
        following = []
        for parent in level:
            if looked == _DIRECTORIES:
                return
            looked += 1
            try:
                names = sorted(name for name in list_directories(parent) if not name.startswith("."))
                versions = list_versions(parent)
            except DatasetError:
                continue
            yield from (parent.below(version) for version in versions)
            following += [parent.below(name) for name in names if not VERSION.match(name)]
        level = following


def explain(path: AnyDirectory, wanted: str) -> str | None:
    """Why a path is not the folder that is asked for, and which one is; None if nothing published is near.

    Args:
      path: what was passed.
      wanted: `"data_dir"`, or `"version"` for a version directory.
    """
    if is_url(path):
        return explain_url(path)
    root = Directory.given(path).resolved()
    found = _read_places(root)
    if not found:
        return None
    version_dir, place = found[0]
    what = (
        f"{root} {_describe(root, version_dir, place)}, and not a {'data_dir' if wanted == 'data_dir' else 'version directory'}"
    )
    if wanted == "version":
        return f"{what}: pass {enumerate_some([str(directory) for directory, _ in found], 'or')}"
    return f"{what}: {_advise(found)}"


def read_given(version_dir: AnyDirectory) -> Manifest:
    """The manifest of a version directory that a person gave: where there is none, the error says which folder may be meant.

    Raises:
      MissingFileError: there is no manifest there.
      DatasetError: it cannot be read.
    """
    try:
        return read_manifest(version_dir)
    except MissingFileError as error:
        raise MissingFileError(explain(version_dir, "version") or str(error)) from error


def explain_elsewhere(directory: Directory) -> str:
    """What to do about a folder in a data_dir that looks like a dataset and is none."""
    found = _read_places(directory)
    return f"{directory} is no dataset of {directory.above()}, and is passed over: {_advise(found)}"


def explain_misplaced(version_dir: Directory, place: Sequence[str], data_dir: Directory | None = None) -> str:
    """What to do about a version directory whose manifest is of another place than where it was looked for.

    Args:
      version_dir: where the manifest was read.
      place: what it says.
      data_dir: where the dataset was looked for, if that is known.
    """
    meant = find_data_dir(version_dir, place)
    if meant is not None and data_dir is not None:
        return f"{version_dir} is a dataset of data_dir {meant}, and not of {data_dir}: pass {meant}"
    return (
        f"{version_dir} holds the manifest of {'/'.join(place)}, and a dataset is not renamed by renaming its folders: call "
        "them as the manifest does, or export the dataset again under the other name"
    )


def _advise(found: Sequence[tuple[Directory, tuple[str, ...]]]) -> str:
    """Which data_dir to pass for the datasets of some version directories, of which the places are known."""
    data_dirs: dict[Directory, set[str]] = {}
    for version_dir, place in found:
        if (data_dir := find_data_dir(version_dir, place)) is not None:
            data_dirs.setdefault(data_dir, set()).add(place[0])
    if data_dirs:
        texts = [f"{data_dir} (it has {enumerate_some(sorted(names), 'and')})" for data_dir, names in data_dirs.items()]
        return f"pass {enumerate_some(texts, 'or')}"
    version_dir, place = found[0]
    return f"{version_dir} is version {'/'.join(place)}; put it where that is its path from a data_dir on, and pass the data_dir"


def _read_places(root: Directory) -> list[tuple[Directory, tuple[str, ...]]]:
    """The version directories at, under or right above a path, and the places that their manifests say."""
    above = [root.above(levels) for levels in range(1, min(3, len(root.parts)))]
    inside = next((parent for parent in above if is_published(parent)), None)
    found = find_versions(root) if inside is None else [inside]
    return [(version_dir, place) for version_dir in found if (place := read_place(version_dir)) is not None]


def _describe(root: Directory, version_dir: Directory, place: Sequence[str]) -> str:
    """What a directory is, seen from a version directory inside it or around it."""
    above = len(version_dir.parts) - len(root.parts)
    if above < 0:
        return f"lies in version {place[-1]} of dataset {'/'.join(place[:-1])!r}"
    if above == 0:
        return f"is version {place[-1]} of dataset {'/'.join(place[:-1])!r}"
    if above < len(place):
        return f"is the folder of dataset {'/'.join(place[:-above])!r}"
    return "is a data_dir" if above == len(place) else "lies above the data_dir"


def enumerate_some(texts: Sequence[str], word: str, at_most: int = _SHOWN) -> str:
    """The first of some texts, and how many more there are.

    >>> enumerate_some(["a", "b", "c", "d", "e"], "and")
    'a, b, c and 2 more'
    """
    shown = list(texts[:at_most])
    if len(texts) > at_most:
        shown.append(f"{len(texts) - at_most} more")
    return f" {word} ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
