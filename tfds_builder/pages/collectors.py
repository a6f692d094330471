"""What is counted while a split goes by, block by block: each collector takes blocks of one feature and gives its figures.

Numbers go by twice, first for their range and their mean, then for how far they are from it and for the histogram: neither
depends on how the rows were cut into blocks, and sums of squares that cancel each other never occur. Of integers of 8 and 16
bits every value is counted, once.
"""

from __future__ import annotations

import collections
import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tfds_builder.aliases import Array
from tfds_builder.pages.figures import Classes, Histogram, Lengths, NotFinite, Numbers, Strings

Number: TypeAlias = Any
"""A number of Python's own: an `int` of any size, or a `float`."""

BINS = 32
"""Of a histogram, at most."""
_HISTOGRAM_CHANNELS = 16
"""With more channels, only all of them together have one."""
_COUNTED = 1 << 21
"""So many different values, all channels together, are counted one by one."""
LIMIT = 10_000
"""So many different strings are told apart, and classes counted in one array."""
_KEPT_BYTES = 16 * 1024 * 1024
_SHOWN, _SHOWN_CHARACTERS = 10, 120


class NumberCollector:
    """Numbers by channel. `add` takes every block once; while `again` is true thereafter, `add_again` takes every block again.

    Args:
      dtype: of the values: integer, floating (bfloat16 too) or bool.
      channels: how many there are; the values of each lie along the last axis.
    """

    def __init__(self, dtype: npt.DTypeLike, channels: int) -> None:
        dtype = np.dtype(dtype)
        self._is_integer = dtype.kind in "iub"
        self._channels = channels
        self._first = -(1 << 8 * dtype.itemsize - 1) if dtype.kind == "i" else 0
        is_counted = self._is_integer and dtype.itemsize <= 2 and channels << 8 * dtype.itemsize <= _COUNTED
        self._counts = np.zeros((channels, 1 << 8 * dtype.itemsize), np.int64) if is_counted else None
        self._count = np.zeros(channels, np.int64)
        self._sum, self._squares = np.zeros(channels), np.zeros(channels)
        self._apart, self._mean_apart = np.zeros(channels, np.int64), np.zeros(channels)
        self._range: list[list[Number]] = [[None, None] for _ in range(channels)]
        self._edges: list[Number] = []
        self._bins: Array = np.zeros((channels, 0), np.int64)

    @property
    def again(self) -> bool:
        """Whether the blocks are needed once more."""
        return self._counts is None and bool(self._count.any())

    def add(self, values: Array) -> None:
        """A block: any shape of which the last axis is the channels, if there is more than one."""
        values = _by_channel(values, self._channels)
        if self._counts is not None:
            for channel, counts in enumerate(self._counts):
                counts += np.bincount(values[:, channel].astype(np.int64) - self._first, minlength=len(counts))
            return
        finite = None if self._is_integer else np.isfinite(values)
        if finite is not None and not finite.all():
            for channel in range(self._channels):
                self._add_range(range(channel, channel + 1), values[finite[:, channel], channel][:, None])
        else:
            self._add_range(range(self._channels), values)

    def _add_range(self, channels: range, values: Array) -> None:
        """Count, sum and range of finite values of some channels, shape (n, those channels)."""
        if not len(values):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            self._sum[channels.start : channels.stop] += values.sum(axis=0, dtype=np.float64)
        self._count[channels.start : channels.stop] += len(values)
        for number, low, high in zip(channels, values.min(axis=0).tolist(), values.max(axis=0).tolist(), strict=True):
            range_ = self._range[number]
            range_[0] = low if range_[0] is None else min(range_[0], low)
            range_[1] = high if range_[1] is None else max(range_[1], high)

    def add_again(self, values: Array) -> None:
        """The same block a second time."""
        values = _by_channel(values, self._channels)
        if not self._edges:
            lows = [low for low, _ in self._range if low is not None]
            highs = [high for _, high in self._range if high is not None]
            self._edges = edges_between(min(lows), max(highs), self._is_integer)
            self._bins = np.zeros((self._channels, len(self._edges) - 1), np.int64)
        if self._is_integer:
            for channel in range(self._channels):
                self._add_differences(channel, values[:, channel])
                self._bins[channel] += self._place(values[:, channel])
            return
        finite = np.isfinite(values)
        keep_all = bool(finite.all())
        mean = self._mean()
        if keep_all:
            with np.errstate(over="ignore", invalid="ignore"):
                self._squares += ((values - mean) ** 2).sum(axis=0, dtype=np.float64)
        for channel in range(self._channels):
            of_channel = values[:, channel] if keep_all else values[finite[:, channel], channel]
            if not keep_all:
                with np.errstate(over="ignore", invalid="ignore"):
                    self._squares[channel] += ((of_channel - mean[channel]) ** 2).sum(dtype=np.float64)
            self._bins[channel] += self._place(of_channel)

    def _add_differences(self, channel: int, values: Array) -> None:
        """Takes in how far integers are from the smallest one, which is exact: floats know large ones by hundreds only.

        Means and squares of parts are put together as by Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm
        for computing sample variances", 1979).
        """
        if not len(values):
            return
        apart = (values.astype(np.uint64) - np.uint64(self._range[channel][0] % (1 << 64))).astype(np.float64)
        mean, before, now = float(apart.mean()), int(self._apart[channel]), len(values)
        distance = mean - self._mean_apart[channel]
        self._apart[channel] += now
        self._mean_apart[channel] += distance * now / (before + now)
        self._squares[channel] += float(((apart - mean) ** 2).sum()) + distance**2 * before * now / (before + now)

    def _place(self, values: Array) -> Array:
        lower = np.array(self._edges[:-1], values.dtype if self._is_integer else np.float64)
        places = np.searchsorted(lower, values, side="right") - 1
        return np.bincount(np.maximum(places, 0), minlength=len(self._edges) - 1)

    def _mean(self) -> Array:
        with np.errstate(invalid="ignore"):
            mean: Array = self._sum / np.maximum(self._count, 1)
        for channel in np.flatnonzero(self._apart).tolist():
            mean[channel] = self._range[channel][0] + self._mean_apart[channel]
        return mean

    def numbers(self, rows: int, is_sample: bool) -> tuple[Numbers, tuple[Numbers, ...]]:
        """What the values are like, all together and by channel.

        Args:
          rows, is_sample: what they are of, as `Measured` says it.
        """
        if self._counts is not None:
            self._finish_counts(self._counts)
        mean, squares = self._mean(), self._squares
        with_bins = self._channels <= _HISTOGRAM_CHANNELS
        channels = []
        for number in range(self._channels):
            low, high = self._range[number]
            histogram = self._histogram(self._bins[number]) if with_bins else None
            count = int(self._count[number])
            channels.append(_numbers(count, (low, high), mean[number], squares[number], histogram, rows, is_sample))
        count = int(self._count.sum())
        used = self._count > 0
        with np.errstate(over="ignore", invalid="ignore"):
            middle = float((mean * self._count).sum() / max(count, 1))
            spread = float((squares + self._count * (mean - middle) ** 2).sum()) if self._channels > 1 else float(squares[0])
        lows = [low for low, _ in self._range if low is not None]
        highs = [high for _, high in self._range if high is not None]
        bounds = (min(lows), max(highs)) if used.any() else (None, None)
        return _numbers(count, bounds, middle, spread, self._histogram(self._bins.sum(axis=0)), rows, is_sample), tuple(channels)

    def _histogram(self, bins: Array) -> Histogram | None:
        return Histogram(tuple(self._edges), tuple(bins.tolist())) if self._edges and bins.any() else None

    def _finish_counts(self, counts: Array) -> None:
        """Everything, of how often each value occurs."""
        values = np.arange(counts.shape[1], dtype=np.int64) + self._first
        found = np.flatnonzero(counts.any(axis=0))
        self._count = counts.sum(axis=1)
        if not len(found):
            return
        self._sum = (counts @ values).astype(np.float64)
        self._squares = ((values - self._mean()[:, None]) ** 2 * counts).sum(axis=1)
        for channel in range(self._channels):
            there = np.flatnonzero(counts[channel])
            self._range[channel] = [int(values[there[0]]), int(values[there[-1]])] if len(there) else [None, None]
        self._edges = edges_between(int(values[found[0]]), int(values[found[-1]]), True)
        places = np.searchsorted(self._edges[:-1], values[found[0] : found[-1] + 1], side="right") - 1
        starts = np.searchsorted(places, np.arange(len(self._edges) - 1))
        self._bins = np.add.reduceat(counts[:, found[0] : found[-1] + 1], starts, axis=1)


def _by_channel(values: Array, channels: int) -> Array:
    """As (n, channels), in a dtype that NumPy can reckon with."""
    values = values.reshape(-1, channels)
    if values.dtype.kind in "biu":
        return values.view(np.uint8) if values.dtype == bool else values
    return values.astype(np.float64) if values.dtype.itemsize < 4 or values.dtype.kind != "f" else values


def _numbers(
    count: int,
    bounds: tuple[Number, Number],
    mean: float,
    squares: float,
    histogram: Histogram | None,
    rows: int,
    is_sample: bool,
) -> Numbers:
    std = math.sqrt(squares / count) if count and math.isfinite(squares) else math.nan
    return Numbers(
        count=count,
        minimum=bounds[0],
        maximum=bounds[1],
        mean=float(mean) if count and math.isfinite(mean) else None,
        std=std if math.isfinite(std) else None,
        histogram=histogram,
        rows=rows,
        is_sample=is_sample,
    )


def edges_between(low: Number, high: Number, is_integer: bool) -> list[Number]:
    """Edges of at most `BINS` bins of one width that hold everything from `low` to `high`.

    >>> edges_between(0, 3, True)
    [0, 1, 2, 3, 4]
    """
    if is_integer:
        width = (high - low) // BINS + 1
        return [low + width * number for number in range((high - low) // width + 2)]
    if low == high:
        return [low, high]
    steps = [number / BINS for number in range(BINS + 1)]
    edges = [low * (1 - step) + high * step for step in steps]
    edges[0], edges[-1] = low, high
    return edges


class NotFiniteCollector:
    """NaN and infinities."""

    def __init__(self) -> None:
        self._nan = self._infinite = 0

    def add(self, values: Array) -> None:
        finite = int(np.count_nonzero(np.isfinite(values)))
        if finite < values.size:
            nan = int(np.count_nonzero(np.isnan(values)))
            self._nan += nan
            self._infinite += values.size - finite - nan

    def found(self, rows: int) -> NotFinite:
        return NotFinite(nan=self._nan, infinite=self._infinite, rows=rows)


class ClassCollector:
    """How often each class occurs."""

    def __init__(self) -> None:
        self._counts: collections.Counter[int] = collections.Counter()

    def add(self, values: Array) -> None:
        numbers, counts = np.unique(values, return_counts=True)
        self._counts.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))

    def found(self, rows: int, num_classes: int | None, names: tuple[str, ...]) -> Classes:
        counts = {number: self._counts[number] for number in sorted(self._counts) if number != -1}
        return Classes(num_classes=num_classes, counts=counts, unlabelled=self._counts[-1], names=names, rows=rows)


class LengthCollector:
    """How long rows are."""

    def __init__(self, unit: str) -> None:
        self._unit, self._counts = unit, collections.Counter[int]()

    def add(self, lengths: Array) -> None:
        numbers, counts = np.unique(lengths, return_counts=True)
        self._counts.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))

    def found(self, rows: int) -> Lengths:
        if not self._counts:
            return Lengths(unit=self._unit, minimum=None, maximum=None, mean=None, histogram=None, rows=rows)
        lengths = sorted(self._counts)
        edges = edges_between(lengths[0], lengths[-1], True)
        bins = [0] * (len(edges) - 1)
        for length in lengths:
            bins[(length - edges[0]) // (edges[1] - edges[0])] += self._counts[length]
        mean = sum(length * count for length, count in self._counts.items()) / self._counts.total()
        histogram = Histogram(tuple(edges), tuple(bins))
        return Lengths(unit=self._unit, minimum=lengths[0], maximum=lengths[-1], mean=mean, histogram=histogram, rows=rows)


class StringCollector:
    """Which strings there are, until they are too many."""

    def __init__(self) -> None:
        self._counts: collections.Counter[bytes] | None = collections.Counter()
        self._kept = 0

    def add(self, values: Array) -> None:
        """Byte strings, in an object array of any shape."""
        if self._counts is None:
            return
        block = collections.Counter(values.ravel().tolist())
        self._kept += sum(len(text) for text in block.keys() - self._counts.keys())
        self._counts.update(block)
        if len(self._counts) > LIMIT or self._kept > _KEPT_BYTES:
            self._counts = None

    def found(self, rows: int) -> Strings:
        if self._counts is None:
            return Strings(distinct=None, limit=LIMIT, most_common=(), rows=rows)
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
        shown = tuple((_shorten(text), count) for text, count in ordered)
        return Strings(distinct=len(self._counts), limit=LIMIT, most_common=shown, rows=rows)


def _shorten(text: bytes) -> str:
    shown = text[: 4 * _SHOWN_CHARACTERS].decode(errors="backslashreplace")
    return shown if len(shown) <= _SHOWN_CHARACTERS and len(text) <= 4 * _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
