"""Where shards begin is settled before any is written: by the size of rows, or by that of a few batches."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import exporters

pytestmark = pytest.mark.once


class Texts(Dataset):
    """Texts of growing length, which notes who was asked for; one of them may stop the export."""

    def __init__(self, count, stop_at=None):
        self.count, self.stop_at, self.asked = count, stop_at, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.stop_at:
            raise RuntimeError("stopped")
        self.asked.append(index)
        return {"text": "x" * index, "number": index}


def export(dataset, data_dir, **options):
    loader = options.pop("loader", None) or DataLoader(dataset, 4)
    return exporters.export(loader, data_dir, **{"name": "ds", "progress": False, "on_hazard": "ignore", **options})


def plan_of(data_dir):
    return json.loads((data_dir / "ds/1.0.0.resume/plan.json").read_bytes())


def test_batches_are_looked_at_all_over(format, tmp_path, manifest_of):
    """Rows that grow do not make shards that grow out of all proportion: a few batches all over say how many make a shard."""
    dataset = Texts(1024)
    shards = manifest_of(export(dataset, tmp_path, format=format, shard_bytes=40_000)).splits["train"].shards
    assert len({shard.rows for shard in shards[:-1]}) == 1
    assert max(shard.data.bytes for shard in shards) < 2.5 * 40_000
    assert len(dataset.asked) - 1024 < 1024 // 16


def test_a_few_batches_are_not_asked_for_again(tmp_path):
    """Where there are few batches the first must do: none is drawn twice."""
    dataset = Texts(40)
    assert export(dataset, tmp_path, shard_bytes=90).shards["train"] > 1
    assert sorted(dataset.asked) == [*range(40)]


def test_generators_are_put_back(tmp_path):
    """Looking at batches draws nothing that an undisturbed iteration would not: what is published is what the loader gives."""

    class Noisy(Texts):
        def __getitem__(self, index):
            return {"text": "y" * int(torch.randint(100, ())), "noise": torch.rand(3)}

    torch.manual_seed(3)
    wanted = torch.cat([batch["noise"] for batch in DataLoader(Noisy(400), 4)])
    torch.manual_seed(3)
    result = export(Noisy(400), tmp_path, shard_bytes=2000)
    from tfds_builder.table.table import Table

    assert np.array_equal(Table.of_split(result.path, "train").read(slice(None))["noise"], wanted.numpy())


def test_a_batch_that_cannot_be_drawn_is_met_in_its_turn(tmp_path):
    """What a batch raises when it is looked at before its turn is raised in its turn, and shards before it are kept."""
    # of 64 batches 22 and 43 are looked at
    with pytest.raises(RuntimeError, match="stopped"):
        export(Texts(256, stop_at=174), tmp_path, shard_bytes=500)
    assert len(list((tmp_path / "ds/1.0.0.resume").glob("*.shard.json"))) > 1


def test_the_rule_is_in_the_plan(format, tmp_path, tree):
    """The plan has the rule of each split; an export that goes on takes it from there and gives the bytes of one in one go."""
    whole = tree(export(Texts(200), tmp_path / "whole", format=format, shard_bytes=900).path)
    with pytest.raises(RuntimeError, match="stopped"):
        export(Texts(200, stop_at=150), tmp_path / "data", format=format, shard_bytes=900)
    assert set(plan_of(tmp_path / "data")["cuts"]["train"]) == {"batches"}
    assert tree(export(Texts(200), tmp_path / "data", format=format, shard_bytes=900).path) == whole


def keep_some(examples):
    """Drops most examples, and with them all rows of some batches."""
    kept = [example for example in examples if not 8 <= example["number"] < 24]
    return {key: [example[key] for example in kept] for key in ("text", "number")}


@pytest.mark.filterwarnings("ignore::exporters.HazardWarning")
def test_shards_without_rows(format, tmp_path, tree, manifest_of, read_back):
    """A shard whose batches all lost their rows is not published, and the others are numbered without it; after a stop too."""
    options = {"format": format, "shard_bytes": 30, "on_hazard": "warn"}
    options["loader"] = DataLoader(Texts(40), 4, collate_fn=keep_some)
    result = export(None, tmp_path / "whole", **options)
    assert read_back(result)["number"].tolist() == [*range(8), *range(24, 40)]
    assert all(shard.rows for shard in manifest_of(result).splits["train"].shards)
    options["loader"] = DataLoader(Texts(40, stop_at=38), 4, collate_fn=keep_some)
    with pytest.raises(RuntimeError, match="stopped"):
        export(None, tmp_path / "data", **options)
    notes = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "data/ds/1.0.0.resume").glob("*.shard.json"))]
    assert 0 in [note["rows"] for note in notes]
    options["loader"].dataset.stop_at = None
    assert tree(export(None, tmp_path / "data", **options).path) == tree(result.path)


def test_rows_of_one_size(format, tmp_path, manifest_of):
    """Rows of one size are cut by how many fit, as many as the sampler's batches allow."""
    batches = [[0, 1, 2], [3], [4, 5], [6, 7, 8, 9, 10], [11]]
    loader = DataLoader([{"x": np.full(10, row, np.uint8)} for row in range(12)], batch_sampler=batches)
    result = export(None, tmp_path, loader=loader, format=format, shard_bytes=45)
    assert [shard.rows for shard in manifest_of(result).splits["train"].shards] == [4, 2, 5, 1]
