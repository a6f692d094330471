"""The order of examples, drawn and recorded before the first is written, so that an export can go on where it stopped.

A loader over a map-style dataset is nothing but a list of index batches. Written down, they can be
drawn from any point on, shuffled or not, and what is done is not even loaded.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from exporters.arrays import Array
from exporters.disk import naming


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a loader draws from, as far as it shapes the data: part of the plan.

    Attributes:
      kind: `"range"` (indices in order), `"indices"` (any finite sampler of integers), `"state"` (a loader
        with `state_dict`) or `"stream"` (nothing but iteration).
      examples: of a range, how many its sampler gives; else length of the dataset, or None.
      batch_size, drop_last: of a range, those of its batches; else of the loader, None if batches are the sampler's own.
      batched: whether the loader collates batches of indices.
      sampler: name of the sampler's class.
    """

    kind: str
    examples: int | None
    batch_size: int | None
    drop_last: bool
    batched: bool
    sampler: str


class Order(Sequence[Any]):
    """Batches of indices, by number.

    >>> list(Order.of_range(5, 2, drop_last=False))
    [[0, 1], [2, 3], [4]]

    Attributes:
      is_drawn: whether a sampler gave them, and moved random generators on.
    """

    def __init__(self, indices: Array | range, ends: Array | range, *, batched: bool = True) -> None:
        self._indices, self._ends, self._batched = indices, ends, batched
        self.is_drawn = not isinstance(indices, range)

    @classmethod
    def of_range(cls, examples: int, batch_size: int, *, drop_last: bool) -> Order:
        """Indices in order; nothing is kept in memory."""
        whole = examples // batch_size
        count = whole if drop_last or examples % batch_size == 0 else whole + 1
        return cls(range(examples), range(batch_size, batch_size * (count + 1), batch_size))

    @classmethod
    def load(cls, path: pathlib.Path) -> Order:
        """The batches that `record` wrote."""
        content: Array = np.memmap(path, "<i8", mode="r")
        count, batched = int(content[-2]), bool(content[-1])
        return cls(content[: -count - 2], content[-count - 2 : -2], batched=batched)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: Any) -> Any:
        """The indices of a batch (an index, where an index is a batch)."""
        start = int(self._ends[number - 1]) if number else 0
        indices = self._indices[start : int(self._ends[number])]
        batch = list(indices) if isinstance(indices, range) else indices.tolist()
        return batch if self._batched else batch[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))


def record(batches: Iterator[Any], path: pathlib.Path) -> bool:
    """Writes batches of indices (or indices) to a file; whether all were integers.

    int64, little-endian: the indices of all batches; for each batch how many there are up to its
    end; the number of batches; 0 if they were single indices, not in a list, else 1.
    """
    ends, total, batched = [], 0, True
    with naming(path):
        stream = open(path, "wb")  # noqa: SIM115 (closed below, where its errors have a name)
    try:
        for batch in batches:
            batched = isinstance(batch, list | tuple)
            indices = batch if batched else [batch]
            if not all(isinstance(index, int | np.integer) and not isinstance(index, bool) for index in indices):
                return False
            with naming(path):
                stream.write(np.array(indices, "<i8").tobytes())
            total += len(indices)
            ends.append(total)
        with naming(path):
            stream.write(np.array([*ends, len(ends), batched], "<i8").tobytes())
    finally:
        with naming(path):
            stream.close()
    return True
