"""What the values of a split are, whatever its loader promised: floats that were bytes, classes or masks, NaN, axes taken for
others."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from exporters import wording
from exporters.features.fields import AnyField, Field, RaggedField
from exporters.hazards.base import DRAINING, Finding, HazardKind, Look, Scope
from exporters.hazards.digests import Tally
from exporters.integers.finding import advise
from exporters.outcome import Counts
from exporters.tensors.arrays import values_of
from exporters.tensors.layout import CHANNELS
from tfds_builder.aliases import Array
from tfds_builder.contract.layout import Layout

_SAMPLE = 16_384
"""Values of a channel that are looked at."""
_LOOKED_AT = 8_000_000
"""Values of float images from which it is told what `integers=` must say."""
_WORTH = 8
"""So many times smaller PNG must be to be worth telling."""
_EXPONENTS = {"float16": 0x7C00, "bfloat16": 0x7F80}
"""Bits that are all set in a NaN or an infinity, of the floats that NumPy adds up slowly."""


class FloatImages(HazardKind[None, None]):
    """Images in floating-point numbers were 8-bit integers once."""

    name, found = "float_images", DRAINING
    meaning = "float images of evenly spaced values that 8 bits can hold: several times the size, and no viewer shows them"
    remedy = 'say integers=["image"]: uint8 is stored, and every float comes back; or leave ToTensor() and Normalize() out'

    def first(self, look: Look) -> Iterator[Finding]:
        for field in self.scope.fields:
            values = values_of(look.columns[field.columns[-1].name])
            if levels := _levels(field, values):
                text = f"{field.name!r} has {levels} different, evenly spaced values a channel, in {values.dtype}"
                text = f"{text}: uint8 holds them in {values.dtype.itemsize} times less"
                yield Finding("float_images", None, text, _as_integers(field, values))


def _as_integers(field: AnyField, values: Array) -> str:
    """The line that stores float images as the integers they came from; without one, what else mends them."""
    otherwise = "leave ToTensor() and Normalize() out of the export: torchvision.transforms.v2.PILToTensor()"
    pixels = values.reshape(-1, field.feature.shape[-1]) if values.ndim == 1 else values
    some = pixels[: max(1, _LOOKED_AT // max(1, pixels[:1].size))]
    said = advise(field.name, some, some.ndim - 1)
    if said is None:
        return otherwise
    return f"say {wording.argument('integers', said)}: uint8 is stored, and every float comes back; or {otherwise}"


class OneHot(HazardKind[None, None]):
    """Floats that say a class by the place of their only one."""

    name, found = "one_hot", DRAINING
    meaning = "one-hot targets in floating-point numbers: a class number says the same in a few bytes"
    remedy = "give the class numbers: x.argmax(dim=1)"

    def first(self, look: Look) -> Iterator[Finding]:
        for field in self.scope.fields:
            values = look.columns[field.columns[-1].name]
            if isinstance(field, Field) and isinstance(values, np.ndarray) and is_one_hot(values):
                row, classes = values.shape[1] * values.itemsize, values.shape[1]
                text = (
                    f"{field.name!r} is one-hot, {classes} classes in {values.dtype}: a row takes {row} bytes, a class number 8"
                )
                yield Finding("one_hot", None, text)


class WideMask(HazardKind[None, None]):
    """Masks of zeros and ones in more bytes than they need."""

    name, found = "wide_mask", DRAINING
    meaning = "masks of 0 and 1 in floating-point numbers, or large ones that PNG makes small"
    remedy = "give uint8, x.to(torch.uint8); images of them also as PNG, by a feature tfds.features.Image(shape=(H, W, 1))"

    def first(self, look: Look) -> Iterator[Finding]:
        for field in self.scope.fields:
            values = look.columns[field.columns[-1].name]
            if not isinstance(field, Field) or not isinstance(values, np.ndarray) or not is_mask(values):
                continue
            if values.dtype.kind in "fV":
                text = f"{field.name!r} holds nothing but 0 and 1, in {values.dtype}"
                yield Finding("wide_mask", None, f"{text}: uint8 holds them in {values.itemsize} times less")
            elif (ratio := _zipped(values)) >= _WORTH:
                text = f"{field.name!r} holds nothing but 0 and 1, {values[0].size:,} bytes a row"
                yield Finding("wide_mask", None, f"{text}: as PNG they take about {ratio} times less")


def is_one_hot(values: Array) -> bool:
    """Whether each row has a single 1 and else 0, in floats, and not all in one place: eight rows and three classes at least."""
    if values.dtype.kind not in "fV" or values.ndim != 2 or len(values) < 8 or values.shape[1] < 3:
        return False
    with np.errstate(all="ignore"):  # bfloat16 warns of NaN
        zeros, ones = values == 0, values == 1
    return bool((zeros | ones).all() and (ones.sum(axis=1) == 1).all() and ones.any(axis=0).sum() > 1)


def is_mask(values: Array) -> bool:
    """Whether nothing but 0 and 1 is there, and both are: floats of 64 values a row and more, booleans and bytes of 4,096 that
    are images."""
    is_float = values.dtype.kind in "fV"
    if not is_float and values.dtype.name not in ("bool", "uint8"):
        return False
    if not len(values) or values.ndim < (2 if is_float else 3) or values[0].size < (64 if is_float else 4096):
        return False
    for rows in (values[: max(1, _SAMPLE // values[0].size)], values):  # a few tell of nearly all that it is none
        with np.errstate(all="ignore"):
            zeros, ones = rows == 0, rows == 1
        if not (zeros | ones).all():
            return False
    return bool(ones.any() and zeros.any() and not is_one_hot(values))


def _zipped(values: Array) -> int:
    """How many times smaller a few rows are when they are compressed as PNG compresses them."""
    data = np.ascontiguousarray(values[:4]).tobytes()
    return len(data) // max(1, len(zlib.compress(data)))


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
