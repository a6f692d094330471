"""Where values lie in a tf.train.Example."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from tfds_builder.formats import tfrecord_example as example


@pytest.mark.needs_tensorflow
@hypothesis.given(st.dictionaries(st.text(max_size=5), st.one_of(
    st.lists(st.binary(max_size=200), max_size=3), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.floats(width=32), max_size=3),
), max_size=4))  # fmt: skip
def test_examples_of_tensorflow(values):
    """The reader of Examples finds what TensorFlow put in, where it is."""
    import tensorflow as tf

    message = tf.train.Example()
    for name, items in values.items():
        feature = message.features.feature[name]
        kinds = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        if items:
            kinds[type(items[0])].value.extend(items)
    record = message.SerializeToString()
    found = example.parse(record)
    assert found.keys() == values.keys()
    for name, items in values.items():
        runs = [record[start:end] for start, end in found[name].runs]
        if items and isinstance(items[0], bytes):
            assert (found[name].kind, runs) == (example.BYTES_LIST, items)
        elif items and isinstance(items[0], float):
            assert np.array_equal(np.frombuffer(runs[0], "<f4"), np.float32(items), equal_nan=True)
