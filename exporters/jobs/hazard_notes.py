"""What hazards saw, and what was told, as bytes: noted beside each finished shard, and merged again by an export that goes on.

>>> load(dump(Rows(40)))
Rows(count=40)

A line of JSON, and behind it the arrays that it names. Values are plain: numbers, strings, lists, tuples, sets, dicts, arrays of
one dimension, and dataclasses of the room `hazards`, which are told by their names. Nothing else is written, and nothing else is
made of what is read: a note is not a pickle.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from exporters.hazards import content, counts, digests, observers, padding, repeats
from exporters.outcome import Hazard
from tfds_builder.aliases import Array

_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind
    for module in (content, counts, digests, observers, padding, repeats)
    for kind in vars(module).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
} | {Hazard.__name__: Hazard}


def dump(value: object) -> bytes:
    """A value as the bytes of a note.

    Raises:
      TypeError: something in it is no plain value.
    """
    arrays = list[Array]()
    line = json.dumps(_encode(value, arrays), separators=(",", ":"))
    return b"\n".join([line.encode(), b"".join(array.tobytes() for array in arrays)])


def load(note: bytes) -> Any:
    """The value that a note has.

    Raises:
      ValueError, LookupError, TypeError: it is cut short, or damaged.
    """
    end = note.index(b"\n")
    rest = memoryview(note)[end + 1 :]
    found, used = _decode(json.loads(note[:end]), rest)
    if used != len(rest):
        raise ValueError(f"a note has {len(rest)} bytes of arrays, and {used} are known")
    return found


def _encode(value: Any, arrays: list[Array]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and type(value).__name__ in _CLASSES:
        noted = [field.name for field in dataclasses.fields(value) if field.metadata.get("noted", True)]
        return {type(value).__name__: {name: _encode(getattr(value, name), arrays) for name in noted}}
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf":
        arrays.append(np.ascontiguousarray(value, value.dtype.newbyteorder("<")))
        return {"array": [value.dtype.newbyteorder("<").str, len(value)]}
    if isinstance(value, Mapping):
        return {"dict": [[_encode(key, arrays), _encode(item, arrays)] for key, item in value.items()]}
    if isinstance(value, frozenset):
        return {"set": sorted(value)}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, arrays) for item in value]}
    if isinstance(value, list):
        return [_encode(item, arrays) for item in value]
    raise TypeError(f"{type(value).__name__} is no plain value, and cannot be noted")


def _decode(value: Any, rest: memoryview) -> tuple[Any, int]:
    """A value, and how many bytes of the arrays it has used: they come in the order in which they are named."""
    used = 0

    def decode(value: Any) -> Any:
        nonlocal used
        if isinstance(value, list):
            return [decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "array":
            dtype, count = np.dtype(content[0]), int(content[1])
            array = np.frombuffer(rest, dtype, count, used) if count else np.empty(0, dtype)
            used += array.nbytes
            return array
        if kind == "dict":
            return {decode(key): decode(item) for key, item in content}
        if kind == "set":
            return frozenset(content)
        if kind == "tuple":
            return tuple(decode(item) for item in content)
        return _CLASSES[kind](**{name: decode(item) for name, item in content.items()})

    return decode(value), used
