"""What the values of a split are, whatever its loader promised: floats that were bytes, NaN, axes taken for others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from exporters import wording
from exporters.features.fields import AnyField, Field, RaggedField
from exporters.hazards.base import DRAINING, Finding, HazardKind, Look, Scope
from exporters.hazards.digests import Tally
from exporters.outcome import Counts
from exporters.tensors.arrays import values_of
from exporters.tensors.layout import CHANNELS
from tfds_builder.aliases import Array
from tfds_builder.contract.layout import Layout

_SAMPLE = 16_384
"""Values of a channel that are looked at."""
_EXPONENTS = {"float16": 0x7C00, "bfloat16": 0x7F80}
"""Bits that are all set in a NaN or an infinity, of the floats that NumPy adds up slowly."""


class FloatImages(HazardKind[None, None]):
    """Images in floating-point numbers were 8-bit integers once."""

    name, found = "float_images", DRAINING
    meaning = "float images of evenly spaced values that 8 bits can hold: several times the size, and no viewer shows them"
    remedy = "leave ToTensor() and Normalize() out of the export: torchvision.transforms.v2.PILToTensor()"

    def first(self, look: Look) -> Iterator[Finding]:
        for field in self.scope.fields:
            values = values_of(look.columns[field.columns[-1].name])
            if levels := _levels(field, values):
                text = f"{field.name!r} has {levels} different, evenly spaced values a channel, in {values.dtype}"
                text = f"{text}: uint8 holds them in {values.dtype.itemsize} times less"
                yield Finding("float_images", None, text)


class LayoutDoubtful(HazardKind[None, None]):
    """A declared layout takes one axis for another."""

    name, found = "layout_doubtful", DRAINING
    meaning = "`layouts=` takes another axis for the channels than the shape shows: images would be stored on their side"
    remedy = 'say where the channels are: layouts={"image": "NCHW"}'

    def first(self, look: Look) -> Iterator[Finding]:
        for field in self.scope.fields:
            if isinstance(field, Field | RaggedField) and field.layout is not None:
                yield from find_contradiction(field.name, field.layout, field.shape)


@dataclasses.dataclass
class NotFiniteSeen:
    """Examples looked at, and by column how many values are NaN and how many infinite, where there are any."""

    rows: int = 0
    columns: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def merged(self, later: NotFiniteSeen) -> NotFiniteSeen:
        """Both together."""
        columns = dict(self.columns)
        for name, (nans, infs) in later.columns.items():
            before = columns.get(name, (0, 0))
            columns[name] = (before[0] + nans, before[1] + infs)
        return NotFiniteSeen(self.rows + later.rows, columns)


class NotFinite(HazardKind[NotFiniteSeen, NotFiniteSeen]):
    """NaN and infinite values are counted; as an error they end the export at their batch."""

    name, found, keeps = "not_finite", DRAINING, "not_finite"
    meaning = "NaN or infinite values"
    remedy = "drop or fill them: torch.nan_to_num(x)"

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._floats = [c.name for c in scope.columns if c.dtype.startswith(("float", "bfloat", "complex"))]

    def start(self, total: NotFiniteSeen | None) -> NotFiniteSeen:
        return NotFiniteSeen()

    def add(self, seen: NotFiniteSeen, look: Look) -> None:
        seen.rows += look.rows
        with np.errstate(all="ignore"):
            for name in self._floats:
                nans, infs = count_not_finite(look.values(name))
                if nans or infs:
                    before = seen.columns.get(name, (0, 0))
                    seen.columns[name] = (before[0] + nans, before[1] + infs)

    def begin(self, tally: Tally) -> NotFiniteSeen:
        return NotFiniteSeen()

    def merge(self, total: NotFiniteSeen, seen: NotFiniteSeen) -> None:
        both = total.merged(seen)
        total.rows, total.columns = both.rows, both.columns

    def now(self, total: NotFiniteSeen | None, seen: NotFiniteSeen) -> Iterator[Finding]:
        if self.scope.is_error(self.name):
            yield from self._find(seen if total is None else total.merged(seen), " of a shard" if total is None else "")

    def finish(self, total: NotFiniteSeen, counts: Counts) -> Iterator[Finding]:
        yield from self._find(total)

    def _find(self, seen: NotFiniteSeen, where: str = "") -> Iterator[Finding]:
        if seen.columns:
            parts = [f"{name!r} has {nans:,} NaN and {infs:,} infinite values" for name, (nans, infs) in seen.columns.items()]
            text = f"{', '.join(parts)} in the first {wording.plural(seen.rows, 'example')}{where}"
            yield Finding("not_finite", sum(map(sum, seen.columns.values())), text)


def count_not_finite(values: Array) -> tuple[int, int]:
    """(NaN, infinite) values of a contiguous array; complex numbers count by their parts.

    Where the sum is finite, every value is; only where it is not are they counted.
    """
    if values.dtype.kind == "c":
        values = values.view(values.real.dtype)
    if values.dtype.itemsize == 2:
        exponent = _EXPONENTS[values.dtype.name]
        if np.all(values.view(np.uint16) & exponent != exponent):
            return 0, 0
    elif math.isfinite(values.sum()):
        return 0, 0
    return int(np.count_nonzero(np.isnan(values))), int(np.count_nonzero(np.isinf(values)))


def find_contradiction(name: str, layout: Layout, shape: Sequence[int | None]) -> Iterator[Finding]:
    """A finding if a layout takes one axis for another: there are as many channels as no image has, and height, or width, is what
    images have channels; or there are 3 frames, or 3 layers of a volume.

    Args:
      name: the feature.
      layout: of the batches.
      shape: of a row as the loader gives it.
    """
    sizes = dict(zip(layout.source[1:], shape, strict=True))
    swapped = [axis for axis in "HWTD" if sizes.get(axis) in (CHANNELS if axis in "HW" else (3,))]
    if sizes.get("C") is None or sizes["C"] in CHANNELS or len(swapped) != 1:
        return
    letters = [axis for axis in layout.source if axis != "C"]
    letters.insert(layout.source.index(swapped[0]), "C")
    text = (
        f"{name!r}, of shape {tuple(shape)}, is said to be {layout.source}: {sizes['C']} channels, and {swapped[0]} of "
        f"{sizes[swapped[0]]}"
    )
    yield Finding(
        "layout_doubtful", None, text, f"say where the channels are: {wording.argument('layouts', {name: ''.join(letters)})}"
    )


def _levels(field: AnyField, array: Array) -> int:
    """How many values each channel of a float image has at most, if they are k steps from the lowest, k = 0..255; else 0.

    That is what 8-bit integers become by any affine map. Fewer than 16 values, or values that hardly repeat, do not count.
    """
    is_image = field.layout is not None and field.layout.stored.endswith("C") and len(field.layout.stored) >= 4
    channels = field.feature.shape[-1] if is_image and isinstance(field, Field | RaggedField) else None
    if not channels or array.dtype.name not in ("float16", "float32", "float64"):
        return 0
    pixels, most = array.reshape(-1, channels) if array.ndim == 1 else array, 0
    for channel in range(channels):
        values = pixels[..., channel].flat[:_SAMPLE].astype(np.float64)  # reshape would copy the whole channel
        levels = np.unique(values)
        if not 1 < len(levels) <= 256 or not np.isfinite(levels).all() or len(values) < 4 * len(levels):
            return 0
        gaps = np.diff(levels)
        steps = np.concatenate([[0], np.cumsum(np.round(gaps / gaps.min()))])
        unit = (levels[-1] - levels[0]) / steps[-1]
        if steps[-1] > 255 or np.abs(levels - levels[0] - steps * unit).max() > unit / 4:  # float16 is that coarse
            return 0
        most = max(most, len(levels))
    return most if most >= 16 else 0
