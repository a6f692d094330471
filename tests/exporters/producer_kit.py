"""What tests of stopped exports share: images that stop, and an export of them that can be stopped."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import exporters

ROWS = 40


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
