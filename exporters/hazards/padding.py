"""Padding that a loader stores, looked for in what it gives: in its first batches, whatever the features are declared to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from exporters.features.fields import AnyField, Field, RaggedField
from exporters.hazards.kinds import Finding
from exporters.schema.widths import add_lengths, find_unpad, is_constant
from exporters.tensors.arrays import PADS, Array, Columns
from exporters.wording import argument
from tfds_builder.contract.ragged import Ragged

_BATCHES = 64
"""Batches that are looked at."""
_FEW = 3
"""Fewer rows than that may end in zeros by chance."""


@dataclasses.dataclass
class _Ends:
    """The rows of a column so far, by what they end in: how many have two or more of it, and how long they are without."""

    padded: list[int] = dataclasses.field(default_factory=list)
    shortest: int = 1 << 62
    longest: int = 0

    @property
    def are_padding(self) -> bool:
        return len(self.padded) >= _FEW and len(set(self.padded)) > 1


class PaddingWatch:
    """Looks for padding in the first batches of a split.

    Integer columns of shape (N, L) or (N, L, D) that are no images: padded to one length, or each batch to its own longest row,
    which a declared `Tensor(shape=(None,))` stores as it comes. Rows must end in one of the usual values, several of them
    and in different numbers, and have it nowhere else in their batch; or a mask must tell of them.

    Args:
      fields: of the schema.
      names, unpad: of the schema, by structural names.
    """

    def __init__(self, fields: Sequence[AnyField], names: Mapping[str, str], unpad: Mapping[str, str]) -> None:
        self._names, known = list(names.values()), {*unpad, *unpad.values()}
        self._said = {names[source]: names[partner] for source, partner in unpad.items() if source != partner}
        self._ends: dict[str, dict[int, _Ends]] = {
            field.name: {pad: _Ends() for pad in PADS}
            for field in fields
            if isinstance(field, Field | RaggedField) and field.source not in known and _may_be_padded(field)
        }
        self._batches = self._rows = self._told = 0

    def add(self, columns: Columns) -> Iterator[Finding]:
        """What the stored columns of one more batch show; at most one finding in all."""
        if not self._ends or self._batches == _BATCHES:
            return
        self._batches, self._rows = self._batches + 1, self._rows + len(next(iter(columns.values())))
        arrays = {name: array for name, column in columns.items() if (array := self._as_array(name, column)) is not None}
        arrays |= self._masks_of(columns, arrays)
        seen = {name: found for name in self._ends if name in arrays and (found := self._look_at(name, arrays[name]))}
        told = {name: partner for name, partner in find_unpad(arrays, trusted=self._said.values()).items() if name in self._ends}
        if masks := [arrays[partner] for partner in told.values() if arrays[partner].ndim == 2]:
            self._told += int((masks[0] == 0).any(axis=1).sum())
        if (seen and self._rows > _FEW) or self._told >= _FEW:
            yield self._describe(seen, told, arrays)
            self._ends = {}

    def _masks_of(self, columns: Columns, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Masks that are stored without their padding, as they were: the lengths of what they tell of are left, and the side of
        a column that is watched on which they fit."""
        found: dict[str, Array] = {}
        for name, partner in self._said.items():
            column = columns.get(name)
            if partner in arrays or not isinstance(column, Ragged):
                continue
            lengths = np.diff(column.row_splits)
            for watched in (arrays[other] for other in self._ends if other in arrays and arrays[other].ndim > 1):
                for side in (1, -1):
                    mask = (np.arange(watched.shape[1]) < lengths[:, None])[:, ::side]
                    if lengths.max(initial=0) <= watched.shape[1] and _fits(watched[:, ::side], mask[:, ::side]):
                        found.setdefault(partner, mask)
        return found

    def _as_array(self, name: str, column: Array | Ragged) -> Array | None:
        """A column with its batch axis; None if its rows have different lengths, and so were not padded."""
        if not isinstance(column, Ragged):
            return column
        lengths = set(np.diff(column.row_splits).tolist())
        if len(lengths) == 1:
            return column.values.reshape(len(column), lengths.pop(), *column.values.shape[1:])
        self._ends.pop(name, None)
        return None

    def _look_at(self, name: str, array: Array) -> tuple[int, _Ends] | None:
        """Takes in the rows of a batch; the value they end in, once enough of them do."""
        if array.ndim not in (2, 3) or array.shape[1] < 4:
            return None
        for pad, ends in list(self._ends[name].items()):
            if not (array[:, -2:] == pad).reshape(len(array), -1).all(axis=1).any():
                continue
            is_pad = array == pad if array.ndim == 2 else np.all(array == pad, axis=2)
            runs = np.where(is_pad.all(axis=1), array.shape[1], np.argmin(is_pad[:, ::-1], axis=1))
            if not np.array_equal(is_pad.sum(axis=1), runs):
                del self._ends[name][pad]  # it is a value among others
                continue
            lengths = array.shape[1] - runs
            ends.padded += lengths[runs >= 2].tolist()
            ends.shortest, ends.longest = min(ends.shortest, int(lengths.min())), max(ends.longest, int(lengths.max()))
            if ends.are_padding:
                return pad, ends
        return None

    def _describe(self, seen: Mapping[str, tuple[int, _Ends]], told: Mapping[str, str], arrays: Mapping[str, Array]) -> Finding:
        """The finding, with the names of this split's features in what mends it."""
        if told:
            name, partner = next(iter(told.items()))
            text = f"{name!r} is padded to {arrays[name].shape[1]} values, and {partner!r} tells how long its rows are"
            return Finding("padding", None, text, f"say {argument('unpad', self._said | dict(told))}")
        name, (pad, ends) = next(iter(seen.items()))
        text = f"{name!r} ends in {pad}s, as if rows of {ends.shortest} to {ends.longest} values were padded"
        alike = [other for other in seen if arrays[other].shape[1] == arrays[name].shape[1]]
        return Finding("padding", None, f"{text} to {arrays[name].shape[1]}", add_lengths(alike, self._names, self._said))


def _may_be_padded(field: Field | RaggedField) -> bool:
    return len(field.columns) == 1 and field.layout is None and field.dtype.kind in "iu"


def _fits(column: Array, mask: Array) -> bool:
    """Whether a column has one value where a mask is 0, and another one just before that, at least in half of the rows."""
    lengths = mask.sum(axis=1)
    rows = np.flatnonzero((lengths > 0) & (lengths < mask.shape[1]))
    pads = column[~mask]
    if not rows.size or not is_constant(pads):
        return False
    differs = (column[rows, lengths[rows] - 1] != pads[0]).reshape(len(rows), -1).any(axis=1)
    return bool(2 * differs.sum() >= len(rows))
