"""64-bit digests of examples, and how many examples have the same one.

An example becomes a run of 64-bit words: the bytes of its narrow columns; for each wide one a CRC-32C of all its
bytes, and a weighted sum of up to 512 words spread over it; two CRCs of each string. The digest is a sum of the 32-bit
halves of those words, each times a random 64-bit weight, modulo 2**64 (multilinear hashing: Lemire and Kaser, "Strongly
universal string hashing is fast", 2014). So every byte of every example counts.

Two given examples that differ have the same digest with a probability of at most 2**-32 (2.3e-10), and of
2**-63 where the lowest bit of some half of a word differs. Where the sums of a wide column agree, only its CRC
tells examples apart: it misses 2**-32 of all differences, and none within four bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Mapping

import google_crc32c
import numpy as np

from exporters.tensors.arrays import Columns, values_of
from tfds_builder.aliases import Array

_WIDE_BYTES = 1024
"""From this size of a row on, the call of a CRC a row costs less than arithmetic in NumPy."""
_SPREAD = 512
"""Words of a wide row that are summed, at most."""
_KEPT = 1 << 24
"""Digests kept at most, 8 bytes each, over all splits."""
_BLOCK_WORDS = 1 << 17
_HALF = np.uint64(32)


@dataclasses.dataclass(frozen=True)
class AxisOrders:
    """Columns of a batch as rows of contiguous bytes, without a copy wherever the axes lie in memory as they did at first.

    Columns are often permuted views. The order of their axes in memory at the first batch of all is taken for all batches
    of all splits, in whatever process they are, so that equal examples have equal bytes. It is a plain value.

    Attributes:
      orders: by column of more than two axes, all of its axes, the batch's own first.
    """

    orders: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, columns: Columns) -> AxisOrders:
        """The orders in which the axes of a first batch lie in memory."""
        arrays = {name: values_of(column) for name, column in columns.items()}
        return cls({name: _order(array.strides) for name, array in arrays.items() if array.ndim > 2})

    def contiguous(self, name: str, array: Array) -> Array:
        """Any shape (N, ...) -> the values of each row, shape (N, values), C-contiguous."""
        if array.ndim > 2:
            array = array.transpose(self.orders[name])
        return np.ascontiguousarray(array).reshape(len(array), math.prod(array.shape[1:]))


def _order(strides: tuple[int, ...]) -> tuple[int, ...]:
    return (0, *sorted(range(1, len(strides)), key=lambda axis: -abs(strides[axis])))


class Digester:
    """Digests of the rows of batches that all have the same columns.

    Rows wait until there are enough of them: with small examples the arithmetic on a batch costs less than the call.
    """

    def __init__(self) -> None:
        self._words: Array = np.empty((0, 0), np.uint64)
        self._rows = 0

    def add(self, columns: Mapping[str, Array]) -> bool:
        """Takes in the rows of a batch; True if it is time to `take` their digests.

        Args:
          columns: shape (N, values) each, C-contiguous, of any storable dtype; objects are bytes.
        """
        parts = [_words(columns[name]) for name in sorted(columns)]
        stop, size = self._rows + len(parts[0]), sum(-(-part.shape[1] // 8) for part in parts)
        if len(self._words) < stop or self._words.shape[1] != size:
            assert self._words.shape[1] == size or not self._rows, "all batches have the same columns"
            words = np.zeros((2 * stop, size), np.uint64)  # a part that is no whole number of words ends in zeros
            if self._rows:
                words[: self._rows] = self._words[: self._rows]
            self._words = words
        target, start = self._words[self._rows : stop].view(np.uint8), 0
        for part in parts:
            target[:, start : start + part.shape[1]] = part
            start += -(-part.shape[1] // 8) * 8
        self._rows = stop
        return stop * size >= _BLOCK_WORDS or stop >= _BLOCK_WORDS

    def take(self) -> Array:
        """One digest for each row taken in since the last time: uint64, shape (N,)."""
        digests = _sum(self._words[: self._rows])
        self._rows = 0
        return digests


def _sum(words: Array) -> Array:
    weights = _weights(2 * words.shape[1]).reshape(2, -1)
    out, step = np.empty(len(words), np.uint64), max(1, _BLOCK_WORDS // max(1, words.shape[1]))
    for start in range(0, len(words), step):
        block = words[start : start + step]
        # v * (low + 2**32 * high) + w * high: a sum over halves, each with a weight of its own
        out[start : start + step] = np.dot(block, weights[0]) + np.dot(block >> _HALF, weights[1])
    return out


def _words(values: Array) -> Array:
    """What of a column goes into the digest: uint8, shape (N, bytes)."""
    if values.dtype == object:
        return _hash(values.ravel().tolist()).reshape(values.shape).view(np.uint8)
    if not values.size:
        return np.empty((len(values), 0), np.uint8)
    data = values.view(np.uint8)
    if data.shape[1] < _WIDE_BYTES:
        return data
    whole = data.shape[1] // 8
    words = data[:, : 8 * whole].view(np.uint64)[:, :: -(-whole // _SPREAD) | 1]
    out = np.empty((len(data), 2), np.uint64)
    out[:, 0] = np.fromiter(map(google_crc32c.value, data), np.uint32, len(data))
    out[:, 1] = np.einsum("ij,j->i", words, _weights(words.shape[1]))
    return out.view(np.uint8)


def _hash(strings: list[bytes]) -> Array:
    """64 bits of each string, the same in every process: two CRCs with different polynomials."""
    high, low = (np.fromiter(map(crc, strings), np.uint64, len(strings)) for crc in (google_crc32c.value, zlib.crc32))
    hashes: Array = high << _HALF | low
    return hashes


@functools.cache
def _weights(count: int) -> Array:
    """Random odd numbers, always the same."""
    return np.random.default_rng(count).integers(0, 1 << 63, count, np.uint64) * np.uint64(2) + np.uint64(1)


class Tally:
    """Digests by split, and how many of them are alike.

    Up to `kept` digests are kept in all. Then those whose highest bit is 1 are dropped, then those whose next one is, and
    so on: what is kept is a sample of the distinct digests, counts in it are scaled up, and `exact` is False.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._limit, self._level, self._size = kept, 0, 0
        self._splits: dict[str, list[Array]] = {}

    @property
    def exact(self) -> bool:
        """Whether counts are counts, not estimates from a sample."""
        return not self._level

    def add(self, split: str, digests: Array) -> None:
        kept = self._sample(digests)
        self._splits.setdefault(split, []).append(kept)
        self._size += len(kept)
        while self._size > self._limit:
            self._level += 1
            self._splits = {name: [self._sample(np.concatenate(parts))] for name, parts in self._splits.items()}
            self._size = sum(len(parts[0]) for parts in self._splits.values())

    def _sample(self, digests: Array) -> Array:
        return digests[digests >> np.uint64(64 - self._level) == 0] if self._level else digests

    def repeated(self, split: str) -> int:
        """Examples of a split that equal an earlier example of it."""
        digests = self._sorted(split)
        return int(np.count_nonzero(digests[1:] == digests[:-1])) << self._level

    def shared(self, split: str) -> dict[str, int]:
        """By earlier split: examples of `split` that are in it too, where there are any."""
        digests, found = self._sorted(split), {}
        for other in self._splits:
            if other == split:
                break
            known = self._sorted(other)
            if len(known):
                places = np.minimum(np.searchsorted(known, digests), len(known) - 1)
                if count := int(np.count_nonzero(known[places] == digests)) << self._level:
                    found[other] = count
        return found

    def _sorted(self, split: str) -> Array:
        parts = self._splits.get(split, [])
        if len(parts) != 1 or np.any(parts[0][1:] < parts[0][:-1]):
            whole = np.concatenate(parts) if parts else np.empty(0, np.uint64)
            whole.sort()
            self._splits[split] = parts = [whole]
        return parts[0]
