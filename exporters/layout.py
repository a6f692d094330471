"""Channels-first -> channels-last, and back. Views, until bytes are written: `copy_into` is that copy.

>>> decide("image", (64, 3, 32, 32), None)
Layout(source='NCHW', stored='NHWC')
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.errors import LayoutError
from exporters.wording import argument

CHANNELS = (1, 3, 4)
"""Grey, RGB, RGBA: the only sizes taken for a channel axis unasked."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names of the axes of a batch, one letter each: as the loader gives it, and as it is stored.

    The stored layout is the source with `C` moved to the end.

    >>> Layout("NCHW", "NHWC").permutation
    (0, 2, 3, 1)
    """

    source: str
    stored: str

    @property
    def permutation(self) -> tuple[int, ...]:
        """Axes of the source in the stored order, as `numpy.transpose` takes them."""
        return tuple(self.source.index(axis) for axis in self.stored)

    @property
    def inverse(self) -> tuple[int, ...]:
        """Axes of the stored array in the source's order: undoes `permutation`."""
        return tuple(self.stored.index(axis) for axis in self.source)


def parse(name: str, layout: str, ndim: int) -> Layout:
    """A `layouts=` entry as a Layout.

    Args:
      name: the feature, for the error.
      layout: one distinct capital letter per axis of the batch, the first `N`: `"NCHW"`, `"NTCHW"`,
        `"NCDHW"`; without a `C` the array is stored as it is.
      ndim: rank of the batch.

    Raises:
      LayoutError: it is not such a string, or has another rank.
    """
    if not isinstance(layout, str) or not layout.isalpha() or not layout.isupper() or len(set(layout)) != len(layout):
        raise LayoutError(
            f"feature {name!r}: a layout must be distinct capital letters such as 'NCHW' or 'NTCHW' (got {layout!r})"
        )
    if layout[0] != "N":
        raise LayoutError(f"feature {name!r}: a layout must begin with N, the batch axis (got {layout!r})")
    if len(layout) != ndim:
        raise LayoutError(f"feature {name!r}: layout {layout!r} has {len(layout)} axes, and the batch has {ndim}")
    return Layout(layout, layout.replace("C", "") + "C" if "C" in layout else layout)


def decide(name: str, shape: tuple[int | None, ...], layout: str | None) -> Layout | None:
    """The layout of a column, from what was given or from its shape.

    A 4-D batch whose axis 1 is 1, 3 or 4 and whose last axis is not is taken for NCHW; the other
    way round for NHWC. Rank below 4 and 4-D without such an axis are no images.

    Args:
      name: the feature, for the error.
      shape: shape of the batch, batch axis first; None where rows differ.
      layout: the `layouts=` entry, or None.

    Returns:
      The layout, or None where there is nothing to permute and nothing was given.

    Raises:
      LayoutError: it could be read two ways, or the given layout does not fit.
    """
    if layout is not None:
        return parse(name, layout, len(shape))
    if len(shape) == 4:
        first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
        if first and last:
            _ambiguous(name, shape, "NCHW", "NHWC")
        return Layout("NCHW", "NHWC") if first else Layout("NHWC", "NHWC") if last else None
    if len(shape) == 5:
        likely = [axis for axis in range(1, 5) if shape[axis] in CHANNELS]
        if likely == [4]:
            return Layout("NDHWC", "NDHWC")
        if likely:
            _ambiguous(name, shape, "NCDHW", "NTCHW", "NDHWC")
    return None


def _ambiguous(name: str, shape: tuple[int | None, ...], *readings: str) -> None:
    choices = " or ".join(argument("layouts", {name: reading}) for reading in readings)
    raise LayoutError(f"feature {name!r}: a batch of shape {shape} can be read as {' or '.join(readings)}; say which: {choices}")


def looks_like_image(shape: tuple[int | None, ...]) -> bool:
    """Whether a batch of this shape is taken for images (of whichever layout)."""
    return len(shape) == 4 and (shape[1] in CHANNELS or shape[3] in CHANNELS)


def to_stored(array: npt.NDArray[Any], layout: Layout | None) -> npt.NDArray[Any]:
    """A view of a batch in its stored layout."""
    return array if layout is None else array.transpose(layout.permutation)


def to_source(array: npt.NDArray[Any], layout: Layout | None) -> npt.NDArray[Any]:
    """A view of a stored batch in the layout the loader gave: the inverse of `to_stored`."""
    return array if layout is None else array.transpose(layout.inverse)


def copy_into(target: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
    """`np.copyto`, five times as fast where a few channels move from first to last: one strided
    copy a channel keeps NumPy's inner loop on a whole image instead of on one pixel."""
    channels = values.shape[-1] if values.ndim > 2 else 0
    if 1 < channels <= 4 and values.strides[-1] > values.strides[-2]:
        for channel in range(channels):
            np.copyto(target[..., channel], values[..., channel])
    else:
        np.copyto(target, values)


def describe(name: str, layout: Layout, row_shape: tuple[int | None, ...]) -> str:
    """The decision in words; `row_shape` is the stored shape of one row.

    >>> describe("image", Layout("NCHW", "NHWC"), (32, 32, 3))
    'image: NCHW (3, 32, 32) -> NHWC (32, 32, 3)'
    """
    if layout.source == layout.stored:
        return f"{name}: {layout.source} {row_shape}, kept as it is"
    source = tuple(row_shape[layout.stored.index(axis) - 1] for axis in layout.source[1:])
    return f"{name}: {layout.source} {source} -> {layout.stored} {row_shape}"
