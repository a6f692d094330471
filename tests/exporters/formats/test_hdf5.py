"""The widest column of an HDF5 shard goes out as it is drained; what the loader says of its length must not matter."""

import hashlib
import pathlib

import pytest
import torch
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
