"""`tfds_builder.cards.bibtex`: the first entry of a BibTeX text, and nothing that could stop a page from being made."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfds_builder.cards.bibtex import first_entry

pytestmark = pytest.mark.once

NAMES = (
    ("Ada Lovelace", [("Ada", "Lovelace")]), ("Lovelace, Ada", [("Ada", "Lovelace")]), ("Lovelace", [("Lovelace", "")]),
    ("Ludwig van der Berg and others", [("Ludwig", "van der Berg")]), ("{The Team and Friends}", [("The Team and Friends", "")]),
    ("de Groot, Jr, Adriaan", [("Adriaan", "de Groot Jr")]), (r"Fran\c{c}ois \v{S}ev\v c\'{\i}k", [("François", "Ševčík")]),
    (r"Erd{\H o}s, P. and {\"O}zg{\"u}r, \O{}ystein", [("P.", "Erdős"), ("Øystein", "Özgür")]),
    (r"Gau{\ss}, C.~F.", [("C. F.", "Gauß")]),
    ("", []), (" and ", []), (",", []),
)  # fmt: skip


@pytest.mark.parametrize(("text", "authors"), NAMES)
def test_authors(text, authors):
    """Names in every order BibTeX knows, with LaTeX's accents."""
    entry = first_entry(f"@misc{{key,\n author = {{{text}}},\n title={{x}}}}")
    assert [(author.given, author.family) for author in entry.authors] == authors
    assert entry.fields["title"] == "x"


def test_fields():
    """Values in braces, in quotes, bare and put together; other kinds of entries before it are passed over."""
    entry = first_entry(
        '@comment{no} @string{cvpr = "CVPR"}\n@InProceedings(deng2009, title = "The {ImageNet} " # "set", year=2009 ,\n'
        'booktitle = cvpr, url={https://x.org/\\_a\\%20}, note = {a {b} \\} c},)\n@misc{second, title={no}}'
    )  # fmt: skip
    assert entry.kind == "inproceedings"
    assert dict(entry.fields) == {
        "title": "The ImageNet set", "year": "2009", "booktitle": "cvpr", "url": "https://x.org/_a%20", "note": "a b } c",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "Please cite us.", "me@example.org, 2020", "@", "@comment{x}", "{" * 1000])
def test_none(text):
    """Text that is no BibTeX has no entry."""
    assert first_entry(text) is None


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("@misc{}()=,\"'\\#~ \nandaeiou\0\u202e"), max_size=200))
def test_any(text):
    """Whatever it is, it is an entry or none."""
    entry = first_entry("@a{x, author=" + text)
    assert all(str(author).strip() for author in entry.authors)


@pytest.mark.parametrize("piece", ["{", '"', "\\", "a = {", "@a{x, author={", " and ", "a=b#", "\\c{", "\\'{\\i"])
def test_hostile(piece):
    """Megabytes of what opens and never closes come to an end."""
    assert first_entry("@misc{x, author={" + piece * 1_000_000).kind == "misc"
    assert (first_entry(piece * 1_000_000) is None) == ("@a{" not in piece)
