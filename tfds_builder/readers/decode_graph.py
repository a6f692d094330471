"""From stored columns to what the features say: which are there already, and how TFDS decodes the others.

Columns come by the block. Where every one of them is the feature's very value nothing is left to do; else rows are
taken one by one, put together as TFDS's own parser does, and decoded by TFDS.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfds_builder.aliases import Array, Decoder, Feature, Features, FeatureValue, StoredValue, TensorInfo
from tfds_builder.contract.ragged import Ragged
from tfds_builder.features.decoders import flatten_decoders
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import nest
from tfds_builder.features.specs import flatten_features, put_together, read_specs


class FeatureDecoder:
    """What is read of the features, and how it is decoded.

    Args:
      features: the FeaturesDict to yield.
      decoders: nested dict of `tfds.decode.Decoder`, or None.

    Attributes:
      names: flat names of the stored columns.
      specs: `tf.TensorSpec` of one row of each, by name; the first size is None where rows differ in length.
      ragged: names of those.
      decodes: whether some feature is stored in TFDS's serialized form, to be decoded example by example.
    """

    def __init__(self, features: Features, decoders: Mapping[str, Decoder] | None = None) -> None:
        self._features = dict(flatten_features(features))
        self._decoders = flatten_decoders(features, decoders)
        self._serialized = {
            name for name, feature in self._features.items() if name in self._decoders or not kind_of(feature).is_direct
        }
        infos: dict[str, TensorInfo] = {}
        for name, feature in self._features.items():
            infos |= read_specs(name, feature, as_it_is=name not in self._serialized)
        self.names = list(infos)
        self.specs = {name: tf.TensorSpec(info.shape, info.tf_dtype) for name, info in infos.items()}
        self.ragged = {name for name, info in infos.items() if tuple(info.shape[:1]) == (None,)}

    @property
    def decodes(self) -> bool:
        return bool(self._serialized)

    def signature(self, *, pairs: bool) -> dict[str, TensorInfo]:
        """Specs of a block of rows, by column.

        Args:
          pairs: whether rows of different lengths come as (values, row_splits), or padded to the longest.
        """
        splits = tf.TensorSpec([None], tf.int64)
        return {
            name: (spec, splits) if pairs and name in self.ragged else tf.TensorSpec([None, *spec.shape], spec.dtype)
            for name, spec in self.specs.items()
        }

    def serialize(self, name: str, column: Array | Ragged) -> Array | Ragged:
        """A column as TFDS's parser would hand it to a decoder: bytes where TFDS stores bytes."""
        values = column.values if isinstance(column, Ragged) else column
        if self.specs[name].dtype != tf.string or values.dtype == np.object_:
            return column
        out = np.empty(len(column), object)
        out[:] = [column[row].tobytes() for row in range(len(column))]
        return out

    def split(self, ds: tf.data.Dataset) -> tf.data.Dataset:
        """A dataset of blocks (columns, or pairs of `signature`) as one of single rows."""
        if not self.ragged:
            return unbatch(ds)
        return ds.flat_map(_slice_rows)

    def decode(self, columns: Mapping[str, StoredValue]) -> dict[str, FeatureValue]:
        """One row's columns to a nested example; what is no column of the features is left out."""
        flat = {}
        for name, feature in self._features.items():
            flat[name] = self._decode(name, feature, columns) if name in self._serialized else columns[name]
        return nest(flat)

    def _decode(self, name: str, feature: Feature, columns: Mapping[str, StoredValue]) -> FeatureValue:
        example = put_together(name, feature, lambda key, info: _assemble(key, info, columns))
        decoder = self._decoders.get(name)
        if kind_of(feature).is_tree:
            tree = tfds.features.FeaturesDict({"feature": feature})
            return tree.decode_example({"feature": example}, decoders=None if decoder is None else {"feature": decoder})[
                "feature"
            ]
        if decoder is not None:
            decoder.setup(feature=feature)
        return (decoder or feature).decode_example(example)


def _assemble(key: str, info: TensorInfo, columns: Mapping[str, StoredValue]) -> StoredValue:
    """One serialized value of a row, nested sequences put together again."""
    if info.sequence_rank < 2:
        return columns[key]
    lengths = [columns[f"{key}/ragged_row_lengths_{level}"] for level in range(info.sequence_rank - 1)]
    return tf.RaggedTensor.from_nested_row_lengths(columns[f"{key}/ragged_flat_values"], lengths)


def _slice_rows(columns: Mapping[str, StoredValue]) -> tf.data.Dataset:
    """The rows of a block, some of whose columns are (values, row_splits)."""
    first = next(iter(columns.values()))
    count = tf.shape(first[1], tf.int64)[0] - 1 if isinstance(first, tuple) else tf.shape(first, tf.int64)[0]

    def row(number: tf.Tensor) -> dict[str, FeatureValue]:
        return {
            name: column[0][column[1][number] : column[1][number + 1]] if isinstance(column, tuple) else column[number]
            for name, column in columns.items()
        }

    return tf.data.Dataset.range(count).map(row)


def unbatch(ds: tf.data.Dataset) -> tf.data.Dataset:
    """`ds.unbatch()`, which in TensorFlow 2.21 kills the process on a tensor without elements."""
    if all(spec.shape[1:].num_elements() != 0 for spec in tf.nest.flatten(ds.element_spec)):
        return ds.unbatch()
    return ds.flat_map(tf.data.Dataset.from_tensor_slices)
