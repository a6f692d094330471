"""A class label of -1, "no label" to TFDS, is stored where it fits, comes back as -1, and is else refused with a line."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import exporters
import tfds_builder
from exporters import SchemaError

F = tfds.features


class Classes(Dataset):
    """Pairs of an image and its class."""

    classes = ("ant", "bee", "cat")

    def __init__(self, given, **attributes):
        self.given = given
        vars(self).update(attributes)

    def __len__(self):
        return len(self.given)

    def __getitem__(self, index):
        return torch.full((3, 8, 9), index % 256, dtype=torch.uint8), int(self.given[index])


class Stream(IterableDataset):
    classes = Classes.classes

    def __init__(self, labels):
        self.rows = list(Classes(labels))

    def __iter__(self):
        return iter(self.rows)


LATE = [0, 1, 2] * 20 + [-1]
SHOWN = {
    "in the first batch": lambda: {"train": DataLoader(Classes([0, -1, 2, 1]), 2)},
    "in the first batch of a later split": lambda: {
        "train": DataLoader(Classes([0, 1, 2]), 2),
        "test": DataLoader(Classes([-1] * 40), 9),
    },
    "in the first batch of a stream": lambda: {"train": DataLoader(Stream([-1, 0, 1, -1]), 2)},
    "in targets": lambda: {"train": DataLoader(Classes(LATE, targets=LATE), 7)},
    "in labels of a dataset below": lambda: {"train": DataLoader(Subset(Classes(LATE, labels=np.array(LATE)), range(61)), 7)},
    "with workers": lambda: {
        "train": DataLoader(Classes([0, 1, 2]), 2, num_workers=1),
        "test": DataLoader(Classes([-1] * 4), 2, num_workers=1),
    },
}


def labels_of(loaders):
    return {split: [int(label) for _, batch in loader for label in batch] for split, loader in loaders.items()}


@pytest.mark.parametrize("case", SHOWN)
@pytest.mark.needs_tensorflow
def test_no_label(case, format, publish):
    """Every reader gives -1 for a label that was -1, and a thorough check finds nothing wrong."""
    result = publish(SHOWN[case](), format, on_hazard="error")
    assert tfds_builder.verify(result.path, deep=True).problems == []
    builder = tfds_builder.builder_from_directory(result.path)
    readers = [builder, tfds.builder_from_directory(result.path)] if format == "tfrecord" else [builder]
    for split, expected in labels_of(SHOWN[case]()).items():
        for reader in readers:
            assert [int(row["label"]) for row in reader.as_dataset(split=split).as_numpy_iterator()] == expected
        assert [row["label"] for row in builder.as_data_source(split=split)] == expected
        assert [int(label) for _, label in tfds_builder.as_torch(result.path, split=split)] == expected


def test_no_label_in_tensors(format, publish, read_back):
    """The tensors of a TensorDataset show what its labels may be."""
    data = TensorDataset(torch.zeros(61, 2), torch.tensor(LATE))
    data.classes = Classes.classes
    assert read_back(publish(DataLoader(data, 7), format))["label"].tolist() == LATE


@pytest.mark.parametrize("make", [Classes, Stream])
def test_a_later_one(make, publish, read_back, tmp_path):
    """A -1 that nothing foretold is refused where records have a settled length, and each line of the error mends it."""
    options = {"data_dir": tmp_path, "shard_bytes": 1000}
    with pytest.raises(SchemaError) as caught:
        publish(DataLoader(make(LATE), 7), **options)
    for words in ("split 'train'", "batch 8", "'label'", "row 4", "class label -1"):
        assert words in str(caught.value)
    assert 'format="hdf5" or features={"label": tfds.features.Scalar(dtype=np.int64)}, together with overwrite=True' in str(
        caught.value
    )
    for more in ({"format": "hdf5"}, {"features": {"label": F.Scalar(dtype=np.int64)}}):
        result = publish(DataLoader(make(LATE), 7), overwrite=True, **options, **more)
        assert read_back(result)["label"].tolist() == LATE


NESTED = {
    "sequence": ({"x": F.Sequence(F.ClassLabel(num_classes=3))}, [[0, 1], [2], [-1, 1, -1]]),
    "sequence of a length": ({"x": F.Sequence(F.ClassLabel(num_classes=3), length=2)}, [[0, 1], [-1, 1], [2, 2]]),
    "sequence of sequences": ({"x": F.Sequence(F.Sequence(F.ClassLabel(num_classes=3)))}, [[[0], [1, 2]], [[-1]], [[]]]),
    "sequence of dicts": ({"x": F.Sequence({"y": F.ClassLabel(num_classes=3)})}, [{"y": [0, -1]}, {"y": [1]}, {"y": [-1]}]),
    "dataset": ({"x": F.Dataset({"y": F.ClassLabel(num_classes=3)})}, [{"y": [0, -1]}, {"y": [1]}, {"y": [-1]}]),
    "dict": ({"x": {"y": F.ClassLabel(num_classes=3)}}, [{"y": 2}, {"y": -1}, {"y": 0}]),
}


@pytest.mark.parametrize("case", NESTED)
@pytest.mark.needs_tensorflow
def test_nested(case, format, publish):
    """Within sequences, dicts and datasets a -1 comes back as well."""
    features, rows = NESTED[case]
    result = publish(DataLoader([{"x": row} for row in rows], 3, collate_fn=list), format, features=features)
    assert tfds_builder.verify(result.path, deep=True).problems == []
    found = [row["x"] for row in tfds.as_numpy(tfds_builder.builder_from_directory(result.path).as_dataset(split="train"))]
    for row, expected in zip(found, rows, strict=True):
        if case == "dataset":
            row = {"y": [int(item["y"]) for item in row]}
        if isinstance(expected, dict):
            row, expected = row["y"], expected["y"]
        assert (row.to_list() if hasattr(row, "to_list") else np.asarray(row).tolist()) == expected


@pytest.mark.parametrize("label", [-2, 3, -(2**40)])
@pytest.mark.parametrize("feature", [F.ClassLabel(num_classes=3), F.Sequence(F.ClassLabel(num_classes=3))])
def test_other_labels_of_no_class(label, feature, format, refuses):
    """Numbers below -1, and those from the number of classes on, are refused with their row."""
    rows = [{"x": [value] if isinstance(feature, F.Sequence) else value} for value in (0, -1, label)]
    loader = DataLoader(rows, 3, collate_fn=list)
    refuses(loader, SchemaError, f"class label {label} (row 2)", "nor -1", features={"x": feature}, format=format)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint64"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_labels_of_any_dtype(dtype, data):
    """Whatever the integers of labels are: those that TFDS would encode are taken, all others are refused."""
    from exporters.features.stored import check_labels

    info = np.iinfo(dtype)
    near = st.sampled_from([-2, -1, 0, 9, 10, 127, info.min, info.max]).filter(lambda value: info.min <= value <= info.max)
    labels = np.array(data.draw(st.lists(near, max_size=6)), dtype)
    feature = F.ClassLabel(num_classes=10)
    if all(-1 <= int(label) < 10 for label in labels):
        check_labels(labels, feature, "x", "here")
        return
    first = next(row for row, label in enumerate(labels) if not -1 <= int(label) < 10)
    with pytest.raises(SchemaError, match=rf"class label {labels[first]} \(row {first}\)"):
        check_labels(labels, feature, "x", "here")


def test_ordinary_labels_stay_as_narrow(publish, manifest_of):
    """Without a -1, a label takes as many bytes as its classes need; with one, ten."""
    for labels, width in (([0, 1, 2], 1), ([0, 1, -1], 10)):
        column = next(c for c in manifest_of(publish(DataLoader(Classes(labels), 3))).columns if c.name == "label")
        assert column.width == width


def test_it_goes_on(goes_on, publish):
    """An export that was stopped goes on with labels as wide as it began, whatever its next batch shows."""

    class Stopping(Classes):
        stops = False

        def __getitem__(self, index):
            if self.stops and index == 50:
                raise RuntimeError("stopped")
            return super().__getitem__(index)

    data = Stopping([-1, *[0, 1, 2] * 20])
    goes_on(lambda data_dir: publish(DataLoader(data, 7), data_dir=data_dir, shard_bytes=1000), data)


def test_a_split_without_labels_is_no_hazard(publish):
    """A split whose labels are all -1 has no labels; it is not one of a single class."""
    assert publish(DataLoader(Classes([-1] * 40), 8), on_hazard="error").hazards == ()


@pytest.mark.needs_tensorflow
def test_live():
    """in_memory gives -1 as well."""
    found = exporters.in_memory(DataLoader(Classes(LATE), 7)).as_numpy_iterator()
    assert [int(row["label"]) for row in found] == LATE
