"""Which rows each call reads, in which order: a function of the call's number and of the epoch's seed, and of nothing else.

No buffer, and no list of all the rows: a permutation of any size is computed number by number. NumPy only.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from tfds_builder.aliases import Array

_LISTED = 2**16
"""A permutation of so many numbers is made whole, and kept for the calls to come; of more, number by number."""
_TURNS = 6
_MASK = 2**64 - 1


@dataclasses.dataclass(frozen=True)
class InOrder:
    """The rows of a split as they are: `call` of them at a time.

    >>> InOrder(10, 4).calls, InOrder(10, 4).rows(2)
    (3, slice(8, 10, None))
    """

    size: int
    call: int

    @property
    def calls(self) -> int:
        """How many calls read the whole split."""
        return -(-self.size // self.call)

    def rows(self, number: int, seed: Array | None = None) -> slice | Array:
        """The rows of a call."""
        return slice(number * self.call, min(self.size, (number + 1) * self.call))


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """The rows of a split, shuffled: each once.

    The split, taken for a circle, is cut into blocks of neighbouring rows from a random row on, and the blocks are drawn in
    random order. So many of them as fill a window are read together, and every row of a window gets a random place in it.
    With blocks of one row that is a permutation of the whole split, with larger ones nearly as good, and the files are
    read in runs. The rows that are left when a split is cut into blocks are mixed with the last window.

    >>> order = Shuffled(10, unit=2, window=4, block=2)
    >>> rows = [order.rows(number, np.array([1, 2])) for number in range(order.calls)]
    >>> sorted(np.concatenate(rows).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

    Attributes:
      size: rows of the split.
      unit: rows that a window is a multiple of, but for the last one: a batch. All windows have about as many.
      window: rows of a window, at most, and at least one unit.
      block: neighbouring rows that are drawn together.
      call: rows of a call; None if each call reads a window.
    """

    size: int
    unit: int
    window: int
    block: int
    call: int | None = None

    @functools.cached_property
    def _units(self) -> int:
        return max(1, self.size // self.unit)

    @functools.cached_property
    def _windows(self) -> int:
        return -(-self._units // max(1, self.window // self.unit)) if self.size else 0

    @property
    def calls(self) -> int:
        """How many calls read the whole split."""
        return self._windows if self.call is None else -(-self.size // self.call)

    def rows(self, number: int, seed: Array) -> Array:
        """The rows of a call: int64 of shape (n,).

        Args:
          number: of the call, from 0.
          seed: two integers that stand for the epoch.
        """
        start, stop = (
            (self._bound(number), self._bound(number + 1))
            if self.call is None
            else (number * self.call, min(self.size, (number + 1) * self.call))
        )
        keys = tuple(int(part) & _MASK for part in seed)
        if self.block == 1:
            return permute(np.arange(start, stop), self.size, keys)
        parts = []
        while start < stop:
            window = self._window_of(start)
            first, last = self._bound(window), self._bound(window + 1)
            places = _shuffled(last - first, 1 + window, keys)[start - first : stop - first] + first
            parts.append(self._drawn(places, first, last, keys))
            start = min(stop, last)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _bound(self, window: int) -> int:
        """Where a window begins in the order of the blocks."""
        return self.size if window >= self._windows else window * self._units // self._windows * self.unit

    def _window_of(self, place: int) -> int:
        unit = min(place // self.unit, self._units - 1)
        return ((unit + 1) * self._windows - 1) // self._units

    def _drawn(self, places: Array, first: int, last: int, keys: tuple[int, ...]) -> Array:
        """The rows at places between `first` and `last` in the order of the blocks."""
        blocks, begin = self.size // self.block, first // self.block
        starts = permute(np.arange(begin, min(blocks, -(-last // self.block))), blocks, keys) * self.block
        starts = np.append(starts, blocks * self.block) + permute(np.zeros(1, np.int64), self.size, keys)
        numbers = places // self.block
        rows: Array = starts[numbers - begin] + (places - numbers * self.block)
        rows -= self.size * (rows >= self.size)
        return rows


@functools.lru_cache(maxsize=16)
def _shuffled(size: int, number: int, keys: tuple[int, ...]) -> Array:
    """A permutation of that size; each number and each pair of keys has another one."""
    order = np.random.Generator(_random_bits(number, keys)).permutation(size)
    order.flags.writeable = False
    return order


@functools.lru_cache(maxsize=16)
def _turn_keys(keys: tuple[int, ...]) -> list[np.uint64]:
    """What the hashes of a permutation's turns begin with."""
    return [np.uint64(key) for key in _random_bits(0, keys).random_raw(_TURNS).tolist()]


def _random_bits(number: int, keys: tuple[int, ...]) -> np.random.Philox:
    return np.random.Philox(key=np.array(keys, np.uint64), counter=[0, 0, 0, number])


def permute(numbers: Array, size: int, keys: tuple[int, ...]) -> Array:
    """What a random permutation of `range(size)` makes of some numbers, without the others.

    >>> sorted(permute(np.arange(7), 7, (1, 2)).tolist())
    [0, 1, 2, 3, 4, 5, 6]

    Of a large range, a number is written as two digits, each of which is shifted in turn by a hash of the other (a Feistel
    network, on digits instead of bits; Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). What falls outside
    of the range, which has few numbers less than the square of its root rounded up, goes through again.

    Args:
      numbers: int64 of shape (n,), each below `size`.
      size: how many numbers there are.
      keys: two integers below 2**64; each pair is another permutation.

    Returns:
      int64 of shape (n,).
    """
    if size <= _LISTED:
        listed: Array = _shuffled(size, 0, keys)[numbers]
        return listed
    base = math.isqrt(size - 1) + 1
    found = _permute_digits(numbers.astype(np.uint64), base, -(-size // base), keys)
    outside = np.flatnonzero(found >= size)
    while len(outside):
        found[outside] = _permute_digits(found[outside], base, -(-size // base), keys)
        outside = outside[found[outside] >= size]
    return found.astype(np.int64)


def _permute_digits(numbers: Array, low: int, high: int, keys: tuple[int, ...]) -> Array:
    """A permutation of all numbers below `low * high`: what it makes of some of them, uint64 of shape (n,)."""
    first = numbers // np.uint64(low)
    second = numbers - first * np.uint64(low)
    for key in _turn_keys(keys):
        first += _hash(second, key, high)
        first -= np.uint64(high) * (first >= high)
        first, second, low, high = second, first, high, low
    permuted: Array = first * np.uint64(low) + second  # after an even number of turns, both are what they were
    return permuted


def _hash(numbers: Array, key: np.uint64, size: int) -> Array:
    """A number below `size` (2**32 at most) for each number: the steps of SplitMix64, then the high bits of a product."""
    found: Array = (numbers + key) * np.uint64(0xBF58476D1CE4E5B9)
    found ^= found >> np.uint64(29)
    found *= np.uint64(0x94D049BB133111EB)
    found >>= np.uint64(32)
    found *= np.uint64(size)
    found >>= np.uint64(32)
    return found
