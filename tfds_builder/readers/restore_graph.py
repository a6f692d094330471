"""Integers back to the floats they were, in the graph: a gather from the table of a feature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfds_builder.contract.integers import Integers

Tensor = Any
"""A `tf.Tensor` or `tf.RaggedTensor`."""


def make_gather(table: Integers) -> Callable[[Tensor], Tensor]:
    """A function of integers, a tensor of any shape, channels last, that gives their floats, bit for bit.

    Examples and batches of them are taken, ragged ones too.
    """
    floats, offsets = table.floats.reshape(-1), [channel * table.levels for channel in range(table.channels)]

    def gather(integers: Tensor) -> Tensor:
        places = tf.cast(integers, tf.int32)
        if table.channels > 1:
            places += tf.constant(offsets, tf.int32)
        return tf.gather(tf.constant(floats), places)

    def restore(integers: Tensor) -> Tensor:
        if isinstance(integers, tf.RaggedTensor):
            return tf.ragged.map_flat_values(gather, integers)
        return gather(integers)

    return restore
