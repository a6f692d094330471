r"""Plain values as YAML that every reader understands in the same way, whatever is in them.

>>> print(to_yaml({"license": "mit", "tags": ["a", "b: c"], "rows": 3}), end="")
license: mit
tags:
  - a
  - "b: c"
rows: 3

YAML 1.1 and 1.2 differ in which plain words are not strings, and both forbid some characters; so all but the plainest strings
are in double quotes, on one line, and what is not printed is a number (yaml.org/spec/1.2.2, 5.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Yaml: TypeAlias = str | int | bool | Sequence["Yaml"] | Mapping[str, "Yaml"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
_ESCAPED = re.compile(
    '["\\\\\x00-\x1f\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\uffff]'
)


def to_yaml(content: Mapping[str, Yaml]) -> str:
    """A mapping as a YAML document without its marks; keys in their order, None nowhere."""
    return "".join(f"{line}\n" for line in _lines(content, ""))


def _lines(content: Mapping[str, Yaml], indent: str) -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, str | int) or not value:
            yield f"{indent}{_scalar(key)}: {_empty(value) or _scalar(value)}"
        else:
            yield f"{indent}{_scalar(key)}:"
            yield from _lines(value, f"{indent}  ") if isinstance(value, Mapping) else _items(value, f"{indent}  ")


def _items(values: Sequence[Yaml], indent: str) -> Iterator[str]:
    for value in values:
        if isinstance(value, str | int) or not value:
            yield f"{indent}- {_empty(value) or _scalar(value)}"
        else:
            lines = _lines(value, "") if isinstance(value, Mapping) else _items(value, "")
            yield from (f"{indent}{'  ' if number else '- '}{line}" for number, line in enumerate(lines))


def _empty(value: Yaml) -> str:
    return "" if isinstance(value, str | int) else "{}" if isinstance(value, Mapping) else "[]"


def _scalar(value: Yaml) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    known = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    number = ord(character)
    return known or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
