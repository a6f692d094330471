"""What the page of one version shows, out of its manifest alone: facts, features, files, and how it differs from other versions.

Everything is short whatever a manifest holds: a page stays under a megabyte, and says what it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfds_builder.cards.schema_org import page_json_ld
from tfds_builder.cards.snippets import snippets
from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.contract.manifest import Manifest
from tfds_builder.pages.tasks import kinds_of, layouts_of, tasks_of
from tfds_builder.pages.texts import Text, cap, link

DESCRIPTION, CITATION, NOTES = 8000, 4000, 600
"""Characters that are shown of each."""
FEATURES, DECISIONS, FILES, CLASSES, VERSIONS, SPLITS = 150, 150, 100, 300, 40, 8
"""Rows that are shown of each."""
_NAME, _LINE, _SEARCH, _HEAD = 120, 240, 900, 700
_CLASSES_TOLD = 6
_TOLD = ("description", "homepage", "citation")
"""What of a card is only said to be another one."""


def summary_of(manifest: Manifest, date: str, default_config: str | None = None) -> dict[str, Any]:
    """A version as `catalog.json` has it, and as the index shows it.

    Args:
      manifest: of the version.
      date: when its manifest was written, in ISO 8601.
      default_config: the config that the dataset's name alone stands for; None if it has no other.
    """
    features = describe(manifest)
    return {
        "name": manifest.name,
        "config": manifest.config_name,
        "default_config": default_config,
        "version": manifest.version,
        "tfds_name": manifest.tfds_name,
        "format": manifest.format,
        "digest": manifest.digest,
        "date": date,
        "description": str(cap(manifest.card.get("description", ""), 300)),
        "license": str(cap(manifest.card.get("license", ""), 80)),
        "examples": {str(cap(name, _NAME)): split.examples for name, split in list(manifest.splits.items())[:100]},
        "total": sum(split.examples for split in manifest.splits.values()),
        "bytes": sum(file.bytes for file in manifest.files),
        "files": len(manifest.files) + 1,
        "features": [
            {"name": str(cap(feature.name, _NAME)), "shape": feature.shape, "dtype": feature.dtype, "what": feature.note}
            for feature in features[:FEATURES]
        ],
        "classes": max((len(names) for names in manifest.labels.values()), default=0) or _most_classes(features),
        "kinds": kinds_of(manifest),
        "tasks": tasks_of(manifest),
    }


def _most_classes(features: Sequence[Loaded]) -> int:
    found = (re.search(r"ClassLabel of (\d{1,12}) classes", feature.note) for feature in features)
    return max((int(match[1]) for match in found if match), default=0)


def search_text(manifest: Manifest) -> str:
    """What the search of the index looks into: names, description, features and classes, in small letters."""
    features = (feature.name for feature in describe(manifest)[:30])
    classes = (name for names in manifest.labels.values() for name in list(names)[:30])
    parts = (manifest.name, manifest.config_name, *features, manifest.card.get("description", "")[:400], *classes)
    return str(cap(" ".join(" ".join(parts).lower().split()), _SEARCH).text)


def page_of(
    manifest: Manifest,
    date: str,
    data_dir: str,
    versions: Sequence[Manifest],
    record: Mapping[str, Any] | None,
    default_config: str | None = None,
) -> dict[str, Any]:
    """What `version.html.j2` shows, but for what lies in the shards.

    Args:
      manifest: of the version.
      date: when its manifest was written.
      data_dir: as the reader of the page calls it.
      versions: the manifests of all versions of the dataset (of the config), the newest first.
      record: what verify found (`Site`), or None.
      default_config: the config that the dataset's name alone stands for; None if it has no other.
    """
    features, given = describe(manifest), _given(manifest)
    card = manifest.card
    newest = versions[0].version if versions else manifest.version
    return {
        "title": "/".join(filter(None, (manifest.name, manifest.config_name))),
        "version": manifest.version,
        "root": "../" * (len(manifest.place) - 1),
        "newer": {"version": newest, "href": f"{newest}.html"} if newest != manifest.version else None,
        "default_config": None if default_config is None else {"name": manifest.name, "config": default_config},
        "is_default": default_config == manifest.config_name,
        "description": cap(card.get("description", ""), DESCRIPTION),
        "description_head": cap(card.get("description", ""), _HEAD),
        "config_description": cap(manifest.config_description, DESCRIPTION // 4),
        "homepage": link(card["homepage"]) if card.get("homepage", "").strip() else None,
        "licence": str(cap(card.get("license", ""), 200)),
        "citation": cap(card.get("citation", ""), CITATION),
        "examples": sum(split.examples for split in manifest.splits.values()),
        "splits": [{"name": cap(name, _NAME), "examples": split.examples} for name, split in manifest.splits.items()],
        "bytes": sum(file.bytes for file in manifest.files),
        "format": manifest.format,
        "date": date,
        "record": record,
        "snippets": [{"title": title, "code": cap(code, 3000)} for title, code in snippets(manifest, data_dir)],
        "features": [
            {
                "name": cap(feature.name, _NAME),
                "shape": _shape(feature.shape),
                "dtype": cap(feature.dtype, 40),
                "what": cap(feature.note, _NAME),
                "source": cap(given[feature.name], 60),
            }
            for feature in features[:FEATURES]
        ],
        "features_cut": max(0, len(features) - FEATURES),
        "supervised": ", ".join(str(cap(key, _NAME)) for key in (manifest.supervised_keys or ())[:10]),
        "classes": [
            {
                "feature": cap(name, _NAME),
                "names": [cap(text, 80) for text in list(names)[:CLASSES]],
                "cut": max(0, len(names) - CLASSES),
            }
            for name, names in list(manifest.labels.items())[:3]
        ],
        "decisions": [cap(line, _LINE) for line in manifest.decisions[:DECISIONS]],
        "hazards": [
            {"name": cap(hazard.name, _NAME), "split": cap(hazard.split, _NAME), "meaning": cap(hazard.meaning, _LINE)}
            for hazard in manifest.hazards[:DECISIONS]
        ],
        "hazards_cut": max(0, len(manifest.hazards) - DECISIONS),
        "decisions_cut": max(0, len(manifest.decisions) - DECISIONS),
        "versions": _versions(versions[: VERSIONS + 1])[:VERSIONS],
        "versions_cut": max(0, len(versions) - VERSIONS),
        "files": [{"file": cap(file.file, _NAME), "bytes": file.bytes, "sha256": file.sha256} for file in manifest.files[:FILES]],
        "files_total": len(manifest.files),
        "digest": manifest.digest,
        "producer": str(cap(manifest.producer, 80)),
        "json_ld": page_json_ld(manifest, data_dir),
    }


def checksums_of(manifest: Manifest) -> bytes:
    """The files of a version as `sha256sum -c` takes them, which escapes line ends and backslashes in names (man 1 sha256sum)."""
    lines = []
    for file in manifest.files:
        name = file.file.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{chr(92) if name != file.file else ''}{file.sha256}  {name}\n")
    return "".join(lines).encode()


def _given(manifest: Manifest) -> dict[str, str]:
    """What the loader gave for each feature, which `as_torch` gives back: layout and dtype."""
    layouts = layouts_of(manifest.columns)
    dtypes = {column.name.removesuffix("/value"): column.source_dtype for column in manifest.columns}
    names = [feature.name for feature in describe(manifest)]
    return {name: " ".join(filter(None, (layouts.get(name, ""), dtypes.get(name, "")))) for name in names}


def _versions(versions: Sequence[Manifest]) -> list[dict[str, Any]]:
    """Versions side by side, each with what changed since the one before it."""
    rows = []
    for number, manifest in enumerate(versions):
        before = versions[number + 1] if number + 1 < len(versions) else None
        rows.append(
            {
                "version": manifest.version,
                "href": f"{manifest.version}.html",
                "splits": _splits(manifest, before)[:SPLITS],
                "splits_cut": max(0, len(_splits(manifest, before)) - SPLITS),
                "bytes": sum(file.bytes for file in manifest.files),
                "format": manifest.format,
                "changes": "" if before is None else _changes(manifest, before),
                "notes": cap(_notes(manifest.version, versions), NOTES),
            }
        )
    return rows


def _notes(version: str, versions: Sequence[Manifest]) -> str:
    """What changed in a version, as the newest version that says so has it."""
    return next((manifest.release_notes[version] for manifest in versions if version in manifest.release_notes), "")


def _splits(manifest: Manifest, before: Manifest | None) -> list[dict[str, Any]]:
    """The splits of a version with what changed since another one, and those that are gone."""
    then = {} if before is None else {name: split.examples for name, split in before.splits.items()}
    now = {name: split.examples for name, split in manifest.splits.items()}
    found = []
    for name, count in now.items():
        change = "" if before is None or then.get(name) == count else f"{count - then[name]:+,}" if name in then else "new"
        found.append({"name": cap(name, 60), "examples": count, "change": change})
    gone = [{"name": cap(name, 60), "examples": None, "change": f"gone, -{then[name]:,}"} for name in then if name not in now]
    return gone + found


def _changes(manifest: Manifest, before: Manifest) -> Text:
    """What changed since another version but for its examples, in words: features, classes, what is supervised, the card."""
    parts = [*_feature_changes(manifest, before), *_class_changes(manifest, before)]
    if manifest.supervised_keys != before.supervised_keys:
        told = [", ".join(one.supervised_keys or ()) or "nothing" for one in (before, manifest)]
        parts.append(f"as_supervised gives {told[1]}, and gave {told[0]}")
    licences = [" ".join(one.card.get("license", "").split()) for one in (before, manifest)]
    if licences[0] != licences[1]:
        parts.append(f"licence: {' → '.join(str(cap(text, 80)) or 'not said' for text in licences)}")
    parts += [f"another {key}" for key in _TOLD if manifest.card.get(key, "") != before.card.get(key, "")]
    return cap("; ".join(parts) or "the same", NOTES)


def _feature_changes(manifest: Manifest, before: Manifest) -> list[str]:
    now, then = ({feature.name: feature for feature in describe(one)} for one in (manifest, before))
    given = _given(before), _given(manifest)
    parts = [f"{name} is new" for name in now if name not in then] + [f"{name} is gone" for name in then if name not in now]
    for name in now.keys() & then.keys():
        new, old = now[name], then[name]
        if (new.shape, new.dtype, new.note) != (old.shape, old.dtype, old.note):
            told = [f"{one.dtype} {_shape(one.shape)} {one.note}".strip() for one in (old, new)]
            parts.append(f"{name}: {told[0]} → {told[1]}")
        elif given[0][name] != given[1][name]:
            parts.append(f"{name}: the loader gave {given[1][name] or 'it as it is'}, before {given[0][name] or 'it as it is'}")
    return sorted(parts)


def _class_changes(manifest: Manifest, before: Manifest) -> Iterator[str]:
    """The classes of each label of both that came, went or have another number."""
    for label in filter(before.labels.__contains__, manifest.labels):
        now, then = ({name: number for number, name in enumerate(one.labels[label])} for one in (manifest, before))
        moved = [name for name in now if name in then and now[name] != then[name]]
        kinds = {
            "new": [name for name in now if name not in then],
            "gone": [name for name in then if name not in now],
            "of another number": moved,
        }
        for word, names in kinds.items():
            if names:
                shown = ", ".join(str(cap(name, 40)) for name in names[:_CLASSES_TOLD])
                more = f" and {len(names) - _CLASSES_TOLD:,} more" if len(names) > _CLASSES_TOLD else ""
                yield f"{label}: {shown}{more} {'is' if len(names) == 1 else 'are'} {word}"


def _shape(shape: Sequence[int | None]) -> str:
    """A shape for people: sizes that differ are dots.

    >>> _shape((None, 4))
    '(…, 4)'
    """
    if not shape:
        return "scalar"
    return f"({', '.join('…' if size is None else str(size) for size in shape)}{',' if len(shape) == 1 else ''})"
