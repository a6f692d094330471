r"""The first entry of a BibTeX text, as far as other formats ask for it: its kind, its fields, its authors.

>>> entry = first_entry(r'@article{x, author = {Erd{\H{o}}s, Paul and {The Team}}, year = 1950}')
>>> entry.kind, entry.fields["year"], [str(author) for author in entry.authors]
('article', '1950', ['Paul Erdős', 'The Team'])

What cannot be made sense of is left out; nothing is raised, and the text is gone over once.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping

from tfds_builder.pages.texts import clean

_TEXT, _FIELD, _AUTHORS, _LONG = 50_000, 10_000, 200, 200
_NAME = re.compile(r"[A-Za-z][\w.:+-]{0,60}")
_SKIPPED = ("comment", "preamble", "string")
_ACCENTS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", "=": "\u0304", "u": "\u0306", ".": "\u0307", '"': "\u0308",
    "r": "\u030a", "H": "\u030b", "v": "\u030c", "d": "\u0323", "c": "\u0327", "k": "\u0328", "b": "\u0331",
}  # fmt: skip
"""LaTeX's accents, as marks that follow their letter."""
_LETTERS = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "aa": "å", "AA": "Å",
    "i": "i", "j": "j",
}  # fmt: skip
_ACCENT = re.compile(r"""\\(?:([`'^~=."])\s*|([uvHcdkbr])(?:\s+|(?=\{)))(?:\{\s*\\?([A-Za-z])\s*\}|\\?([A-Za-z]))""")
_LETTER = re.compile(r"\\(ss|ae|AE|oe|OE|aa|AA|o|O|l|L|i|j)(?![A-Za-z])\s*(?:\{\})?")


@dataclasses.dataclass(frozen=True)
class Author:
    """Who has written something: a person, or a group (`family` is "").

    >>> str(Author("Paul", "Erdős"))
    'Paul Erdős'
    """

    given: str
    family: str = ""

    def __str__(self) -> str:
        return f"{self.given} {self.family}".strip()


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry: `"article"`, its fields in small letters with their text as it is read, and its authors."""

    kind: str
    fields: Mapping[str, str]
    authors: tuple[Author, ...]


def first_entry(text: str) -> Entry | None:
    """The first entry of a BibTeX text; None if there is none."""
    text = text[:_TEXT]
    for found in re.finditer(r"@\s*([A-Za-z]{1,40})\s*[{(]", text):
        if found[1].lower() in _SKIPPED:
            continue
        raw = dict(_fields(text, found.end()))
        fields = {name: _plain(value) for name, value in raw.items()}
        return Entry(found[1].lower(), fields, tuple(_authors(raw.get("author", ""))))
    return None


def _fields(text: str, place: int) -> Iterator[tuple[str, str]]:
    """The fields of an entry whose brace was opened just before `place`, as they stand there."""
    place = text.find(",", place) + 1  # behind the key
    seen: set[str] = set()
    while place and (found := re.compile(r"\s*([A-Za-z][\w-]{0,40})\s*=\s*").match(text, place)):
        value, place = _value(text, found.end())
        name = found[1].lower()
        if name not in seen:
            seen.add(name)
            yield name, value[:_FIELD]
        more = re.compile(r"\s*,").match(text, place)
        place = more.end() if more else 0


def _value(text: str, place: int) -> tuple[str, int]:
    """A value, and where it ends: in braces, in quotes, a number or a name; or several of them, with `#` between."""
    parts = []
    while True:
        if text[place : place + 1] in ("{", '"'):
            end = _closing(text, place)
            parts.append(text[place + 1 : end])
            place = end + 1
        else:
            found = re.compile(r"[^\s,{}()#]*").match(text, place)
            parts.append(found[0] if found else "")
            place = found.end() if found else place
        more = re.compile(r"\s*#\s*").match(text, place)
        if more is None or not parts[-1]:
            return "".join(parts), place
        place = more.end()


def _closing(text: str, place: int) -> int:
    """Where what is opened at `place`, by a brace or a quote, is closed; the end if it never is."""
    depth, quoted, here = 0, text[place] == '"', place
    while here < len(text):
        character = text[here]
        if character == "\\":
            here += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if not quoted and not depth:
                return here
        elif character == '"' and quoted and not depth and here > place:
            return here
        here += 1
    return len(text)


def _plain(text: str) -> str:
    """A value as it is read: accents as letters, no braces, one space between words."""
    text = _ACCENT.sub(lambda found: unicodedata.normalize("NFC", (found[3] or found[4]) + _ACCENTS[found[1] or found[2]]), text)
    text = _LETTER.sub(lambda found: _LETTERS[found[1]], text)
    text = re.sub(r"\\([&%$#_{}])", lambda found: {"{": "\0", "}": "\1"}.get(found[1], found[1]), text)
    text = re.sub(r"\\(?:text|emph|textbf|textit|url|href|texttt)\b", "", text).replace("~", " ").replace("--", "-")
    text = re.sub("[{}]", "", text).replace("\0", "{").replace("\1", "}")
    return clean(" ".join(text.split()))


def _authors(text: str) -> Iterator[Author]:
    """The names of a list that `and` is between, outside of braces."""
    for name in _split(text, r"\s+and\s+")[:_AUTHORS]:
        name = name.strip()
        if name.startswith("{") and _closing(name, 0) == len(name) - 1:
            yield from filter(str, [Author(_plain(name)[:_LONG])])
            continue
        parts = [_plain(part) for part in _split(name, ",")]
        if parts == ["others"]:
            continue
        if len(parts) > 1:  # "von Last, Jr, First"
            author = Author(parts[-1], " ".join(parts[:-1]).strip())
        else:
            words = parts[0].split()
            small = next((number for number, word in enumerate(words[:-1]) if number and word[:1].islower()), len(words) - 1)
            author = Author(" ".join(words[:small]), " ".join(words[small:]))
        given, family = author.given[:_LONG], author.family[:_LONG]
        if given or family:
            yield Author(given, family) if given else Author(family)


def _split(text: str, mark: str) -> list[str]:
    """Parts of a text with a mark between them that is not inside of braces."""
    parts, depth, start, here, pattern = [], 0, 0, 0, re.compile(mark)
    while here < len(text):
        if text[here] == "\\":
            here += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[here], 0)
        found = pattern.match(text, here) if depth <= 0 else None
        if found:
            parts.append(text[start:here])
            start = here = found.end()
        else:
            here += 1
    return [*parts, text[start:]]
