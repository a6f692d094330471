"""Checks of values that come out of a file nobody vouches for. Each says in words what is wrong. What datasets can be called.

>>> expect_natural(-1, "manifest.json rows")
Traceback (most recent call last):
tfds_builder.errors.ManifestError: manifest.json rows must be between 0 and 2**63 (got -1)
"""

from __future__ import annotations

import collections
import json
import re
import reprlib
from typing import Any

from tfds_builder.aliases import Json, JsonMapping
from tfds_builder.errors import ManifestError

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""A dataset's name: TFDS looks it up in snake case, and the generated module has it."""
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
CONFIG = re.compile(r"(?!\d+\.\d+\.\d+)(?!.*\.py\Z)[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
"""A config's name: a directory beside versions and the generated module, and what `tfds.load("name/config")` can ask for."""

_PLAIN_NAME = re.compile(r"(?!\.\.?\Z)[^/\\\0]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80


def show(value: object) -> str:
    """A value for an error message: short however long, deep or strange it is.

    >>> show([1] * 1000)
    '[1, 1, 1, 1, 1, 1, ...]'
    """
    return _short.repr(value)


def printable(text: str) -> str:
    """Text of a dataset for a terminal: nothing in it moves the cursor, changes colours or turns lines round.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def expect(value: object, kind: type | tuple[type, ...], where: str) -> Json:
    """The value, if it is of that kind."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        wanted = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
        raise ManifestError(f"{where} must be {wanted} (got {show(value)})")
    return value


def expect_natural(value: object, where: str) -> int:
    """A whole number from 0 to 2**63 - 1."""
    number: int = expect(value, int, where)
    if not 0 <= number < 2**63:
        raise ManifestError(f"{where} must be between 0 and 2**63 (got {show(number)})")
    return number


def expect_naturals(value: object, where: str) -> tuple[int, ...]:
    """A list of whole numbers from 0 to 2**63 - 1, as a tuple."""
    return tuple(expect_natural(item, where) for item in expect(value, list, where))


def expect_field(content: JsonMapping, key: str, where: str) -> Json:
    """The value of a key that must be there."""
    if key not in content:
        raise ManifestError(f"{where} has no {key!r}")
    return content[key]


def expect_file_name(value: object, where: str) -> str:
    """A plain file name: nothing that could lead out of the directory it is read from."""
    name: str = expect(value, str, where)
    if not _PLAIN_NAME.fullmatch(name) or len(name.encode(errors="replace")) > 255:
        raise ManifestError(f"{where} must be a plain file name inside the version directory (got {show(name)})")
    return name


def expect_sha256(value: object, where: str) -> str:
    """A SHA-256 in hexadecimal."""
    digest: str = expect(value, str, where)
    if not _SHA256.fullmatch(digest):
        raise ManifestError(f"{where} must be 64 lowercase hexadecimal digits (got {show(digest)})")
    return digest


def parse_json(text: bytes, limit: int, where: str) -> Json:
    """What JSON says, if it is strict UTF-8 (`json.loads` lets surrogates in bytes pass), has at most so many values, no key
    twice in one object, and no number JSON does not have.

    The limit is what keeps memory in bounds: three bytes (`[],`) can become a hundred in memory.

    Raises:
      ManifestError: it is not such JSON.
    """
    values = 1 + sum(text.count(mark) for mark in (b",", b"[", b"{"))
    if values > limit:
        raise ManifestError(f"{where} has up to {values:,} values; more than {limit:,} are refused")
    try:
        return json.loads(text.decode(), object_pairs_hook=_to_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where} is not valid JSON: {str(error) or type(error).__name__:.200}") from error


def _to_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice, _ = collections.Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {show(twice)} is there twice in one object")
    return content


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def expect_unicode(text: bytes, content: Json, where: str) -> None:
    """Raises ManifestError where JSON escapes make a string that has no UTF-8."""
    if _SURROGATE.search(text):  # perhaps only a backslash and letters: the costly look decides
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ManifestError(f"{where} has a string that is not valid Unicode: {error.reason}") from error
        except RecursionError as error:
            raise ManifestError(f"{where} is nested too deep") from error


def expect_shallow(value: object, depth: int, where: str) -> None:
    """Raises ManifestError if lists and objects are nested deeper than that."""
    level = [value]
    for _ in range(depth):
        level = [
            item
            for part in level
            if isinstance(part, dict | list)
            for item in (part.values() if isinstance(part, dict) else part)
        ]
    if any(isinstance(part, dict | list) for part in level):
        raise ManifestError(f"{where} is nested deeper than {depth} levels")
