"""What an encoder stores comes back: of every feature class of TFDS, and of a class of the user's own below each of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from exporters import SchemaError
from exporters.features import encoders as encoding

F = tfds.features
RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.integers(0, 2, shape, np.uint8)


# name: class, its arguments, three values
CLASSES = {
    "text": (F.Text, {}, ["hello", "", "日本"]),
    "scalar_text": (F.Scalar, {"dtype": np.object_}, ["hello", "", "日本"]),
    "scalar_bytes": (F.Scalar, {"dtype": np.object_}, [b"a", b"\xff\x00", b""]),
    "scalar": (F.Scalar, {"dtype": np.int32}, [np.int32(1), np.int32(-7), np.int32(2**31 - 1)]),
    "scalar_optional": (F.Scalar, {"dtype": np.int32, "optional": True}, [np.int32(1), np.int32(-7), np.int32(5)]),
    "tensor_text": (F.Tensor, {"shape": (), "dtype": np.object_}, ["a", "bc", ""]),
    "tensor_texts": (F.Tensor, {"shape": (2,), "dtype": np.object_}, [np.array(["a", "bc"], object)] * 3),
    "tensor": (F.Tensor, {"shape": (2, 3), "dtype": np.float32}, list(RNG.random((3, 2, 3), np.float32))),
    "tensor_bytes": (F.Tensor, {"shape": (2, 3), "dtype": np.float64, "encoding": "bytes"}, list(RNG.random((3, 2, 3)))),
    "tensor_zlib": (F.Tensor, {"shape": (2, 3), "dtype": np.uint8, "encoding": "zlib"}, list(images(3, 2, 3))),
    "tensor_unknown": (F.Tensor, {"shape": (None, 3), "dtype": np.int64}, [np.ones((n, 3), np.int64) for n in (1, 0, 4)]),
    "label": (F.ClassLabel, {"names": ["ant", "bee"]}, [np.int64(1), np.int64(0), np.int64(1)]),
    "image": (F.Image, {"shape": (6, 5, 3)}, list(images(3, 6, 5, 3))),
    "labeled_image": (F.LabeledImage, {"labels": ["a", "b"], "shape": (6, 5, 1)}, list(images(3, 6, 5, 1))),
    "audio": (F.Audio, {"shape": (None,), "dtype": np.int64}, [np.arange(n) for n in (3, 1, 5)]),
    "sequence": (F.Sequence, {"feature": np.int64}, [np.arange(n) for n in (3, 0, 5)]),
    "sequence_of_text": (F.Sequence, {"feature": F.Text()}, [["a", "b"], [], ["c"]]),
    "sequence_of_labels": (F.Sequence, {"feature": F.ClassLabel(num_classes=3)}, [np.arange(n) for n in (2, 1, 3)]),
    "sequence_of_dicts": (
        F.Sequence,
        {"feature": {"id": np.int64, "t": F.Text()}},
        [[{"id": 1, "t": "a"}], [], [{"id": 2, "t": "b"}] * 2],
    ),
    "nested": (F.Sequence, {"feature": F.Sequence(np.int64)}, [[[1, 2], [3]], [[]], []]),
    "sequence_of_images": (F.Sequence, {"feature": F.Image(shape=(6, 5, 3))}, [list(images(n, 6, 5, 3)) for n in (2, 1, 3)]),
    "translation": (F.Translation, {"languages": ["en", "fr"]}, [{"en": "hi", "fr": "salut"}] * 3),
    "dataset": (F.Dataset, {"feature": {"id": np.int64}}, [[{"id": 1}], [{"id": 2}, {"id": 3}], [{"id": 4}]]),
}


class LikeThat:
    """Takes the place of a class's name in a subclass that changes nothing."""


def make(name, is_own):
    kind, options, values = CLASSES[name]
    kind = type(f"Own{kind.__name__}{name.title().replace('_', '')}", (LikeThat, kind), {}) if is_own else kind
    return kind(**options), values


def as_bytes(value):
    """A value in a form that compares: arrays as lists, text as UTF-8, datasets as lists."""
    if isinstance(value, dict):
        return {key: as_bytes(item) for key, item in value.items()}
    if isinstance(value, str):
        return value.encode()
    if hasattr(value, "to_list"):
        return value.to_list()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list) or (hasattr(value, "__iter__") and not isinstance(value, bytes)):
        return [as_bytes(item) for item in value]
    return value


def export(values, feature, data_dir, format="tfrecord"):
    loader = DataLoader([{"x": value} for value in values], batch_size=2, collate_fn=list)
    return exporters.export(
        loader, data_dir, name="ds", format=format, features={"x": feature}, progress=False, on_hazard="ignore"
    )


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("is_own", [False, True], ids=["tfds", "own"])
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_gives_back_what_tfds_does(name, is_own, format, tmp_path):
    """Of every class, and of one below it, `tfds.load` gives what TFDS's own encoder, serializer and decoder give."""
    feature, values = make(name, is_own)
    result = export(values, feature, tmp_path, format)
    features = F.FeaturesDict({"x": feature})
    expected = [as_bytes(next(iter(tfds.as_numpy(_dataset_of(features, value))))["x"]) for value in values]
    builder = tfds_builder.builder_from_directory(result.path)
    assert [as_bytes(example["x"]) for example in tfds.as_numpy(builder.as_dataset(split="train"))] == expected
    assert tfds_builder.verify(result.path, deep=True).problems == []


def _dataset_of(features, value):
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(features.serialize_example({"x": value})).map(features.deserialize_example)


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"translation"}))
def test_an_encoder_that_garbles_is_refused(name, format, tmp_path, monkeypatch):
    """Were what is stored not what was given, nothing would be written; split, batch, feature and row are told."""
    if name in ("audio", "sequence_of_images"):
        pytest.importorskip("tensorflow")
    feature, values = make(name, is_own=True)
    encode, serialize = encoding.encode_rows, encoding.serialize
    monkeypatch.setattr(encoding, "encode_rows", lambda *args: garble(encode(*args)))
    monkeypatch.setattr(
        encoding, "serialize", lambda *args: {key: garble(np.asarray(item)) for key, item in serialize(*args).items()}
    )
    with pytest.raises(SchemaError, match=r"split 'train', batch 0, feature 'x', row \d"):
        export(values, feature, tmp_path / "data", format)
    assert not (tmp_path / "data").exists()


def garble(stored):
    """Stored values with every one of them changed."""
    if isinstance(stored, np.ndarray) and stored.dtype != object:
        return stored + np.ones((), stored.dtype) if stored.dtype.kind != "U" else np.char.add(stored, "!")
    items = [item.encode() if isinstance(item, str) else item for item in np.ravel(stored)]
    changed = [item[::-1] if item[::-1] != item else item + b"!" for item in items]
    return np.array([*changed, None], object)[:-1].reshape(np.shape(stored))


class Upper(F.Text):
    """A class of the user's own that stores something else on purpose."""

    def encode_example(self, example_data):
        return super().encode_example(example_data.upper())


def test_a_class_that_changes_its_values_is_believed_and_said(tmp_path, capsys):
    """An encoder of the user's own may give back something else: the export says so, and stores what it made."""
    loader = DataLoader([{"x": "ab"}, {"x": "c"}], batch_size=2, collate_fn=list)
    result = exporters.export(loader, tmp_path, name="ds", features={"x": Upper()}, on_hazard="ignore")
    assert "x: Upper gives back something else than it is given (given 'ab', read again b'AB')" in capsys.readouterr().err
    assert [example["x"] for example in tfds_builder.builder_from_directory(result.path).as_data_source("train")] == [b"AB", b"C"]


@pytest.mark.parametrize("value", [3, 2.5, ["a"], {"a": "b"}, None])
def test_what_is_no_text_is_refused(value, format, tmp_path):
    """Where a feature of the user's own holds text, anything else is refused: `bytes(3)` would be three NUL bytes."""

    class Caption(F.Text):
        pass

    with pytest.raises(exporters.ExportError):
        export(["a", value], Caption(), tmp_path / "data", format)
    assert not (tmp_path / "data").exists()
