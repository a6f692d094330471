"""What is finished, compared with what the loader gives now, before an export goes on after it.

Of each split the first and the last batch that are finished, and one between them, are drawn and encoded again, and
compared with the staged shards bit for bit. What is drawn at random may well differ: so a batch that differs is drawn several
times more, and only if all of these agree with each other has the data changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from exporters import wording
from exporters.aliases import Collate, Dataset, Examples, Loader, NumberedBatches, RawBatch
from exporters.errors import ExportError, ResumeError
from exporters.loaders import facts as loader_lib
from exporters.loaders.lookahead import Numbered
from exporters.loaders.order import Order
from exporters.loaders.random_state import random_state_kept
from exporters.plans.shard import ShardResult, stored_rows
from exporters.tensors.arrays import Columns
from exporters.tensors.copies import copy_callable, copy_example
from tfds_builder.aliases import Array, StoredValue
from tfds_builder.contract.decode import to_numpy_dtype
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import DatasetError
from tfds_builder.table.table import Table

_DRAWN_AGAIN = 32
"""Times a batch that differs is drawn again: a flip of every second of one image agrees so often once in four billion times."""

Encode = Callable[[Any, int], Columns]
"""The stored columns of a raw batch, by its number."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a finished batch lies in its split.

    Attributes:
      number: of the batch.
      start: its first row; None if only its last is known.
      stop: behind its last row; None if only its first is known.
    """

    number: int
    start: int | None
    stop: int | None


def pick(finished: Sequence[ShardResult], order: Order) -> list[Place]:
    """The first and the last finished batch of a split and one between them, as far as it is known where they lie.

    >>> [place.number for place in pick(finished, order)]                # doctest: +SKIP
    [0, 12, 24]

    Where every index became a row, that of every batch is known. Elsewhere (`collate_fn` left some out, or an index is a
    batch) it is that of the batches a shard begins and ends with.
    """
    middle = finished[-1].stop // 2
    between = next(shard for shard in finished if middle < shard.stop)
    numbers = (finished[0].start, max(middle, between.start), finished[-1].stop - 1)
    places = {place.number: place for number in numbers for place in [_find(number, finished, order)]}
    return [places[number] for number in sorted(places)]


def _find(number: int, finished: Sequence[ShardResult], order: Order) -> Place:
    shard = next(shard for shard in finished if number < shard.stop)
    rows = sum(before.rows for before in finished[: finished.index(shard)])
    sizes = order.sizes(shard.start, shard.stop)
    if sizes is not None and sum(sizes) == shard.rows:
        start = rows + sum(sizes[: number - shard.start])
        return Place(number, start, start + sizes[number - shard.start])
    if number == shard.stop - 1:
        return Place(number, None, rows + shard.rows)
    return Place(shard.start, rows, None)


class _Tried:
    """A `collate_fn` that is called twice on the same examples; it tells whether both calls gave the same.

    Copies are given to it, as it may write into them. Where they cannot be copied it is called once.
    """

    def __init__(self, collate: Collate, dataset: Dataset) -> None:
        self._collate = copy_callable(collate, dataset)

    def __call__(self, examples: Examples) -> tuple[RawBatch, bool]:
        if getattr(self._collate, "__module__", "").startswith("torch.utils.data"):
            return self._collate(examples), True
        try:
            copies = [copy_example(examples) for _ in range(2)]
        except Exception:  # whatever examples raise that cannot be copied
            return self._collate(examples), True
        try:
            with random_state_kept(self._collate):
                first = self._collate(copies[0])
            return first, loader_lib.is_same(first, self._collate(copies[1]))
        except Exception:  # whatever it is, the drain meets it too, unless it comes of what was kept
            return None, False


class Comparison:
    """One split's finished batches beside what its loader gives now.

    Args:
      loader, split, order: of the split; without an order only `follow` can be used.
      table: its finished rows.
      encode: how a raw batch becomes columns.
    """

    def __init__(self, loader: Loader, split: str, order: Order | None, table: Table, encode: Encode) -> None:
        self._loader, self._split, self._order, self._table, self._encode = loader, split, order, table, encode

    def run(self, places: Sequence[Place]) -> bool:
        """Whether the order of the split can be gone on with. It cannot if `collate_fn` makes something else of the same examples
        when it is called again, because it keeps something of the batches before: then the split is run past from its start.

        Raises:
          ResumeError: the loader gives other data than before.
        """
        with random_state_kept(self._loader):
            for place, (raw, is_steady) in zip(places, self._draw([place.number for place in places]), strict=True):
                if not is_steady:
                    return False
                first = self._outcome(raw, place.number)
                difference = self._differs_from_disk(first, place)
                if difference and not self._is_random(first, place):
                    raise self._other_data(first, place.number, difference)
        return True

    def _other_data(self, found: Columns | ExportError, number: int, difference: str) -> ResumeError:
        error = ResumeError(
            f"split {self._split!r}, batch {number}{difference}: the loader gives other data than before it was stopped; give it "
            f"the data it had, or {wording.passing('overwrite', True)} to begin anew"
        )
        error.__cause__ = found if isinstance(found, ExportError) else None
        return error

    def follow(self, raws: NumberedBatches, start: int, stop: int) -> bool:
        """Whether a loader that was put into a state gives from there what is finished, up to its end.

        Args:
          raws: its raw batches, with their numbers.
          start: the first row they should be.
          stop: number of the first batch that is not finished.
        """
        for number, raw in raws:
            columns = self._outcome(raw, number)
            if isinstance(columns, ExportError) or self._differs_from_disk(columns, Place(number, start, None)):
                return False
            start += stored_rows(columns) if columns else 0
            if number == stop - 1:
                return start == len(self._table)
        return False

    def begin(self, drain: Callable[[], Numbered]) -> bool:
        """Whether a lane begins with the first rows of the table, or with something else each time it is read.

        Args:
          drain: reads it from its start.

        Raises:
          ResumeError: it gives other data than before.
        """
        first, number = self._head_of(drain())
        difference = self._differs_from_disk(first, Place(number, 0, None)) if first else ", which has no rows now"
        if difference and not _differ(first, self._head_of(drain())[0]):
            raise self._other_data(first, number, difference)
        return True

    def _head_of(self, raws: Numbered) -> tuple[Columns | ExportError, int]:
        """The stored columns of the first batch that has rows, and its number; none if there is no such batch."""
        with contextlib.closing(raws):
            for number, raw in raws:
                if columns := self._outcome(raw, number):
                    return columns, number
        return {}, 0

    def _draw(self, numbers: Sequence[int]) -> Iterator[tuple[RawBatch, bool]]:
        order, collate = self._order, _Tried(self._loader.collate_fn, self._loader.dataset)
        assert order is not None
        draws = [order[number] for number in numbers]
        return loader_lib.draw(self._loader, collate, draws, is_seeded=bool(order.seed))

    def _outcome(self, raw: RawBatch, number: int) -> Columns | ExportError:
        """The stored columns of a batch, or why it cannot be stored: it could, when it was."""
        try:
            return self._encode(raw, number)
        except ResumeError:
            raise
        except ExportError as error:
            return error

    def _is_random(self, first: Columns | ExportError, place: Place) -> bool:
        """Whether a batch differs from itself when it is drawn again, random generators being wherever they are then."""
        for raw, _ in self._draw([place.number] * _DRAWN_AGAIN):
            again = self._outcome(raw, place.number)
            if _differ(first, again) or not self._differs_from_disk(again, place):
                return True
        return False

    def _differs_from_disk(self, columns: Columns | ExportError, place: Place) -> str:
        if isinstance(columns, ExportError):
            return f", {columns}"
        rows = stored_rows(columns) if columns else 0
        known = place.stop - place.start if place.start is not None and place.stop is not None else rows
        start = place.start if place.start is not None else (place.stop or 0) - rows
        if rows != known or start < 0 or start + rows > len(self._table):
            return f", which has {rows} rows and had {known if rows != known else 'fewer'}"
        if not rows:
            return ""
        try:
            stored = self._table.read(slice(start, start + rows))
        except DatasetError as error:
            raise ResumeError(
                f"split {self._split!r}: what is finished cannot be read: {error}; {wording.passing('overwrite', True)} to begin "
                "anew"
            ) from error
        return find_difference(self._as_stored(columns), stored)

    def _as_stored(self, columns: Columns) -> Columns:
        """Columns with the dtypes they are read with."""
        out: Columns = {}
        for spec in self._table.columns():
            column, dtype = columns[spec.name], to_numpy_dtype(spec.dtype)
            if isinstance(column, Ragged):
                out[spec.name] = Ragged(np.asarray(column.values, dtype), column.row_splits)
            else:
                out[spec.name] = np.asarray(column, dtype)
        return out


def _differ(one: Columns | ExportError, other: Columns | ExportError) -> bool:
    """Whether two outcomes of a batch differ."""
    if isinstance(one, ExportError) or isinstance(other, ExportError) or not one or not other:
        return type(one) is not type(other) or bool(one) != bool(other)
    return bool(find_difference(one, other))


def find_difference(columns: Columns, others: Columns) -> str:
    """Where columns of the same names differ first from others, bit for bit, in words; empty if they do not.

    >>> find_difference({"x": np.array([1, 2])}, {"x": np.array([1, 3])})
    ", feature 'x', row 1"
    """
    for name, column in columns.items():
        mine, theirs = _rows_of(column), _rows_of(others[name])
        for row, (one, other) in enumerate(zip(mine, theirs, strict=False)):
            if one != other:
                return f", feature {name!r}, row {row}"
        if len(mine) != len(theirs):
            return f", feature {name!r}, row {min(len(mine), len(theirs))}"
    return ""


def _rows_of(column: Array | Ragged) -> list[StoredValue]:
    """The rows of a column as what compares equal if they are the same bit for bit."""
    return [(row.shape, row.tolist() if row.dtype == object else row.tobytes()) for row in map(np.asarray, _iterate(column))]


def _iterate(column: Array | Ragged) -> Iterator[StoredValue]:
    if isinstance(column, Ragged) or column.dtype != object:
        return (column[row] for row in range(len(column)))
    return (column[row : row + 1] for row in range(len(column)))  # of objects, a row alone would be the object
