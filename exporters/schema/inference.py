"""The feature of a column that `features=` says nothing of: the dtype table of docs/format.md, and sequences of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow_datasets as tfds

from exporters.batches.rows import Rows, iterate_rows
from exporters.errors import SchemaError
from exporters.features.stored import describe_missing, source_dtype, stored_shape
from exporters.schema.fitting import decide_unless, is_nested
from exporters.schema.sequences import check_kinds, infer_sequence
from exporters.wording import Code, argument
from tfds_builder.aliases import Array, Feature
from tfds_builder.contract.layout import Layout


def infer_feature(
    name: str, column: Array | Rows, padded: Array | Rows, given: Mapping[str, str | None], is_unpadded: bool
) -> tuple[Feature, dict[str, Layout]]:
    """The feature of a column that `features=` says nothing of, and the layouts of its leaves, by path below it.

    Args:
      name: flat feature name.
      column: of the first batch.
      padded: the same as the loader gave it.
      given: layouts by flat name of a leaf; None says that there is none.
      is_unpadded: whether `unpad=` names it.

    Raises:
      SchemaError: it cannot be told, or TFDS has none.
      LoaderError: a value is of a class that nothing is declared for.
      LayoutError: a layout does not fit, or several do.
    """
    if isinstance(column, Rows) and (row := column.first_missing) is not None:
        there = Rows(tuple(item for item in column.arrays if item is not None), column.dtype)
        if not len(there):
            line = argument("features", {name: Code("tfds.features.Scalar(dtype=..., optional=True)")})
            raise SchemaError(
                f"feature {name!r}: all rows of the first batch are None; say what they are where they are there: {line}"
            )
        feature, _ = infer_feature(name, there, there, given, is_unpadded)
        raise SchemaError(f"feature {name!r}, row {row}: {describe_missing(name, feature)}")
    if isinstance(column, Rows) and column.is_unknown:
        line = argument("features", {name: Code('tfds.features.Tensor(shape=(None,), dtype=..., encoding="bytes")')})
        raise SchemaError(f"feature {name!r}: the first batch has nothing but empty lists there; say what they hold: {line}")
    if not is_nested(column):
        if column.dtype == object:
            check_kinds(name, [value for row in iterate_rows(column) for value in np.ravel(np.asarray(row, object))])
        layout = decide_unless(given, name, padded.shape)
        shape = stored_shape(column, layout)
        feature = _feature_of(column, (None, *shape[1:]) if is_unpadded else shape)
        return feature, {} if layout is None else {"": layout}
    assert isinstance(column, Rows)
    layouts: dict[str, Layout] = {}

    def settle(leaf: str, shape: tuple[int | None, ...], above: int) -> Layout | None:
        layout = decide_unless(given, leaf, (len(column), *(None,) * above, *shape), above)
        if layout is not None:
            layouts[leaf[len(name) + 1 :]] = layout.without_sequences(above)
        return layout

    return infer_sequence(name, column.arrays, settle), layouts


def _feature_of(column: Array | Rows, shape: tuple[int | None, ...]) -> Feature:
    """The feature of arrays or values, stored in rows of a shape."""
    if column.dtype == object:
        is_text = source_dtype(column) == "str"
        return tfds.features.Text() if is_text and not shape else tfds.features.Tensor(shape=shape, dtype=np.object_)
    if column.dtype == np.uint32:  # tf.io.decode_raw has no uint32; an int64_list is exact
        return tfds.features.Tensor(shape=shape, dtype=np.uint32)
    return tfds.features.Tensor(shape=shape, dtype=column.dtype, encoding="bytes")
