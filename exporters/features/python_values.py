"""Python's own values, as the arrays that a declared feature is made of: nested lists, and labels by their names.

[[1, 2, 3], [4, 5, 6]]  of  Tensor(shape=(2, 3), dtype=float32)              ->  an array of shape (2, 3), float32
[1, 2]                   of  Tensor(shape=(), dtype=float32)                 ->  an array of shape (2,), float32
["cat", "dog"]          of  Sequence(ClassLabel(names=["cat", "dog"]))        ->  [0, 1]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from exporters.batches.flatten import Batch
from exporters.batches.rows import EMPTY, Rows, iterate_rows, stack
from exporters.errors import SchemaError
from exporters.features.stored import check_exact
from tfds_builder.aliases import Array, Feature
from tfds_builder.features.kinds import kind_of


def as_declared(batch: Batch, features: Mapping[str, tuple[str, Feature]], where: str) -> Batch:
    """A batch whose columns of objects are arrays, where a feature that is one array is declared for them.

    Args:
      batch: the batch.
      features: flat name and feature, by the structural name of the one column they are made of.
      where: split and batch, for errors.

    Raises:
      SchemaError: a value is not what the feature holds, or would not be held exactly.
    """
    columns = dict(batch.columns)
    for source, (name, feature) in features.items():
        column = batch.columns.get(source)
        if column is not None and source in batch.numbers and kind_of(feature).is_direct:
            columns[source] = _numbers(column, feature, name, where)
        if column is None or column.dtype != object:
            continue
        kind = kind_of(feature)
        if kind.item.is_label and kind.item.is_exact:
            columns[source] = _labels(column, kind.item.feature, name, where)
        elif kind.is_array and feature.np_dtype != np.object_ and isinstance(column, Rows):
            columns[source] = to_arrays(column, feature, name, where)
    return dataclasses.replace(batch, columns=columns)


def _numbers(column: Array | Rows, feature: Feature, name: str, where: str) -> Array | Rows:
    """Python's own numbers in the dtype of the feature, which holds them exactly."""
    kind = kind_of(feature).item
    dtype = np.dtype(kind.feature.np_dtype)
    if not kind.is_value or kind.is_label or dtype.kind not in "iufc" or column.dtype in (dtype, object):
        return column
    for number, row in enumerate(iterate_rows(column)):
        if row is not None and row is not EMPTY:
            check_exact(feature, np.asarray(row), name, where, number)
    if isinstance(column, np.ndarray):
        return column.astype(dtype)
    return stack([row if row is None or row is EMPTY else row.astype(dtype) for row in column.arrays], name, where)


def to_arrays(column: Rows, feature: Feature, name: str, where: str) -> Array | Rows:
    """Rows that are nested lists as arrays of the feature's dtype."""
    rows: list[Array | None] = []
    for number, row in enumerate(column.arrays):
        value = row.item() if row is not None and row.dtype == object and not row.ndim else row
        if not isinstance(value, list):
            rows.append(row)
            continue
        check_exact(feature, value, name, where, number)
        try:
            array = np.array(value, feature.np_dtype)
        except (ValueError, TypeError) as error:
            raise SchemaError(f"{where}, feature {name!r}, row {number}: its lists are no one array: {error}") from error
        rows.append(array if array.size or array.ndim == len(feature.shape) else EMPTY)
    return stack(rows, name, where)


def _labels(column: Array | Rows, label: Feature, name: str, where: str) -> Array | Rows:
    """Names of classes as their numbers."""
    if label.num_classes is None:
        return column
    known, rows = dict[str, int](), list[Array | None]()
    for place, row in enumerate(iterate_rows(column)):
        if row is None or row is EMPTY:
            rows.append(row)
            continue
        texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in np.ravel(np.array(row, object))]
        for text in texts:
            if text not in known:
                known[text] = _number_of(text, label, f"{where}, feature {name!r}, row {place}")
        rows.append(np.array([known[text] for text in texts], np.int64).reshape(np.shape(row)))
    return stack(rows, name, where)


def _number_of(text: object, label: Feature, place: str) -> int:
    """The number of a class, as TFDS has it: by its name, or its number as text where classes have no names."""
    try:
        number = int(label.str2int(text))
    except (KeyError, ValueError, TypeError):
        number = -1
    if not 0 <= number < label.num_classes:
        shown = ", ".join(map(repr, label.names[:5])) + (", ..." if len(label.names) > 5 else "")
        raise SchemaError(f"{place}: {text!r} is none of the {label.num_classes} classes ({shown})")
    return number
