"""The first batch settles the features; what contradicts them, or an override the data, is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, TensorDataset

from exporters import ArgumentError, SchemaError

F = tfds.features
X, Y = torch.zeros(4, 5), torch.arange(4)
GOOD = {"x": X, "y": Y, "t": ["a", "b", "c", "d"], "n": {"z": X}}

CHANGES = {
    "dtype": ({**GOOD, "x": X.double()}, ["feature 'x'", "float32", "float64"]),
    "signedness": ({**GOOD, "y": Y.numpy().astype(np.uint64)}, ["feature 'y'", "int64", "uint64"]),
    "shape": ({**GOOD, "x": X[:, :4]}, ["feature 'x'", "(4, 4)", "5"]),
    "rank": ({**GOOD, "x": X[:, :, None]}, ["feature 'x'", "(4, 5, 1)"]),
    "str to bytes": ({**GOOD, "t": [b"a"] * 4}, ["feature 't'", "str", "bytes"]),
    "str to int": ({**GOOD, "t": [1] * 4}, ["feature 't'", "int64"]),
    "numbers to strings": ({**GOOD, "y": ["a"] * 4}, ["feature 'y'", "object"]),
    "missing": ({"x": X, "t": GOOD["t"], "n": {"z": X}}, ["missing 'y'"]),
    "unexpected": ({**GOOD, "w": X}, ["unexpected 'w'"]),
    "another key": ({**GOOD, "n": {"w": X}}, ["missing 'n/z'", "unexpected 'n/w'"]),
    "leaf to branch": ({**GOOD, "x": {"a": X}}, ["missing 'x'", "unexpected 'x/a'"]),
    "branch to leaf": ({**GOOD, "n": X}, ["missing 'n/z'", "unexpected 'n'"]),
    "dict to tuple": ((X, Y), ["missing", "unexpected"]),
    "lone surrogate": ({**GOOD, "t": ["a", "b", "\ud800", "d"]}, ["feature 't'", "row 2", "Unicode"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changes_in_mid_stream(case, format, loader_of, refuses):
    """A batch that differs from the first in dtype, shape or structure is refused with split, batch and feature named."""
    bad, words = CHANGES[case]
    refuses(loader_of(GOOD, GOOD, bad), SchemaError, "split 'train', batch 2", *words, format=format)
    refuses({"train": loader_of(GOOD), "test": loader_of(bad)}, SchemaError, "split 'test', batch 0", *words, format=format)


@pytest.mark.parametrize("names", [None, ["in", "out"]])
def test_changes_of_a_pair(names, loader_of, refuses):
    """A change in a tuple is told by the feature's name, not by its position."""
    wanted = (names or ["features", "label"])[1]
    refuses(loader_of((X, Y), (X, Y.int())), SchemaError, "batch 1", f"feature {wanted!r}", "int32", names=names)


def test_labels_in_sequences_are_narrow(publish, loader_of, manifest_of):
    """A ClassLabel takes as many bytes as its classes need, also where it is one of the parts of a sequence."""
    rows = [[{"label": 1, "x": 2.0}, {"label": 0, "x": 3.0}]] * 2
    feature = F.Sequence({"label": F.ClassLabel(num_classes=3), "x": np.float32}, length=2)
    columns = {c.name: c.width for c in manifest_of(publish(loader_of({"p": rows}), features={"p": feature})).columns}
    assert columns == {"p/label": 2, "p/x": 8}


OVERRIDES = {
    "int64 without encoding": (Y, F.Tensor(shape=(), dtype=np.int64)),
    "bool without encoding": (X.bool(), F.Tensor(shape=(5,), dtype=np.bool_)),
    "float32 without encoding": (X + torch.arange(5), F.Tensor(shape=(5,), dtype=np.float32)),
    "uint64 without encoding": (np.array([[2**64 - 1, 0]], np.uint64), F.Tensor(shape=(2,), dtype=np.uint64)),
    "negative int8 without encoding": (np.array([[-1, -128, 127]], np.int8), F.Tensor(shape=(3,), dtype=np.int8)),
    "a dtype for a feature": (Y, np.int64),
    "a Scalar": (Y, F.Scalar(np.int64)),
    "shape not given": (X, F.Tensor(shape=(5,), dtype=np.float32, encoding="bytes")),
    "text as bytes": ([b"\xff"], F.Tensor(shape=(), dtype=np.object_)),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_overrides_keep_the_values(case, format, round_trip, assert_same):
    """An override changes how TFDS stores a feature, and never a value."""
    batch, feature = OVERRIDES[case]
    assert_same(round_trip({"x": batch}, format=format, features={"x": feature}), {"x": batch})


CONTRADICTIONS = {
    "dtype": (X, F.Tensor(shape=(5,), dtype=np.float64, encoding="bytes"), "float64"),
    "shape": (X, F.Tensor(shape=(4,), dtype=np.float32, encoding="bytes"), "(4,)"),
    "rank": (X, F.Tensor(shape=(5, 1), dtype=np.float32, encoding="bytes"), "(5, 1)"),
    "another shape of images": (
        torch.zeros(2, 3, 8, 9),
        F.Tensor(shape=(8, 3, 9), dtype=np.float32, encoding="bytes"),
        "(3, 8, 9)",
    ),
    "text for numbers": (Y, F.Text(), "int64"),
    "numbers for text": (["a"], F.Tensor(shape=(), dtype=np.int64, encoding="bytes"), "int64"),
    "label of floats": (X[:, 0], F.ClassLabel(num_classes=3), "float32"),
    "label of vectors": (X.int(), F.ClassLabel(num_classes=3), "(4, 5)"),
    "label of nothing": (Y, F.ClassLabel(), "num_classes"),
    "float64 as FloatList": (X.double(), F.Tensor(shape=(5,), dtype=np.float64), 'encoding="bytes"'),
    "float16 as FloatList": (X.half(), F.Tensor(shape=(5,), dtype=np.float16), 'encoding="bytes"'),
    "unknown sizes without encoding": (X, F.Tensor(shape=(None, None), dtype=np.int32), 'encoding="bytes"'),
    "an unknown size that is not the first": (X.int(), F.Tensor(shape=(5, None), dtype=np.int32), "(5, None)"),
    "items of nothing": (torch.zeros(2, 3, 0), F.Tensor(shape=(None, 0), dtype=np.float32, encoding="bytes"), "(None, 0)"),
    "sequence of another dtype": (X, F.Sequence(np.int64), "int64"),
    "sequence of labels out of range": (Y[:, None], F.Sequence(F.ClassLabel(num_classes=2)), "between 0 and 1"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_overrides_that_contradict_the_data(case, format, loader_of, refuses):
    """An override that contradicts the data, or would change a value, is refused with both sides named."""
    batch, feature, word = CONTRADICTIONS[case]
    refuses(loader_of({"x": batch}), SchemaError, "feature 'x'", word, features={"x": feature}, format=format)


@pytest.mark.parametrize("option", ["features", "layouts"])
def test_options_for_a_feature_that_is_not_there(option, loader_of, refuses):
    """An override or a layout for an unknown feature is refused with the known ones."""
    value = F.Scalar(np.int64) if option == "features" else "NCHW"
    refuses(loader_of({"x": X}), ArgumentError, f"{option}=", "'z'", "['x']", **{option: {"z": value}})


@pytest.mark.parametrize("feature", ["ClassLabel", 3, None, object()])
def test_override_that_is_no_feature(feature, loader_of, refuses):
    """An override that is no TFDS feature is refused."""
    refuses(loader_of({"x": Y}), ArgumentError, '"x"', "tfds feature", features={"x": feature})


def test_nested_overrides(publish, loader_of, manifest_of):
    """Overrides of nested features may be nested, a FeaturesDict, or carry flat names."""
    label = F.ClassLabel(names=["a", "b", "c", "d"])
    for features in ({"t": {"y": label}}, {"t/y": label}, F.FeaturesDict({"t": {"y": label}})):
        result = publish(loader_of({"t": {"y": Y}}), features=features)
        assert manifest_of(result).labels == {"t/y": ("a", "b", "c", "d")}


class Labelled(TensorDataset):
    def __init__(self, classes, labels):
        super().__init__(torch.zeros(len(labels), 2), torch.tensor(labels))
        self.classes = classes


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_class_labels(dtype, format, round_trip, assert_same):
    """Labels of any integer dtype come back as the int64 of a ClassLabel, at both ends of the range."""
    labels = np.array([0, 129, 64, 127, 128], dtype)
    assert_same(
        round_trip({"y": labels}, format=format, features={"y": F.ClassLabel(num_classes=130)}), {"y": labels.astype(np.int64)}
    )


@pytest.mark.parametrize("bad", [-2, 3, 2**62, -(2**63)])
def test_class_label_out_of_range(bad, format, refuses):
    """A label that is no class is refused with its row and the classes there are, in whichever batch."""
    dataset = Labelled(["a", "b", "c"], [0, 1, 2, 0, bad, 1])
    words = ("split 'train', batch 1", "feature 'label'", f"class label {bad}", "row 1", "0 and 2")
    refuses(DataLoader(dataset, batch_size=3), SchemaError, *words, format=format)


@pytest.mark.parametrize("classes", [["a", "a"], ["a", ""], [" a", "b"], ["a\nb", "c"], ["a", "b\r"], ["a\0", "b"]])
def test_bad_class_names(classes, loader_of, refuses):
    """A class name that TFDS would not give back is refused, from the dataset and from an override."""
    refuses(DataLoader(Labelled(classes, [0, 1])), SchemaError, "feature 'label'", "class name")
    if classes != ["a", "a"]:  # TFDS itself refuses to make that one
        try:
            feature = F.ClassLabel(names=classes)
        except ValueError:
            return
        refuses(loader_of((X[:2], Y[:2])), SchemaError, "feature 'label'", "class name", features={"label": feature})


def test_splits_with_different_classes(refuses):
    """Splits whose datasets have different classes are refused."""
    loaders = {"train": DataLoader(Labelled(["a", "b"], [0])), "test": DataLoader(Labelled(["b", "a"], [0]))}
    refuses(loaders, SchemaError, "split 'test'", "'train'", "classes")


def test_classes_of_the_second_split_only(publish, manifest_of, loader_of):
    """Class names are found also if only a later split has them."""
    loaders = {"train": loader_of((torch.zeros(1, 2), torch.tensor([1]))), "test": DataLoader(Labelled(["a", "b"], [0]))}
    assert manifest_of(publish(loaders)).labels == {"label": ("a", "b")}


def test_decisions_are_told_once(publish, loader_of, manifest_of, capsys):
    """What was decided is printed once, on stderr, returned, and kept in the manifest."""
    data = DataLoader(TensorDataset(torch.zeros(5, 3, 8, 9), torch.arange(5)), batch_size=2)
    result = publish(data, progress=None)
    expected = ["image: NCHW (3, 8, 9) -> NHWC (8, 9, 3), Tensor float32", "label: Tensor int64"]
    assert list(result.decisions) == list(manifest_of(result).decisions) == expected
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [*expected, "train: 5 examples expected, 5 read, 5 written"]
    assert printed.out == ""


@pytest.mark.needs_tensorflow
def test_features_that_tfds_encodes(format, round_trip):
    """A feature with an encoder of TFDS's own goes through it: PNG images decode to the same pixels."""
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 9), np.uint8)
    stored = round_trip({"image": images}, format=format, features={"image": F.Image(shape=(8, 9, 3), encoding_format="png")})
    pixels = [tf.io.decode_png(png).numpy() for png in stored["image"].ravel().tolist()]
    np.testing.assert_array_equal(pixels, np.moveaxis(images, 1, -1))
