"""Rows on their way to a file, by blocks that are used again once they are written.

A block of a megabyte stays in the cache from the copy to the write, and the kernel need not find
new pages for every batch: half the cost of writing large images otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from exporters.formats.base import Sink
from tfds_builder.aliases import Array

BLOCK_BYTES = 1024 * 1024
"""Size of a block, unless a row is larger; fits the second-level cache."""


class Blocks:
    """Room for rows, handed to a sink a block at a time.

    Args:
      data: where the rows go.
      make: makes a new block: an array of so many rows, contiguous.
      row_bytes: bytes of a row.
      finish: called with the rows of a block before they go.
    """

    def __init__(
        self, data: Sink, make: Callable[[int], Array], row_bytes: int, finish: Callable[[Array], None] | None = None
    ) -> None:
        self._data, self._make, self._finish = data, make, finish
        self._rows = max(1, BLOCK_BYTES // row_bytes)
        self._free: list[Array] = []
        self._block: Array | None = None  # made when there is something to fill it with
        self._filled = 0

    def room(self, rows: int) -> Iterator[tuple[Array, slice]]:
        """Room for that many rows, as (part of a block to be filled, which of the rows)."""
        done = 0
        while done < rows:
            if self._block is None:
                self._block, self._filled = self._free.pop() if self._free else self._make(self._rows), 0
            take = min(rows - done, len(self._block) - self._filled)
            yield self._block[self._filled : self._filled + take], slice(done, done + take)
            done, self._filled = done + take, self._filled + take
            if self._filled == len(self._block):
                self.flush()

    def flush(self) -> None:
        """Hands the rows filled since the last time to the sink."""
        if self._block is None or not self._filled:
            return
        rows = self._block[: self._filled]
        if self._finish is not None:
            self._finish(rows)
        is_large = self._block.nbytes > 2 * BLOCK_BYTES  # one row, which is not kept
        release = None if is_large else functools.partial(self._free.append, self._block)
        self._block = None
        self._data.write(rows.reshape(-1).view(np.uint8), release)
