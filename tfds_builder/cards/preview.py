"""A few examples of a version as JSON lines, which every tool reads: a preview, and never more than that.

>>> preview_of(directory, manifest).text                             # doctest: +SKIP
'{"place": {"split": "train", "row": 0}, "example": {"label": 3, "caption": "a house"}}\\n...'

Names of features are percent-encoded, as `encode` does it, so that they are fit for a JSON path and an IRI. Images, sound and
whatever is large are left out, and it is said so. NaN and infinities, which JSON has not, are null, and so is what an optional
feature has not; complex numbers are pairs; long texts are cut.
"""

from __future__ import annotations

import dataclasses
import json
import math
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfds_builder.aliases import Json
from tfds_builder.catalog.describe import Loaded
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import Manifest
from tfds_builder.errors import DatasetError, UnsupportedReadError
from tfds_builder.pages.sources import Source, sources_of, stored_lengths
from tfds_builder.pages.tasks import kind_of, layouts_of
from tfds_builder.table.single_rows import values_of
from tfds_builder.table.table import Segment, Table

ROWS = 20
VALUES, TEXT = 64, 500
"""Values of a feature in an example, and characters of a text, at most; what has more values is left out."""
BYTES = 300_000
_STORED_BYTES = 64 * 1024
_MEDIA = {"image": "an image", "mask": "a mask", "video": "a video", "audio": "sound"}


@dataclasses.dataclass(frozen=True)
class Preview:
    """Examples of one split, evenly spaced.

    Attributes:
      split: which; the first that has any, or `train`.
      rows: how many.
      of: how many examples the split has.
      text: a line an example: `place` has its split and its row, `example` its features.
      features: names of the features that are in it.
      left_out: of the others, and why each is not.
    """

    split: str
    rows: int
    of: int
    text: str
    features: tuple[str, ...]
    left_out: Mapping[str, str]

    def to_json(self) -> dict[str, Json]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Json]) -> Preview:
        """What `to_json` gave."""
        return cls(**{**content, "features": tuple(content["features"])})


def encode(name: str) -> str:
    """The name of a feature, of a split or of a file as a key of the preview and as a part of an IRI.

    >>> encode("objects/bbox"), encode("a b"), encode("..")
    ('objects/bbox', 'a%20b', '%2E%2E')
    """
    parts = [urllib.parse.quote(part, safe="") for part in name.split("/")]
    return "/".join(part.replace(".", "%2E") if set(part) == {"."} else part for part in parts)


def preview_of(directory: Directory, manifest: Manifest) -> Preview | None:
    """A preview of a version; None if it has no examples.

    Args:
      directory: of the version.
      manifest: of it.

    Raises:
      DatasetError: the shards cannot be read.
    """
    names = [name for name in ("train", *manifest.splits) if name in manifest.splits and manifest.splits[name].examples]
    if not names:
        return None
    split = names[0]
    table = Table(directory, manifest, [Segment(shard, 0, shard.rows) for shard in manifest.splits[split].shards])
    count = min(ROWS, len(table))
    rows = [number * len(table) // count for number in range(count)]
    layouts = layouts_of(manifest.columns)
    found: dict[str, list[Json]] = {}
    left_out: dict[str, str] = {}
    room = BYTES
    for source in sources_of(manifest):
        name = source.loaded.name
        try:
            values = _values(source, layouts.get(name, ""), table, rows)
            room -= len(json.dumps([{encode(name): value} for value in values]).encode())
            if room < 0:
                raise _LeftOutError(f"the preview has {BYTES // 1000} kB at most")
        except _LeftOutError as error:
            left_out[name] = str(error)
        else:
            found[name] = values
    lines = [
        {"place": {"split": split, "row": row}, "example": {encode(name): values[place] for name, values in found.items()}}
        for place, row in enumerate(rows)
    ]
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    return Preview(split, count, len(table), text, tuple(found), left_out)


class _LeftOutError(Exception):
    """Why a feature is left out."""


def _values(source: Source, layout: str, table: Table, rows: Sequence[int]) -> list[Json]:
    """A feature in some rows, as JSON.

    Raises:
      _LeftOutError: it is an image, it is too large, or it cannot be decoded.
      DatasetError: the shards cannot be read.
    """
    kind = kind_of(source.loaded, layout)
    if kind in _MEDIA:
        raise _LeftOutError(_MEDIA[kind])
    if _least(source.loaded) > VALUES:
        raise _LeftOutError(f"more than {VALUES} values")
    is_stored = source.column is not None and source.column.name == source.loaded.name
    names = source.names if is_stored else list(source.value.specs)
    for column in table.columns(names):
        stored = [stored_lengths(table, column, row, row + 1) for row in rows] if column.is_variable else []
        width = max(1, column.width)
        if width > _STORED_BYTES or any(int(length.sum()) * width > _STORED_BYTES for length in stored):
            raise _LeftOutError("too large")
    columns = table.read(np.array(rows), names)
    if is_stored:
        return [_to_json(value) for value in values_of(columns[names[0]])]
    stored_values = [values_of(columns[name], source.value.is_item) for name in names]
    return [_decoded(source, list(example)) for example in zip(*stored_values, strict=True)]


def _least(loaded: Loaded) -> int:
    """How many values an example has at the least."""
    return math.prod(1 if size is None else size for size in loaded.shape)


def _decoded(source: Source, stored: list[Any]) -> Json:
    try:
        return _to_json(_pick(source.value.decode(stored), source.path))
    except UnsupportedReadError as error:
        raise _LeftOutError(str(error)) from error
    except (_LeftOutError, DatasetError):
        raise
    except Exception as error:  # a decoder raises whatever it likes
        raise _LeftOutError(f"it cannot be decoded ({type(error).__name__})") from error


def _pick(value: Any, path: Sequence[str]) -> Any:
    """What lies under some keys: of lists of dicts, a list of it."""
    if not path or value is None:
        return value
    return _pick(value[path[0]], path[1:]) if isinstance(value, Mapping) else [_pick(item, path) for item in value]


def _to_json(value: Any) -> Json:
    """A value as JSON.

    Raises:
      _LeftOutError: it has too many values.
    """
    room = [VALUES]
    converted = _convert(value, room)
    if room[0] < 0:
        raise _LeftOutError(f"more than {VALUES} values")
    return converted


def _convert(value: Any, room: list[int]) -> Json:
    """The same, which stops where there is no room for more values."""
    if isinstance(value, Mapping):
        return {encode(str(key)): _convert(item, room) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.ndim:
        if value.size > room[0]:
            room[0] = -1
            return []
        return [_convert(item, room) for item in value]
    if isinstance(value, list | tuple):
        return [_convert(item, room) for item in value if room[0] >= 0]
    room[0] -= 1
    value = value.item() if isinstance(value, np.ndarray | np.generic) else value
    return next((convert(value) for kind, convert in _SCALARS if isinstance(value, kind)), None)


def _of_text(text: str) -> Json:
    return text if len(text) <= TEXT else f"{text[:TEXT]}…"


def _of_float(value: float) -> Json:
    return value if math.isfinite(value) else None


_SCALARS: Sequence[tuple[type, Callable[[Any], Json]]] = (
    (bool, bool),
    (int, int),
    (float, _of_float),
    (complex, lambda value: [_of_float(value.real), _of_float(value.imag)]),
    (bytes, lambda value: _of_text(value[: 4 * TEXT + 4].decode("utf-8", "backslashreplace"))),
    (str, lambda value: _of_text(value)),
)
