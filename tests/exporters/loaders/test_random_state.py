"""Random generators are found wherever samplers and datasets keep them: looking at a batch moves none of them on."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler, SubsetRandomSampler, WeightedRandomSampler

import exporters
from exporters.loaders.random_state import fingerprint, random_state_kept

pytestmark = pytest.mark.once

ROWS = 20


def generator():
    return torch.Generator().manual_seed(5)


class Numbers(Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return torch.tensor(index)


class Noisy(Numbers):
    """Its rows are drawn from generators of its own, one of them in what it wraps."""

    def __init__(self):
        self.generator = generator()
        self.inner = {"rng": [np.random.default_rng(3), random.Random(4), np.random.RandomState(5)]}

    def __getitem__(self, index):
        one, other, third = self.inner["rng"]
        drawn = torch.rand(1, generator=self.generator), one.random(), other.random(), third.random()
        return torch.tensor([float(value) for value in drawn])


class Own(Sampler):
    """A batch sampler of one's own, with a generator in an attribute of any name."""

    def __init__(self, base_sampler=None, rng=None):
        self.base_sampler, self.rng = base_sampler, rng

    def __len__(self):
        return ROWS // 4

    def __iter__(self):
        rows = list(self.base_sampler) if self.base_sampler is not None else self.rng.permutation(ROWS).tolist()
        return (rows[start : start + 4] for start in range(0, ROWS, 4))


class Flat(Sampler):
    """The indices of a sampler of batches, one by one."""

    def __init__(self, batches):
        self.parts = [batches]

    def __len__(self):
        return ROWS

    def __iter__(self):
        return (index for batch in self.parts[0] for index in batch)


class Epochs(Sampler):
    """Shuffles by the number of its epoch."""

    epoch = 0

    def __len__(self):
        return ROWS

    def __iter__(self):
        self.epoch += 1
        return iter(random.Random(self.epoch).sample(range(ROWS), ROWS))


def by_function():
    dice = np.random.default_rng(8)
    return lambda rows: torch.stack(rows) + int(dice.integers(100))


LOADERS = {
    "shuffle": lambda data: DataLoader(data, batch_size=4, shuffle=True, generator=generator()),
    "shuffle, global": lambda data: DataLoader(data, batch_size=4, shuffle=True),
    "sampler": lambda data: DataLoader(data, batch_size=4, sampler=RandomSampler(data, generator=generator())),
    "replacement": lambda data: DataLoader(data, batch_size=4, sampler=RandomSampler(data, True, 15, generator=generator())),
    "subset": lambda data: DataLoader(data, batch_size=4, sampler=SubsetRandomSampler(range(9), generator=generator())),
    "weights": lambda data: DataLoader(
        data, batch_size=4, sampler=WeightedRandomSampler([1.0] * ROWS, 15, generator=generator())
    ),
    "batch_sampler": lambda data: DataLoader(
        data, batch_sampler=BatchSampler(RandomSampler(data, generator=generator()), 4, False)
    ),
    "base_sampler": lambda data: DataLoader(data, batch_sampler=Own(RandomSampler(data, generator=generator()))),
    "nested": lambda data: DataLoader(
        data, batch_sampler=BatchSampler(Flat(Own(RandomSampler(data, generator=generator()))), 4, False)
    ),
    "NumPy": lambda data: DataLoader(data, batch_sampler=Own(rng=np.random.default_rng(4))),
    "NumPy, old": lambda data: DataLoader(data, batch_sampler=Own(rng=np.random.RandomState(4))),
    "epochs": lambda data: DataLoader(data, batch_size=4, sampler=Epochs()),
    "collate_fn": lambda data: DataLoader(data, batch_size=4, shuffle=True, collate_fn=by_function()),
    "partial": lambda data: DataLoader(data, batch_size=4, collate_fn=functools.partial(draw, np.random.default_rng(3))),
}


def draw(dice, rows):
    return torch.stack(rows) + int(dice.integers(100))


class Batches(Numbers):
    def __getitem__(self, indices):
        return torch.tensor(indices)


def without_batches():
    data = Batches()
    batches = BatchSampler(RandomSampler(data, generator=generator()), 4, False)
    return DataLoader(data, batch_size=None, sampler=batches, collate_fn=lambda item: item)


CASES = [*(f"{name}, {kind}" for name in LOADERS for kind in ("Numbers", "Noisy")), "no batch size"]


def made(case):
    torch.manual_seed(1)
    if case == "no batch size":
        return without_batches()
    name, kind = case.rsplit(", ", 1)
    return LOADERS[name]({"Numbers": Numbers, "Noisy": Noisy}[kind]())


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", CASES)
def test_a_stream_begins_as_the_loader_does(case):
    """The first epochs of `stream(loader)` are those of a loop over the loader, whatever keeps the generators; making it
    moves none of them on."""
    import tensorflow  # noqa: F401 (importing it draws random numbers)

    alone = made(case)
    expected = [torch.cat(list(alone)).tolist() for _ in range(2)]
    loader = made(case)
    before = fingerprint(loader)
    ds = exporters.stream(loader)
    assert fingerprint(loader) == before
    assert [[example["features"].tolist() for example in ds.as_numpy_iterator()] for _ in range(2)] == expected


@pytest.mark.parametrize("case", CASES)
def test_state_is_kept(case):
    """A whole epoch with the state kept moves no generator on; without, it does."""
    loader = made(case)
    before = fingerprint(loader)
    with random_state_kept(loader):
        first = torch.cat(list(loader))
        assert fingerprint(loader) != before
    assert fingerprint(loader) == before
    assert torch.equal(torch.cat(list(loader)), first)
