"""Checks of values that come out of a file nobody vouches for. Each says in words what is wrong.

>>> expect_natural(-1, "manifest.json rows")
Traceback (most recent call last):
tfds_builder.errors.ManifestError: manifest.json rows must be between 0 and 2**63 (got -1)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tfds_builder.errors import ManifestError

_PLAIN_NAME = re.compile(r"(?!\.\.?\Z)[^/\\\0]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def expect(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """The value, if it is of that kind."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        wanted = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
        raise ManifestError(f"{where} must be {wanted} (got {value!r:.80})")
    return value


def expect_natural(value: Any, where: str) -> int:
    """A whole number from 0 to 2**63 - 1."""
    number: int = expect(value, int, where)
    if not 0 <= number < 2**63:
        raise ManifestError(f"{where} must be between 0 and 2**63 (got {number})")
    return number


def expect_naturals(value: Any, where: str) -> tuple[int, ...]:
    """A list of them, as a tuple."""
    return tuple(expect_natural(item, where) for item in expect(value, list, where))


def expect_field(content: Mapping[str, Any], key: str, where: str) -> Any:
    """The value of a key that must be there."""
    if key not in content:
        raise ManifestError(f"{where} has no {key!r}")
    return content[key]


def expect_file_name(value: Any, where: str) -> str:
    """A plain file name: nothing that could lead out of the directory it is read from."""
    name: str = expect(value, str, where)
    if not _PLAIN_NAME.fullmatch(name) or len(name.encode(errors="replace")) > 255:
        raise ManifestError(f"{where} must be a plain file name inside the version directory (got {name!r:.80})")
    return name


def expect_sha256(value: Any, where: str) -> str:
    """A SHA-256 in hexadecimal."""
    digest: str = expect(value, str, where)
    if not _SHA256.fullmatch(digest):
        raise ManifestError(f"{where} must be 64 lowercase hexadecimal digits (got {digest!r:.80})")
    return digest


def expect_unicode(text: bytes, content: Any, where: str) -> None:
    """Raises ManifestError where JSON escapes make a string that has no UTF-8."""
    if _SURROGATE.search(text):  # perhaps only a backslash and letters: the costly look decides
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ManifestError(f"{where} has a string that is not valid Unicode: {error}") from error
