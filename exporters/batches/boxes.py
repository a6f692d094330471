"""Bounding boxes on their way from torchvision's pixels to what TFDS stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from exporters.aliases import RawValue
from exporters.batches.flatten import Batch
from exporters.batches.rows import iterate_rows
from exporters.errors import SchemaError
from exporters.tensors.arrays import are_scalars
from tfds_builder.aliases import Array, FeatureValue
from tfds_builder.contract.layout import Layout


@dataclasses.dataclass(frozen=True)
class PixelBoxes:
    """Turns bounding boxes as torchvision has them, (x1, y1, x2, y2) in pixels, into those of TFDS, (ymin, xmin, ymax, xmax)
    between 0 and 1.

    Attributes:
      path: where in the feature the boxes are.
      image: structural name of the images they lie in.
      layout: of those images.
    """

    path: str
    image: str
    layout: Layout

    def normalise(self, rows: Mapping[str, list[RawValue]], batch: Batch, where: str) -> dict[str, list[FeatureValue]]:
        """The rows, boxes divided by the height and width of their image, in float32.

        Raises:
          SchemaError: they are no boxes.
        """
        height, width = (self.layout.source.index(axis) - 1 for axis in "HW")
        path, below = (self.path, []) if self.path in rows else ("", self.path.split("/"))  # in lists of dicts
        boxes = []
        for number, (row, image) in enumerate(zip(rows[path], iterate_rows(batch.columns[self.image]), strict=True)):
            size = np.array([image.shape[height], image.shape[width]] * 2, np.float64)
            boxes.append(_over(row, below, size, f"{where}, row {number}"))
        return {**rows, path: boxes}


def _over(boxes: FeatureValue, path: Sequence[str], size: Array, where: str) -> FeatureValue:
    """Boxes divided by the (height, width, height, width) of their image. Dicts and lists that have boxes at a path below are
    gone through, and have divided ones there."""
    if isinstance(boxes, list) and not (boxes and are_scalars(boxes)):
        return [_over(item, path, size, where) for item in boxes] if boxes or path else np.zeros((0, 4), np.float32)
    if path:
        if not isinstance(boxes, Mapping) or path[0] not in boxes:
            raise SchemaError(f"{where}: no boxes at {path[0]!r}")
        return {**boxes, path[0]: _over(boxes[path[0]], path[1:], size, where)}
    if isinstance(boxes, Mapping):
        raise SchemaError(
            f"{where}: boxes must be (x1, y1, x2, y2) in pixels, got {type(boxes).__name__} of {sorted(boxes)}; boxes over the "
            "size of their image are stored as they are with bbox_format=None"
        )
    array = np.asarray(boxes, np.float64)
    if not array.size:
        return np.zeros((0, 4), np.float32)
    if array.shape[-1:] != (4,):
        raise SchemaError(f"{where}: boxes must be (x1, y1, x2, y2) in pixels, got shape {array.shape}")
    return (array[..., [1, 0, 3, 2]] / size).astype(np.float32)
