"""Rows that are lists of lists, or lists of arrays of different lengths: the `Sequence` they are.

[[1, 2], [3]]                                    ->  Sequence(Sequence(Tensor(shape=(), dtype=int64)))
[array of 2 float32, array of 1 float32]         ->  Sequence(Sequence(Tensor(shape=(), dtype=float32)))
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from exporters.errors import SchemaError


def infer_sequence(name: str, rows: Iterable[Any]) -> Any:
    """The feature of rows of nested lists: a `Sequence` a level, arrays whole where all have one shape.

    Args:
      name: of the feature, for errors.
      rows: of the first batch, lists of lists, or of arrays.

    Raises:
      SchemaError: it cannot be told, or no feature holds them exactly.
    """
    found: set[tuple[int, Any, tuple[int, ...]]] = set()
    depth = max((_walk(row, 0, found) for row in rows), default=0)
    shapes = {shape for _, _, shape in found}
    shape = shapes.pop() if len(shapes) == 1 else ()
    depths = {level if shape else level + len(own) for level, _, own in found}
    dtypes = {dtype for _, dtype, _ in found}
    if dtypes == {np.dtype(np.int64), np.dtype(np.float64)}:  # [1, 2.5] is a list of floats
        dtypes = {np.dtype(np.float64)}
    if len(depths) != 1 or len(dtypes) != 1 or max(depths) < depth:
        kinds = sorted({f"{dtype} in {level + len(own)} lists" for level, dtype, own in found})
        raise SchemaError(
            f"feature {name!r}: rows are nested lists of {' and '.join(kinds) or 'nothing but empty lists'}; say what they hold: "
            f'features={{"{name}": tfds.features.Sequence(tfds.features.Sequence(...))}}'
        )
    feature = _leaf(dtypes.pop(), shape)
    for _ in range(depths.pop()):
        feature = tfds.features.Sequence(feature)
    return feature


def _walk(value: Any, level: int, found: set[tuple[int, Any, tuple[int, ...]]]) -> int:
    """Notes how deep the values of a row lie, of which dtype and shape they are; returns how deep its lists go."""
    if isinstance(value, np.ndarray) and value.dtype == object and not value.ndim:
        value = value.item()
    if isinstance(value, list | tuple):
        return max((_walk(item, level + 1, found) for item in value), default=level + 1)
    array = np.asarray(value)
    dtype = "text" if isinstance(value, str) else "bytes" if isinstance(value, bytes) else array.dtype
    if array.size:
        found.add((level, dtype, array.shape))
    return level


def _leaf(dtype: Any, shape: tuple[int, ...]) -> Any:
    """What lies in the innermost lists: TFDS keeps integers and float32 exactly by themselves, whatever else as bytes."""
    if dtype == "text":
        return tfds.features.Text()
    if dtype == "bytes" or dtype.kind == "O":
        return tfds.features.Tensor(shape=shape, dtype=np.object_)
    is_exact = dtype.kind == "b" or dtype == np.float32 or (dtype.kind in "iu" and dtype != np.uint64)
    encoding = tfds.features.Encoding.NONE if is_exact else tfds.features.Encoding.BYTES
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=encoding)
