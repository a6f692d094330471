"""Columns whose rows have different shapes, or are not all there, and the rows that they are made of."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from exporters.aliases import RawValue, RowValue
from exporters.errors import SchemaError
from tfds_builder.aliases import Array, DType

EMPTY: Array = np.empty(0)
"""A row that is an empty list, which says nothing of its dtype; known by being this very array."""


@dataclasses.dataclass(frozen=True)
class RowValues:
    """A leaf of a batch that is given row by row: a tensor, an array, a value, a list of values or None each."""

    values: list[RawValue]


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """A column whose rows have different shapes, or are not all there.

    Attributes:
      arrays: one array for each row; None where a row has no value.
      dtype: of all of them.
      items: all rows end to end along their first axis, if they came like that; they then differ in nothing but their length.
    """

    arrays: tuple[Array | None, ...]
    dtype: DType
    items: Array | None = None

    @classmethod
    def of_items(cls, items: Array, lengths: Sequence[int]) -> Rows:
        """Rows that lie end to end, by the length of each along the first axis."""
        bounds = itertools.accumulate(lengths, initial=0)
        return cls(tuple([items[start:stop] for start, stop in itertools.pairwise(bounds)]), items.dtype, items)

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def is_unknown(self) -> bool:
        """Whether the rows tell nothing of their dtype: empty lists, or None."""
        return all(array is None or array is EMPTY for array in self.arrays)

    @property
    def first_missing(self) -> int | None:
        """The first row that is None; None if there is none."""
        return next((number for number, array in enumerate(self.arrays) if array is None), None)

    @property
    def ndim(self) -> int:
        """Axes, the batch axis included."""
        return len(self.shape)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The batch axis, then the shape of a row, None where rows differ."""
        shapes = {array.shape for array in self.arrays if array is not None}
        axes = zip(*shapes, strict=True)
        return (len(self), *(sizes[0] if len(set(sizes)) == 1 else None for sizes in axes))


def iterate_rows(column: Array | Rows) -> Iterator[RowValue]:
    """The rows of a column."""
    return iter(column.arrays if isinstance(column, Rows) else column)


def stack(values: Sequence[Array | None], name: str, where: str) -> Array | Rows:
    """Rows as one array if all have one shape, else as `Rows`.

    Raises:
      SchemaError: they differ in dtype or in the number of axes.
    """
    there = [value for value in values if value is not None]
    known = [value for value in there if value is not EMPTY]
    kinds = {(value.dtype, value.ndim) for value in known}
    if len(kinds) > 1 or (len(known) < len(there) and any(not ndim for _, ndim in kinds)):
        shown = " and ".join(sorted(f"{dtype} with {ndim} axes" for dtype, ndim in kinds))
        shown += " and empty lists" if len(kinds) == 1 else ""
        raise SchemaError(f"{where}: the rows of {name!r} mix {shown}; convert them in collate_fn so that all are alike")
    if kinds:
        dtype, ndim = kinds.pop()
        items = {value.shape[1:] for value in known}
        empty = np.empty((0, *(items.pop() if len(items) == 1 else (0,) * (ndim - 1))), dtype)
        values = [empty if value is EMPTY else value for value in values]
        there = [value for value in values if value is not None]
    elif there:
        return Rows(tuple(values), EMPTY.dtype)
    if len(there) == len(values) and len({value.shape for value in there}) == 1:
        return np.stack(there)
    return Rows(tuple(values), there[0].dtype if there else np.dtype(np.float64))
