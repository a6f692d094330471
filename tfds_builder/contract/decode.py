"""Stored bytes as the values they are: the dtypes of NumPy, and varints."""

from __future__ import annotations

import numpy as np

from tfds_builder.aliases import Array, DType
from tfds_builder.contract.columns import STRING_DTYPE, VARINT, Column

_VARINTS = 64 * 1024
"""So many varints are decoded together, in the cache."""


def to_numpy_dtype(name: str) -> DType:
    """The little-endian NumPy dtype of a manifest's dtype name.

    >>> to_numpy_dtype("uint8")
    dtype('uint8')
    """
    if name == "bfloat16":
        import ml_dtypes

        bfloat16: DType = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    if name == STRING_DTYPE:
        return np.dtype(object)
    return np.dtype(name).newbyteorder("<")


def decode_column(column: Column, stored: Array) -> Array:
    """Turns the stored bytes of rows into values.

    Args:
      column: a RAW or VARINT column.
      stored: uint8 of shape (n, column.width), contiguous; n rows, or items of a column whose rows differ in length.

    Returns:
      Array of shape (n, *column.item_shape) and the column's dtype; a view of `stored` if RAW.
    """
    dtype = to_numpy_dtype(column.dtype)
    if column.encoding != VARINT:
        return stored.view(dtype).reshape(len(stored), *column.item_shape)
    size = column.width // column.values
    groups = stored.reshape(-1, size)
    out = np.empty(len(groups), dtype)
    for start in range(0, len(groups), _VARINTS):
        part = groups[start : start + _VARINTS]
        values = np.zeros(len(part), np.uint64)
        for position in range(size):
            values |= (part[:, position] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * position)
        out[start : start + len(part)] = values if column.dtype == "uint64" else values.view(np.int64)
    return out.reshape(len(stored), *column.item_shape)
