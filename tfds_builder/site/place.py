"""The directory of a site: which may be one, whose it is, which files it has of a version, and what becomes of those of none.

>>> sweep(site, ".contents", keep)                               # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tfds_builder.cards.downloads import NAMES
from tfds_builder.catalog.listing import is_published
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.untrusted import CONFIG, NAME, VERSION, parse_json
from tfds_builder.errors import DatasetError, SiteError

API = "catalog.json"
DEFAULT = "_catalog"
"""Where in a data_dir its site is, unless another place is given; no dataset can have that name."""
GENERATOR = "torch2tfds catalog"
_STATE_BYTES = 64 * 1024 * 1024
_LOCK, _SOURCE = ".lock", ".data_dir"


@contextlib.contextmanager
def open_site(site: Directory, root: Directory) -> Iterator[None]:
    """Makes the site's directory, if that may be one, and keeps other processes from building it at the same time."""
    levels = range(1, len(site.parts))
    if is_published(site) or any(is_published(site.above(level)) for level in levels):
        raise SiteError(f"{site} lies in a published version, into which nothing is written; give another directory")
    if site.exists() and site.names() and not _is_site(site):
        raise SiteError(f"{site} holds other files than a catalog; give a directory that is empty or new")
    site.make()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(site.locked(_LOCK))
        except BlockingIOError as error:
            raise SiteError(f"{site} is being built by another process; try again when it is done") from error
        _claim(site, root)
        yield


def _claim(site: Directory, root: Directory) -> None:
    """Notes whose site it is, by a digest of the path: pages of another data_dir would be taken for those of what is gone.

    Raises:
      SiteError: it is that of another data_dir.
    """
    source = f"{hashlib.sha256(str(root.resolved()).encode()).hexdigest()}\n".encode()
    if not site.has(_SOURCE):
        site.replace(_SOURCE, source)
    elif site.read(_SOURCE, _STATE_BYTES) != source:
        if site.resolved() != root.below(DEFAULT).resolved():
            other = read_json(site, API).get("data_dir", "another data_dir")
            raise SiteError(
                f"{site} is the catalog of {other}, whose pages would be removed, and not of {root}: give another directory. "
                f"If it is the same data_dir, moved or found by another path, remove {site.path_of(_SOURCE)} and build again"
            )
        site.replace(_SOURCE, source)  # the data_dir was moved or copied, and its site with it


def _is_site(site: Directory) -> bool:
    """Whether a directory has what an earlier build has left, be it one that was stopped."""
    return read_json(site, API).get("generator") == GENERATOR or site.has(_LOCK)


def read_json(directory: Directory, name: str) -> dict[str, Any]:
    """What a file of the site says; nothing if it is not there or is damaged: it is then made anew."""
    try:
        found = parse_json(directory.read(name, _STATE_BYTES), _STATE_BYTES, name)
    except DatasetError:
        return {}
    return found if isinstance(found, dict) else {}


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
