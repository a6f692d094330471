"""A version as a dataset card of the Hugging Face Hub: a README.md that begins with what the Hub reads.

>>> dataset_card_of(manifest, preview, lines).splitlines()[:2]       # doctest: +SKIP
['---', 'license: cc0-1.0']

What the Hub could not make use of is not claimed: the one config is the preview, whose data it can load. Splits and sizes of the
version stand in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tfds_builder.cards.croissant import PREVIEW_FILE
from tfds_builder.cards.licences import licence_of
from tfds_builder.cards.preview import TEXT, Preview
from tfds_builder.cards.schema_org import creators_of, description_of, keywords_of, tell, title_of
from tfds_builder.cards.yaml_text import Yaml, to_yaml
from tfds_builder.catalog.describe import describe
from tfds_builder.contract.manifest import Manifest
from tfds_builder.pages.tasks import kinds_of, tasks_of
from tfds_builder.pages.texts import cap, clean, link

FILE = "README.md"
_DESCRIPTION, _CITATION, _LICENCE = 100_000, 20_000, 5000
_FEATURES, _CLASSES, _DECISIONS, _NOTES = 500, 200, 200, 50
"""Rows that are shown of each."""
_TASKS: Mapping[str, str] = {
    "image classification": "image-classification", "object detection": "object-detection", "segmentation": "image-segmentation",
    "text classification": "text-classification", "audio classification": "audio-classification",
    "video classification": "video-classification", "classification": "tabular-classification",
    "regression": "tabular-regression", "translation": "translation",
}  # fmt: skip
"""The Hub's names of tasks (huggingface.co/tasks)."""
_TABULAR = {"label", "number", "text"}
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def dataset_card_of(manifest: Manifest, preview: Preview | None, load: Iterable[tuple[str, str]]) -> str:
    """The content of the README.md of a version.

    Args:
      manifest: of the version.
      preview: of it, if there is one; the file lies beside.
      load: lines that load it, each with what they are for.
    """
    return f"---\n{to_yaml(_front_matter(manifest, preview))}---\n\n" + "\n".join(_body(manifest, preview, load)) + "\n"


def size_category(examples: int) -> str:
    """The Hub's word for so many examples.

    >>> size_category(999), size_category(1000), size_category(60_000), size_category(10**13)
    ('n<1K', '1K<n<10K', '10K<n<100K', 'n>1T')
    """
    place = next((place for place in range(len(_SIZES)) if examples < 1000 * 10**place), len(_SIZES))
    if place == 0:
        return "n<1K"
    return f"{_SIZES[place - 1]}<n<{_SIZES[place]}" if place < len(_SIZES) else "n>1T"


def _front_matter(manifest: Manifest, preview: Preview | None) -> dict[str, Yaml]:
    licence = licence_of(manifest.card.get("license", ""))
    found: dict[str, Yaml] = {"license": licence.hub}
    if licence.hub == "other":
        found["license_name"] = re.sub(r"[^a-z0-9.]+", "-", licence.text.lower())[:60].strip("-.") or "own"
        if licence.url:  # and not "LICENSE", which lies beside the shards, while this file lies with the site
            found["license_link"] = licence.url
        found["license_details"] = licence.text
    if tasks := _task_categories(manifest):
        found["task_categories"] = tasks
    total = sum(split.examples for split in manifest.splits.values())
    found["size_categories"] = [size_category(total)]
    found["tags"] = ["tensorflow-datasets", "torch2tfds", *keywords_of(manifest)]
    found["pretty_name"] = title_of(manifest)
    if preview is not None:
        found["configs"] = [{"config_name": "preview", "data_files": [{"split": "preview", "path": PREVIEW_FILE}]}]
    return found


def _task_categories(manifest: Manifest) -> list[Yaml]:
    """The Hub's names of what a dataset is fit for; arrays that are neither image nor sound are no table."""
    is_table = set(kinds_of(manifest)) <= _TABULAR
    found = [_TASKS[task] for task in tasks_of(manifest) if task in _TASKS]
    return [task for task in found if is_table or not task.startswith("tabular")]


def _body(manifest: Manifest, preview: Preview | None, load: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The lines that people read."""
    card, licence = manifest.card, licence_of(manifest.card.get("license", ""))
    yield f"# {_text(title_of(manifest))} {manifest.version}\n"
    yield f"{_paragraphs(description_of(manifest, _DESCRIPTION))}\n"
    yield from _table(
        ("", ""),
        [
            ("Examples", f"{sum(split.examples for split in manifest.splits.values()):,}"),
            ("Files", f"{len(manifest.files) + 1:,}, {sum(file.bytes for file in manifest.files):,} bytes, {manifest.format}"),
            ("Licence", licence.text or "not stated"),
            ("Homepage", link(card.get("homepage", "")).text or "not stated"),
            ("Creators", ", ".join(map(str, creators_of(manifest)[:20])) or "not stated"),
        ],
    )
    yield "## Splits\n"
    yield from _table(
        ("split", "examples", "shards", "bytes"),
        [(name, f"{s.examples:,}", f"{len(s.shards):,}", f"{s.bytes:,}") for name, s in manifest.splits.items()],
    )
    yield "## Features\n"
    features = describe(manifest)
    yield from _table(("feature", "what it is"), [(feature.name, tell(feature)) for feature in features[:_FEATURES]])
    yield from _cut(len(features) - _FEATURES, "features")
    for name, names in list(manifest.labels.items())[:10]:
        yield f"Classes of {_text(str(cap(name, 120)))}: {', '.join(_text(str(cap(text, 80))) for text in names[:_CLASSES])}\n"
        yield from _cut(len(names) - _CLASSES, "classes")
    yield "## Load it\n"
    for title, code in load:
        yield f"{title}:\n\n{_fenced(code)}\n"
    if preview is not None:
        yield "## Preview\n"
        yield f"`{PREVIEW_FILE}` has {preview.rows} of the {preview.of:,} examples of {_text(preview.split)}, evenly spaced,"
        yield f"as JSON lines; texts are cut after {TEXT} characters. It is no substitute for the dataset.\n"
        left_out = [f"{_text(str(cap(name, 120)))} ({_text(why)})" for name, why in list(preview.left_out.items())[:50]]
        if left_out:
            yield f"Left out of it: {', '.join(left_out)}.\n"
    yield from _rest(manifest)


def _rest(manifest: Manifest) -> Iterator[str]:
    """What is there only where somebody has said something."""
    if manifest.decisions:
        yield "## What the export decided\n"
        yield from (f"- {_text(str(cap(line, 240)))}" for line in manifest.decisions[:_DECISIONS])
        yield ""
        yield from _cut(len(manifest.decisions) - _DECISIONS, "decisions")
    if manifest.release_notes:
        yield "## Release notes\n"
        notes = list(manifest.release_notes.items())
        yield from (f"- {_text(version)}: {_text(str(cap(note, 2000)))}" for version, note in notes[-_NOTES:])
        yield ""
    if citation := manifest.card.get("citation", "").strip():
        yield f"## Citation\n\n{_fenced(str(cap(citation, _CITATION)))}\n"
    if manifest.digest:
        written = f", written by {_text(str(cap(manifest.producer, 80)))}" if manifest.producer else ""
        yield f"Manifest `{manifest.digest}`{written}.\n"


def _cut(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"{count:,} more {what} are not listed here.\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(_text(str(cap(cell, _LICENCE))) for cell in row)} |" for row in rows)
    yield ""


def _text(text: str) -> str:
    """Text within a line, of which Markdown makes nothing else.

    >>> print(_text("a|b *c* <b>"))
    a\\|b \\*c\\* &lt;b>
    """
    line = " ".join(clean(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#!~$])", r"\\\1", line)


def _paragraphs(text: str) -> str:
    """Text of several lines: Markdown's paragraphs, lists and headings work, and no HTML, link or picture does."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`\[\]!])", r"\\\1", escaped)


def _fenced(text: str) -> str:
    """Text as it is, in a fence that is longer than any in it."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}\n{text}\n{fence}"
