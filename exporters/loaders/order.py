"""The order of examples, drawn and recorded before the first is written, so that an export can go on where it stopped.

A loader over a map-style dataset is nothing but a list of index batches. Written down, they can be
drawn from any point on, shuffled or not, and what is done is not even loaded.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from exporters.aliases import Index
from exporters.staging.disk import naming
from tfds_builder.aliases import Array


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


_NUMBERS: tuple[type, ...] = (int, np.int64, np.int32, np.int16, np.int8, np.uint32, np.uint16, np.uint8)
"""Types of indices that come back as what they were: a dataset may ask."""
_RUN = 1 << 20
"""Indices that are summed together."""
_BATCHES: tuple[type[Any] | None, ...] = (None, list, tuple)
"""What indices come in: nothing, where an index is a batch."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """A batch of indices (an index, where an index is a batch), and from what generators are seeded before it is drawn.

    Attributes:
      index: as an order that is not seeded gives it.
      seed: text; equal texts give equal states.
    """

    index: Index
    seed: str


class Order(Sequence[Any]):
    """Batches of indices, by number.

    >>> list(Order.of_range(5, 2, drop_last=False))
    [[0, 1], [2, 3], [4]]

    Attributes:
      is_drawn: whether a sampler gave them, and moved random generators on.
      state: that of the loader's generator before they were drawn, of which the seed of its workers is the first draw; empty
        if they were not drawn.
      seed: what comes before the number of a batch in what it is seeded from; empty if batches are not seeded.
    """

    def __init__(
        self,
        indices: Array | range,
        ends: Array | range,
        *,
        batch: type[Any] | None = list,
        number: type[Any] = int,
        state: bytes = b"",
    ) -> None:
        self._indices, self._ends, self._batch, self._number = indices, ends, batch, number
        self.is_drawn, self.state = not isinstance(indices, range), state
        self.seed = ""

    def seeded(self, seed: str) -> Order:
        """The same batches, each a `Draw`, to be drawn with generators that are seeded from a text and its number."""
        twin = object.__new__(Order)
        vars(twin).update(vars(self), seed=seed)
        return twin

    @classmethod
    def of_range(cls, examples: int, batch_size: int, *, drop_last: bool) -> Order:
        """Indices in order; nothing is kept in memory."""
        whole = examples // batch_size
        count = whole if drop_last or examples % batch_size == 0 else whole + 1
        ends = range(batch_size, batch_size * (count + 1), batch_size)
        return cls(range(examples), ends)

    @classmethod
    def load(cls, path: pathlib.Path) -> Order:
        """The batches that `record` wrote.

        Raises:
          ValueError: the file is cut short, or something else was written over it.
        """
        content: Array = np.memmap(path, "<i8", mode="r")  # a ValueError if that is no whole number of them, or none
        last, kinds = len(_BATCHES) * len(_NUMBERS), int(content[-1])
        size, count = map(int, content[-3:-1]) if len(content) > 2 else (-1, -1)
        (number, batch), words = divmod(kinds, len(_BATCHES)), -(-size // 8)
        stop = len(content) - 3 - words
        ends = content[stop - count : stop]
        if not (size >= 0 and 0 <= count <= stop and 0 <= kinds < last and (ends[-1] if count else 0) == stop - count):
            raise ValueError(f"{path} is not as it was written: it is cut short")
        if count and (ends[0] < 0 or np.any(np.diff(ends) < 0)):
            raise ValueError(f"{path} is not as it was written: its batches do not follow each other")
        state = content[stop : stop + words].tobytes()[:size]
        return cls(content[: stop - count], ends, batch=_BATCHES[batch], number=_NUMBERS[number], state=state)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: Any) -> Index:
        """The indices of a batch (an index, where an index is a batch)."""
        index = self._index(number)
        return Draw(index, f"{self.seed}/{number}") if self.seed else index

    def _index(self, number: Any) -> Index:
        start = int(self._ends[number - 1]) if number else 0
        indices = self._indices[start : int(self._ends[number])]
        batch = list(indices) if isinstance(indices, range) else indices.tolist()
        if self._number is not int:
            batch = list(map(self._number, batch))
        return batch[0] if self._batch is None else self._batch(batch)

    def __iter__(self) -> Iterator[Index]:
        return (self[number] for number in range(len(self)))

    def sizes(self, start: int, stop: int) -> list[int] | None:
        """How many indices each of those batches has; None where an index is a batch, of however many examples."""
        if self._batch is None:
            return None
        bounds = map(self._end, range(start, stop + 1))
        return [end - begin for begin, end in itertools.pairwise(bounds)]

    def indices(self, start: int, stop: int) -> int | None:
        """How many indices those batches have in all; None where an index is a batch."""
        return None if self._batch is None else self._end(stop) - self._end(start)

    def stop_within(self, start: int, count: int) -> int:
        """Number of the batch behind the longest run from `start` on that has at most so many indices; behind the first batch
        that has any, if that one has more."""
        before, last = self._end(start), len(self._indices)

        def behind(end: int) -> int:
            return bisect.bisect_right(self._ends, end, start, len(self), key=lambda found: min(int(found), last))

        return min(len(self), max(behind(before + count), behind(before) + 1))

    def _end(self, number: int) -> int:
        """How many indices there are before a batch."""
        return min(int(self._ends[number - 1]), len(self._indices)) if number else 0

    def runs(self) -> Iterator[Array]:
        """All indices in order, in arrays of a bounded size."""
        for start in range(0, len(self._indices), _RUN):
            part = self._indices[start : start + _RUN]
            yield np.arange(part.start, part.stop) if isinstance(part, range) else np.asarray(part)


@dataclasses.dataclass(frozen=True)
class Run:
    """Indices that were drawn together, to be cut into batches of one size. Batches go on over the end of a run.

    Attributes:
      indices: int64, shape (n,).
      batch_size: of every batch but the last.
    """

    indices: Array
    batch_size: int


def summarize(batches: Iterable[Index | Array | Run]) -> tuple[int, int, int]:
    """Sums up batches of indices (or single indices, or arrays or runs of them) as (how many there are, a sum that does not
    depend on their order, a sum that does): equal sums mean equal indices, but for a chance of about 2**-64."""
    count, unordered, ordered = 0, 0, 0
    for indices in map(_to_words, _split(batches)):
        with np.errstate(over="ignore"):
            mixed = (indices ^ (indices >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed ^= mixed >> np.uint64(32)
            places = np.arange(count, count + len(indices), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
            unordered = (unordered + int(mixed.sum(dtype=np.uint64))) % 2**64
            ordered = (ordered + int((mixed * places).sum(dtype=np.uint64))) % 2**64
        count += len(indices)
    return count, unordered, ordered


def _split(batches: Iterable[Any]) -> Iterator[Any]:
    """Runs as arrays of a bounded size; everything else as it is."""
    for batch in batches:
        if isinstance(batch, Run):
            yield from (batch.indices[start : start + _RUN] for start in range(0, len(batch.indices), _RUN))
        else:
            yield batch


def _to_words(batch: Any) -> Array:
    """A batch of indices (or an index, or an array of them) as uint64."""
    return np.array(batch if isinstance(batch, list | tuple | np.ndarray) else [batch], np.int64).astype(np.uint64)


def record_runs(runs: Iterator[Run], path: pathlib.Path, state: bytes = b"") -> None:
    """Writes indices that are drawn as arrays, as `record` would write the batches that are made of them."""
    total, size = 0, 1
    with _creating(path) as stream:
        for run in runs:
            with naming(path):
                stream.write(run.indices.data)
            total, size = total + len(run.indices), run.batch_size
            del run  # before the next one is drawn
        ends = np.append(np.arange(size, total, size), total) if total else np.empty(0, np.int64)
        with naming(path):
            _write_end(stream, ends, state, len(_BATCHES) * _NUMBERS.index(int) + _BATCHES.index(list))


@contextlib.contextmanager
def _creating(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A new file, whose own errors name it; those of what draws indices meanwhile do not."""
    with naming(path):
        stream = open(path, "xb")  # noqa: SIM115 (closed below, where its errors have a name)
    try:
        yield stream
    finally:
        with naming(path):
            stream.close()


def _write_end(stream: BinaryIO, ends: Any, state: bytes, code: int) -> None:
    """Writes what comes after the indices; see `record`."""
    stream.write(np.asarray(ends, "<i8").tobytes())
    stream.write(state + bytes(-len(state) % 8))
    stream.write(np.array([len(state), len(ends), code], "<i8").tobytes())


def record(batches: Iterator[Index], path: pathlib.Path, state: bytes = b"") -> bool:
    """Writes batches of indices (or single indices) to a file. Returns whether all of them were integers of one type, in lists,
    in tuples, or by themselves.

    int64, little-endian: the indices of all batches; for each batch how many there are up to its end; the state of a generator,
    filled up with zeros; how many bytes that has; the number of batches; what they came in and of which type they were (0:
    integers of Python in no list, 1: in lists).
    """
    ends, total, kinds, numbers = list[int](), 0, set[Any](), set[Any]()
    with _creating(path) as stream:
        for batch in batches:
            kind = type(batch) if isinstance(batch, list | tuple) else None
            indices = batch if kind else [batch]
            kinds.add(kind)
            numbers.update(map(type, indices))
            if len(kinds) > 1 or len(numbers) > 1 or not kinds <= {*_BATCHES} or not numbers <= {*_NUMBERS}:
                return False
            if not all(-(2**63) <= index < 2**63 for index in indices):
                return False
            with naming(path):
                stream.write(np.array(indices, "<i8").tobytes())
            total += len(indices)
            ends.append(total)
        code = _NUMBERS.index((numbers or {int}).pop()) * len(_BATCHES) + _BATCHES.index((kinds or {list}).pop())
        with naming(path):
            _write_end(stream, ends, state, code)
    return True
