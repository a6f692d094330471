"""A version as CITATION.cff, by which reference managers and code hosts cite it (Citation File Format 1.2.0).

>>> print(citation_file_of(manifest))                                # doctest: +SKIP
cff-version: "1.2.0"
...

The format wants authors, so where a card names none the file says so. There is no date: an export holds no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tfds_builder.cards.bibtex import Author, Entry, first_entry
from tfds_builder.cards.licences import licence_of
from tfds_builder.cards.schema_org import creators_of, keywords_of, title_of
from tfds_builder.cards.yaml_text import Yaml, to_yaml
from tfds_builder.contract.manifest import Manifest
from tfds_builder.pages.texts import cap, link

FILE = "CITATION.cff"
NOBODY = "The card of this dataset names no author"
_TEXT = 20_000
_LATER = ("CDLA-Permissive-2.0",)
"""Licences that the list in the format's schema is older than."""
_TYPES: Mapping[str, str] = {
    "article": "article", "book": "book", "conference": "conference-paper", "inproceedings": "conference-paper",
    "inbook": "book", "incollection": "book", "manual": "manual", "mastersthesis": "thesis", "phdthesis": "thesis",
    "proceedings": "proceedings", "techreport": "report", "unpublished": "unpublished", "dataset": "data", "data": "data",
    "online": "website",
}  # fmt: skip
"""What the format calls BibTeX's kinds of entries; all others are `generic`."""
_DOI = re.compile(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;.()\[\]\\-]+")


def citation_file_of(manifest: Manifest) -> str:
    """The content of the CITATION.cff of a version."""
    text = manifest.card.get("citation", "").strip()
    entry, licence = first_entry(text), licence_of(manifest.card.get("license", ""))
    found: dict[str, Yaml] = {
        "cff-version": "1.2.0",
        "message": _message(text, entry),
        "type": "dataset",
        "title": title_of(manifest),
        "version": manifest.version,
        "authors": _authors(creators_of(manifest)) or [{"name": NOBODY}],
    }
    if description := manifest.card.get("description", "").strip():
        found["abstract"] = str(cap(description, _TEXT))
    if homepage := link(manifest.card.get("homepage", "")).url:
        found["url"] = homepage
    if licence.spdx and licence.spdx not in _LATER:
        found["license"] = licence.spdx
    elif licence.url:
        found["license-url"] = licence.url
    found["keywords"] = keywords_of(manifest)
    if manifest.digest:
        told = "SHA-256 that the manifest of the version has of itself"
        found["identifiers"] = [{"type": "other", "value": f"sha256:{manifest.digest}", "description": told}]
    if entry is not None and entry.authors and entry.fields.get("title"):
        found["preferred-citation"] = _reference(entry)
    return to_yaml(found)


def _message(text: str, entry: Entry | None) -> str:
    """What a reader is asked to do; a citation that is not BibTeX is in it as it is."""
    if text and entry is None:
        return f"If you use this dataset, please cite it as: {cap(text, _TEXT)}"
    return "If you use this dataset, please cite it using the metadata from this file."


def _authors(authors: Sequence[Author]) -> list[Yaml]:
    """Authors, each once, as the format wants it."""
    found: list[Yaml] = []
    for author in authors:
        one: Yaml = {"name": author.given}
        if author.family:
            one = {"family-names": author.family} | ({"given-names": author.given} if author.given else {})
        if one not in found:
            found.append(one)
    return found


def _reference(entry: Entry) -> dict[str, Yaml]:
    """A BibTeX entry."""
    fields = entry.fields
    found: dict[str, Yaml] = {
        "type": _TYPES.get(entry.kind, "generic"), "title": fields["title"], "authors": _authors(entry.authors),
    }  # fmt: skip
    if re.fullmatch(r"[12]\d{3}", fields.get("year", ""), re.ASCII):
        found["year"] = int(fields["year"])
    for name, key in (("journal", "journal"), ("booktitle", "collection-title"), ("volume", "volume"), ("pages", "pages")):
        if fields.get(name):
            found[key] = fields[name]
    doi = re.sub(r"(?i)^(https?://(dx\.)?doi\.org/|doi:\s*)", "", fields.get("doi", ""))
    if _DOI.fullmatch(doi):
        found["doi"] = doi
    if url := link(fields.get("url", "")).url:
        found["url"] = url
    return found
