"""Rows of different lengths: all their values end to end, and where each row begins and ends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from tfds_builder.aliases import Array

_LONG_ROW = 16 * 1024
"""Rows of so many bytes on average are worth a call each."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
    """A column whose rows differ in length, as `tf.RaggedTensor.from_row_splits` takes it.

    >>> column = Ragged(np.array([1, 2, 3]), np.array([0, 2, 2, 3]))
    >>> len(column), column[0], column[1], column[-1]
    (3, array([1, 2]), array([], dtype=int64), array([3]))

    Attributes:
      values: the items of all rows, shape (items, *item shape), any dtype; strings are `bytes` in an object array.
      row_splits: int64, shape (rows + 1,): row `i` is `values[row_splits[i]:row_splits[i + 1]]`.
    """

    values: Array
    row_splits: Array

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    def __getitem__(self, row: int) -> Array:
        """The items of one row: a view."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        row %= len(self)
        items: Array = self.values[self.row_splits[row] : self.row_splits[row + 1]]
        return items

    def to_padded(self, empty: Callable[[int, int], Array]) -> Array:
        """The rows in one array of shape (rows, longest, *item shape), short ones filled up with zeros (empty strings).
        A view, if all have one length.

        Args:
          empty: room for rows of so many bytes, as `Buffers.empty`.
        """
        lengths, values = np.diff(self.row_splits), self.values
        longest = int(lengths.max()) if len(lengths) else 0
        shape = (len(self), longest, *values.shape[1:])
        if np.all(lengths == longest):
            return values.reshape(shape)
        if values.dtype == object:
            out = np.empty(shape, object)
        else:
            out = empty(len(self), math.prod(shape[1:]) * values.itemsize).view(values.dtype).reshape(shape)
        if values.nbytes < len(self) * _LONG_ROW:
            out[...] = b"" if values.dtype == object else 0
            out[np.arange(longest) < lengths[:, None]] = values
            return out
        for row, length in enumerate(lengths.tolist()):
            out[row, :length] = self[row]
            out[row, length:] = b"" if values.dtype == object else 0
        return out
