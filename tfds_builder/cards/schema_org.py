"""A version as schema.org/Dataset: what its page says to search engines, and what Croissant builds on.

>>> dataset_of(manifest)["license"]                                  # doctest: +SKIP
'https://spdx.org/licenses/CC0-1.0.html'

What a card does not say is left out: there is no date, since an export holds no clock, and no licence or creator that
nobody named.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from tfds_builder import formats
from tfds_builder.cards.bibtex import Author, first_entry
from tfds_builder.cards.licences import licence_of
from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.contract.manifest import Manifest
from tfds_builder.pages.tasks import kinds_of, tasks_of
from tfds_builder.pages.texts import cap, link

_SEARCH, _FILES, _FEATURES, _CREATORS, _NAME = 5000, 20, 30, 20, 120
"""Characters of a description that search engines take, and what of files, features and creators is in a page."""


def title_of(manifest: Manifest) -> str:
    """What a version is called without its version: `"noise"`, `"noise/small"`."""
    return "/".join(manifest.place[:-1])


def creators_of(manifest: Manifest) -> tuple[Author, ...]:
    """Who has made a dataset, as far as its card says so: the authors of the first BibTeX entry of its citation."""
    entry = first_entry(manifest.card.get("citation", ""))
    return () if entry is None else entry.authors


def description_of(manifest: Manifest, limit: int) -> str:
    """The description of a dataset and of its config, or what can be said without one."""
    parts = [manifest.card.get("description", "").strip(), manifest.config_description.strip()]
    text = str(cap("\n\n".join(filter(None, parts)), limit))
    return text or f"{title_of(manifest)}: {amount_of(manifest)}. Its card has no description."


def amount_of(manifest: Manifest) -> str:
    """How many examples there are, in words."""
    counts = [f"{split.examples:,} in {name}" for name, split in list(manifest.splits.items())[:20]]
    total = sum(split.examples for split in manifest.splits.values())
    return f"{total:,} examples" + (f" ({', '.join(counts)})" if counts else "")


def keywords_of(manifest: Manifest) -> list[str]:
    """What a dataset is for, and what is in it, in words."""
    return list(dict.fromkeys([*tasks_of(manifest), *kinds_of(manifest), manifest.format]))


def tell(feature: Loaded) -> str:
    """What a feature is, in a line."""
    shape = "" if not feature.shape else f" ({', '.join('any' if size is None else str(size) for size in feature.shape)})"
    return str(cap(f"{feature.dtype}{shape}{', ' if feature.note else ''}{feature.note}", _NAME))


def address_of(data_dir: str, *names: str) -> str:
    """Where a file is: below an address, or at an absolute or relative path, as those who read about it call the data_dir.

    >>> address_of("/data", "digits", "1.0.0", "a b"), address_of("https://example.org/d/", "digits")
    ('file:///data/digits/1.0.0/a%20b', 'https://example.org/d/digits')
    """
    below = "/".join(urllib.parse.quote(name) for name in names)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", data_dir):
        start = urllib.parse.quote(data_dir, safe="%/:?#[]@!$&'()*+,;=~")
    else:
        start = f"{'file://' if data_dir.startswith('/') else ''}{urllib.parse.quote(data_dir)}"
    return f"{start.rstrip('/')}/{below}"


def dataset_of(manifest: Manifest, limit: int = _SEARCH) -> dict[str, Any]:
    """The properties that schema.org and Croissant share.

    Args:
      manifest: of the version.
      limit: characters of the description.
    """
    licence = licence_of(manifest.card.get("license", ""))
    homepage = link(manifest.card.get("homepage", "")).url
    found: dict[str, Any] = {
        "name": title_of(manifest), "description": description_of(manifest, limit), "version": manifest.version,
        "keywords": keywords_of(manifest),
    }  # fmt: skip
    if homepage:
        found["url"] = homepage
    if licence.url:
        found["license"] = licence.url
    elif licence.text and licence.hub != "unknown":
        found["license"] = {"@type": "CreativeWork", "name": licence.text}
    creators = [
        {"@type": "Person", "name": str(author), "givenName": author.given, "familyName": author.family}
        if author.family
        else {"@type": "Organization", "name": str(author)}
        for author in creators_of(manifest)
    ]
    return found | ({"creator": creators} if creators else {})


def page_json_ld(manifest: Manifest, data_dir: str) -> Mapping[str, Any]:
    """What the page of a version says to search engines, of bounded size.

    Args:
      manifest: of the version.
      data_dir: as readers of the page call it.
    """
    stored = formats.find(manifest.format)
    shards = [shard.data for split in manifest.splits.values() for shard in split.shards]
    found = {"@context": "https://schema.org/", "@type": "Dataset", **dataset_of(manifest)}
    if "creator" in found:
        found["creator"] = found["creator"][:_CREATORS]
    if citation := manifest.card.get("citation", "").strip():
        found["citation"] = str(cap(citation, _SEARCH))
    found["variableMeasured"] = [
        {"@type": "PropertyValue", "name": str(cap(feature.name, _NAME)), "description": tell(feature)}
        for feature in describe(manifest)[:_FEATURES]
    ]
    found["distribution"] = [
        {
            "@type": "DataDownload", "name": file.file, "contentUrl": address_of(data_dir, *manifest.place, file.file),
            "contentSize": f"{file.bytes} B", "encodingFormat": stored.media_type, "sha256": file.sha256,
        }
        for file in shards[:_FILES]
    ]  # fmt: skip
    return found
