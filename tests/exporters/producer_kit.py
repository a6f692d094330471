"""What the producer's tests share: datasets that stop or fail, an export that can be stopped, a batch of every kind of value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import exporters

ROWS = 40

ITEMS = torch.arange(40).reshape(8, 5)

MIXED = {
    "image": torch.arange(5 * 3 * 4 * 6, dtype=torch.int32).reshape(5, 3, 4, 6),
    "label": torch.arange(5) % 2,
    "n": {"b": torch.arange(5).to(torch.bfloat16), "deep": {"z": torch.arange(5) * 1j}, "t": ["a", "", "é", "x" * 99, "e"]},
    "none": torch.empty(5, 0, 2, dtype=torch.float64),
    "flag": torch.arange(5) > 2,
    "half": torch.arange(5).half(),
    "u": np.arange(5, dtype=np.uint32),
    "words": np.array([[b"a", b"b"]] * 5, object),
}
"""A batch with a column of every kind that both formats store."""


class Images(Dataset):
    """Images by number that stop after some, and count how many were asked for."""

    def __init__(self, stop_at=None, add=0):
        self.stop_at, self.add, self.asked = stop_at, add, 0

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        self.asked += 1
        if self.asked == self.stop_at:
            raise RuntimeError("stopped")
        return {"image": torch.full((3, 5, 6), index + self.add, dtype=torch.uint8), "text": f"number {index}"}


def run(data_dir, dataset=None, format="tfrecord", **options):
    return exporters.export(
        DataLoader(dataset or Images(), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(1)),
        data_dir,
        **{"name": "ds", "format": format, "shard_bytes": 400, "progress": False, "on_hazard": "ignore", **options},
    )


def stop(data_dir, format="tfrecord", **options):
    """An export that is stopped with some shards finished; its directory of datasets."""
    with pytest.raises(RuntimeError, match="stopped"):
        run(data_dir, Images(stop_at=32), format, **options)
    return data_dir / "ds"


class MyError(Exception):
    """Someone else's exception, which needs more than a message."""

    def __init__(self, message, code=7):
        super().__init__(message)
        self.code = code


class Failing(Dataset):
    """Six items; doing something else for the item asked last."""

    def __init__(self, action):
        self.action = action

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.action() if index == 5 else ITEMS[0]


def raise_my_error():
    raise MyError("of the dataset")
