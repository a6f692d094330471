"""Rows on their way to a file, by blocks that are used again once they are written.

A block of a megabyte stays in the cache from the copy to the write, and the kernel need not find
new pages for every batch: half the cost of writing large images otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from exporters.formats.base import Sink
from exporters.formats.hands import Hands
from tfds_builder.aliases import Array

BLOCK_BYTES = 1024 * 1024
"""Size of a block, unless a row is larger; fits the second-level cache."""
_LEAST_BYTES = 128 * 1024
"""Less than that is not shared between threads."""


class Blocks:
    """Room for rows, handed to a sink a block at a time.

    Args:
      data: where the rows go.
      make: makes a new block: an array of so many rows, contiguous.
      row_bytes: bytes of a row.
      hands: who fills it: a block each, or a part of one.
    """

    def __init__(self, data: Sink, make: Callable[[int], Array], row_bytes: int, hands: Hands) -> None:
        self._data, self._make, self._hands = data, make, hands
        self._rows, self._least = max(1, BLOCK_BYTES // row_bytes), max(1, _LEAST_BYTES // row_bytes)
        self._is_large = row_bytes > 2 * BLOCK_BYTES  # then a block is a row, which is not kept, and there is one at a time
        self._free: list[Array] = []
        self._block: Array | None = None  # made when there is something to fill it with
        self._filled = 0

    def append(self, rows: int, fill: Callable[[Array, slice], None]) -> None:
        """Adds rows. What they are made of is not asked for any more once this is back.

        Args:
          rows: how many.
          fill: called with a part of a block, and which of the rows go there; by several threads, with parts of their own.

        Raises:
          OSError: the sink could not write an earlier block.
        """
        count = 1 if self._is_large else self._hands.count
        most, done = max(self._least, -(-rows // count)), 0
        while done < rows:
            works, full = list[Callable[[], None]](), list[Array]()
            while done < rows and len(works) < count:
                if self._block is None:
                    self._block, self._filled = self._free.pop() if self._free else self._make(self._rows), 0
                take = min(most, rows - done, len(self._block) - self._filled)
                part = self._block[self._filled : self._filled + take]
                works.append(functools.partial(fill, part, slice(done, done + take)))
                done, self._filled = done + take, self._filled + take
                if self._filled == len(self._block):
                    full.append(self._block)
                    self._block = None
            self._hands.do(works)
            del works, part
            while full:
                self._hand_on(full.pop(0))

    def flush(self) -> None:
        """Hands the rows filled since the last time to the sink."""
        if self._block is not None and self._filled:
            block, self._block = self._block, None
            self._hand_on(block, self._filled)

    def _hand_on(self, block: Array, rows: int | None = None) -> None:
        release = None if self._is_large else functools.partial(self._free.append, block)
        self._data.write(block[:rows].reshape(-1).view(np.uint8), release)
