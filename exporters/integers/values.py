"""The different values that a column of floats has, channel by channel."""

from __future__ import annotations

import numpy as np

from exporters.batches.rows import EMPTY, Rows
from exporters.errors import SchemaError
from tfds_builder.aliases import Array

MOST = 65536
"""As many values as 16 bits hold. A channel that has more is told apart at once."""
_CHUNK = 1024 * 1024


def values_by_channel(column: Array | Rows, axis: int | None, place: str) -> list[Array]:
    """The different values of each channel, sorted, float64, which holds every float exactly.

    Args:
      column: of the first batch: float16, bfloat16, float32 or float64.
      axis: of the channels, the batch axis counted; None where there are none.
      place: what errors begin with.

    Raises:
      SchemaError: a value is NaN, infinite or -0.0, or a channel has more than `MOST` different ones.
    """
    pieces = _pieces(column)
    if axis is None:
        return [_different([(first, piece) for first, piece in pieces], place)]
    counts = {piece.shape[axis] for _, piece in pieces}
    if len(counts) > 1:
        raise SchemaError(f"{place}: rows have {' and '.join(map(str, sorted(counts)))} channels; give every image as many")
    return [
        _different([(first, np.moveaxis(piece, axis, 0)[channel]) for first, piece in pieces], f"{place}, channel {channel}")
        for channel in range(counts.pop() if counts else 0)
    ]


def place_of(column: Array | Rows, axis: int | None, channel: int | None, value: float) -> str:
    """Where a value is first, in words: `row 3, channel 1`.

    Args:
      column, axis: as for `values_by_channel`.
      channel: in which it is looked for; None for all of them.
      value: one that is there.
    """
    for first, piece in _pieces(column):
        is_there = piece == value
        if axis is not None and channel is not None:
            others = np.arange(piece.shape[axis]) != channel
            is_there = is_there & ~others.reshape([-1 if place == axis else 1 for place in range(piece.ndim)])
        for place in np.argwhere(is_there)[:1].tolist():
            return f"row {first + place[0]}" + (f", channel {place[axis]}" if axis is not None else "")
    return "a row"


def _pieces(column: Array | Rows) -> list[tuple[int, Array]]:
    """Arrays of a column, with a batch axis, each with the number of its first row."""
    if not isinstance(column, Rows):
        return [(0, column)]
    return [(number, row[None]) for number, row in enumerate(column.arrays) if row is not None and row is not EMPTY]


def _different(pieces: list[tuple[int, Array]], place: str) -> Array:
    found = np.empty(0, np.float64)
    for first, piece in pieces:
        per_row = max(1, piece[:1].size)
        step = max(1, _CHUNK // per_row)
        for start in range(0, len(piece), step):
            part = piece[start : start + step]
            values = _sorted(part)
            if values.size and (not np.isfinite(values[[0, -1]]).all() or _has_negative_zero(part, values)):
                raise SchemaError(_explain(part, first + start, place))
            found = np.union1d(found, values) if found.size else values
            if found.size > MOST:
                raise SchemaError(
                    f"{place}: more than {MOST:,} different values, which 16 bits do not hold: they were resized as floats, or "
                    "scaled image by image"
                )
    return found


def _sorted(part: Array) -> Array:
    values = part.astype(np.float32) if part.dtype.itemsize == 2 else part.reshape(-1)
    values = np.sort(values, axis=None)
    keep = np.concatenate([[True], values[1:] != values[:-1]]) if values.size else np.empty(0, bool)
    found: Array = values[keep].astype(np.float64)
    return found


def _has_negative_zero(part: Array, values: Array) -> bool:
    place = int(np.searchsorted(values, 0.0))
    return place < len(values) and values[place] == 0 and bool(_negative_zeros(part).any())


def _negative_zeros(part: Array) -> Array:
    zeros: Array = (part == 0) & np.signbit(part)
    return zeros


def _explain(part: Array, first: int, place: str) -> str:
    wrong = ~np.isfinite(part) | _negative_zeros(part)
    row = int(np.argwhere(wrong)[0][0])
    value = float(part[row][wrong[row]].reshape(-1)[0])
    what = "NaN" if np.isnan(value) else "-0.0, which would come back as 0.0" if value == 0 else "infinite"
    return f"{place}, row {first + row}: a value is {what}, and no integer is that"
