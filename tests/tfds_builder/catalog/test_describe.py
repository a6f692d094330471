"""`tfds_builder.catalog.describe`: features as they are loaded, told by their JSON alone, are what TFDS says they are."""

import dataclasses
import types

import consumer_kit as kit
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.describe import describe
from tfds_builder.features.feature_json import features_to_json

F = tfds.features
FEATURES = {
    "image": (F.Image(shape=(224, 224, 3)), "Image, stored as PNG"),
    "photo": (F.Image(shape=(None, None, 3), encoding_format="jpeg"), "Image, stored as JPEG"),
    "mask": (F.LabeledImage(labels=3, shape=(4, 4, 1)), "LabeledImage, stored as PNG"),
    "label": (F.ClassLabel(names=["a", "b"]), "ClassLabel of 2 classes"),
    "text": (F.Text(), ""),
    "rows": (F.Tensor(shape=(None, 3), dtype=np.uint8, encoding="bytes"), ""),
    "zipped": (F.Tensor(shape=(4,), dtype=np.float64, encoding="zlib"), "stored compressed (zlib)"),
    "number": (F.Scalar(np.int32), ""),
    "sound": (F.Audio(shape=(None,), dtype=np.int16), "Audio"),
    "box": (F.BBoxFeature(), "BBoxFeature"),
    "tokens": (F.Sequence(np.int64), ""),
    "frames": (F.Sequence(F.Image(shape=(3, 2, 1)), length=5), "Image, stored as PNG"),
    "objects": (F.Sequence({"box": F.BBoxFeature(), "label": F.ClassLabel(num_classes=7)}), None),
    "sentence": (F.Translation(["en", "fr"]), "Translation"),
    "nested": ({"deep": {"x": np.int64}}, ""),
}


def flatten(name, info):
    if isinstance(info, dict):
        return {key: value for part, inner in info.items() for key, value in flatten(f"{name}/{part}", inner).items()}
    dtype = np.dtype(info.np_dtype).name
    return {name: (info.shape, "string" if dtype.startswith(("object", "str")) else dtype)}


@pytest.mark.parametrize("name", FEATURES)
def test_says_what_tfds_says(name):
    """Shape and dtype are those that TFDS loads, for every kind of feature; the note says how it is stored, if that differs."""
    feature, note = FEATURES[name]
    features = F.FeaturesDict({name: feature})
    content = types.SimpleNamespace(features=features_to_json(features), columns=(), integers=())
    found = describe(content)
    expected = flatten(name, features[name].get_tensor_info())
    assert {one.name: (one.shape, one.dtype) for one in found} == expected
    assert note is None or {one.note for one in found} == {note}


@kit.every_golden
def test_in_the_order_of_the_columns(name):
    """Features come in the order of their columns, each once."""
    manifest = read_lib.read_manifest(kit.GOLDEN / name / "1.0.0")
    assert [feature.name for feature in describe(manifest)] == [column.name for column in manifest.columns]


KEYS = ("featuresDict", "features", "sequence", "feature", "length", "shape", "dimensions", "dtype", "pythonClassName")
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@hypothesis.given(JSON)
def test_any_json(content):
    """Whatever a stranger's manifest says its features are, describing them is no error."""
    manifest = read_lib.read_manifest(kit.GOLDEN / "pairs_hdf5" / "1.0.0")
    for feature in describe(dataclasses.replace(manifest, features=content)):
        assert isinstance(f"{feature.name} {feature.shape} {feature.dtype} {feature.note}", str)
