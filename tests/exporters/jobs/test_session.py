"""An export draws what the loader's own iteration draws: its order, the seeds of its workers; its generators end alike."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, WeightedRandomSampler

import exporters
from exporters.jobs.session import SplitWork
from exporters.jobs.task import Task
from tfds_builder.table.table import Table

pytestmark = pytest.mark.once

ROWS = 12


class Noisy(Dataset):
    """Examples that are drawn anew each time, from every generator that a worker is seeded for."""

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return {"torch": torch.rand(20), "python": random.random(), "index": index}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


LOADERS = {
    "in order": lambda workers: DataLoader(Noisy(), 4, num_workers=workers, generator=seeded(1)),
    "in order, no generator": lambda workers: DataLoader(Noisy(), 4, num_workers=workers),
    "shuffled": lambda workers: DataLoader(Noisy(), 4, shuffle=True, num_workers=workers, generator=seeded(42)),
    "shuffled, no generator": lambda workers: DataLoader(Noisy(), 4, shuffle=True, num_workers=workers),
    "with replacement": lambda workers: DataLoader(
        Noisy(), 4, sampler=RandomSampler(range(ROWS), True, 9, generator=seeded(3)), num_workers=workers, generator=seeded(4)
    ),
    "weighted": lambda workers: DataLoader(
        Noisy(), 4, sampler=WeightedRandomSampler([1.0] * ROWS, 10, generator=seeded(5)), num_workers=workers
    ),
    "batches of a sampler": lambda workers: DataLoader(
        Noisy(), batch_sampler=BatchSampler(RandomSampler(range(ROWS), generator=seeded(6)), 5, True), num_workers=workers
    ),
}


def everything(batches):
    """All values of the batches of a loader, and the states of the generators after them."""
    found = list(batches)
    return {key: np.concatenate([np.asarray(batch[key]) for batch in found]) for key in ("torch", "python", "index")}


def states(loader):
    owners = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    generators = [owner.generator for owner in owners if getattr(owner, "generator", None) is not None]
    return [generator.get_state().tolist() for generator in (*generators, torch.default_generator)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", LOADERS)
def test_the_loaders_own_draws(name, workers, tmp_path):
    """What is published is what an iteration of the loader gives, bit for bit, and the generators end as after one."""
    torch.manual_seed(7)
    random.seed(7)
    loader = LOADERS[name](workers)
    wanted, after = everything(loader), states(loader)
    torch.manual_seed(7)
    random.seed(7)
    loader = LOADERS[name](workers)
    result = exporters.export(loader, tmp_path, name="ds", progress=False, on_hazard="ignore")
    got = Table.of_split(result.path, "train").read(slice(None))
    for key, values in wanted.items():
        assert np.array_equal(got[key], values), key
    assert states(loader) == after


@pytest.mark.parametrize("workers", [0, 2])
def test_each_split_draws_its_own(workers, tmp_path):
    """Of two splits with generators of their own each gives what its own iteration gives."""
    make = lambda: {"train": LOADERS["shuffled"](workers), "test": LOADERS["with replacement"](workers)}  # noqa: E731
    wanted = {split: everything(loader)["index"] for split, loader in make().items()}
    result = exporters.export(make(), tmp_path, name="ds", progress=False, on_hazard="ignore")
    for split, values in wanted.items():
        assert np.array_equal(Table.of_split(result.path, split).read(slice(None), ["index"])["index"], values)


def test_a_task_that_does_not_say_where_it_begins():
    """No session is opened for a shard that begins where another ends: it would write the first batches again."""
    work = SplitWork(*[None] * len(dataclasses.fields(SplitWork)))
    with (
        pytest.raises(ValueError, match="shard 3 of split 'train' begins where the one before it ends"),
        work.open(Task("train", 3, None)),
    ):
        pass
