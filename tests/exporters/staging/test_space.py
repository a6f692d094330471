"""A disk that has not the room for an export: told before the first byte where it can be, and in bytes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import exporters

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen


ROWS = 40


def run(data_dir, dataset):
    options = {"shard_bytes": 1000, "progress": False, "on_hazard": "ignore"}
    return exporters.export(DataLoader(dataset, batch_size=4), data_dir, name="ds", **options)


def test_little_room(tmp_path, monkeypatch):
    """Where rows have one size, more of them than the disk has room for are told before the first byte, in bytes; as many
    as there is room for are not."""
    asked = []

    class Numbers(Dataset):
        def __len__(self):
            return ROWS

        def __getitem__(self, index):
            asked.append(index)
            return torch.full((3, 5, 6), index, dtype=torch.uint8)

    monkeypatch.setattr("exporters.staging.space.free_bytes", lambda path: ROWS * 90)
    run(tmp_path / "enough", Numbers())
    monkeypatch.setattr("exporters.staging.space.free_bytes", lambda path: ROWS * 90 - 1)
    asked.clear()
    with pytest.warns(UserWarning, match=r"3,600 bytes are about to be written to .*, and 3,599 are free.*data_dir"):
        run(tmp_path / "little", Numbers())
    monkeypatch.setattr("warnings.warn", lambda *_, **__: 1 / 0)
    asked.clear()
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "before", Numbers())
    assert len(asked) <= 8
    assert not (tmp_path / "before").exists()
