"""Boxes in pixels on their way to what TFDS stores, and back to PyTorch."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader

import exporters
import tfds_builder

F = tfds.features


def loader_of_rows(rows, batch_size=3):
    return DataLoader(rows, batch_size=batch_size, collate_fn=list)


COLLATES = {
    "zip": lambda rows: tuple(zip(*rows, strict=True)),
    "list": list,
    "dict of lists": lambda rows: {"image": [row[0] for row in rows], "label": [row[1] for row in rows]},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.float64])
def test_boxes_come_back_to_pytorch_in_pixels(dtype, format, publish):
    """`as_torch` gives boxes in pixels again, labels in the dtype they had; integers exactly, floats but for rounding."""

    def detection(index):
        boxes = torch.tensor([[1, 2, 13, 7], [0, 5, 29, 19]], dtype=dtype)[: index % 3]
        return torch.zeros(3, 20 + index, 31, dtype=torch.uint8), {
            "boxes": boxes,
            "labels": torch.arange(index % 3, dtype=torch.uint8),
        }

    features = {"label": {"boxes": F.Sequence(F.BBoxFeature()), "labels": F.Sequence(F.ClassLabel(num_classes=4))}}
    loader = DataLoader([detection(index) for index in range(5)], batch_size=2, collate_fn=COLLATES["zip"])
    dataset = tfds_builder.as_torch(publish(loader, format, features=features, on_hazard="ignore").path)
    for index, (image, target) in enumerate(dataset):
        wanted = detection(index)
        assert image.shape == wanted[0].shape
        assert (target["boxes"].dtype, target["boxes"].shape) == (dtype, wanted[1]["boxes"].shape)
        assert torch.allclose(target["boxes"].double(), wanted[1]["boxes"].double(), rtol=2e-7, atol=0)
        assert target["labels"].dtype == torch.uint8
        assert torch.equal(target["labels"], wanted[1]["labels"])


BOX = [[1, 2, 16, 19], [0, 5, 17, 20]]


BOXES = {
    "one": (F.BBoxFeature(), lambda number: torch.tensor(BOX[number % 2])),
    "two": (F.Sequence(F.BBoxFeature(), length=2), lambda number: torch.tensor(BOX)),
    "any number": (F.Sequence(F.BBoxFeature()), lambda number: torch.tensor(BOX)[: number % 3]),
    "floats": (F.BBoxFeature(), lambda number: torch.tensor(BOX[number % 2]) * 0.5),
}


@pytest.mark.parametrize("case", BOXES)
def test_boxes_read_by_the_batch(case, format, publish):
    """Boxes come back in pixels and in their dtype, one by one and read together."""
    feature, make = BOXES[case]
    rows = [{"image": torch.zeros(3, 20, 17, dtype=torch.uint8), "box": make(number)} for number in range(4)]
    dataset = tfds_builder.as_torch(publish(loader_of_rows(rows), format, features={"box": feature}, on_hazard="ignore").path)
    for found in ([dataset[number] for number in range(4)], dataset.__getitems__(range(4))):
        for row, example in zip(rows, found, strict=True):
            assert torch.allclose(example["box"], row["box"])
            assert example["box"].dtype == row["box"].dtype


@pytest.mark.needs_tensorflow
def test_boxes_in_lists(format, publish):
    """Boxes in lists of dicts and in lists of lists are normalised like any others, which stock TFDS's numbers show."""
    image = torch.zeros(3, 20, 10, dtype=torch.uint8)
    rows = [
        {
            "image": image,
            "dicts": [{"box": [1.0, 2.0, 8.0, 19.0], "n": 1}] * n,
            "lists": [[[1.0, 2.0, 8.0, 19.0]] * n, []][: n + 1],
        }
        for n in (1, 2, 0)
    ]
    for key, feature in {
        "dicts": F.Sequence({"box": F.BBoxFeature(), "n": np.int64}),
        "lists": F.Sequence(F.Sequence(F.BBoxFeature())),
    }.items():
        path = publish(
            loader_of_rows([{"image": row["image"], key: row[key]} for row in rows]),
            format,
            features={key: feature},
            on_hazard="ignore",
        ).path
        dataset = tfds_builder.as_torch(path)
        want = np.array([2 / 20, 1 / 10, 19 / 20, 8 / 10], np.float32)
        for number, example in enumerate(tfds.as_numpy(tfds_builder.builder_from_directory(path).as_dataset(split="train"))):
            n = (1, 2, 0)[number]
            found = example[key]["box"] if key == "dicts" else example[key][0]
            assert np.array_equal(found, np.tile(want, (n, 1)))
            back = dataset[number][key]["box"] if key == "dicts" else dataset[number][key][0]
            assert torch.allclose(back, torch.tensor([[1.0, 2.0, 8.0, 19.0]] * n).reshape(-1, 4))


def test_boxes_that_are_none(refuses):
    """A dict without the boxes that are declared, and boxes of three numbers, are refused, with the row."""
    image, features = torch.zeros(3, 20, 17, dtype=torch.uint8), {"x": F.Sequence({"box": F.BBoxFeature()})}
    for odd in ({"bax": [1.0] * 4}, {"box": [1.0] * 3}):
        rows = [{"image": image, "x": [{"box": [1.0, 2.0, 3.0, 4.0]}]}, {"image": image, "x": [odd]}]
        refuses(loader_of_rows(rows, 1), exporters.SchemaError, "batch 1, row 0", features=features)
