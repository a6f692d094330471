"""Examples that come more than once: in a split, in several, from every worker. They are compared by their digests."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence

import numpy as np

from exporters import wording
from exporters.hazards.base import DRAINING, END, Finding, HazardKind, Look, Scope
from exporters.hazards.digests import AxisOrders, Digester, Tally
from exporters.outcome import Counts
from exporters.tensors.arrays import Columns
from tfds_builder.aliases import Array

_NARROW_BYTES = 64
"""Examples smaller than that repeat by chance (a few categories, a label alone), and are not called duplicates."""
_FIRST_ROWS = 16
"""Rows of each worker that are compared."""


@dataclasses.dataclass
class Digests:
    """The digests of a shard's examples.

    Attributes:
      parts: uint64, in order; one array once the shard is closed.
      is_narrow: whether examples are too small to be compared, as the first batch shows it; None before that.
      is_settled: whether that is so of the whole split: what came before the shard is known.
      first: by worker, the digests of its first rows; empty where those of all are known.
    """

    parts: list[Array] = dataclasses.field(default_factory=list)
    is_narrow: bool | None = None
    is_settled: bool = False
    first: dict[int, list[int]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class TalliedDigests:
    """The digests of a split's examples among those of all splits so far.

    Attributes:
      tally: the tally that has them.
      examples: how many of the split's are in it.
      is_narrow, first: as `Digests` has them.
    """

    tally: Tally
    examples: int = 0
    is_narrow: bool | None = None
    first: dict[int, list[int]] = dataclasses.field(default_factory=dict)


class _Compared(HazardKind[Digests, TalliedDigests]):
    """A hazard that digests tell of. All of them keep the same, so that each example is digested once."""

    keeps = "digests"

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._digester = Digester()

    def _workers(self) -> dict[int, list[int]]:
        return {worker: [] for worker in range(self.scope.workers)}

    def start(self, total: TalliedDigests | None) -> Digests:
        if total is None:
            return Digests(first=self._workers())
        first = {} if _are_full(total.first) else self._workers()
        return Digests(is_narrow=total.is_narrow, is_settled=True, first=first)

    def add(self, seen: Digests, look: Look) -> None:
        if seen.is_narrow is None:
            seen.is_narrow = look.example_bytes < _NARROW_BYTES
        is_compared = not (seen.is_settled and seen.is_narrow)
        if not is_compared and not seen.first:
            return
        if not self._digester.add(look.bytes_of_rows()) and not seen.first:
            return
        digests = self._digester.take()
        if is_compared:
            seen.parts.append(digests)
        if seen.first:  # batch i comes from worker i % workers, as long as all of them have some left
            rows = seen.first[look.number % self.scope.workers]
            rows += digests[: _FIRST_ROWS - len(rows)].tolist()

    def close(self, seen: Digests) -> None:
        seen.parts = [np.concatenate([*seen.parts, self._digester.take()])]

    def begin(self, tally: Tally) -> TalliedDigests:
        return TalliedDigests(tally, first=self._workers())

    def merge(self, total: TalliedDigests, seen: Digests) -> None:
        if total.is_narrow is None:
            total.is_narrow = seen.is_narrow
        total.first = _joined(total.first, seen.first)
        if not total.is_narrow:
            for digests in seen.parts:
                total.tally.add(self.scope.split, digests)
                total.examples += len(digests)

    def _are_compared(self, total: TalliedDigests) -> bool:
        return not total.is_narrow and total.examples > 0


class WorkersRepeat(_Compared):
    """Every worker of an iterable dataset gives all of its rows, told as soon as their first rows show it."""

    name, found = "workers_repeat", DRAINING
    meaning = "every worker of an iterable dataset gives the same rows"
    remedy = "shard in __iter__: itertools.islice(rows, info.id, None, info.num_workers) with torch.utils.data.get_worker_info()"

    def now(self, total: TalliedDigests | None, seen: Digests) -> Iterator[Finding]:
        if total is not None and _are_full(first := _joined(total.first, seen.first)):
            yield from self._find_in(first)

    def finish(self, total: TalliedDigests, counts: Counts) -> Iterator[Finding]:
        yield from self._find_in(total.first)
        workers, examples = self.scope.workers, total.examples
        if workers and self._are_compared(total):
            repeated = total.tally.repeated(self.scope.split)
            if repeated and repeated >= examples - examples // workers:
                yield Finding("workers_repeat", repeated, f"{workers} workers give each example as many times")

    def _find_in(self, first: dict[int, list[int]]) -> Iterator[Finding]:
        """A finding if the first rows of all workers are the same, and not all alike."""
        rows = first.get(0, [])
        if len(set(rows)) > 1 and all(other == rows for other in first.values()):
            same = wording.plural(len(rows), "example")
            text = f"all {self.scope.workers} workers begin with the same {same}, and give each example as many times"
            yield Finding("workers_repeat", None, text)


class Duplicates(_Compared):
    """Examples that equal an earlier one of the split."""

    name, found = "duplicates", END
    meaning = "examples that equal an earlier one of the split, bit for bit"
    remedy = "drop them from the dataset"

    def finish(self, total: TalliedDigests, counts: Counts) -> Iterator[Finding]:
        if self._are_compared(total) and (repeated := total.tally.repeated(self.scope.split)):
            about = "" if total.tally.exact else "about "
            text = f"{about}{repeated:,} of {total.examples:,} examples equal an earlier one"
            yield Finding("duplicates", repeated, text)


class SharedExamples(_Compared):
    """Examples that an earlier split has."""

    name, found = "shared_examples", END
    meaning = "examples that are in an earlier split too, bit for bit"
    remedy = "give each split its own part of the dataset"

    def finish(self, total: TalliedDigests, counts: Counts) -> Iterator[Finding]:
        if self._are_compared(total) and (shared := total.tally.shared(self.scope.split)):
            about = "" if total.tally.exact else "about "
            parts = [f"{about}{count:,} are also in split {other!r}" for other, count in shared.items()]
            text = f"of {total.examples:,} examples, {', '.join(parts)}"
            yield Finding("shared_examples", max(shared.values()), text)


def find_repeating(lanes: Sequence[Generator[Columns, None, None]]) -> Iterator[Finding]:
    """Findings of a stream of which two lanes begin with the same rows, which are not all alike: each is a copy of the other.

    Args:
      lanes: the stored columns of each, batch by batch; of none more is taken than is compared, and each is closed then.
    """
    axes: AxisOrders | None = None
    known = dict[tuple[int, ...], int]()
    for lane, batches in enumerate(lanes):
        rows, digester = list[int](), Digester()
        with contextlib.closing(batches):
            for number, columns in enumerate(batches):
                axes = axes or AxisOrders.of(columns)
                digester.add(Look(columns, number, axes).bytes_of_rows())
                rows += digester.take().tolist()
                if len(rows) >= _FIRST_ROWS:
                    break
        first = tuple(rows[:_FIRST_ROWS])
        if len(set(first)) > 1 and first in known:
            same = wording.plural(len(first), "example")
            text = (
                f"the stream is read in {len(lanes)} parts, one for each worker of its DataLoader, and parts {known[first]} and "
            )
            yield Finding("workers_repeat", None, f"{text}{lane} begin with the same {same}")
        known[first] = lane


def _are_full(first: dict[int, list[int]]) -> bool:
    """Whether there are enough of the first rows of every worker."""
    return bool(first) and all(len(rows) == _FIRST_ROWS for rows in first.values())


def _joined(first: dict[int, list[int]], later: dict[int, list[int]]) -> dict[int, list[int]]:
    """The first rows of each worker, and behind them those that came later, as many as are compared."""
    return {worker: (rows + later.get(worker, []))[:_FIRST_ROWS] for worker, rows in first.items()}
