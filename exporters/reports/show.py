"""What `torch2tfds list`, `info`, `verify` and `catalog` print, as text or as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Sequence

from exporters import wording
from tfds_builder.aliases import JsonObject
from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.catalog.location import explain_misplaced, read_given
from tfds_builder.catalog.survey import Entry, scan
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import Manifest
from tfds_builder.contract.untrusted import printable
from tfds_builder.errors import DatasetError, DatasetWarning, SearchPathError, UnreadableFileError, UnsupportedVersionError
from tfds_builder.finding.search_path import VARIABLE, config_file, search_path

_STATES = {UnreadableFileError: "not readable", UnsupportedVersionError: "not supported"}
_NAMES_SHOWN = 5
_TEXT_SHOWN = 80


def list_datasets(data_dir: pathlib.Path | None, as_json: bool) -> None:
    """Prints every version published under a directory, and on stderr which folders there are not datasets.

    Without a directory, those of the search path; the names are those that `tfds.load` takes, and JSON has `namespace` too.

    Raises:
      SearchPathError: no directory is given, and none is searched.
    """
    if data_dir is None:
        _list_searched(as_json)
        return
    rows = _list_rows(data_dir)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(printable(_in_a_line(row)))
    if not rows:
        print(f"nothing is published under {data_dir}")


def _list_searched(as_json: bool) -> None:
    """Prints what the directories of the search path have; one that cannot be listed is a warning."""
    places = search_path()
    if not places:
        raise SearchPathError(
            f"say which DATA_DIR to list, or name directories in {VARIABLE} or in {config_file()}; neither names any"
        )
    found: list[JsonObject] = []
    for place in places:
        try:
            rows = _list_rows(place.data_dir.path)
        except DatasetError as error:
            _warn(f"{place} cannot be listed: {error}")
            continue
        found += [row | {"namespace": place.namespace} for row in rows]
        if not as_json:
            print(printable(str(place)))
            for row in rows:
                print(printable(f"  {place.namespace}{':' if place.namespace else ''}{_in_a_line(row)}"))
    if as_json:
        print(json.dumps(found, indent=2))


def _list_rows(data_dir: pathlib.Path) -> list[JsonObject]:
    """Every version published under a directory as `list --json` has it; warnings go to stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DatasetWarning)
        entries = scan(data_dir)
    for warning in caught:
        _warn(str(warning.message))
    newest = {(entry.name, entry.config): entry.version for entry in reversed(entries)}
    return [_describe(entry) | {"newest": entry.version == newest[entry.name, entry.config]} for entry in entries]


def _warn(text: str) -> None:
    print(printable(f"torch2tfds: warning: {text}"), file=sys.stderr)


def _describe(entry: Entry) -> JsonObject:
    """A version as `list --json` has it: a summary of its manifest, or what keeps it from being read."""
    found = {key: value for key, value in dataclasses.asdict(entry).items() if key != "problem"}
    if entry.problem:
        return {**found, "state": "not readable", "problem": entry.problem}
    try:
        manifest = read_lib.read_manifest(entry.path)
    except DatasetError as error:
        state = next((text for kind, text in _STATES.items() if isinstance(error, kind)), "damaged")
        return {**found, "state": state, "problem": str(error)}
    if manifest.place != tuple(filter(None, (entry.name, entry.config, entry.version))):
        problem = explain_misplaced(Directory.at(entry.path), manifest.place)
        return {**found, "state": "misplaced", "problem": problem}
    published = datetime.datetime.fromtimestamp(Directory.at(entry.path).modified(manifest_lib.FILENAME), datetime.UTC)
    return _summarize(manifest, entry.path) | {
        "description": manifest.card.get("description", ""),
        "config_description": manifest.config_description,
        "published": published.isoformat(timespec="seconds"),
    }


def _in_a_line(row: JsonObject) -> str:
    name = "/".join(filter(None, (row["name"], row["config"]))) + (f":{row['version']}" if row["version"] else "")
    if "problem" in row:
        return f"{name}  {row['state']}: {row['problem']}"
    counts = ", ".join(f"{split} {count:,}" for split, count in row["examples"].items())
    line = f"{name}  {row['format']}  {row['bytes']:,} bytes  {counts}  {row['published'][:10]}"
    if not row["newest"]:
        return line
    told = [_first_line(text) for text in (row["config_description"], row["description"]) if text.strip()]
    return "  ".join([line, "newest", *told])


def _first_line(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if len(line) <= _TEXT_SHOWN else f"{line[: _TEXT_SHOWN - 3]}..."


def info(path: pathlib.Path, as_json: bool) -> None:
    """Prints what a published version holds."""
    manifest = read_given(path)
    columns = [column.to_json() for column in manifest.columns]
    if as_json:
        extra = {
            "features": [dataclasses.asdict(feature) for feature in describe(manifest)],
            "columns": columns,
            "labels": dict(manifest.labels),
            "card": dict(manifest.card),
            "config_description": manifest.config_description,
            "release_notes": dict(manifest.release_notes),
            "hazards": [dataclasses.asdict(hazard) for hazard in manifest.hazards],
        }
        print(json.dumps({**_summarize(manifest, os.fspath(path)), **extra}, indent=2))
        return
    print(f"{manifest.tfds_name}  {manifest.format}  {os.fspath(path)}")
    notes = (f"{version}: {text}" for version, text in manifest.release_notes.items())
    for text in filter(None, (manifest.config_description, *manifest.card.values(), *notes)):
        print("\n".join(f"  {printable(line)}" for line in text.split("\n")))
    for feature in describe(manifest):
        print(f"  {printable(_feature_line(feature, manifest.labels.get(feature.name, ())))}")
    for decision in manifest.decisions:
        print(f"  {printable(decision)}")
    for hazard in manifest.hazards:
        print(f"  {printable(f'told of {hazard.split}: {hazard.name}: {hazard.meaning}')}")
    for split, content in manifest.splits.items():
        examples, shards = wording.plural(content.examples, "example"), wording.plural(len(content.shards), "shard")
        print(f"  {split}: {examples} in {shards}, {content.bytes:,} bytes")


def _feature_line(feature: Loaded, names: Sequence[str]) -> str:
    """A feature as it is loaded, with the first of its class names."""
    line = f"{feature.name}: {feature.shape} {feature.dtype}" + (f", {feature.note}" if feature.note else "")
    if not names:
        return line
    more = f", ... ({len(names) - _NAMES_SHOWN} more)" if len(names) > _NAMES_SHOWN else ""
    return f"{line}: {', '.join(names[:_NAMES_SHOWN])}{more}"


def _summarize(manifest: Manifest, path: str) -> JsonObject:
    return {
        "name": manifest.name,
        "config": manifest.config_name,
        "version": manifest.version,
        "format": manifest.format,
        "path": path,
        "examples": {split: content.examples for split, content in manifest.splits.items()},
        "shards": {split: len(content.shards) for split, content in manifest.splits.items()},
        "bytes": sum(file.bytes for file in manifest.files),
        "decisions": list(manifest.decisions),
    }


def verify(path: pathlib.Path, deep: bool, as_json: bool, progress: bool | None) -> int:
    """Checks a published version and prints what is wrong.

    Returns:
      The exit code: 0 if it is whole, 1 if it is damaged, 2 if something keeps it from being checked.
    """
    from exporters.progress import Progress
    from tfds_builder.checks.published import verify as run

    with Progress(progress, None, "verify", unit="B") as bar:
        report = run(path, bar.add, deep=deep)
    if as_json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        for problem in report.problems:
            print(printable(str(problem)))
        if report.not_decoded:
            print(printable(f"not decoded, which takes TensorFlow: {', '.join(report.not_decoded)}"))
        verdict = wording.plural(len(report.problems), "problem") if report.problems else "whole"
        looked_at = [wording.plural(report.files, "file"), f"{report.bytes:,} bytes", wording.plural(report.examples, "example")]
        print(f"{path}: {verdict} ({', '.join(looked_at)})")
    if any(problem.kind in ("damaged", "missing") for problem in report.problems):
        return 1
    return 2 if report.problems else 0
