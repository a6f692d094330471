"""`exporters.staging.hidden_versions`: an export that hides other versions from stock TFDS says so, once; what it says is so."""

import warnings

import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, TensorDataset

import exporters
from tfds_builder import DatasetWarning

FORMATS = {"t": "tfrecord", "h": "hdf5"}


def publish(data_dir, versions, config=None):
    """Publishes version 1.0.0, 1.1.0, ... in these formats; returns the warnings of each."""
    told = []
    for number, letter in versions:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DatasetWarning)
            exporters.export(
                DataLoader(TensorDataset(torch.arange(6).reshape(3, 2)), batch_size=3), data_dir, name="numbers", config=config,
                version=f"1.{number}.0", format=FORMATS[letter], progress=False, on_hazard="ignore",
            )  # fmt: skip
        told.append([str(warning.message) for warning in caught if issubclass(warning.category, DatasetWarning)])
    return told


@pytest.mark.parametrize(("versions", "expected"), [
    ([(0, "t")], [0]), ([(0, "h")], [0]), ([(0, "t"), (1, "t")], [0, 0]), ([(0, "h"), (1, "h")], [0, 0]),
    ([(0, "h"), (1, "t")], [0, 0]), ([(0, "t"), (1, "h")], [0, 1]), ([(1, "h"), (0, "t")], [0, 1]),
    ([(0, "t"), (9, "h"), (10, "t")], [0, 1, 0]),
])  # fmt: skip
@pytest.mark.parametrize("config", [None, "small"])
@pytest.mark.needs_tensorflow
def test_hidden_versions(versions, expected, config, tmp_path):
    """A warning comes exactly where stock TFDS then finds nothing unless told a version, and the version it names is found."""
    told = publish(tmp_path, versions, config)
    assert [len(texts) for texts in told] == expected
    name = "numbers" if config is None else "numbers/small"
    has_tfrecord = any(letter == "t" for _, letter in versions)
    if has_tfrecord and not told[-1]:
        assert len(list(tfds.load(name, data_dir=tmp_path, split="train"))) == 3
        return
    with pytest.raises(tfds.core.DatasetNotFoundError):
        tfds.load(name, data_dir=tmp_path, split="train")
    for text in told[-1]:
        pinned = text.partition("only if it is asked for (")[2].partition(")")[0]
        assert len(list(tfds.load(pinned, data_dir=tmp_path, split="train"))) == 3
