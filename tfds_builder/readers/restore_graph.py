"""Integers back to the floats they were, in the graph: a gather from the table of a feature.

TensorFlow's own kernel takes 8 ns a value; XLA compiles the same gather into a loop that takes half a nanosecond, for each shape
anew: so that is what is done where all examples have one shape.
"""

from __future__ import annotations

import functools
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

    compiled = tf.function(gather, jit_compile=True, reduce_retracing=True)

    def restore(integers: Tensor) -> Tensor:
        if isinstance(integers, tf.RaggedTensor):
            return tf.ragged.map_flat_values(gather, integers)
        is_fixed = integers.shape.rank is not None and integers.shape[1:].is_fully_defined()
        found = compiled(integers) if is_fixed and _compiles() else gather(integers)
        found.set_shape(integers.shape)
        return found

    return restore


@functools.cache
def _compiles() -> bool:
    """Whether this TensorFlow has XLA for its processor."""
    try:
        with tf.init_scope():
            found = tf.function(lambda places: tf.gather(tf.constant([1.0, 2.0]), places), jit_compile=True)(tf.constant([1]))
            return bool(found.numpy()[0] == 2.0)
    except tf.errors.OpError:
        return False
