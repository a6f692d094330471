"""The files that lie beside the page of a version, for other catalogs, tools and papers.

>>> list(downloads_of(manifest, "/data", preview, {}))                # doctest: +SKIP
['croissant.json', 'preview.jsonl', 'README.md', 'CITATION.cff']

They are in a directory of the version's name, so that all of them can be taken along together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tfds_builder.cards import citation, croissant, hub
from tfds_builder.cards.croissant import Annotations
from tfds_builder.cards.preview import Preview
from tfds_builder.cards.snippets import snippets
from tfds_builder.contract.manifest import Manifest

_TOLD: Mapping[str, str] = {
    croissant.FILE: "Croissant 1.1: files, splits, classes, features and statistics, for tools and search engines",
    croissant.PREVIEW_FILE: "the preview that it loads: a few examples as JSON lines, without images",
    hub.FILE: "dataset card, as the Hugging Face Hub takes it",
    citation.FILE: "how to cite it, for reference managers and code hosts",
}
NAMES = tuple(_TOLD)


def downloads_of(manifest: Manifest, data_dir: str, preview: Preview | None, annotations: Annotations) -> dict[str, bytes]:
    """The files of a version, by name.

    Args:
      manifest: of the version.
      data_dir: as readers of the site call it.
      preview: a few examples; None if there are none, or if they cannot be read.
      annotations: statistics, as `annotations_of` gives them.
    """
    content = croissant.croissant_of(manifest, data_dir, preview, annotations)
    found = {
        croissant.FILE: json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        croissant.PREVIEW_FILE: "" if preview is None else preview.text,
        hub.FILE: hub.dataset_card_of(manifest, preview, snippets(manifest, data_dir)),
        citation.FILE: citation.citation_file_of(manifest),
    }
    return {name: text.encode() for name, text in found.items() if text}


def told_of(names: Iterable[str]) -> list[dict[str, str]]:
    """What a page says of these files."""
    return [{"name": name, "what": _TOLD[name]} for name in names]
