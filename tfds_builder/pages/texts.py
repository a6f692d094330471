"""Texts and addresses of datasets nobody vouches for, made fit to be shown: nothing hidden, nothing endless, no link astray.

>>> link("javascript:alert(1)").url
''
>>> link("https://example.org/a").url
'https://example.org/a'
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from tfds_builder.contract.untrusted import printable

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What is not seen, moves what is seen, or cannot be in a page at all; line ends and tabs are none of it."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A text as it is shown, and how many more characters there are that are not."""

    text: str
    cut: int = 0

    def __str__(self) -> str:
        return f"{self.text}…" if self.cut else self.text


@dataclasses.dataclass(frozen=True)
class Link:
    """A text, and where it leads to; `url` is "" where it must not lead anywhere."""

    text: str
    url: str = ""


def clean(text: str) -> str:
    """Text without characters that are not seen: they are shown by their numbers.

    >>> clean("a\\x1bb\\u202ec")
    'a\\\\x1bb\\\\u202ec'
    """
    return _HIDDEN.sub(lambda found: printable(found[0]), text.replace("\r\n", "\n"))


def cap(text: str, limit: int) -> Text:
    """The first characters of a text, cleaned, and how many more it has.

    >>> cap("a long description", 6)
    Text(text='a long', cut=12)
    """
    shown = clean(text[:limit])[: 2 * limit]  # what is hidden gets longer by being shown
    return Text(shown, max(0, len(text) - limit))


def link(address: str) -> Link:
    """An address as a link, if it is one of https that leads out by a host's name; as mere text otherwise."""
    text = str(cap(address.strip(), 300))
    if len(address) > 2000 or re.search(r"[\s\x00-\x20\x7f\\]", address.strip()):
        return Link(text)
    try:
        parts = urllib.parse.urlsplit(address.strip())
        sound = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        sound = False
    return Link(text, urllib.parse.quote(address.strip(), safe="%/:?#[]@!$&'()*+,;=~") if sound else "")
