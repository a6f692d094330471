"""A reader that is open while its version is overwritten gives rows and class names of one version, or says what happened."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder import OverwrittenError
from tfds_builder.table.table import Segment, Table

torch = pytest.importorskip("torch")
exporters = pytest.importorskip("exporters")
pytestmark = [pytest.mark.once, pytest.mark.needs_torch]

from torch.utils.data import DataLoader  # noqa: E402

ROWS = 24
OLD, NEW = ("cat", "dog"), ("dog", "cat")


def write(data_dir, format, names, add=0, rows=ROWS):
    """Images of one value, of which every other is a cat and the others are dogs, in several shards."""
    examples = [(torch.full((3, 5, 6), i % 2 + add, dtype=torch.uint8), names.index(OLD[i % 2])) for i in range(rows)]
    return exporters.export(
        DataLoader(examples, batch_size=4),
        data_dir,
        name="pets",
        format=format,
        shard_bytes=300,
        overwrite=True,
        progress=False,
        on_hazard="ignore",
        features={"label": tfds.features.ClassLabel(names=list(names))},
    ).path


def images(builder):
    return [int(example["image"].max()) for example in tfds.as_numpy(builder.as_dataset(split="train"))]


def table_of(builder):
    segments = [Segment(shard, 0, shard.rows) for shard in builder.manifest.splits["train"].shards]
    return Table(builder.data_path, builder.manifest, segments)


READS = {
    "as_dataset": images,
    "data source": lambda builder: builder.as_data_source(split="train")[ROWS - 1],
    "table": lambda builder: table_of(builder).read(slice(None)),
    "pickled": lambda builder: pickle.loads(pickle.dumps(builder)),
}


@pytest.mark.parametrize("format", ["tfrecord", "hdf5"])
@pytest.mark.parametrize("rows", [ROWS, ROWS + 4])
@pytest.mark.parametrize("read", READS)
def test_a_builder_of_before(read, rows, format, tmp_path):
    """A builder whose version was overwritten since, by as many rows or others, reads nothing of the new one."""
    builder = tfds_builder.builder_from_directory(write(tmp_path, format, OLD))
    write(tmp_path, format, NEW, rows=rows)
    with pytest.raises(OverwrittenError, match="load the dataset again"):
        READS[read](builder)
    assert images(tfds_builder.builder_from_directory(builder.data_path))[:2] == [0, 1]


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("format", ["tfrecord", "hdf5"])
def test_a_reader_that_is_open(format, verify, tmp_path):
    """What a table has opened it keeps; what it has not is an error; so it is after it was closed, and in another process."""
    path = write(tmp_path, format, OLD)
    table = Table.of_split(path, "train", verify=verify)
    twin = pickle.loads(pickle.dumps(table))
    first = table.read(slice(0, 4))
    write(tmp_path, format, NEW, add=7)
    if not verify or format == "tfrecord":
        assert np.array_equal(table.read(slice(0, 4))["image"], first["image"])
    for reader in (table, twin, pickle.loads(pickle.dumps(table))):
        with pytest.raises(OverwrittenError):
            reader.read(slice(ROWS - 4, ROWS))
    table.close()
    with pytest.raises(OverwrittenError):
        table.read(slice(0, 4))
    assert Table.of_split(path, "train").read([0])["image"].max() == 7


@pytest.mark.parametrize("format", ["tfrecord", "hdf5"])
def test_a_torch_dataset(format, tmp_path):
    """So does a PyTorch dataset, also one that is sent to a worker after the overwrite."""
    path = write(tmp_path, format, OLD)
    dataset, untouched = (tfds_builder.as_torch(path, split="train") for _ in range(2))
    assert len(dataset) == ROWS
    write(tmp_path, format, NEW)
    for send in (lambda data: data, lambda data: pickle.loads(pickle.dumps(data))):
        with pytest.raises(OverwrittenError):
            send(untouched)[ROWS - 1]


def test_the_same_version_once_more(tmp_path):
    """A version that was replaced by the same bytes is the same version."""
    path = write(tmp_path, "tfrecord", OLD)
    table = Table.of_split(path, "train")
    write(tmp_path, "tfrecord", OLD)
    assert len(table.read(slice(None))["label"]) == ROWS


def test_class_names_of_a_data_source(tmp_path):
    """The class names that a data source tells are those of its rows."""
    builder = tfds_builder.builder_from_directory(write(tmp_path, "tfrecord", OLD))
    source = builder.as_data_source(split="train")
    source[0]
    write(tmp_path, "tfrecord", NEW)
    with pytest.raises(OverwrittenError):
        _ = source.dataset_info.features["label"].names


def test_a_version_that_is_gone(tmp_path):
    """Where the version was removed, its files are missing, as before."""
    path = write(tmp_path, "tfrecord", OLD)
    table = Table.of_split(path, "train")
    shutil.rmtree(path)
    with pytest.raises(tfds_builder.MissingFileError):
        table.read(slice(None))
