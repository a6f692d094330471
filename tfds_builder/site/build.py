"""A directory of datasets as a site of static pages, which a browser opens from the disk: no server, no network, no build step.

>>> build("/data").index                                         # doctest: +SKIP
'/data/_catalog/index.html'

What is unchanged since the last time, by the digest of its manifest, is not looked into again, unless it could not be read then.
Every file is written beside its
place and renamed, pages before the index that leads to them, so whoever reads the site meanwhile finds whole pages. Of
several who build the same site at once, one does. Nothing is ever written into a version.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfds_builder.cards.croissant import annotations_of
from tfds_builder.cards.downloads import downloads_of, told_of
from tfds_builder.cards.preview import Preview, preview_of
from tfds_builder.catalog.location import explain_misplaced
from tfds_builder.catalog.read import read_manifest
from tfds_builder.catalog.survey import Entry, find_root, survey
from tfds_builder.checks.published import verify as run_verify
from tfds_builder.contract.directory import MANIFEST, AnyDirectory, Directory
from tfds_builder.contract.manifest import HEAD, Manifest
from tfds_builder.errors import DatasetError, SiteError
from tfds_builder.pages.statistics import statistics_of
from tfds_builder.pages.texts import cap
from tfds_builder.site import page as page_lib
from tfds_builder.site import render
from tfds_builder.site.charts import charts_of
from tfds_builder.site.examples import examples_of
from tfds_builder.site.index import index_of, index_page
from tfds_builder.site.place import API, DEFAULT, GENERATOR, are_there, files_of, open_site, read_json, sweep

INDEX, FEED, VERIFIED = "index.html", "feed.xml", "verified.json"
PAGE_BYTES = 1_000_000
_CONTENTS = ".contents"
_PROBLEMS = 20
_INSIDE: Mapping[str, Any] = {"shown": None, "charts": None, "preview": None, "annotations": {}, "unread": ""}
"""What pages and the files beside them show of shards; of those that cannot be read."""
_RECORD: Mapping[str, type] = {
    "digest": str,
    "whole": bool,
    "when": str,
    "by": str,
    "deep": bool,
    "problems": list,
    "left_out": int,
}
"""What is kept of each version that was verified, and what the pages say of it."""


@dataclasses.dataclass(frozen=True)
class Built:
    """What `build` did.

    Attributes:
      index: path of the page to open.
      versions: how many have a page.
      written: how many pages were made anew; the others were as they had to be.
      problems: what has no page, or one without examples, by name, and why; and what was found on the way.
      verified: how many were verified (`verify=True`).
      damaged: of those that verify found something wrong with, by name: the first problems.
    """

    index: str
    versions: int
    written: int
    problems: dict[str, str]
    verified: int = 0
    damaged: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def build(
    data_dir: str | os.PathLike[str],
    out: AnyDirectory | None = None,
    *,
    images: bool = True,
    data_dir_shown: str | None = None,
    verify: bool = False,
    verified_by: str = "torch2tfds",
    on_versions: Callable[[int], Any] = lambda count: None,
) -> Built:
    """Makes the site of a directory of datasets, or brings it up to date.

    Args:
      data_dir: a directory that datasets were exported to.
      out: directory of the site; `_catalog` in the data_dir by default. It must be empty, new, or a site of this function.
      images: whether pages show images.
      data_dir_shown: what pages call the data_dir, where readers know it by another path; its absolute path by default.
      verify: check every version first, and have the pages say when that was. What was found stays known afterwards.
      verified_by: who checks, in words.
      on_versions: called with the number of versions that were dealt with, for a progress bar.

    Returns:
      What was done.

    Raises:
      MissingFileError, UnreadableFileError: the data_dir is not there, is none, or may not be listed.
      SiteError: out holds something else or the site of another data_dir, or lies in a version, or is being built by another
        process.
      MissingPackageError: Jinja or Pillow is not installed.
      OSError: the site cannot be written.
    """
    root = find_root(data_dir).absolute()
    entries, notes = survey(root)
    site = root.below(DEFAULT) if out is None else Directory.given(out).absolute()
    with open_site(site, root):
        builder = _Builder(site, images, str(root) if data_dir_shown is None else data_dir_shown)
        if verify:
            builder.verify(entries, verified_by)
        builder.add(entries, on_versions)
        builder.finish(entries)
    problems = builder.problems | builder.unread | {f"note {number}": note for number, note in enumerate(notes, 1)}
    return Built(site.path_of(INDEX), len(builder.pages), builder.written, problems, builder.verified, builder.damaged)


def build_key(site: Directory) -> str:
    """What a site is made of, as a digest: another one after each build that changed it; "" of none."""
    return str(read_json(site, API).get("build", ""))


def _to_json(content: Any, indent: int | None = 1) -> bytes:
    return (json.dumps(content, indent=indent, sort_keys=True) + "\n").encode()


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _name_of(entry: Entry) -> str:
    return entry.tfds_name


@dataclasses.dataclass(frozen=True)
class _Found:
    """A version as it lies there: what its manifest begins with, and when that was written."""

    entry: Entry
    digest: str
    date: str


class _Builder:
    """Builds one site.

    Args:
      site: where.
      images: whether pages show images.
      data_dir: as pages call it.

    Attributes:
      pages: what the index needs of every version that has a page, in the order of the entries.
      written: how many pages were made.
      problems: of versions without a page, by name.
      unread: of versions whose page has no examples, why, by name.
      verified: how many versions were verified.
      damaged: what verify found wrong, by the name of the version.
    """

    def __init__(self, site: Directory, images: bool, data_dir: str) -> None:
        self._site, self._images, self._data_dir = site, images, data_dir
        self._records = read_json(site, VERIFIED)
        self._keep: set[str] = set()
        self.pages: list[dict[str, Any]] = []
        self.problems: dict[str, str] = {}
        self.unread: dict[str, str] = {}
        self.damaged: dict[str, list[str]] = {}
        self.written = self.verified = 0

    def verify(self, entries: Sequence[Entry], by: str) -> None:
        """Checks every version, and keeps what was found."""
        for entry in entries:
            if not entry.version:
                continue
            digest = _head_of(Directory.at(entry.path))
            report = run_verify(entry.path)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            problems = [str(cap(str(problem), 400)) for problem in report.problems[:_PROBLEMS]]
            left_out = len(report.problems) - len(problems)
            self._records[_name_of(entry)] = {
                "digest": digest, "whole": not report.problems, "when": now, "by": by, "deep": report.deep,
                "files": report.files, "bytes": report.bytes, "examples": report.examples, "problems": problems,
                "left_out": left_out,
            }  # fmt: skip
            self.verified += 1
            if problems:
                self.damaged[_name_of(entry)] = [*problems, f"and {left_out:,} more problems"] if left_out else problems
        self._records = {name: self._records[name] for name in map(_name_of, entries) if name in self._records}
        self._site.replace(VERIFIED, _to_json(self._records))

    def add(self, entries: Sequence[Entry], on_versions: Callable[[int], Any]) -> None:
        """Brings the page of every version up to date."""
        groups: dict[tuple[str, str], list[Entry]] = {}
        configs: dict[str, list[str]] = {}
        for entry in entries:
            groups.setdefault((entry.name, entry.config), []).append(entry)
            configs.setdefault(entry.name, []).append(entry.config)
        for (name, _), group in groups.items():
            default = configs[name][0] if len(set(configs[name])) > 1 else None
            self._add_group([self._find(entry) for entry in group if entry.version], default)
            self.problems |= {_name_of(entry): entry.problem for entry in group if entry.problem}
            on_versions(len(group))

    def _find(self, entry: Entry) -> _Found:
        directory = Directory.at(entry.path)
        try:
            modified = directory.modified(MANIFEST)
        except OSError:
            return _Found(entry, "", "")
        date = datetime.datetime.fromtimestamp(modified, datetime.UTC).isoformat(timespec="seconds")
        return _Found(entry, _head_of(directory), date)

    def _add_group(self, versions: Sequence[_Found], default: str | None) -> None:
        """The versions of one dataset, or of one of its configs; `default` is the one that the name alone stands for."""
        manifests: dict[str, Manifest] = {}
        beside = [(found.entry.version, found.digest) for found in versions]
        for found in versions:
            entry = found.entry
            record = self._record_of(found)
            key = _digest(render.fingerprint(), found.digest, found.date, beside, record, self._images, self._data_dir, default)
            place = self._site.below(entry.name, entry.config)
            known = read_json(place, f"{entry.version}.json")
            if not (found.digest and known.get("key") == key and are_there(place, entry.version, known)) or self._is_readable(
                found, known, versions, manifests
            ):
                try:
                    known = self._write_page(found, place, key, record, self._read_all(versions, manifests), default)
                except DatasetError as error:
                    self.problems[_name_of(entry)] = str(error)
                    continue
                self.written += 1
            if known["unread"]:
                self.unread[_name_of(entry)] = f"its examples cannot be read: {known['unread']}"
            self.pages.append(known)
            self._keep |= {"/".join(filter(None, (entry.name, entry.config, file))) for file in files_of(entry.version, known)}
            self._keep.add(f"{_CONTENTS}/{self._contents_name(found.digest)}")

    def _is_readable(
        self, found: _Found, known: Mapping[str, Any], versions: Sequence[_Found], manifests: dict[str, Manifest]
    ) -> bool:
        """Whether a version that could not be read when its page was made can be now, or cannot be for another reason."""
        if not known["unread"]:
            return False
        manifest = self._read_all(versions, manifests).get(found.entry.version)
        return manifest is None or self._contents(manifest, found.entry)["unread"] != known["unread"]

    def _read_all(self, versions: Sequence[_Found], manifests: dict[str, Manifest]) -> dict[str, Manifest]:
        """The manifests of all versions that can be read, by version; each is read once."""
        if not manifests:
            for found in versions:
                with contextlib.suppress(DatasetError):
                    manifests[found.entry.version] = read_manifest(found.entry.path)
        return manifests

    def _record_of(self, found: _Found) -> Mapping[str, Any] | None:
        record = self._records.get(_name_of(found.entry))
        if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in _RECORD.items()):
            return None
        return record if found.digest and record["digest"] == found.digest else None

    def _write_page(
        self,
        found: _Found,
        place: Directory,
        key: str,
        record: Mapping[str, Any] | None,
        manifests: Mapping[str, Manifest],
        default: str | None,
    ) -> dict[str, Any]:
        """Makes the page of a version, and the files beside it.

        Raises:
          DatasetError: its manifest cannot be read, or is that of another place.
        """
        entry = found.entry
        manifest = manifests.get(entry.version) or read_manifest(entry.path)
        if manifest.place != tuple(filter(None, (entry.name, entry.config, entry.version))):
            raise SiteError(explain_misplaced(Directory.at(entry.path), manifest.place))
        content = page_lib.page_of(manifest, found.date, self._data_dir, list(manifests.values()), record, default)
        inside = self._contents(manifest, entry)
        preview = None if inside["preview"] is None else Preview.from_json(inside["preview"])
        downloads = downloads_of(manifest, self._data_dir, preview, inside["annotations"])
        content = content | inside | {"downloads": told_of(downloads)}
        for less in ({}, {"shown": None}, {"shown": None, "json_ld": None}):
            page = render.render("version.html.j2", **content | less)
            if len(page) <= PAGE_BYTES:
                break
        summary = page_lib.summary_of(manifest, found.date, default) | {
            "metadata": {name: "/".join([*manifest.place, name]) for name in downloads},
        }
        known = {
            "key": key,
            "summary": summary | {"page": "/".join([*manifest.place[:-1], f"{manifest.version}.html"]), "verified": record},
            "search": page_lib.search_text(manifest),
            "cover": inside["shown"]["cover"] if inside["shown"] else "",
            "balance": inside["charts"]["spark"] if inside["charts"] else [],
            "unread": inside["unread"],
        }
        beside = place.below(entry.version)
        beside.make()
        for name, data in downloads.items():
            beside.replace(name, data)
        place.replace(f"{entry.version}.sha256", page_lib.checksums_of(manifest))
        place.replace(f"{entry.version}.html", page)
        place.replace(f"{entry.version}.json", _to_json(known))
        return known

    def _contents(self, manifest: Manifest, entry: Entry) -> dict[str, Any]:
        """What pages show of the shards of a version: as it was found once, or found now. What cannot be read is said."""
        place, name = self._site.below(_CONTENTS), self._contents_name(manifest.digest)
        kept = read_json(place, name)
        if kept.get("key") == render.fingerprint():
            return {key: kept[key] for key in _INSIDE}
        found: dict[str, Any] = dict(_INSIDE)
        try:
            directory = Directory.at(entry.path).of_version(manifest.head)
            found["shown"] = examples_of(directory, manifest, images=self._images)
            preview = preview_of(directory, manifest)
            found["preview"] = None if preview is None else preview.to_json()
            statistics = statistics_of(entry.path)
            found |= {"charts": charts_of(statistics), "annotations": annotations_of(statistics)}
        except DatasetError as error:
            return found | {"unread": str(cap(str(error), 400))}  # and not kept: it may be readable later
        place.make()
        place.replace(name, _to_json(found | {"key": render.fingerprint()}, indent=None))
        return found

    def _contents_name(self, digest: str) -> str:
        return f"{digest}{'' if self._images else '-no-images'}.json"

    def finish(self, entries: Sequence[Entry]) -> None:
        """The index, the API and the feed, if anything in them has changed; then what is of no version any more is removed."""
        pages = [[page["key"], page["unread"]] for page in self.pages]
        key = _digest(render.fingerprint(), pages, self.problems, self._data_dir)
        if read_json(self._site, API).get("build") != key or not all(self._site.has(name) for name in (INDEX, FEED)):
            index, feed = index_of(self.pages, self.problems, entries, self._data_dir)
            api = {
                "generator": GENERATOR, "build": key, "data_dir": self._data_dir,
                "datasets": [page["summary"] for page in self.pages], "problems": self.problems | self.unread,
            }  # fmt: skip
            self._site.replace(INDEX, index_page(index, PAGE_BYTES))
            self._site.replace(FEED, render.render("feed.xml.j2", identity=_digest(self._data_dir), **feed))
            self._site.replace(API, _to_json(api))
        sweep(self._site, _CONTENTS, self._keep)


def _head_of(directory: Directory) -> str:
    """The digest that a manifest begins with, unchecked; "" if it has none that can be read."""
    try:
        head = directory.view(MANIFEST, 0, len(HEAD) + 64)
    except DatasetError:
        return ""
    digest = head[len(HEAD) :].decode("ascii", "replace")
    return digest if head.startswith(HEAD) and re.fullmatch("[0-9a-f]{64}", digest) else ""
