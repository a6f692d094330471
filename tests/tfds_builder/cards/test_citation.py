"""`tfds_builder.cards.citation`: a CITATION.cff of what the card says, valid by the format's own schema."""

import dataclasses
import datetime
import json
import pathlib
import re

import pytest

from tfds_builder.cards.citation import NOBODY, citation_file_of
from tfds_builder.catalog.read import read_manifest

pytestmark = pytest.mark.once

HOSTILE = '</script> "x": - {{ 7 }} \x00\x1b[2J\u202e\n---\n# \U0001f44d'
ARTICLE = r"""
@article{doe2020,
  author = {Doe, Jane and {The Digits Team} and Gau{\ss}, C. F. and Doe, Jane},
  title = {Digits: a {Study}}, journal = {Journal of Digits}, year = 2020, volume = 3, pages = {1--9},
  doi = {https://doi.org/10.1234/abc.5(6)}, url = {https://example.org/digits}
}"""


@pytest.fixture
def make(golden):
    """`make(citation=...)`: the file of a version with such a card, read again."""
    yaml = pytest.importorskip("yaml")
    manifest = read_manifest(golden / "pairs_hdf5" / "1.0.0")

    def call(manifest=manifest, **card):
        text = citation_file_of(dataclasses.replace(manifest, card=card))
        content = yaml.safe_load(text)
        assert list(content)[:6] == ["cff-version", "message", "type", "title", "version", "authors"]
        assert not re.search("date", text)
        check(content)
        return content

    return call


def check(content):
    """Holds a file against the schema of the format, where cffconvert, which has it, is installed."""
    try:
        import cffconvert
        import jsonschema
    except ImportError:
        return
    path = pathlib.Path(cffconvert.__file__).parent / "schemas" / "1.2.0" / "schema.json"
    assert not any(isinstance(value, datetime.date) for value in content.values())
    jsonschema.validate(content, json.loads(path.read_text()), format_checker=jsonschema.FormatChecker())


def test_article(make):
    """Authors, each once; the article with its year, DOI and pages is what is to be cited."""
    content = make(citation=ARTICLE, license="cc-by-4.0", homepage="https://example.org/?a=1", description="Digits.")
    authors = [
        {"family-names": "Doe", "given-names": "Jane"}, {"name": "The Digits Team"},
        {"family-names": "Gauß", "given-names": "C. F."},
    ]  # fmt: skip
    assert content["authors"] == authors
    assert content["preferred-citation"] == {
        "type": "article", "title": "Digits: a Study", "authors": authors, "year": 2020, "journal": "Journal of Digits",
        "volume": "3", "pages": "1-9", "doi": "10.1234/abc.5(6)", "url": "https://example.org/digits",
    }  # fmt: skip
    assert (content["title"], content["version"], content["type"]) == ("pairs_hdf5", "1.0.0", "dataset")
    assert (content["license"], content["url"], content["abstract"]) == ("CC-BY-4.0", "https://example.org/?a=1", "Digits.")
    assert re.fullmatch("sha256:[0-9a-f]{64}", content["identifiers"][0]["value"])


@pytest.mark.parametrize("citation", ["", "@misc{golden,\n  title={Golden}\n}", "Please cite Doe et al., 2020."])
def test_nobody(make, citation):
    """Where the card names no author, neither does the file; a citation in words is in its message."""
    content = make(citation=citation)
    assert content["authors"] == [{"name": NOBODY}]
    assert "preferred-citation" not in content
    assert (citation in content["message"]) == (not citation or citation.startswith("Please"))


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("MIT", ("MIT", None)), ("private", (None, None)), ("", (None, None)), ("https://e.org/l", (None, "https://e.org/l")),
     ("CDLA-Permissive-2.0", (None, "https://spdx.org/licenses/CDLA-Permissive-2.0.html"))],
)  # fmt: skip
def test_licence(make, licence, expected):
    """An identifier that the format knows, an address, or nothing."""
    content = make(license=licence)
    assert (content.get("license"), content.get("license-url")) == expected


@pytest.mark.parametrize(
    "citation", [HOSTILE, "@misc{x, author={" + HOSTILE + "}, title={" + HOSTILE + "}, year={" + HOSTILE + "}}"]
)
def test_hostile(make, golden, citation):
    """Whatever is in a card, the file is one YAML document with the keys it has."""
    manifest = dataclasses.replace(read_manifest(golden / "pairs_hdf5" / "1.0.0"), producer=HOSTILE)
    content = make(manifest, citation=citation, description=HOSTILE, homepage=f"https://{HOSTILE}", license=HOSTILE)
    assert content["title"] == "pairs_hdf5"
    assert "url" not in content
    assert "{{ 7 }}" in content["abstract"]


def test_every_licence(make):
    """Each licence that is known here by SPDX's identifier is one that the format knows, or an address."""
    from tfds_builder.cards.licences import _HUB

    for spdx in _HUB:
        content = make(license=spdx)
        assert content.get("license") == spdx or content["license-url"] == f"https://spdx.org/licenses/{spdx}.html"
