"""What is read of the features, and whether anything of it is to be decoded."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.readers.decode_graph import FeatureDecoder

F = tfds.features
FEATURES = F.FeaturesDict({"a": {"x": F.Tensor(shape=(2,), dtype=np.int32)}, "image": F.Image(shape=(4, 4, 3)), "t": F.Text()})


def test_what_is_the_value_already():
    """Where every column is the feature's very value, nothing is decoded, and columns have its dtype and shape."""
    decoder = FeatureDecoder(F.FeaturesDict({"a": {"x": F.Tensor(shape=(2,), dtype=np.int32)}, "t": F.Text()}))
    assert (decoder.decodes, decoder.names) == (False, ["a/x", "t"])
    assert decoder.specs["a/x"].shape.as_list() == [2]


def test_what_is_decoded():
    """An image, or any feature with a decoder, is read as it is stored, and decoded."""
    assert FeatureDecoder(FEATURES).decodes
    skipped = FeatureDecoder(F.FeaturesDict({"t": F.Text()}), {"t": tfds.decode.SkipDecoding()})
    assert skipped.decodes


@pytest.mark.parametrize("shape", [(None,), (None, 3)])
def test_rows_that_differ_in_length(shape):
    """Columns whose rows differ in length are told by name."""
    decoder = FeatureDecoder(F.FeaturesDict({"x": F.Tensor(shape=shape, dtype=np.int64), "y": F.Scalar(np.int64)}))
    assert decoder.ragged == {"x"}
