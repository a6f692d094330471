"""`decoders=`: those of features that are there, as stock TFDS takes them."""

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.errors import DatasetError


@pytest.fixture(scope="module")
def ours(golden):
    return lambda kind, format="tfrecord": tfds_builder.builder_from_directory(golden / f"{kind}_{format}" / "1.0.0")


Skip, Partial = tfds.decode.SkipDecoding, tfds.decode.PartialDecoding


@kit.both_formats
def test_bad_decoders(format, ours):
    """A decoder of a feature that is not there, or that is no decoder, is an error that names the feature."""
    builder = ours("pairs", format)
    with pytest.raises(ValueError, match="'nope'"):
        builder.as_dataset(split="train", decoders={"nope": Skip()})
    with pytest.raises(DatasetError, match="'image'"):
        builder.as_dataset(split="train", decoders={"image": lambda value: value})
