"""Axes by name, and the copies that move them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfds_builder.contract.layout import Layout, copy_into


@given(axes=st.permutations("CHWD").map("".join), above=st.integers(0, 3), rank=st.integers(2, 4))
def test_axes_of_sequences(axes, above, rank):
    """The layout of the items says the same as the one that has the axes of sequences too, which can be left out again."""
    item = Layout.of("N" + axes[:rank])
    whole = item.with_sequences(1 + above + rank)
    assert len(set(whole.source)) == 1 + above + rank
    assert whole.without_sequences(above) == item
    array = np.arange(math.prod(range(2, 2 + above + rank))).reshape(range(2, 2 + above + rank))
    np.testing.assert_array_equal(item.to_stored(array), whole.to_stored(array[None])[0])


DTYPES = st.sampled_from(["?", "u1", "<i2", "<u4", "<f8", "<c8", "<c16", "<f2"]).map(np.dtype)


@given(data=st.data(), dtype=DTYPES, shape=hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=5))
def test_copy_into_is_copyto(data, dtype, shape):
    """`copy_into` writes what `np.copyto` writes, for permuted, reversed and stepped sources and unaligned targets."""
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -2])] * len(shape)))
    order = data.draw(st.permutations(range(len(shape))))
    size = [length * abs(step) for length, step in zip(shape, steps, strict=True)]
    count = math.prod(size[axis] for axis in order)
    base = (np.arange(count * dtype.itemsize) * 37 % 251).astype(np.uint8)
    base = base % 2 if dtype.kind == "b" else base
    source = base.view(dtype).reshape([size[axis] for axis in order]).transpose(np.argsort(order))
    source = source[tuple(slice(None, None, step) for step in steps)]
    assert source.shape == shape
    shift, gap = data.draw(st.tuples(st.integers(0, 9), st.integers(0, 3)))
    row = math.prod(shape[1:]) * dtype.itemsize + gap
    inner = [math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(1, len(shape))]
    buffers = [np.full(shift + shape[0] * row + 9, 0xAB, np.uint8) for _ in range(2)]
    got, expected = (np.ndarray(shape, dtype, buffer, shift, (row, *inner)) for buffer in buffers)
    copy_into(got, source)
    np.copyto(expected, source)
    assert buffers[0].tobytes() == buffers[1].tobytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_copy_into_channels(channels):
    """Images whose channels move from first to last are copied right for each number of channels."""
    images = np.random.default_rng(0).integers(0, 256, (6, channels, 7, 5), np.uint8)
    target = np.empty((6, 7, 5, channels), np.uint8)
    copy_into(target, images.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(target, np.moveaxis(images, 1, -1))
