"""A preview is what an export then does, and changes nothing for it."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

import exporters
from exporters.errors import ExportError
from exporters.options.features import Options
from exporters.preview import preview
from tfds_builder.builder import builder_from_directory


def bits(example):
    return {key: bits(value) if isinstance(value, dict) else np.asarray(value).tolist() for key, value in example.items()}


@pytest.fixture
def rows():
    """Features of many kinds: pixels in NCHW, labels, text, nested values, rows of any length, an encoded image."""
    random = torch.Generator().manual_seed(0)
    return [
        {
            "image": (torch.rand(3, 6, 5, generator=random) * 255).to(torch.uint8),
            "png": (torch.rand(4, 4, 3, generator=random) * 255).to(torch.uint8),
            "label": i % 3,
            "text": f"row {i}",
            "deep": {"x": torch.rand((), generator=random)},
            "tokens": torch.arange(i % 4),
        }
        for i in range(20)
    ]


def collate(examples):
    columns = {key: [row[key] for row in examples] for key in examples[0]}
    return {key: column if key in ("text", "tokens") else default_collate(column) for key, column in columns.items()}


OPTIONS = {
    "features": {"label": tfds.features.ClassLabel(names=["a", "b", "c"]), "png": tfds.features.Image(shape=(4, 4, 3))},
    "layouts": {"image": "NCHW", "png": "NHWC"},
}


def test_as_exported(rows, publish, format):
    """Examples, decisions, and supervised keys are those of the export that follows; a shuffle draws as if none had been made."""

    def loaders():
        random = torch.Generator().manual_seed(3)
        return {
            "train": DataLoader(rows, 4, shuffle=True, collate_fn=collate, generator=random),
            "test": DataLoader(rows[:3], 2, collate_fn=collate),
        }

    once = loaders()
    found = preview(once, Options(**OPTIONS), examples=4)
    exported = publish(once, format, on_hazard="ignore", **OPTIONS)
    for split, shown in found.splits.items():
        source = builder_from_directory(exported.path).as_data_source(split)
        assert [bits(example) for example in shown.examples] == [bits(source[row]) for row in range(len(shown.examples))]
        assert shown.expected == len(source)
    assert found.decisions == exported.decisions
    assert found.labels == {"label": ["a", "b", "c"]}
    features = {feature.name: feature for feature in found.features}
    assert (features["image"].given, features["image"].loaded) == ("uint8 (4, 3, 6, 5)", "uint8 (6, 5, 3)")
    assert [name for name, feature in features.items() if feature.is_image] == ["image", "png"]
    assert features["label"].loaded == "int64 ClassLabel of 3 classes"


def test_hazards(tmp_path):
    """What the loader itself and its first batch show is told; nothing is written, and nothing warned of."""
    pixels = torch.arange(5 * 3 * 64 * 64).reshape(5, 3, 64, 64) % 256 / 255
    found = preview({"train": DataLoader(TensorDataset(pixels), 2, drop_last=True)}, Options())
    assert [hazard.name for hazard in found.hazards] == ["drop_last", "float_images"]
    assert not list(tmp_path.iterdir())


def test_a_split_that_cannot_be_exported():
    """The first one is an error, as it is in export; of another one it is told, and the rest is shown."""
    good, bad = DataLoader(torch.rand(4, 3), 2), DataLoader(torch.rand(4, 5), 2)
    found = preview({"train": good, "test": bad}, Options())
    assert "got (2, 5)" in found.splits["test"].problem
    assert found.splits["train"].rows == 2
    with pytest.raises(ExportError, match="no example"):
        preview({"train": DataLoader([], 2), "test": good}, Options())
    with pytest.raises(exporters.ArgumentError, match="nothing"):
        preview({"train": good}, Options(layouts={"nothing": "NCHW"}))


def test_a_stream():
    """A stream gives its first batch, and may not tell how many there are."""

    class Stream(IterableDataset):
        def __iter__(self):
            yield from torch.arange(5)

    found = preview(DataLoader(Stream(), 3), Options())
    assert (found.splits["train"].expected, found.splits["train"].rows) == (None, 3)
