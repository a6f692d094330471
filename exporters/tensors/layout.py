"""Which layout a batch has: what the caller says, or what its shape tells; and that in words. It is refused where several are
possible.

>>> decide("image", (64, 3, 32, 32), None)
Layout(source='NCHW', stored='NHWC')
"""

from __future__ import annotations

from collections.abc import Sequence

from exporters.errors import LayoutError
from exporters.wording import argument
from tfds_builder.contract.layout import Layout

CHANNELS = (1, 3, 4)
"""Grey, RGB, RGBA: the only sizes taken for a channel axis unasked."""
_READINGS = {4: ("NCHW", "NHWC"), 5: ("NCDHW", "NTCHW", "NDHWC")}
"""Where the channels of a batch can be, by its rank; the last reading is the one that is stored as it is."""


def parse(name: str, layout: str, ndim: int, above: int = 0) -> Layout:
    """A `layouts=` entry as a Layout.

    Args:
      name: the feature, for the error.
      layout: one distinct capital letter per axis of the batch, the first `N`: `"NCHW"`, `"NTCHW"`,
        `"NCDHW"`; without a `C` the array is stored as it is. Axes of sequences may be left out.
      ndim: rank of the batch, in which each sequence is an axis.
      above: how many sequences the array lies in.

    Raises:
      LayoutError: it is not such a string, or has another rank.
    """
    try:
        parsed = Layout.parse(layout)
    except ValueError as error:
        raise LayoutError(f"feature {name!r}: a layout {error} (got {layout!r})") from None
    if not ndim - above <= len(layout) <= ndim:
        raise LayoutError(
            f"feature {name!r}: layout {layout!r} has {len(layout)} axes, and the batch has {ndim}"
            + (f", or {ndim - above} without those of sequences" if above else "")
        )
    return parsed.with_sequences(ndim)


def decide(name: str, shape: tuple[int | None, ...], layout: str | None, above: int = 0) -> Layout | None:
    """The layout of a column, from what was given or from its shape.

    A 4-D batch whose axis 1 is 1, 3 or 4 and whose last axis is not is taken for NCHW; the other
    way round for NHWC. Of a 5-D batch that axis may be the first (NCDHW), the second (NTCHW) or the last (NDHWC).
    Other ranks, and batches without such an axis, are no images.

    Args:
      name: the feature, for the error.
      shape: shape of the batch, batch axis first; None where rows differ. Each sequence is an axis.
      layout: the `layouts=` entry, or None.
      above: how many sequences the array lies in: the rule looks at the axes below.

    Returns:
      The layout, or None where there is nothing to permute and nothing was given.

    Raises:
      LayoutError: it could be read two ways, or the given layout does not fit.
    """
    if layout is not None:
        return parse(name, layout, len(shape), above)
    likely = likely_readings((shape[0], *shape[1 + above :]))
    if len(likely) > 1:
        raise ambiguous(name, shape, likely)
    return Layout.of(likely[0]).with_sequences(len(shape)) if likely else None


def readings(ndim: int) -> tuple[str, ...]:
    """The layouts that images or volumes of that rank can have; the last one is stored as it is. Empty if there is none."""
    return _READINGS.get(ndim, ())


def may_be_channels(size: int | None) -> bool:
    """Whether an axis of that size is taken for channels unasked."""
    return size in CHANNELS


def likely_readings(shape: Sequence[int | None]) -> list[str]:
    """The layouts that a batch of a shape can have, if its channels are 1, 3 or 4."""
    return [reading for reading in readings(len(shape)) if may_be_channels(shape[reading.index("C")])]


def line_for(name: str, got: Sequence[int | None], expected: Sequence[int | None]) -> str:
    """The `layouts=` with which rows of one shape would be stored in another one, in which None stands for any size; empty if
    there is no such layout.

    >>> line_for("image", (3, 5, 6), (None, None, 3))
    'layouts={"image": "NCHW"}'
    """
    for reading in map(Layout.of, readings(1 + len(got))):
        stored = [got[axis - 1] for axis in reading.permutation[1:]]
        if reading.source != reading.stored and all(want in (None, size) for size, want in zip(stored, expected, strict=True)):
            return argument("layouts", {name: reading.source})
    return ""


def ambiguous(name: str, shape: tuple[int | None, ...], readings: Sequence[str]) -> LayoutError:
    """The error for what can be read several ways, with the lines that settle it."""
    found = [Layout.of(reading).with_sequences(len(shape)).source for reading in readings]
    choices = " or ".join(argument("layouts", {name: reading}) for reading in found)
    return LayoutError(f"feature {name!r}: a batch of shape {shape} can be read as {' or '.join(found)}; say which: {choices}")


def looks_like_image(shape: tuple[int | None, ...]) -> bool:
    """Whether a batch of this shape is taken for images (of whichever layout)."""
    return len(shape) == 4 and (shape[1] in CHANNELS or shape[3] in CHANNELS)


def describe(name: str, layout: Layout, row_shape: tuple[int | None, ...]) -> str:
    """The decision in words; `row_shape` is the stored shape of one row.

    >>> describe("image", Layout("NCHW", "NHWC"), (32, 32, 3))
    'image: NCHW (3, 32, 32) -> NHWC (32, 32, 3)'
    """
    if layout.source == layout.stored:
        return f"{name}: {layout.source} {row_shape}, kept as it is"
    return f"{name}: {layout.source} {layout.source_shape(row_shape)} -> {layout.stored} {row_shape}"
