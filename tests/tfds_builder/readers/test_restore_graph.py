"""The gather that gives floats back in TensorFlow, in a graph and outside of one."""

import ml_dtypes  # noqa: F401  # NumPy knows "bfloat16" by name
import numpy as np
import pytest

from tfds_builder.contract.integers import FLOATS, Integers

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.needs_tensorflow

from tfds_builder.readers.restore_graph import make_gather  # noqa: E402


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("channels", "levels"), [(1, 256), (3, 256), (3, 65536)])
def test_gather(dtype, channels, levels):
    """Each integer becomes the float of its channel, bit for bit, as NumPy takes it; of examples, batches and ragged batches."""
    floats = np.random.default_rng(1).normal(size=(channels, levels)).astype(np.dtype(dtype))
    table = Integers.of("image", "a rule", floats)
    integers = np.random.default_rng(2).integers(0, levels, (4, 5, 6, 3)).astype(table.stored_dtype)
    gather, expected = make_gather(table), table.restore(integers)
    assert gather(tf.constant(integers)).numpy().tobytes() == expected.tobytes()
    assert tf.function(gather)(tf.constant(integers[0])).numpy().tobytes() == expected[0].tobytes()
    ragged = tf.RaggedTensor.from_row_lengths(tf.constant(integers), [1, 3])
    found = gather(ragged)
    assert found.row_lengths().numpy().tolist() == [1, 3]
    assert found.flat_values.numpy().tobytes() == expected.tobytes()
