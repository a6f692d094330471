"""Rows that are lists of lists, of dicts, or of arrays of different shapes: the `Sequence` they are.

[[1, 2], [3]]                                ->  Sequence(Sequence(Tensor(shape=(), dtype=int64)))
[{"id": 1, "box": [0.5, 2.0]}, ...]          ->  Sequence({"id": int64, "box": Sequence(float64)})
[array of 2 float32, array of 1 float32]     ->  Sequence(Sequence(Tensor(shape=(), dtype=float32)))
[image (3, 8, 9), image (3, 7, 6)]           ->  Sequence(Sequence(Sequence(Tensor(shape=(3,), dtype=uint8))))
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow_datasets as tfds

from exporters.aliases import RowValue
from exporters.batches.structure import check_parts
from exporters.errors import LoaderError, SchemaError
from exporters.wording import Code, argument
from tfds_builder.aliases import DType, Feature
from tfds_builder.contract.layout import Layout

Settle: TypeAlias = "Callable[[str, tuple[int | None, ...], int], Layout | None]"
"""The layout of the arrays of a name, by their shape (None where they differ) and the number of sequences they lie in."""


def infer_sequence(name: str, values: Sequence[RowValue], settle: Settle, within: str = "", above: int = 0) -> Feature:
    """The feature of values that all lie at one place of the rows of a first batch.

    Lists become a `Sequence`, dicts a dict of features, arrays stay whole where all have one shape. Images stay whole as far
    as their sizes are the same.

    Args:
      name, within: of the feature, and of the whole one it is a part of, for errors.
      values: lists, dicts, arrays, numbers, str or bytes.
      settle: asked for the layout of arrays.
      above: how many sequences the values lie in.

    Raises:
      SchemaError: it cannot be told, or no feature holds them exactly.
    """
    items = [
        value.item() if isinstance(value, np.ndarray) and value.dtype == object and not value.ndim else value for value in values
    ]
    kinds = {_kind(item) for item in items}
    check_kinds(name, items, within)
    if kinds == {"lists", "arrays"} and all(isinstance(item, list | tuple) or np.ndim(item) for item in items):
        kinds = {"lists"}
    if kinds == {"lists"}:
        return tfds.features.Sequence(infer_sequence(name, [part for item in items for part in item], settle, within, above + 1))
    if kinds == {"dicts"}:
        return _infer_dict(name, items, settle, within or name, above)
    arrays = [np.asarray(item) for item in items]
    shapes = {array.shape for array in arrays}
    dtypes = {array.dtype for array in arrays}
    if kinds == {"arrays"} and dtypes == {np.dtype(np.int64), np.dtype(np.float64)}:  # [1, 2.5] is a list of floats
        dtypes = {np.dtype(np.float64)}
    if len(kinds) != 1 or len({len(shape) for shape in shapes}) != 1 or (kinds == {"arrays"} and len(dtypes) != 1):
        found = " and ".join(
            sorted(
                {str(array.dtype) if _kind(item) == "arrays" else _kind(item) for item, array in zip(items, arrays, strict=True)}
            )
        )
        raise SchemaError(
            f"feature {name!r}: its lists hold {found or 'nothing, in the first batch'}; say what they hold: "
            + argument("features", {within or name: Code("tfds.features.Sequence(...)")})
        )
    shape = tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True))
    layout = settle(name, shape, above)
    whole = shape
    if layout is not None:
        whole = layout.without_sequences(above).stored_shape(shape)
    ragged = max((axis + 1 for axis, size in enumerate(whole) if size is None), default=0)
    if ragged and layout is None:
        ragged = len(shape)
    feature = _leaf(kinds.pop(), dtypes.pop(), tuple(size for size in whole[ragged:] if size is not None))
    for _ in range(ragged):
        feature = tfds.features.Sequence(feature)
    return feature


def check_kinds(name: str, items: Sequence[RowValue], within: str = "") -> None:
    """Raises LoaderError where a value is neither a number nor text nor made of these, and no feature is declared for it."""
    odd = next((item for item in items if _kind(item) == "objects"), None)
    if odd is not None:
        raise LoaderError(
            f"feature {name!r} has a row that is a {type(odd).__name__}; give tensors, NumPy arrays, values or lists of values, "
            f"or say what takes it: {argument('features', {within or name: Code('tfds.features.Image()')})}"
        )


def _infer_dict(name: str, items: Sequence[Mapping[str, RowValue]], settle: Settle, within: str, above: int) -> Feature:
    keys = list(items[0])
    for item in items:
        if set(item) != set(keys):
            raise SchemaError(
                f"feature {name!r}: its dicts have different keys, {sorted(map(str, keys))} and {sorted(map(str, item))}; "
                "give all the same"
            )
    check_parts(items[0], name, "a row")
    return {key: infer_sequence(f"{name}/{key}", [item[key] for item in items], settle, within, above) for key in keys}


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "dicts"
    if isinstance(value, list | tuple):
        return "lists"
    if isinstance(value, str | bytes):
        return "str" if isinstance(value, str) else "bytes"
    if value is None:
        return "None"
    return "arrays" if isinstance(value, np.ndarray | np.generic | numbers.Number) else "objects"


def _leaf(kind: str, dtype: DType, shape: tuple[int, ...]) -> Feature:
    """The feature of what lies in the innermost lists. TFDS keeps integers and float32 exactly as numbers; everything else is
    kept as bytes."""
    if kind == "str":
        return tfds.features.Text()
    if kind == "bytes" or dtype.kind == "O":
        return tfds.features.Tensor(shape=shape, dtype=np.object_)
    is_exact = dtype.kind == "b" or dtype == np.float32 or (dtype.kind in "iu" and dtype != np.uint64)
    encoding = tfds.features.Encoding.NONE if is_exact else tfds.features.Encoding.BYTES
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=encoding)
