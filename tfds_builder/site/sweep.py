"""Which files a site has of a version, and what becomes of those of versions that are gone.

>>> sweep(site, ".contents", keep)                               # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tfds_builder.cards.downloads import NAMES
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.untrusted import CONFIG, NAME, VERSION
from tfds_builder.errors import DatasetError


def files_of(version: str, known: Mapping[str, Any]) -> list[str]:
    """The files of a version, by their paths from the directory its page is in.

    Args:
      version: `"1.0.0"`.
      known: what is kept of it, `VERSION.json`.
    """
    beside = [f"{version}/{name}" for name in NAMES if name in known["summary"]["metadata"]]
    return [*(f"{version}.{ending}" for ending in ("html", "json", "sha256")), *beside]


def are_there(place: Directory, version: str, known: Mapping[str, Any]) -> bool:
    """Whether all files of a version are there."""
    return all(place.below(*above).has(name) for *above, name in (file.split("/") for file in files_of(version, known)))


def sweep(site: Directory, contents: str, keep: Collection[str]) -> None:
    """Removes files of versions that are gone, and what a build that was stopped has left; nothing else.

    Args:
      site: where.
      contents: name of the directory in it where is kept what pages show of shards.
      keep: paths in the site that stay.
    """
    _remove(site, lambda name: None, keep)
    with contextlib.suppress(DatasetError):
        _remove(site.below(contents), lambda name: f"{contents}/{name}" if name.endswith(".json") else None, keep)
    for dataset in filter(NAME.fullmatch, site.directories()):
        place = site.below(dataset)
        for config in filter(CONFIG.fullmatch, place.directories()):
            _sweep_versions(place.below(config), f"{dataset}/{config}", keep)
        _sweep_versions(place, dataset, keep)


def _sweep_versions(place: Directory, above: str, keep: Collection[str]) -> None:
    """The same of the pages in a directory, and of what lies beside each."""
    for version in filter(VERSION.fullmatch, place.directories()):
        _remove(place.below(version), _path_below(f"{above}/{version}"), keep)
        place.below(version).remove_if_empty()
    _remove(place, _path_of_page(above), keep)
    place.remove_if_empty()


def _path_below(above: str) -> Callable[[str], str | None]:
    """Tells which files in a directory are for other catalogs, as their paths in the site."""
    return lambda name: f"{above}/{name}" if name in NAMES else None


def _path_of_page(above: str) -> Callable[[str], str | None]:
    """Tells which files in a directory are of a page, as their paths in the site."""

    def path_of(name: str) -> str | None:
        version, _, ending = name.rpartition(".")
        return f"{above}/{name}" if VERSION.fullmatch(version) and ending in ("html", "json", "sha256") else None

    return path_of


def _remove(directory: Directory, path_of: Callable[[str], str | None], keep: Collection[str]) -> None:
    """Removes the files of a directory that were to be renamed and were not, and those with a path that is not to be kept."""
    for name in directory.names():
        path = path_of(name)
        if re.fullmatch(r"\..+\.[0-9a-f]{16}\.incomplete", name) or (path is not None and path not in keep):
            directory.remove(name)
