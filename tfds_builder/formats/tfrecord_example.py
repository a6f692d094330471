"""What any TFRecord reader would make of a record: a small, strict reader of serialized `tf.train.Example`.

It says where in the record each value lies, so that this can be compared with the byte table. Every
length is checked before it is believed.

Source: https://protobuf.dev/programming-guides/encoding; tensorflow/core/example/example.proto, feature.proto.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from tfds_builder.contract.untrusted import show
from tfds_builder.errors import DamagedFileError

BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3
"""Field numbers of the three kinds of values a Feature can have."""
_VALUE = 1 << 3 | 2
"""Field 1, length-delimited: the only field of Example, Features and the three lists that there is."""
_MAX_VARINT = 10


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of one feature: their kind, and start and end in the record of each run of bytes
    (each byte string; the packed numbers), and of the list they are in."""

    kind: int
    runs: tuple[tuple[int, int], ...]
    content: tuple[int, int] = (0, 0)


def parse(record: bytes) -> dict[str, Values]:
    """The features of a serialized Example, by name.

    >>> parse(bytes.fromhex("0a0f0a0d0a05") + b"label" + bytes.fromhex("12041a020a00"))
    {'label': Values(kind=3, runs=((17, 17),), content=(15, 17))}

    Raises:
      DamagedFileError: it is not an Example, or names a feature twice.
    """
    features: dict[str, Values] = {}
    for start, end in _fields(record, 0, len(record), "Example"):
        for first, last in _fields(record, start, end, "Features"):
            name, values = _parse_entry(record, first, last)
            if name in features:
                raise DamagedFileError(f"has the feature {show(name)} twice")
            features[name] = values
    return features


def parse_list(content: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each value of a serialized list.

    >>> list(parse_list(bytes.fromhex("0a0261620a0163")))
    [(2, 4), (6, 7)]

    Raises:
      DamagedFileError: it is no list.
    """
    return _fields(content, 0, len(content), "a list")


def _parse_entry(record: bytes, start: int, end: int) -> tuple[str, Values]:
    """One entry of the map of features: its key is field 1, its value field 2."""
    position, name = start, b""
    feature = (end, end)
    while position < end:
        tag = record[position]
        first, position = _delimited(record, position + 1, end)
        if tag == _VALUE:
            name = record[first:position]
        elif tag == 2 << 3 | 2:
            feature = (first, position)
        else:
            raise DamagedFileError(f"has an unknown field in an entry (tag {tag})")
    try:
        return name.decode(), _parse_feature(record, *feature)
    except UnicodeDecodeError as error:
        raise DamagedFileError("has a feature whose name is not UTF-8") from error


def _parse_feature(record: bytes, start: int, end: int) -> Values:
    if start == end:
        return Values(0, ())
    kind, wire = divmod(record[start], 8)
    first, last = _delimited(record, start + 1, end)
    if last != end or wire != 2 or kind not in (BYTES_LIST, FLOAT_LIST, INT64_LIST):
        raise DamagedFileError(f"has a feature that is not one list (tag {record[start]})")
    return Values(kind, tuple(_fields(record, first, last, "a list")), (first, last))


def _fields(record: bytes, start: int, end: int, what: str) -> Iterator[tuple[int, int]]:
    """Start and end of every value of a message that has nothing but field 1."""
    while start < end:
        if record[start] != _VALUE:
            raise DamagedFileError(f"has an unknown field in {what} (tag {record[start]})")
        first, start = _delimited(record, start + 1, end)
        yield first, start


def _delimited(record: bytes, position: int, end: int) -> tuple[int, int]:
    """Start and end of what a length at `position` is the length of."""
    length = 0
    for number in range(_MAX_VARINT):
        if position + number >= end:
            break
        byte = record[position + number]
        length |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            first = position + number + 1
            if first + length > end:
                break
            return first, first + length
    raise DamagedFileError(f"has a length at byte {position} that leads out of its message")
