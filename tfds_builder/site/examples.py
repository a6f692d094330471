"""What lies in the shards of a version, as far as its page shows it: examples evenly spaced over a split, images by class.

>>> examples_of(directory, manifest)["rows"][0]["values"]            # doctest: +SKIP
[{'name': 'label', 'text': 'seven', 'cut': 0}]

Everything is plain JSON, which is kept by the digest of the manifest: the pages of a version that is unchanged are made again
without looking into its shards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfds_builder.aliases import Array
from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import STRINGS, Manifest
from tfds_builder.contract.ragged import Ragged
from tfds_builder.pages.tasks import is_drawn, is_film, layouts_of
from tfds_builder.pages.texts import cap
from tfds_builder.site.media import frames_of, rates_of, sound_of
from tfds_builder.site.tiles import Sheet, Tile, cover_of, draw, mean_of
from tfds_builder.table.table import Segment, Table

EXAMPLES, LARGE, LARGE_SIZE = 12, 24, 128
"""Rows that are shown as text, and those that are shown as images, which are so large."""
CLASSES, OF_CLASS, SMALL_SIZE = 12, 10, 64
"""Classes that have a row of images each, and how many."""
FOR_MEAN, EXACT_SIZE = 40, 32
"""Images that a mean is of, and the size up to which images are shown pixel by pixel."""
FILMS, SOUNDS = 8, 5
"""Examples of which frames are shown, and those that can be listened to."""
_BYTES, _CHUNK = 24_000_000, 8_000_000
_LABELS = 2_000_000
_BOXES, _VALUES, _TEXT, _NAME = 12, 12, 300, 60


def examples_of(directory: Directory, manifest: Manifest, *, images: bool = True) -> dict[str, Any]:
    """Examples of the first split that has any (of `train`, if there is one).

    Args:
      directory: of the version.
      manifest: of it.
      images: whether images are drawn, frames of films among them, and sounds are there to be played.

    Returns:
      `split`; `sheet`, the picture that all tiles are in, or None; `classes`, rows of tiles by class; `rows`, examples in order
      with a tile, boxes and values; `films`, examples with the tiles of some of their frames; `sounds`, examples with an address;
      `failed`, how many images could not be drawn; `cover`, an address for the index; `note`.

    Raises:
      DatasetError: the shards cannot be read.
    """
    split = next(
        (name for name in ("train", *manifest.splits) if name in manifest.splits and manifest.splits[name].examples), None
    )
    nothing: dict[str, Any] = {
        "split": split and str(cap(split, _NAME)), "sheet": None, "classes": [], "rows": [], "failed": 0, "cover": "", "note": "",
        "of_classes": 0, "films": [], "sounds": [],
    }  # fmt: skip
    if split is None:
        return nothing
    segments = [Segment(shard, 0, shard.rows) for shard in manifest.splits[split].shards]
    return nothing | _Examples(Table(directory, manifest, segments), manifest, images).show()


class _Examples:
    """The examples of one split."""

    def __init__(self, table: Table, manifest: Manifest, images: bool) -> None:
        self._table, self._manifest = table, manifest
        self._columns = {column.name: column for column in manifest.columns}
        self._features = describe(manifest)
        layouts = layouts_of(manifest.columns)
        drawn = [
            feature for feature in self._features if is_drawn(feature, layouts.get(feature.name, "")) and self._stored(feature)
        ]
        masks = [feature for feature in drawn if "LabeledImage" in feature.note]
        plain = [feature for feature in drawn if feature not in masks]
        self._image = next(iter([*plain, *masks]), None) if images else None
        self._mask = masks[0] if masks and plain and images else None
        self._label = self._find_label()
        films = [one for one in self._features if is_film(one, layouts.get(one.name, "")) and one.name in self._columns]
        self._film = films[0] if films and self._image is None and images else None
        rates = rates_of(manifest.features)
        sounds = [one for one in self._features if one.name in rates and one.name in self._columns]
        self._sound = sounds[0] if sounds and images else None
        self._rate = rates[self._sound.name] if self._sound is not None else 0
        self._drawings: dict[int, Any] = {}
        self._failed = 0

    def _stored(self, feature: Loaded) -> list[str]:
        """The columns of an image; none if they are not those that can be drawn from."""
        names = [feature.name] if feature.name in self._columns else [f"{feature.name}/value", f"{feature.name}/shape"]
        return names if all(name in self._columns for name in names) else []

    def _find_label(self) -> Loaded | None:
        """The label that images are put in order by."""
        labels = [
            feature
            for feature in self._features
            if "ClassLabel" in feature.note
            and not feature.shape
            and feature.name in self._columns
            and self._columns[feature.name].encoding != STRINGS
        ]
        keys = self._manifest.supervised_keys or ()
        return next(iter([*(label for label in labels if label.name in keys), *labels]), None)

    def show(self) -> dict[str, Any]:
        """What the page shows."""
        rows = len(self._table)
        row_bytes = max(1, sum(segment.shard.data.bytes for segment in self._table.segments) // rows)
        affordable = _BYTES // row_bytes
        if self._sound is not None and affordable:
            return self._show_pictures(affordable) | {"sounds": self._sounds(self._sound, min(SOUNDS, affordable))}
        return self._show_pictures(affordable)

    def _show_pictures(self, affordable: int) -> dict[str, Any]:
        """What is drawn or told of as many examples as can be read."""
        if self._film is not None and affordable:
            return self._films(self._film, min(FILMS, affordable))
        if (self._image or self._film) is not None and affordable < 2:
            return {"note": "Examples are so large that none is drawn."} | {"rows": self._texts(EXAMPLES)}
        if self._image is None:
            return {"rows": self._texts(min(EXAMPLES, max(1, affordable)))}
        if self._label is not None:
            groups = self._groups(self._label)
            if groups:
                return self._by_class(groups, affordable)
        return self._in_order(min(LARGE, affordable))

    def _groups(self, label: Loaded) -> list[tuple[int, Array]]:
        """The first classes that occur, each with its rows."""
        step = -(-len(self._table) // _LABELS)
        rows = np.arange(0, len(self._table), step)
        labels = np.asarray(self._table.read(slice(None) if step == 1 else rows, [label.name])[label.name])
        classes = np.unique(labels)
        self._all_classes = len(classes)
        return [(int(number), rows[labels == number]) for number in classes[:CLASSES]]

    def _by_class(self, groups: Sequence[tuple[int, Array]], affordable: int) -> dict[str, Any]:
        """Rows of tiles, each led by the mean of its class."""
        count = min(FOR_MEAN, max(OF_CLASS, affordable // len(groups)))
        chosen = [(number, _spread(rows, count)) for number, rows in groups]
        self._draw_all(np.concatenate([rows for _, rows in chosen]), SMALL_SIZE)
        sheet, classes, cover = self._sheet(SMALL_SIZE), [], []
        for number, rows in chosen:
            images = [self._drawings[row] for row in rows.tolist()]
            shown = _spread(np.arange(len(rows)), OF_CLASS).tolist()
            mean = mean_of(images, SMALL_SIZE)
            cover.append(images[shown[0]])
            classes.append(
                {
                    "name": self._class_name(self._label, number),
                    "mean": None if mean is None else dataclasses.asdict(sheet.add(mean)),
                    "of": len([image for image in images if image is not None]),
                    "tiles": [{"row": int(rows[i]), "tile": dataclasses.asdict(sheet.add(images[i]))} for i in shown],
                }
            )
        return {
            "sheet": sheet.to_json(), "classes": classes, "of_classes": self._all_classes, "failed": self._failed,
            "cover": cover_of(cover),
        }  # fmt: skip

    def _in_order(self, count: int) -> dict[str, Any]:
        """Larger tiles, with boxes and what else an example has."""
        rows = _spread(np.arange(len(self._table)), count)
        self._draw_all(rows, LARGE_SIZE)
        columns = self._table.read(rows, self._told())
        sheet, found = self._sheet(LARGE_SIZE), []
        for place, row in enumerate(rows.tolist()):
            tile = sheet.add(self._drawings[row])
            found.append(
                {
                    "row": row,
                    "tile": dataclasses.asdict(tile),
                    "boxes": self._boxes(columns, place, tile),
                    "values": self._values(columns, place),
                }
            )
        cover = cover_of([self._drawings[row] for row in rows.tolist()])
        return {"sheet": sheet.to_json(), "rows": found, "failed": self._failed, "cover": cover}

    def _films(self, feature: Loaded, count: int) -> dict[str, Any]:
        """Frames of each of some examples, and what else they have."""
        rows = _spread(np.arange(len(self._table)), count)
        columns = self._table.read(rows, self._told())
        sheet, found, cover = Sheet(SMALL_SIZE), [], []
        for place, row in enumerate(rows.tolist()):
            frames, total = frames_of(self._table.read(np.array([row]), [feature.name])[feature.name][0])
            images = [draw(frame, None, 2 * SMALL_SIZE) for frame in frames]
            self._failed += images.count(None)
            cover.append(images[0] if images else None)
            tiles = [dataclasses.asdict(sheet.add(image)) for image in images]
            found.append({"row": row, "frames": total, "tiles": tiles, "values": self._values(columns, place)})
        return {"sheet": sheet.to_json(), "films": found, "failed": self._failed, "cover": cover_of(cover)}

    def _sounds(self, feature: Loaded, count: int) -> list[dict[str, Any]]:
        """The beginnings of some sounds."""
        rows = _spread(np.arange(len(self._table)), count)
        labels = [self._label.name] if self._label is not None else []
        columns = self._table.read(rows, [feature.name, *labels])
        found = []
        for place, row in enumerate(rows.tolist()):
            sound = sound_of(np.asarray(columns[feature.name][place]), self._rate)
            if sound is not None:
                label = self._class_name(self._label, int(columns[labels[0]][place])) if labels else ""
                found.append({"row": row, "label": label} | sound)
        return found

    def _sheet(self, size: int) -> Sheet:
        """A sheet for tiles of that size, or of the size of the images, if that is small."""
        shape = self._image.shape[:2] if self._image is not None else ()
        sizes = [edge for edge in shape if edge is not None]
        return Sheet(max(sizes), is_exact=True) if len(sizes) == 2 and 1 <= max(sizes) <= EXACT_SIZE else Sheet(size)

    def _texts(self, count: int) -> list[dict[str, Any]]:
        """Examples without images."""
        rows = _spread(np.arange(len(self._table)), count)
        columns = self._table.read(rows, self._told())
        return [
            {"row": row, "tile": None, "boxes": [], "values": self._values(columns, place)}
            for place, row in enumerate(rows.tolist())
        ]

    def _told(self) -> list[str]:
        """Columns that are shown as text, and those of boxes."""
        drawn = {name for feature in (self._image, self._mask) if feature is not None for name in self._stored(feature)}
        drawn |= {feature.name for feature in (self._film, self._sound) if feature is not None}
        known = {feature.name for feature in self._features if "Image" not in feature.note and "Video" not in feature.note}
        names = [name for name in self._columns if name in known and name not in drawn]
        return names[:_VALUES]

    def _draw_all(self, rows: Array, size: int) -> None:
        """Draws the images of rows, a few at a time."""
        features = [feature for feature in (self._image, self._mask) if feature is not None]
        names = [name for feature in features for name in self._stored(feature)]
        rows = np.unique(rows)
        step = max(1, _CHUNK // max(1, self._table.row_bytes(names)))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            columns = self._table.read(part, names)
            for place, row in enumerate(part.tolist()):
                parts = [self._pixels(feature, columns, place) for feature in features]
                image = None if parts[0] is None else draw(parts[0], parts[1] if len(parts) > 1 else None, 2 * size)
                self._failed += image is None
                self._drawings[row] = image

    def _pixels(self, feature: Loaded, columns: Mapping[str, Any], place: int) -> bytes | Array | None:
        """An image as it is stored: the bytes of a file, or an array; None if it is neither."""
        names = self._stored(feature)
        value = columns[names[0]][place]
        if len(names) == 2:
            shape = tuple(np.asarray(columns[names[1]][place]).tolist())
            if len(shape) != 3 or min(shape) < 1 or int(np.prod(shape, dtype=np.float64)) != np.size(value):
                return None
            return np.asarray(value).reshape(shape)
        if isinstance(value, np.ndarray) and value.dtype != object:
            return value if value.ndim == 3 else None
        return value if isinstance(value, bytes) else None

    def _boxes(self, columns: Mapping[str, Any], place: int, tile: Tile) -> list[dict[str, float]]:
        """Boxes in pixels of the sheet, if they are in TFDS's own format, with a colour of their class."""
        found: list[dict[str, float]] = []
        for feature in self._features:
            if (
                "BBox" not in feature.note
                or feature.name not in columns
                or not _is_relative(self._manifest.features, feature.name)
            ):
                continue
            boxes = np.asarray(columns[feature.name][place], np.float64).reshape(-1, 4)[:_BOXES]
            classes = self._classes_of(feature, columns, place)
            for number, box in enumerate(boxes):
                if not np.all(np.isfinite(box)):
                    continue
                top, left, bottom, right = np.clip(box, 0, 1).tolist()
                colour = int(classes[number]) % 8 if number < len(classes) else 0
                place_of = {
                    "x": tile.x + tile.left + left * tile.width,
                    "y": tile.y + tile.top + top * tile.height,
                    "width": max(0.0, right - left) * tile.width,
                    "height": max(0.0, bottom - top) * tile.height,
                }
                found.append({key: round(value, 1) for key, value in place_of.items()} | {"colour": colour})
        return found[:_BOXES]

    def _classes_of(self, box: Loaded, columns: Mapping[str, Any], place: int) -> Array:
        """The labels that lie beside boxes."""
        above = box.name.rpartition("/")[0]
        for feature in self._features:
            beside = feature.name.rpartition("/")[0] == above and len(feature.shape) == len(box.shape) - 1
            if beside and feature.name in columns and feature.dtype.startswith("int"):
                return np.asarray(columns[feature.name][place]).reshape(-1)
        return np.empty(0, np.int64)

    def _values(self, columns: Mapping[str, Any], place: int) -> list[dict[str, Any]]:
        found = []
        for name, column in columns.items():
            feature = next((feature for feature in self._features if feature.name == name), None)
            if feature is None or ("BBox" in feature.note and self._image is not None):
                continue
            text = cap(self._tell(feature, column[place], isinstance(column, Ragged)), _TEXT)
            found.append({"name": str(cap(name, _NAME)), "text": text.text, "cut": text.cut})
        return found

    def _tell(self, feature: Loaded, value: Any, is_list: bool) -> str:
        """A value in words: text as it is, a class by its name, of a list the first."""
        if isinstance(value, bytes):
            return value.decode("utf-8", "backslashreplace")
        array = np.asarray(value)
        if "ClassLabel" in feature.note and array.dtype.kind in "iu":
            names = [self._class_name(feature, number) for number in array.reshape(-1)[:20].tolist()]
            return ", ".join(names) + (", …" if array.size > 20 else "")
        if array.dtype == object:
            texts = [
                item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else str(item)
                for item in array.reshape(-1)[:20]
            ]
            return ", ".join(texts) + (f", … ({array.size} in all)" if array.size > 20 else "")
        if array.ndim == 0:
            return f"{float(array):.6g}" if array.dtype.kind not in "iubc" else str(array)
        first = ", ".join(f"{float(x):.4g}" if array.dtype.kind not in "iubc" else str(x) for x in array.reshape(-1)[:16])
        return f"{first}, … ({array.size} in all)" if array.size > 16 else f"{first} ({array.size})" if is_list else first

    def _class_name(self, feature: Loaded | None, number: int) -> str:
        names = self._manifest.labels.get(feature.name if feature is not None else "", ())
        return str(cap(names[number], _NAME)) if 0 <= number < len(names) else str(number)


def _spread(rows: Array, count: int) -> Array:
    """So many of some rows, evenly spaced; all, if they are fewer."""
    return rows if len(rows) <= count else rows[np.arange(count) * len(rows) // count]


def _is_relative(features: Mapping[str, Any], name: str) -> bool:
    """Whether boxes are (ymin, xmin, ymax, xmax) between 0 and 1, by TFDS's JSON of the features."""
    node: Any = features
    for key in name.split("/"):
        node = _inside(node)
        node = node.get("featuresDict", {}).get("features", {}).get(key) if isinstance(node, dict) else None
    node = _inside(node)
    box = node.get("boundingBox") if isinstance(node, dict) else None
    return isinstance(box, dict) and box.get("bboxFormat") == "REL_YXYX"


def _inside(node: Any) -> Any:
    """What sequences are of."""
    while isinstance(node, dict) and isinstance(node.get("sequence"), dict):
        node = node["sequence"].get("feature")
    return node
