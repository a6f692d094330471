"""The widest column of an HDF5 shard goes out as it is drained; what the loader says of its length must not matter."""

import hashlib
import itertools
import json
import pathlib

import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from producer_kit import MIXED
from torch.utils.data import DataLoader, IterableDataset, Sampler

X, Y = torch.arange(40 * 3 * 8 * 8).reshape(40, 3, 8, 8).to(torch.uint8), torch.arange(40)


class Rows:
    def __init__(self, rows=40):
        self.rows = rows

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        return X[index], Y[index], X[index, 0].to(torch.float64)


class Stream(IterableDataset):
    def __iter__(self):
        return iter([Rows()[index] for index in range(40)])


class Liar(Sampler):
    def __init__(self, says):
        self.says = says

    def __len__(self):
        return self.says

    def __iter__(self):
        return iter(range(40))


def digests(result):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pathlib.Path(result.path).iterdir()}


@pytest.mark.parametrize("shard_bytes", [1, 9_000, 10**6])
@pytest.mark.parametrize("says", [None, 1, 8, 13, 39, 41, 1000])
def test_what_the_loader_says_of_its_length(says, shard_bytes, publish, tmp_path):
    """The same rows give the same bytes, whether the loader tells their number, does not, or tells a wrong one."""
    options = {"format": "hdf5", "shard_bytes": shard_bytes, "layouts": {"item_0": "NCHW"}, "on_hazard": "ignore"}
    honest = publish(DataLoader(Rows(), batch_size=7), data_dir=tmp_path / "a", **options)
    loader = DataLoader(Stream(), batch_size=7) if says is None else DataLoader(Rows(), batch_size=7, sampler=Liar(says))
    other = publish(loader, data_dir=tmp_path / "b", **options)
    assert digests(honest) == digests(other)


ClassLabel = tfds.features.ClassLabel


def only_shard(result):
    """The one data file of an export."""
    (path,) = [p for p in pathlib.Path(result.path).iterdir() if ".tfrecord-" in p.name or p.suffix == ".h5"]
    return path


@pytest.fixture
def mixed(publish, loader_of):
    twice = {"on_hazard": {"duplicates": "ignore"}}
    return publish(loader_of(MIXED, MIXED), "hdf5", **twice, features={"label": ClassLabel(names=["no", "yes"])}, version="1.2.3")


def test_h5py_reads_it(mixed):
    """Plain h5py finds every column under its nested name, with its values and its own dtype."""
    with h5py.File(only_shard(mixed)) as file:
        np.testing.assert_array_equal(file["image"][:5], np.moveaxis(MIXED["image"].numpy(), 1, -1))
        assert file["label"][:].tolist() == [0, 1, 0, 1, 0] * 2
        assert (file["n/b"].dtype, file["n/b"].attrs["dtype"]) == (np.uint16, "bfloat16")
        np.testing.assert_array_equal(file["n/b"][:5], MIXED["n"]["b"].view(torch.int16).numpy().view(np.uint16))
        assert file["n/deep/z"][:5].tolist() == [0j, 1j, 2j, 3j, 4j]
        assert (file["none"].shape, file["none"].dtype) == ((10, 0, 2), np.float64)
        assert file["flag"][:5].tolist() == [False, False, False, True, True]
        assert [file[name].dtype for name in ("flag", "half", "u", "image", "label")] == ["?", "f2", "u4", "i4", "i8"]
        for name, expected in (("n/t", MIXED["n"]["t"] * 2), ("words", ["a", "b"] * 10)):
            values, splits = file[name]["values"][:].tobytes(), file[name]["row_splits"][:].tolist()
            assert [values[a:b].decode() for a, b in itertools.pairwise(splits)] == expected


def test_h5_datasets_are_contiguous(mixed, manifest_of):
    """Every dataset is one unfiltered run of bytes at the offset the manifest gives."""
    manifest = manifest_of(mixed)
    geometry = manifest.geometries[0]
    with h5py.File(only_shard(mixed)) as file:
        for column, offset, splits in zip(manifest.columns, geometry.offsets, geometry.row_splits, strict=True):
            strings = column.encoding == "strings"
            places = {f"{column.name}/values": offset, f"{column.name}/row_splits": splits} if strings else {column.name: offset}
            for name, place in places.items():
                dataset = file[name]
                assert (dataset.chunks, dataset.compression, dataset.external) == (None, None, None)
                assert not dataset.size or dataset.id.get_offset() == place


def test_h5_attributes(mixed, manifest_of):
    """A file says by itself what it is: dataset, version, split, shard, features, and of each column layout and classes."""
    with h5py.File(only_shard(mixed)) as file:
        facts = dict(file.attrs)
        assert json.loads(facts.pop("features")) == manifest_of(mixed).features
        assert facts.pop("producer").startswith("torch2tfds ")
        assert facts == {"dataset": "ds", "version": "1.2.3", "split": "train", "shard": 0}
        assert dict(file["image"].attrs) == {"feature": "Tensor", "dtype": "int32", "layout": "NHWC", "source_layout": "NCHW"}
        assert (file["label"].attrs["feature"], list(file["label"].attrs["class_names"])) == ("ClassLabel", ["no", "yes"])
        assert file["n/t"].attrs["feature"] == "Text"


def test_h5_of_thirty_thousand_classes(publish, loader_of, manifest_of):
    """Class names of any number fit into the file, the manifest and TFDS's label file."""
    names = [f"class number {i}" for i in range(30_000)]
    result = publish(
        loader_of((torch.zeros(2, 2), torch.tensor([0, 29_999]))), "hdf5", features={"label": ClassLabel(names=names)}
    )
    with h5py.File(only_shard(result)) as file:
        assert list(file["label"].attrs["class_names"]) == names
    assert list(manifest_of(result).labels["label"]) == names
    assert (pathlib.Path(result.path) / "label.labels.txt").read_text().split("\n")[:30_000] == names
