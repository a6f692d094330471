"""What the tests of the engines share: datasets whose rows say by their number what they are, and what an export has told."""

import time

import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Rows(Dataset):
    """Rows that a function makes, each after a while."""

    def __init__(self, make, count, seconds=0.0):
        self.make, self.count, self.seconds = make, count, seconds

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return self.make(index)


class Parts(IterableDataset):
    """The same as a stream, of which each worker gives a part."""

    def __init__(self, make, count):
        self.make, self.count = make, count

    def __iter__(self):
        info = get_worker_info()
        return map(self.make, range(info.id, self.count, info.num_workers))


def parts_of(make, count=80):
    """A loader of it that says that it may be read in five parts."""
    return DataLoader(Parts(make, count), 4, num_workers=5, generator=torch.Generator().manual_seed(2))


def drawn(index):
    return {"index": index, "x": torch.rand(3)}


ALONE = {"engine": "processes", "engine_options": {"workers": 1, "start_method": "fork"}}
"""Reads a stream part by part, in one process."""


def fixed(index):
    return {"image": torch.full((3, 5, 6), index % 256, dtype=torch.uint8), "label": index % 7}


def text(index):
    return {"text": "é" * (index % 9), "number": index}


def picture(index):
    return {"image": torch.full((3, 7, 6), index % 256, dtype=torch.uint8), "label": index % 3}


PNG = {"image": tfds.features.Image(shape=(7, 6, 3)), "label": tfds.features.ClassLabel(num_classes=3)}


def told(result):
    return [(hazard.name, hazard.split, hazard.count) for hazard in result.hazards], result.counts


def notes_of(data_dir):
    return list((data_dir / "ds/1.0.0.resume").glob("*.shard.json"))
