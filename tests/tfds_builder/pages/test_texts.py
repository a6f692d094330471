"""`tfds_builder.pages.texts`: what of a stranger's text is shown, and which address leads anywhere."""

import pytest

from tfds_builder.pages.texts import cap, clean, link

LEADING = ("https://example.org/a?b=c&d=e#f", "HTTPS://EXAMPLE.org", " https://example.org ")
NOT_LEADING = (
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\x01javascript:x", "data:text/html,x", "vbscript:x",
    "//evil.example", "https:evil", "/etc/passwd", "https://user@example.org", "https://[", "https:\\\\evil", "http://example.org",
    "", "https://example.org/" + "x" * 5000,
)  # fmt: skip


@pytest.mark.parametrize(("address", "leads"), [*((a, True) for a in LEADING), *((a, False) for a in NOT_LEADING)])
def test_links(address, leads):
    """Only an address of https with a host is a link; every other is text."""
    assert bool(link(address).url) == leads


def test_hidden():
    """What cannot be seen is shown by its number; line ends and tabs stay, as do all letters."""
    assert clean("a\x1bb\u202ec\x00\u200e\udfff") == "a\\x1bb\\u202ec\\x00\\u200e\\udfff"
    assert clean("Größe\t日本\r\n👍🏽") == "Größe\t日本\n👍🏽"


def test_cut():
    """A text that is cut says by how much, and what is hidden in it makes it no longer than twice that."""
    assert (str(cap("abc", 3)), str(cap("abcd", 3)), cap("abcd", 3).cut) == ("abc", "abc…", 1)
    assert len(cap("\x00" * 100, 10).text) == 20
