"""What each feature is once it is loaded, read out of a manifest's features alone: no TFDS, and nothing found there is trusted.

>>> describe(manifest)                   # doctest: +SKIP
[Loaded(name='image', shape=(224, 224, 3), dtype='uint8', note='Image, stored as PNG')]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfds_builder.aliases import JsonMapping

if TYPE_CHECKING:
    from tfds_builder.contract.manifest import Manifest

_PLAIN = ("Tensor", "Text", "Scalar", "FeaturesDict", "ClassLabel")
"""Features about which shape and dtype say everything, or the note says it in other words."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """One feature as `tfds.load` gives it.

    Attributes:
      name: flat, `objects/bbox`.
      shape: of one example's value; None where examples differ.
      dtype: its name.
      note: what else there is to say, such as `"Image, stored as PNG"`; or "".
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    note: str


def describe(manifest: Manifest) -> list[Loaded]:
    """Every feature of a dataset, in the order of its columns."""
    order: dict[str, int] = {}
    for number, column in enumerate(manifest.columns):
        parts = column.name.split("/")
        for end in range(1, len(parts) + 1):
            order.setdefault("/".join(parts[:end]), number)
    tables = {table.name: table.described for table in manifest.integers}
    found = (
        dataclasses.replace(loaded, note=_join(loaded.note, tables.get(loaded.name, "")))
        for loaded in _walk(_dict(manifest.features), "", (), "")
    )
    return sorted(found, key=lambda feature: order.get(feature.name, len(manifest.columns)))


def _walk(feature: JsonMapping, name: str, outer: tuple[int | None, ...], note: str) -> Iterator[Loaded]:
    """A feature's leaves. `outer` is the shape that sequences around it give it, and `note` says what those are."""
    kind = str(feature.get("pythonClassName", "")).rpartition(".")[2]
    parts = _dict(_dict(feature.get("featuresDict")).get("features"))
    if "featuresDict" in feature:
        for key, part in parts.items():
            yield from _walk(_dict(part), f"{name}/{key}" if name else key, outer, note)
    elif "sequence" in feature:
        inner = _dict(feature["sequence"])
        length = _size(inner.get("length"))
        yield from _walk(_dict(inner.get("feature")), name, (*outer, length), _join(note, kind if kind != "Sequence" else ""))
    elif "translation" in feature:
        languages = _dict(feature["translation"]).get("languages")
        for language in languages if isinstance(languages, list) else ():
            yield Loaded(f"{name}/{language}", outer, "string", _join(note, kind))
    else:
        yield _leaf(feature, kind, name, outer, note)


def _leaf(feature: JsonMapping, kind: str, name: str, outer: tuple[int | None, ...], note: str) -> Loaded:
    content = next((_dict(value) for key, value in feature.items() if key != "pythonClassName"), {})
    sizes = _dict(content.get("shape")).get("dimensions")
    shape = (*outer, *(_size(size) for size in (sizes if isinstance(sizes, list) else ())))
    dtype = content.get("dtype")
    if not isinstance(dtype, str):
        dtype = "int64" if "classLabel" in feature else "string" if "text" in feature else "uint8"
    notes = [note, "" if kind in _PLAIN else kind]
    if kind in ("Image", "LabeledImage"):
        notes.append(f"stored as {str(content.get('encodingFormat') or 'png').upper()}")
    if content.get("encoding") == "zlib":
        notes.append("stored compressed (zlib)")
    if "classLabel" in feature:
        notes.append(f"ClassLabel of {content.get('numClasses', '?')} classes")
    return Loaded(name, shape, dtype, _join(*notes))


def _join(*notes: str) -> str:
    return ", ".join(filter(None, notes))


def _dict(value: object) -> JsonMapping:
    return value if isinstance(value, dict) else {}


def _size(value: object) -> int | None:
    """A size, which TFDS's JSON has as text; None for -1, which says that sizes differ."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
