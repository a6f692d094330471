"""Padding that a loader stores, looked for in what it gives: in its first batches, whatever the features are declared to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from exporters.features.fields import AnyField, Field, RaggedField
from exporters.hazards.base import DRAINING, UNNOTED, Finding, HazardKind, Look, Scope
from exporters.hazards.digests import Tally
from exporters.outcome import Counts
from exporters.schema.widths import add_lengths, find_unpad, is_constant
from exporters.tensors.arrays import PADS, Columns
from exporters.wording import argument
from tfds_builder.aliases import Array
from tfds_builder.contract.ragged import Ragged

_BATCHES = 64
"""Batches that are looked at."""
_FEW = 3
"""Fewer rows than that may end in zeros by chance."""


@dataclasses.dataclass(frozen=True)
class Ends:
    """What there is to say of the rows of a column that end in one and the same value.

    Attributes:
      padded: how many rows end in that value two times or more.
      least, most: how long the shortest and the longest of those rows are without it.
      shortest, longest: how long the shortest and the longest of all rows are without it.
    """

    padded: int = 0
    least: int = 1 << 62
    most: int = 0
    shortest: int = 1 << 62
    longest: int = 0

    def __add__(self, other: Ends) -> Ends:
        return Ends(
            self.padded + other.padded,
            min(self.least, other.least),
            max(self.most, other.most),
            min(self.shortest, other.shortest),
            max(self.longest, other.longest),
        )

    @property
    def are_padding(self) -> bool:
        return self.padded >= _FEW and self.least < self.most


@dataclasses.dataclass(frozen=True)
class PaddingOfBatch:
    """What one batch shows of padding, whatever came before.

    Attributes:
      rows: its examples.
      widths: by column that is watched and has rows of one length, that length.
      ragged: columns whose rows have different lengths, and so were not padded.
      ends: by column and value that some rows end in; None if it is a value among others.
      told: by column, the one beside it that tells how long its rows are, and how many of them are shorter than the longest; 0
        where that is no mask.
    """

    rows: int
    widths: Mapping[str, int]
    ragged: frozenset[str]
    ends: Mapping[str, Mapping[int, Ends | None]]
    told: Mapping[str, tuple[str, int]]


@dataclasses.dataclass
class PaddingSeen:
    """What the first batches of a shard show.

    Attributes:
      watched: columns that may be padded.
      batches: what each of them shows.
      is_done: whether no more of them are looked at.
      taken: how many of them the split's total has taken in already.
    """

    watched: tuple[str, ...] = ()
    batches: list[PaddingOfBatch] = dataclasses.field(default_factory=list)
    is_done: bool = False
    taken: int = dataclasses.field(default=0, metadata=UNNOTED)


@dataclasses.dataclass
class PaddingTotal:
    """What the batches of a split show together.

    Attributes:
      ends: by column and value that rows end in; without those that are no padding. None before the first shard.
      batches, rows: taken in so far.
      told: rows that masks tell to be padded.
      finding: once there is one, nothing more is taken in.
    """

    ends: dict[str, dict[int, Ends]] | None = None
    batches: int = 0
    rows: int = 0
    told: int = 0
    finding: Finding | None = None

    @property
    def is_done(self) -> bool:
        return self.finding is not None or self.ends == {} or self.batches == _BATCHES


class Padding(HazardKind[PaddingSeen, PaddingTotal]):
    """Rows of different lengths are stored at one length, and the lengths are not.

    Integer columns of shape (N, L) or (N, L, D) that are no images: padded to one length, or each batch to its own longest row,
    which a declared `Tensor(shape=(None,))` stores as it comes. Rows must end in one of the usual values, several of them
    and in different numbers, and have it nowhere else in their batch; or a mask must tell of them.
    """

    name, found, keeps = "padding", DRAINING, "padding"
    meaning = "collate_fn pads rows of different lengths: the padding is stored, and the lengths are not"
    remedy = (
        'add the lengths to the batch in collate_fn, {"length": torch.tensor([len(row) for row in rows])}, '
        'and say unpad={"tokens": "length"}'
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        names, unpad, known = scope.names, scope.unpad, {*scope.unpad, *scope.unpad.values()}
        self._said = {names[source]: names[partner] for source, partner in unpad.items() if source != partner}
        fields = scope.fields if scope.has_own_collate else ()
        self._watched = tuple(field.name for field in fields if _may_be_padded(field) and known.isdisjoint(field.sources))

    def start(self, total: PaddingTotal | None) -> PaddingSeen:
        return PaddingSeen(self._watched, is_done=not self._watched or (total is not None and total.is_done))

    def add(self, seen: PaddingSeen, look: Look) -> None:
        if not seen.is_done:
            seen.batches.append(self._look_at(look.columns, look.rows))
            seen.is_done = len(seen.batches) == _BATCHES

    def begin(self, tally: Tally) -> PaddingTotal:
        return PaddingTotal()

    def merge(self, total: PaddingTotal, seen: PaddingSeen) -> None:
        if total.ends is None:
            total.ends = {name: {pad: Ends() for pad in PADS} for name in seen.watched}
        for batch in seen.batches[seen.taken :]:
            self._take(total, batch)
        seen.taken = len(seen.batches)

    def now(self, total: PaddingTotal | None, seen: PaddingSeen) -> Iterator[Finding]:
        if total is None:  # an earlier shard may show that a value is no padding
            return
        self.merge(total, seen)
        seen.is_done = seen.is_done or total.is_done
        if total.finding is not None:
            yield total.finding

    def finish(self, total: PaddingTotal, counts: Counts) -> Iterator[Finding]:
        if total.finding is not None:
            yield total.finding

    def _look_at(self, columns: Columns, rows: int) -> PaddingOfBatch:
        """What a batch shows by itself."""
        arrays = {name: array for name, column in columns.items() if (array := _as_array(column)) is not None}
        arrays |= self._masks_of(columns, arrays)
        watched = [name for name in self._watched if name in arrays]
        told = {name: partner for name, partner in find_unpad(arrays, trusted=self._said.values()).items() if name in watched}
        return PaddingOfBatch(
            rows=rows,
            widths={name: arrays[name].shape[1] for name in watched if arrays[name].ndim > 1},
            ragged=frozenset(name for name in self._watched if name not in arrays),
            ends={name: _ends_of(arrays[name]) for name in watched},
            told={name: (partner, _padded_rows(arrays[partner])) for name, partner in told.items()},
        )

    def _masks_of(self, columns: Columns, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Masks that are stored without their padding, made again as they were: from the lengths of the rows that they were masks
        of, and from the side of a watched column on which they fit."""
        found: dict[str, Array] = {}
        for name, partner in self._said.items():
            column = columns.get(name)
            if partner in arrays or not isinstance(column, Ragged):
                continue
            lengths = np.diff(column.row_splits)
            for watched in (arrays[other] for other in self._watched if other in arrays and arrays[other].ndim > 1):
                for side in (1, -1):
                    mask = (np.arange(watched.shape[1]) < lengths[:, None])[:, ::side]
                    if lengths.max(initial=0) <= watched.shape[1] and _fits(watched[:, ::side], mask[:, ::side]):
                        found.setdefault(partner, mask)
        return found

    def _take(self, total: PaddingTotal, batch: PaddingOfBatch) -> None:
        """Takes in the next batch, unless enough was seen."""
        if total.is_done or total.ends is None:
            return
        total.batches, total.rows = total.batches + 1, total.rows + batch.rows
        for name in batch.ragged & total.ends.keys():
            del total.ends[name]
        seen = {
            name: found
            for name, ends in total.ends.items()
            if name in batch.ends and (found := _take_ends(ends, batch.ends[name]))
        }
        told = {name: partner for name, (partner, _) in batch.told.items() if name in total.ends}
        total.told += next((batch.told[name][1] for name in told), 0)
        if (seen and total.rows > _FEW) or total.told >= _FEW:
            total.finding = self._describe(seen, told, batch.widths)

    def _describe(self, seen: Mapping[str, tuple[int, Ends]], told: Mapping[str, str], widths: Mapping[str, int]) -> Finding:
        """The finding, with the names of this split's features in what mends it."""
        if told:
            name, partner = next(iter(told.items()))
            text = f"{name!r} is padded to {widths[name]} values, and {partner!r} tells how long its rows are"
            return Finding("padding", None, text, f"say {argument('unpad', self._said | dict(told))}")
        name, (pad, ends) = next(iter(seen.items()))
        text = f"{name!r} ends in {pad}s, as if rows of {ends.shortest} to {ends.longest} values were padded"
        alike = [other for other in seen if widths[other] == widths[name]]
        names = list(self.scope.names.values())
        return Finding("padding", None, f"{text} to {widths[name]}", add_lengths(alike, names, self._said))


def _may_be_padded(field: AnyField) -> bool:
    if not isinstance(field, Field | RaggedField):
        return False
    return len(field.columns) == 1 and field.layout is None and field.dtype.kind in "iu"


def _as_array(column: Array | Ragged) -> Array | None:
    """A column with its batch axis; None if its rows have different lengths, and so were not padded."""
    if not isinstance(column, Ragged):
        return column
    lengths = set(np.diff(column.row_splits).tolist())
    if len(lengths) > 1:
        return None
    return column.values.reshape(len(column), *lengths, *column.values.shape[1:])


def _ends_of(array: Array) -> dict[int, Ends | None]:
    """What the rows of one batch end in, of the usual values: None for one that is a value among others."""
    found: dict[int, Ends | None] = {}
    if array.ndim not in (2, 3) or array.shape[1] < 4:
        return found
    for pad in PADS:
        if not (array[:, -2:] == pad).reshape(len(array), -1).all(axis=1).any():
            continue
        is_pad = array == pad if array.ndim == 2 else np.all(array == pad, axis=2)
        runs = np.where(is_pad.all(axis=1), array.shape[1], np.argmin(is_pad[:, ::-1], axis=1))
        if not np.array_equal(is_pad.sum(axis=1), runs):
            found[pad] = None
            continue
        lengths = array.shape[1] - runs
        padded = lengths[runs >= 2]
        found[pad] = Ends(len(padded), int(padded.min()), int(padded.max()), int(lengths.min()), int(lengths.max()))
    return found


def _take_ends(ends: dict[int, Ends], batch: Mapping[int, Ends | None]) -> tuple[int, Ends] | None:
    """Takes in what the rows of a batch end in; the value that is padding, once enough of them do."""
    for pad in [pad for pad in ends if pad in batch]:
        found = batch[pad]
        if found is None:
            del ends[pad]
            continue
        ends[pad] += found
        if ends[pad].are_padding:
            return pad, ends[pad]
    return None


def _padded_rows(partner: Array) -> int:
    """How many rows a mask tells to be padded; none if it is no mask."""
    return int((partner == 0).any(axis=1).sum()) if partner.ndim == 2 else 0


def _fits(column: Array, mask: Array) -> bool:
    """Whether a column has one value where a mask is 0, and another one just before that, at least in half of the rows."""
    lengths = mask.sum(axis=1)
    rows = np.flatnonzero((lengths > 0) & (lengths < mask.shape[1]))
    pads = column[~mask]
    if not rows.size or not is_constant(pads):
        return False
    differs = (column[rows, lengths[rows] - 1] != pads[0]).reshape(len(rows), -1).any(axis=1)
    return bool(2 * differs.sum() >= len(rows))
