"""Names of classes that a dataset brings along are used where it is certain whose they are; else it is said that they are not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
)

from exporters import SchemaError

F = tfds.features
datasets = pytest.importorskip("datasets")

LABELS, TAGS = [0, 2, 1, 2], [[0, 1], [1], [], [0, 0, 1]]
NAMES = {"label": ("ant", "bee", "cat"), "tags": ("x", "y")}


def hugging_face(**changes):
    """Four rows with a label, a list of tags and a number."""
    features = datasets.Features(
        {
            "label": datasets.ClassLabel(names=list(NAMES["label"])),
            "tags": datasets.Sequence(datasets.ClassLabel(names=list(NAMES["tags"]))),
            "n": datasets.Value("int64"),
            **changes,
        }
    )
    return datasets.Dataset.from_dict({"label": LABELS, "tags": TAGS, "n": [5, 6, 7, 8]}, features=features)


def loader(dataset, **options):
    return DataLoader(dataset, **{"batch_size": 4, "collate_fn": list, **options})


WRAPPED = {
    "as it is": lambda d: d,
    "torch": lambda d: d.with_format("torch"),
    "numpy": lambda d: d.with_format("numpy"),
    "select": lambda d: d.select(range(4)),
    "a transform": lambda d: d.with_transform(lambda rows: {**rows, "n": [n + 1 for n in rows["n"]]}),
    "Subset": lambda d: Subset(Subset(d, [0, 1, 2, 3]), range(4)),
    "ConcatDataset": lambda d: ConcatDataset([Subset(d, [0, 1]), Subset(d, [2, 3])]),
    "random_split": lambda d: random_split(d, [4], torch.Generator().manual_seed(0))[0],
    "a stream": lambda d: d.to_iterable_dataset(),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_hugging_face(case, format, publish, manifest_of):
    """ClassLabel and lists of ClassLabel keep their names and their numbers, however the dataset is wrapped."""
    result = publish(loader(WRAPPED[case](hugging_face())), format, on_hazard="ignore")
    assert manifest_of(result).labels == NAMES
    builder = tfds.builder_from_directory(result.path) if format == "tfrecord" else None
    if builder is not None:
        rows = sorted((row["n"], row["label"], row["tags"].tolist()) for row in tfds.as_numpy(builder.as_dataset(split="train")))
        assert [row[1] for row in rows] == LABELS
        assert [row[2] for row in rows] == TAGS
        assert builder.info.features["label"].names == list(NAMES["label"])


def test_no_label_of_hugging_face(publish, read_back):
    """-1, no label to Hugging Face and TFDS, comes back."""
    data = datasets.Dataset.from_dict(
        {"label": [-1, -1]}, features=datasets.Features({"label": datasets.ClassLabel(names=["a", "b"])})
    )
    assert read_back(publish(loader(data)))["label"].tolist() == [-1, -1]


UNUSED = {
    "renamed": (
        lambda d: loader(d, collate_fn=lambda rows: [{"y": row["label"], "tags": row["tags"]} for row in rows]),
        "'label'",
    ),
    "no integers": (
        lambda d: loader(d.with_transform(lambda rows: {**rows, "label": [float(v) for v in rows["label"]]})),
        "float64",
    ),
    "other numbers": (
        lambda d: loader(d.with_transform(lambda rows: {**rows, "label": [v + 7 for v in rows["label"]]})),
        "from 7 to 9",
    ),
    "a name of two lines": (
        lambda _: loader(hugging_face(label=datasets.ClassLabel(names=["a", "b\n", "c"]))),
        "cannot be stored",
    ),
}


@pytest.mark.parametrize("case", UNUSED)
def test_names_that_are_not_used_are_said(case, publish, manifest_of):
    """Where the batch has others than the dataset's features say, the names are left out, and a decision says why."""
    make, words = UNUSED[case]
    result = publish(make(hugging_face()), on_hazard="ignore")
    assert manifest_of(result).labels == {"tags": NAMES["tags"]}
    (said,) = [line for line in result.decisions if "are not used" in line]
    assert "dataset.features['label'].names (3 names)" in said
    assert words in said


def test_what_is_declared_comes_first(publish, manifest_of):
    """`features=` is used instead of the names of the dataset, without a word."""
    result = publish(loader(hugging_face()), features={"label": F.ClassLabel(num_classes=4), "tags": F.Sequence(np.int64)})
    assert manifest_of(result).labels == {}
    assert not [line for line in result.decisions if "used" in line]


def test_splits_with_other_names(refuses):
    """Splits whose classes have different names are refused by split and feature."""
    other = hugging_face(label=datasets.ClassLabel(names=["ant", "cat", "bee"]))
    refuses(
        {"train": loader(hugging_face()), "test": loader(other)}, SchemaError, "split 'test'", "dataset.features['label'].names"
    )


class Detection(Dataset):
    """Pairs of an image and a dict of boxes and labels."""

    def __init__(self, classes, first=1):
        self.classes, self.first = classes, first

    def __len__(self):
        return 6

    def __getitem__(self, index):
        boxes = torch.tensor([[0.0, 0.0, 4.0, 5.0]]).repeat(index % 3, 1)
        return torch.zeros(3, 8, 9, dtype=torch.uint8), {"boxes": boxes, "labels": torch.arange(index % 3) + self.first}


def detection_loader(*args):
    return DataLoader(Detection(*args), batch_size=6, collate_fn=lambda rows: tuple(zip(*rows, strict=True)))


def test_detection_with_a_background(publish, manifest_of):
    """Classes that begin with the background are those of a detection target's labels: torchvision numbers them so."""
    result = publish(detection_loader(["__background__", "cat", "dog"]), on_hazard="ignore")
    assert manifest_of(result).labels == {"label/labels": ("__background__", "cat", "dog")}
    assert not [line for line in result.decisions if "not used" in line]


@pytest.mark.parametrize("args", [(["cat", "dog", "cow"],), (["__background__", "cat"], 7)])
def test_detection(args, publish, manifest_of):
    """Other classes of a detection dataset are not used, and the decision has the line that does."""
    result = publish(detection_loader(*args), on_hazard="ignore")
    assert manifest_of(result).labels == {}
    (said,) = [line for line in result.decisions if "is not used" in line]
    assert said.startswith(f"dataset.classes ({len(args[0])} names) is not used")
    line = said.partition("features=")[2]
    features = eval(line, {"tfds": tfds, "dataset": Detection(["cat", "dog", "cow"])})
    assert list(features) == ["label/labels"]
    if len(args) == 1:
        result = publish(detection_loader(*args), features=features, on_hazard="ignore")
        assert manifest_of(result).labels == {"label/labels": ("cat", "dog", "cow")}


def test_a_dataset_without_a_label(publish):
    """Classes of a dataset that gives no integer are said not to be used."""
    data = type("Floats", (list,), {"classes": ["a", "b"]})([(torch.rand(3), torch.rand(2)) for _ in range(4)])
    said = publish(DataLoader(data, 2), on_hazard="ignore").decisions[-1]
    assert said.startswith("dataset.classes (2 names) is not used")


def test_it_goes_on(goes_on, publish):
    """An export that was stopped goes on with the same classes, and the same words, whatever its next batch shows."""

    class Stopping(Detection):
        stops = False

        def __len__(self):
            return 30

        def __getitem__(self, index):
            if self.stops and index == 25:
                raise RuntimeError("stopped")
            image, target = super().__getitem__(index if index < 12 else 0)
            return image, target

    data = Stopping(["cat", "dog", "cow"])

    def run(data_dir):
        loader = DataLoader(data, batch_size=3, collate_fn=lambda rows: tuple(zip(*rows, strict=True)))
        return publish(loader, data_dir=data_dir, shard_bytes=800, on_hazard="ignore")

    result = goes_on(run, data)
    assert any("is not used" in line for line in result.decisions)


X = torch.arange(7 * 6, dtype=torch.float32).reshape(7, 2, 3)


class Classes(TensorDataset):
    def __init__(self, classes, *tensors):
        super().__init__(*(tensors or (torch.arange(4), torch.arange(4) % 2)))
        self.classes = classes


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: Subset(Subset(d, [1, 2]), [0]), lambda d: ConcatDataset([d, d])])
def test_class_names(wrap, publish, manifest_of):
    """`dataset.classes` names the label's classes, also through Subset and ConcatDataset; synonyms become one name."""
    result = publish(DataLoader(wrap(Classes([("cat", "tom"), "dog"]))))
    assert manifest_of(result).labels == {"label": ("cat, tom", "dog")}


def test_class_names_of_parts_that_differ(publish, manifest_of):
    """A ConcatDataset whose parts have different classes has no class names."""
    result = publish(DataLoader(ConcatDataset([Classes(["a", "b"]), Classes(["b", "a"])])))
    assert manifest_of(result).labels == {}


def test_class_names_find_the_label_of_a_dict(publish, manifest_of):
    """Among several integer columns of a dict, the one called like a label gets the class names."""
    rows = [{"id": i, "target": i % 2, "x": X[0]} for i in range(4)]
    dataset = type("Dicts", (list,), {"classes": ["a", "b"]})(rows)
    assert manifest_of(publish(DataLoader(dataset, batch_size=2))).labels == {"target": ("a", "b")}
