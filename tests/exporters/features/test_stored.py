"""How a value is stored: as narrow as TFDS's reading of it allows, or refused."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from exporters.errors import SchemaError
from exporters.features.stored import check_class_names, column_of, merge_shapes, varint_bytes
from exporters.formats.tfrecord import varint

F = tfds.features


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int32", "int64"])
def test_a_varint_holds_every_value(dtype):
    """The width is that of the largest value; negative numbers always take the most."""
    info = np.iinfo(dtype) if dtype != "bool" else np.iinfo("uint8")
    ends = [0, 1] if dtype == "bool" else [int(info.min), int(info.max)]
    width = varint_bytes(F.Tensor(shape=(), dtype=np.dtype(dtype)), dtype)
    assert max(len(varint(value % 2**64, 0)) for value in ends) == width


@pytest.mark.parametrize(("classes", "width"), [(1, 1), (2, 1), (128, 1), (129, 2), (16384, 2), (16385, 3)])
def test_labels_are_narrow(classes, width):
    """A label takes as many bytes as its largest class."""
    feature = F.ClassLabel(num_classes=classes)
    assert column_of("label", feature.get_serialized_info(), feature).width == width


def test_what_tfds_would_not_give_back():
    """A float64 without an encoding, and a size that is unknown but not the first, are refused with what to say instead."""
    for feature, words in (
        (F.Tensor(shape=(2,), dtype=np.float64), "float32, which is not exact"),
        (F.Tensor(shape=(2, None), dtype=np.int64), "encoding='bytes'"),
    ):
        with pytest.raises(SchemaError, match=words):
            column_of("x", feature.get_serialized_info(), feature)


def test_shapes_of_rows():
    """Sizes that are declared to be any are so, the others are those of the data."""
    assert merge_shapes((None, 3), (7, 3)) == (None, 3)
    assert merge_shapes((None,), (7, 3)) == (7, 3)


@pytest.mark.parametrize("names", [["a", "a"], ["a", " b"], ["a", ""], ["a\nb"], ["\ud800"]])
def test_class_names_that_tfds_would_change(names):
    """TFDS keeps a name a line, stripped: another one is refused."""
    with pytest.raises(SchemaError, match="class name"):
        check_class_names("label", names)
