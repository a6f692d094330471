"""Kinds of features: every class of TFDS's has one, and a class that is derived of one is of its kind but not exact."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.features.kinds import _KINDS, kind_of

F = tfds.features
BYTES, ZLIB = F.Encoding.BYTES, F.Encoding.ZLIB


class Derived(F.Tensor):
    """A class of a user's."""


class Strange(F.FeatureConnector):
    """One that is derived of nothing that is known."""

    def get_tensor_info(self):
        return F.TensorInfo(shape=(), dtype=np.int64)

    def encode_example(self, example_data):
        return example_data

    def decode_example(self, tfexample_data):
        return tfexample_data

    def to_json_content(self):
        return {}

    @classmethod
    def from_json_content(cls, value):
        return cls()


def test_every_class_of_tfds_has_a_kind():
    """A feature that TFDS gets is missed here, and is one entry."""
    known = {item for item in vars(F).values() if isinstance(item, type) and issubclass(item, F.FeatureConnector)}
    assert known - {F.FeatureConnector} == set(_KINDS)


FEATURES = {
    "number": F.Scalar(np.int64),
    "array": F.Tensor(shape=(3,), dtype=np.float32),
    "bytes": F.Tensor(shape=(3,), dtype=np.float64, encoding=BYTES),
    "zlib": F.Tensor(shape=(3,), dtype=np.float64, encoding=ZLIB),
    "run": F.Tensor(shape=(None, 3), dtype=np.float32),
    "ragged": F.Tensor(shape=(None, None), dtype=np.float32, encoding=BYTES),
    "text": F.Text(),
    "label": F.ClassLabel(names=["a", "b"]),
    "box": F.BBoxFeature(),
    "pixels": F.BBoxFeature(bbox_format=None),
    "image": F.Image(shape=(4, 4, 3), encoding_format="jpeg"),
    "mask": F.LabeledImage(labels=3, shape=(4, 4, 1)),
    "numbers": F.Sequence(np.int64),
    "pairs": F.Sequence({"box": F.BBoxFeature(), "label": F.ClassLabel(num_classes=3)}, length=2),
    "deep": F.Sequence(F.Sequence(F.Text())),
    "stream": F.Dataset({"x": np.int64}),
    "words": F.Translation(languages=["en", "fr"]),
    "more_words": F.TranslationVariableLanguages(),
    "derived": Derived(shape=(3,), dtype=np.float32),
    "strange": Strange(),
    "optional": F.Tensor(shape=(), dtype=np.int64, optional=True),
}


@pytest.mark.parametrize(
    ("fact", "names"),
    {
        "is_direct": "number array bytes run text label box pixels numbers optional",
        "is_tensor": "number array bytes zlib run ragged text label box pixels derived optional",
        "is_array": "array bytes zlib run ragged optional",
        "is_sequence": "numbers pairs deep stream more_words",
        "is_run": "numbers pairs deep",
        "is_opened": "numbers pairs deep stream",
        "is_dict": "words",
        "is_structure": "",
        "is_tree": "numbers pairs deep stream words more_words",
        "is_optional": "optional",
        "is_one_column": "number array bytes zlib run ragged text label box pixels image mask numbers derived strange",
        "is_encoded": "bytes zlib ragged",
        "is_lossy": "image",
        "is_of_the_user": "strange",
        "takes_arrays": "number array bytes zlib run ragged image mask derived optional",
    }.items(),
)
def test_facts(fact, names):
    """What is so of which feature."""
    assert [name for name, feature in FEATURES.items() if getattr(kind_of(feature), fact)] == names.split()


def test_what_is_in_it():
    """Items and parts, labels and boxes at any depth, by their paths."""
    whole = kind_of(F.FeaturesDict(FEATURES))
    assert whole.is_structure
    assert set(whole.parts) == set(FEATURES)
    assert sorted(name for name, _ in whole.labels()) == ["label", "mask", "pairs/label"]
    assert {name: label.num_classes for name, label in whole.labels()} == {"label": 2, "mask": 3, "pairs/label": 3}
    assert dict(whole.labels())["label"].class_names == ["a", "b"]
    assert dict(whole.labels())["mask"].class_names is None
    assert sorted(whole.box_paths()) == ["box", "pairs/box"]
    assert kind_of(FEATURES["pairs"]).length == 2
    assert kind_of(FEATURES["numbers"]).length is None
    assert kind_of(FEATURES["numbers"]).item.is_value
    assert kind_of(FEATURES["stream"]).item.is_stream
    kind, depth = kind_of(FEATURES["deep"]).innermost()
    assert kind.is_text
    assert depth == 2
    assert not kind_of(FEATURES["derived"]).is_exact
    assert kind_of(FEATURES["label"]).describe() == "ClassLabel of 2 classes"


def test_replace_parts():
    """A feature with others in it keeps what it is; the same ones leave it as it is."""
    for name in ("pairs", "stream"):
        kind = kind_of(FEATURES[name])
        assert kind.replace_parts(lambda _, part: part) is kind.feature
        other = kind_of(kind.replace_parts(lambda key, _: F.FeaturesDict({"y": np.int64})))
        assert type(other.feature) is type(kind.feature)
        assert set(kind_of(other.inner).parts) == {"y"}
        assert other.length == kind.length
    part = kind_of(F.FeaturesDict({"x": np.int64})).replace_parts(lambda key, _: F.Text())
    assert kind_of(part["x"]).is_text


@pytest.mark.needs_tensorflow
def test_sounds_and_videos():
    """Those that TFDS makes with TensorFlow only: sounds are samples or files, videos are sequences of frames."""
    samples, files, video = (kind_of(f) for f in (F.Audio(), F.Audio(lazy_decode=True), F.Video(shape=(2, 4, 4, 3))))
    for kind in (samples, files):
        assert kind.is_sound
        assert not kind.is_direct
    assert [kind.stores_files for kind in (samples, files, video)] == [False, True, False]
    assert [kind.is_one_column for kind in (samples, files, video)] == [False, True, False]
    assert video.is_opened
    assert not video.is_run
    assert video.length == 2
    assert kind_of(video.inner).is_image


@pytest.mark.parametrize(
    "given", [kind_of(FEATURES["label"]), {"x": F.Text()}, F.TensorInfo(shape=(), dtype=np.int64), np.int64, None]
)
def test_what_is_no_feature_is_refused(given):
    """A kind is not the kind of itself: an answer about it would be that of a feature of which nothing is known."""
    with pytest.raises(TypeError, match="expected a feature of"):
        kind_of(given)
