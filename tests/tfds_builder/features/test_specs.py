"""What TFDS serializes features to, by flat name: as its own serializer has it."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.proto import tf_example_pb2

from tfds_builder.features.specs import flatten_features, is_item, serialized_specs

F = tfds.features
FEATURES = {
    "numbers": (F.Tensor(shape=(2,), dtype=np.int32), [3, 4]),
    "a sequence": (F.Sequence(np.int64), [1, 2, 3]),
    "a sequence of dicts": (F.Sequence({"a": np.int64, "b": F.Text()}), {"a": [1], "b": ["x"]}),
    "sequences of sequences": (F.Sequence(F.Sequence(np.int64)), [[1], [2, 3]]),
    "three levels": (F.Sequence(F.Sequence(F.Sequence(np.int64))), [[[1], [2, 3]], [[4]]]),
}


@pytest.mark.parametrize("case", FEATURES)
def test_names_are_those_of_an_example(case):
    """Every name that TFDS's serializer puts into an Example is there, and no other."""
    feature, value = FEATURES[case]
    whole = F.FeaturesDict({"x": feature})
    serializer = example_serializer.ExampleSerializer(whole.get_serialized_info())
    record = tf_example_pb2.Example.FromString(serializer.serialize_example(whole.encode_example({"x": value})))
    assert set(serialized_specs("x", feature)) == set(record.features.feature)


def test_leaves_by_name():
    """Leaves come sorted at each level; a sequence is one."""
    features = F.FeaturesDict({"b": {"d": np.int64, "c": F.Text()}, "a": F.Sequence({"z": np.int64})})
    assert [name for name, _ in flatten_features(features)] == ["a", "b/c", "b/d"]


def test_items():
    """A number without an encoding is Python's own; a string, an array or an encoded number is not."""
    assert is_item(F.Scalar(np.int64))
    others = (F.Text(), F.Tensor(shape=(1,), dtype=np.int64), F.Tensor(shape=(), dtype=np.float64, encoding="bytes"))
    assert not any(map(is_item, others))
