"""Values on an even grid: which integer each of them is, as far as that is known, and which scale makes these values.

A scale is found by its bits: of all numbers near what was measured, those with the fewest digits come first, and every order
of computing is tried until one gives each value that was seen exactly.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from exporters.integers.formulas import Scale, candidates
from tfds_builder.aliases import Array

TOPS = (255, 65535)
"""The largest integer of 8 bits, and of 16."""
_EPSILON = {"float16": 2.0**-12, "bfloat16": 2.0**-9, "float32": 2.0**-23, "float64": 2.0**-52}
"""A rounding error, of a value, that four of them may add up to; of 16 bits a last one alone is a half of it."""
_MOST_WRONG = 0.35
"""A grid whose rounding errors are more than so many steps tells no integers."""
_DIGITS, _FEW_WRONG = 12, 0.1


@dataclasses.dataclass(frozen=True)
class Grid:
    """Values of one channel with the integer of each.

    Attributes:
      values: sorted, float64.
      integers: of each, int64; two values may lie at one, which no table has.
      dtype: of the floats.
      top: the largest integer there may be.
    """

    values: Array
    integers: Array
    dtype: str
    top: int

    @property
    def levels(self) -> int:
        return self.top + 1


def tolerance(values: Array, dtype: str, step: float) -> float:
    """How far a value may be from its place on a grid, in steps of it."""
    largest = float(np.abs(values[[0, -1]]).max()) if values.size else 0.0
    return 4 * _EPSILON[dtype] * (largest / step if step else np.inf) + 1e-3


def fit(values: Array, dtype: str, scale: Scale) -> Grid | None:
    """The integers of values under a scale; None if it does not fit them."""
    if dtype in ("float16", "bfloat16"):  # which are too coarse to be measured
        return _fit_tables(values, dtype, scale)
    places = (values * scale.std + scale.mean) * scale.top
    integers = np.rint(places).astype(np.int64)
    allowed = tolerance(np.append(values, [scale.mean / scale.std, 0]), dtype, 1 / (scale.std * scale.top))
    allowed = min(allowed + 4 * _EPSILON[dtype] * scale.top, _MOST_WRONG)
    is_far = np.abs(places - integers) > allowed
    if is_far.any() or (integers < 0).any() or (integers > scale.top).any():
        return None
    return Grid(values, integers, dtype, scale.top)


def _fit_tables(values: Array, dtype: str, scale: Scale) -> Grid | None:
    """The same by the floats of all integers in every order of computing: the first that has all values."""
    every = np.arange(scale.top + 1, dtype=np.float64)
    for order in candidates(scale, dtype):
        table = order(every).astype(np.float64)
        if np.isfinite(table).all():
            integers = np.minimum(np.searchsorted(table, values), scale.top).astype(np.int64)
            if np.array_equal(table[integers], values):
                return Grid(values, integers, dtype, scale.top)
    return None


def span(values: Array, dtype: str, top: int) -> Grid | None:
    """The integers of values of which the lowest is 0 and the highest is `top`: they lie so many steps apart, and a step is seen.

    None if they do not.
    """
    if len(values) < 2:
        return None
    step = (values[-1] - values[0]) / top
    places = (values - values[0]) / step
    integers = np.rint(places).astype(np.int64)
    allowed = tolerance(values, dtype, step)
    gaps = np.diff(integers)
    if allowed > _MOST_WRONG or np.abs(places - integers).max() > allowed or gaps[gaps > 0].min() != 1:
        return None
    return Grid(values, integers, dtype, top)


def step_of(values: Array, dtype: str) -> float:
    """The step of the grid that all values are on, the least gap between two of them; 0 if they are on none."""
    if len(values) < 3:
        return 0.0
    gaps = np.diff(values)
    least = float(gaps.min())
    counts = np.rint(gaps / least)
    step = float((values[-1] - values[0]) / counts.sum())
    places = (values - values[0]) / step
    is_even = np.abs(places - np.rint(places)).max() <= min(_MOST_WRONG, tolerance(values, dtype, step))
    return step if is_even and places[-1] < TOPS[-1] + 0.5 else 0.0


def measure(grid: Grid) -> Iterator[Scale]:
    """Scales that may have made the values of a grid, those whose numbers have few digits first.

    A grid of one value, or of none, tells of no scale.
    """
    if len(grid.values) < 2:
        return
    factor, offset = np.polyfit(grid.integers, grid.values, 1)
    factor, offset = float(factor), float(offset)
    slack = max(1e-12, 8 * _EPSILON[grid.dtype] * float(np.abs(grid.values[[0, -1]]).max()) / (factor * grid.top))
    unit_std, unit_mean = 1 / (factor * grid.top), -offset / (factor * grid.top)
    pairs = itertools.chain(
        (Scale.of(grid.top, mean, std) for mean, std in _short(unit_mean, unit_std, slack)),
        (
            Scale.of_whole(grid.top, mean, std)
            for mean, std in _short(unit_mean * grid.top, unit_std * grid.top, slack * grid.top)
        ),
    )
    ranked = sorted(itertools.islice(pairs, 72), key=lambda scale: (length(scale), scale.is_whole))
    yield from ranked


def length(scale: Scale) -> int:
    """How many digits its numbers take to be written."""
    mean, std = (scale.mean_top, scale.std_top) if scale.is_whole else (scale.mean, scale.std)
    return len(f"{abs(mean):.10g}") + len(f"{std:.10g}")


def _short(mean: float, std: float, slack: float) -> Iterator[tuple[float, float]]:
    """Numbers near a mean and a std, shorter ones first."""
    means, stds = ([*dict.fromkeys(_near(value, slack * max(1.0, abs(std))))] for value in (mean, std))
    yield from ((one, other) for one in means[:6] for other in stds[:6] if other > 0)


def _near(value: float, slack: float) -> Iterator[float]:
    for digits in range(_DIGITS):
        short = round(value, digits)
        for near in (short, float(np.float32(short))):  # the second of a tensor of float32, though the rest is float64
            if abs(near - value) <= slack:
                yield near + 0.0
    yield value


def complete(grids: Sequence[Grid], scales: Sequence[Sequence[Scale]]) -> tuple[Array, list[Scale]] | None:
    """The floats of all integers of each channel, float64, shape (channels, levels), of which all that were seen are the same bit
    for bit; and the scale of each. None if no order of computing gives them.

    Args:
      grids: of the channels.
      scales: that may have made the values of each.
    """
    choices = [_matches(grid, tried) for grid, tried in zip(grids, scales, strict=True)]
    common = set.intersection(*(set(found) for found in choices)) if choices else set()
    if not common:
        return None
    number = min(common, key=lambda number: (sum(found[number][0] for found in choices), number))  # one order for all channels
    every = np.arange(grids[0].levels, dtype=np.float64)
    tables, used = [], []
    for grid, found in zip(grids, choices, strict=True):
        _, scale = found[number]
        order = next(itertools.islice(candidates(scale, grid.dtype), number, None))
        tables.append(order(every).astype(np.float64))
        used.append(scale)
    return np.stack(tables), used


def closest(grid: Grid, scales: Sequence[Scale]) -> tuple[int, float, float] | None:
    """Where a few of the values that were seen are not those of the order of computing that gives nearly all of them: the integer
    of the first, its value, and what it should be. None where no order gives nearly all, or one gives all."""
    best: tuple[float, tuple[int, float, float]] | None = None
    for scale in scales:
        for order in candidates(scale, grid.dtype):
            wrong = order(grid.integers.astype(np.float64)).astype(np.float64) != grid.values
            if not wrong.any():
                return None
            if (share := float(wrong.mean())) < min(_FEW_WRONG, best[0] if best is not None else 1):
                place = int(np.flatnonzero(wrong)[0])
                wanted = float(order(grid.integers[place : place + 1].astype(np.float64)).astype(np.float64)[0])
                best = share, (int(grid.integers[place]), float(grid.values[place]), wanted)
    return None if best is None else best[1]


def _matches(grid: Grid, scales: Sequence[Scale]) -> dict[int, tuple[int, Scale]]:
    """By number of the order of computing, the first scale whose floats are those that were seen, and at which place it comes."""
    found: dict[int, tuple[int, Scale]] = {}
    asked, values = grid.integers.astype(np.float64), grid.values
    some = np.unique(np.linspace(0, len(values) - 1, 16).astype(int)) if len(values) else np.empty(0, int)
    for place, scale in enumerate(scales):
        for number, order in enumerate(candidates(scale, grid.dtype)):
            if number in found or not np.array_equal(order(asked[some]).astype(np.float64), values[some]):
                continue
            if np.array_equal(order(asked).astype(np.float64), values):
                found[number] = place, scale
    return found
