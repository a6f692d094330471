"""The floats that libraries make of 8-bit and 16-bit integers: one computation in many orders, each with its own last bits.

`ToTensor` and `Normalize` of torchvision divide, subtract and divide in float32; others multiply by a reciprocal, work in
float64, or fold two steps into one. What a loader does is told by the bits of what it gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tfds_builder.aliases import Array, DType
from tfds_builder.contract.decode import to_numpy_dtype


@dataclasses.dataclass(frozen=True)
class Scale:
    """`(x / top - mean) / std` of one channel, float64; `mean_top` and `std_top` are those of x that is not divided by `top`."""

    top: int
    mean: float
    std: float
    mean_top: float
    std_top: float

    @classmethod
    def of(cls, top: int, mean: float, std: float) -> Scale:
        """Of the mean and std that normalise what lies between 0 and 1."""
        return cls(top, mean, std, mean * top, std * top)

    @classmethod
    def of_whole(cls, top: int, mean: float, std: float) -> Scale:
        """Of those that normalise integers."""
        return cls(top, mean / top, std / top, mean, std)

    @property
    def is_whole(self) -> bool:
        """Whether the integers are normalised as they are: the numbers of `(x - mean) / std` are the shorter ones."""
        whole = _digits(self.mean_top) + _digits(self.std_top)
        return whole < _digits(self.mean) + _digits(self.std)

    def ideal(self, levels: int) -> Array:
        """The floats as they would be without rounding, float64."""
        return (np.arange(levels) / self.top - self.mean) / self.std


def _digits(value: float) -> int:
    return len(f"{abs(value):.10g}")


def candidates(scale: Scale, dtype: str) -> Iterator[Callable[[Array], Array]]:
    """Functions of float64 integers that give floats of a dtype, one for each order in which libraries compute; the usual first.

    The same scale of two channels gives the same orders.
    """
    single: DType = np.dtype(np.float32)
    double: DType = np.dtype(np.float64)
    own = to_numpy_dtype(dtype)
    pairs = [(single, single), (double, double), (double, single), (single, double)]
    if own not in (single, double):
        pairs += [(own, own), (single, own)]
    for first, second in dict.fromkeys(pairs):
        for number in range(_ORDERS):
            yield _Order(scale, first, second, own, number)


_ORDERS = 25


@dataclasses.dataclass(frozen=True)
class _Order:
    """One order of computing. `first` is the dtype of the rescaled values, `second` that of the normalised ones."""

    scale: Scale
    first: DType
    second: DType
    own: DType
    number: int

    def __call__(self, integers: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self._compute(integers)).astype(self.own)

    def _compute(self, x: Array) -> Array:
        scale, one, two = self.scale, self.first.type, self.second.type
        mean, std, ratio = two(scale.mean), two(scale.std), two(scale.mean / scale.std)
        if self.number < 12:
            x = x.astype(self.first)
            unit = (x * one(1 / scale.top) if self.number % 2 else x / one(scale.top)).astype(self.second)
            steps: tuple[Callable[[], Array], ...] = (
                lambda: unit if (scale.mean, scale.std) == (0, 1) else (unit - mean) / std,
                lambda: (unit - mean) * two(1 / scale.std),
                lambda: unit * two(1 / scale.std) - ratio,
                lambda: unit / std - ratio,
                lambda: unit * two(1 / scale.std) + two(-scale.mean / scale.std),
                lambda: (unit - mean) * (two(1) / std),
            )
            return steps[self.number // 2]()
        x = x.astype(self.second)
        whole, wide, top = two(scale.mean_top), two(scale.std_top), two(scale.top)
        steps = (
            lambda: (x - whole) / wide,
            lambda: (x - whole) * two(1 / scale.std_top),
            lambda: x * two(1 / scale.std_top) - ratio,
            lambda: x / wide - ratio,
            lambda: (x - mean * top) / (std * top),
            lambda: (x - whole) * (two(1) / wide),
            lambda: x * (two(1) / wide) - whole * (two(1) / wide),
            lambda: x / wide - two(1) if scale.mean == scale.std else x / wide - whole / wide,
            lambda: x.astype(np.float64) * float(two(1 / scale.std_top)) - float(ratio),  # one rounding: a fused multiply-add
            lambda: (x - mean * top) * (two(1) / (std * top)),
            lambda: x * (two(1) / (std * top)) - mean / std,
            lambda: x * two(1 / scale.std_top) - mean * two(1 / scale.std),
            lambda: two(1) - (top - x) / top if (scale.mean, scale.std) == (0, 1) else (x - whole) / wide,  # turned round
        )
        return steps[self.number - 12]()
