"""What the features of a dataset are in words a person looks for, and the tasks it looks fit for; told by the features alone.

>>> tasks_of(manifest)                                      # doctest: +SKIP
['image classification']
"""

from __future__ import annotations

from collections.abc import Sequence

from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.contract.columns import Column
from tfds_builder.contract.manifest import Manifest

_COLOURS = (1, 3, 4)
"""Sizes of the last axis of an image."""
_PIXELS = ("uint8", "float32", "float16", "bfloat16", "float64")


def is_drawn(feature: Loaded, layout: str) -> bool:
    """Whether values of a feature are images: TFDS says so, or the loader gave them channels first or last.

    Args:
      feature: as it is loaded.
      layout: the loader's, `"NCHW"`; "" if it is not known.
    """
    if "Video" in feature.note or "Dataset" in feature.note:
        return False
    if "Image" in feature.note:
        return len(feature.shape) == 3
    axes = len(feature.shape) == 3 and feature.shape[2] in _COLOURS
    known = "H" in layout and "W" in layout
    return axes and known and feature.dtype in _PIXELS


def is_film(feature: Loaded, layout: str) -> bool:
    """Whether values of a feature are images in a row: a `Video`, images of the steps of an episode, or an array that the loader
    gave as frames. Args as for `is_drawn`."""
    if len(feature.shape) != 4 or feature.shape[3] not in _COLOURS:
        return False
    if "Video" in feature.note or "Image" in feature.note:
        return True
    return "H" in layout and "W" in layout and feature.dtype in _PIXELS


def kind_of(feature: Loaded, layout: str) -> str:
    """What a feature is, in a word a person looks for.

    >>> kind_of(Loaded("label", (), "int64", "ClassLabel of 10 classes"), "")
    'label'
    """
    for mark, word in (
        ("LabeledImage", "mask"), ("Video", "video"), ("Audio", "audio"), ("BBox", "boxes"), ("ClassLabel", "label"),
        ("Image", "image"), ("Translation", "translation"),
    ):  # fmt: skip
        if mark in feature.note:
            return word
    if is_drawn(feature, layout):
        return "image"
    if is_film(feature, layout):
        return "video"
    if feature.dtype == "string":
        return "text"
    if None in feature.shape:
        return "sequence"
    return "array" if feature.shape else "number"


def layouts_of(columns: Sequence[Column]) -> dict[str, str]:
    """The loader's layout of each feature that it is known of, by flat name."""
    return {column.name.removesuffix("/value"): column.source_layout for column in columns if column.source_layout}


def kinds_of(manifest: Manifest) -> list[str]:
    """What kinds of features a dataset has, in the order of its features."""
    layouts = layouts_of(manifest.columns)
    return list(dict.fromkeys(kind_of(feature, layouts.get(feature.name, "")) for feature in describe(manifest)))


def tasks_of(manifest: Manifest) -> list[str]:
    """What a dataset looks fit for, told by its features alone.

    >>> tasks_of(manifest)                                      # doctest: +SKIP
    ['image classification']
    """
    kinds, keys = set(kinds_of(manifest)), manifest.supervised_keys or ()
    found = []
    if "image" in kinds and "boxes" in kinds:
        found.append("object detection")
    if "image" in kinds and "mask" in kinds:
        found.append("segmentation")
    labels = [feature for feature in describe(manifest) if "ClassLabel" in feature.note and not feature.shape]
    if labels and "boxes" not in kinds:
        for kind in ("image", "video", "audio", "text"):
            if kind in kinds:
                found.append(f"{kind} classification")
                break
        else:
            found.append("classification")
    if "translation" in kinds:
        found.append("translation")
    target = next((feature for feature in describe(manifest) if keys and feature.name == keys[-1]), None)
    if not found and target is not None and not target.shape and target.dtype.startswith(("float", "bfloat")):
        found.append("regression")
    return found
