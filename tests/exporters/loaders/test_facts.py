"""What a loader draws, and how much: an export has what one loop over it gives."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    TensorDataset,
)

from exporters import LoaderError
from exporters.loaders import facts as loader

X = torch.arange(7 * 6, dtype=torch.float32).reshape(7, 2, 3)


Y = torch.arange(7) * 11


class Stream(IterableDataset):
    """An iterable dataset that shares its items between workers and knows no length."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        start, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(self.items[start::step])


def seeded(dataset, **options):
    return DataLoader(dataset, generator=torch.Generator().manual_seed(3), **options)


ROWS = list(zip(X, Y.tolist(), strict=True))


SOURCES = {
    "sequential": lambda n: DataLoader(ROWS, batch_size=2, num_workers=n),
    "shuffle": lambda n: seeded(ROWS, batch_size=2, shuffle=True, num_workers=n),
    "drop_last": lambda n: seeded(ROWS, batch_size=2, shuffle=True, drop_last=True, num_workers=n),
    "sampler": lambda n: DataLoader(ROWS, batch_size=3, sampler=[6, 0, 0, 2], num_workers=n),
    "batch_sampler": lambda n: DataLoader(ROWS, batch_sampler=BatchSampler([5, 4, 3, 1, 1], 2, False), num_workers=n),
    "uneven batch_sampler": lambda n: DataLoader(ROWS, batch_sampler=[[0], [1, 2, 3], [6, 5]], num_workers=n),
    "iterable": lambda n: DataLoader(Stream(ROWS), batch_size=2, num_workers=n),
    "TensorDataset": lambda n: DataLoader(TensorDataset(X, Y), batch_size=4, num_workers=n),
    "batches of the dataset": lambda n: DataLoader([(X[:4], Y[:4]), (X[4:], Y[4:])], collate_fn=itemgetter(0), num_workers=n),
    "batches of a stream": lambda n: DataLoader(
        Stream([(X[:2], Y[:2]), (X[2:], Y[2:])]), collate_fn=lambda items: items[0], num_workers=n
    ),
    "pin_memory": lambda n: DataLoader(ROWS, batch_size=2, pin_memory=True, num_workers=n),
    "persistent workers": lambda n: DataLoader(ROWS, batch_size=2, num_workers=n, persistent_workers=n > 0),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("source", SOURCES)
def test_sources(source, workers, publish, read_back, assert_same):
    """An export holds exactly what one loop over the same loader gives, in its order."""
    batches = list(SOURCES[source](workers))
    expected = {name: torch.cat([batch[part] for batch in batches]) for part, name in enumerate(("features", "label"))}
    result = publish(SOURCES[source](workers), on_hazard={"drop_last": "ignore", "sampler_shorter": "ignore"})
    assert result.examples == {"train": len(expected["label"])}
    assert_same(read_back(result), expected)


@pytest.mark.parametrize("value", [None, 3, [1, 2], X, TensorDataset(X), iter([X]), "loader"])
def test_not_a_loader(value, refuses):
    """What is no DataLoader is refused by the name of its split, with its type."""
    refuses(
        {"train": DataLoader([1]), "test": value},
        LoaderError,
        "split 'test'",
        "torch.utils.data.DataLoader",
        type(value).__name__,
    )
    refuses(value, LoaderError, "split 'train'")


@pytest.mark.parametrize("make", SOURCES)
def test_expected_examples(make):
    """Where the number of examples is foretold (for the bar), it is the number that comes."""
    foretold = loader.expected_examples(SOURCES[make](0))
    assert foretold in (None, sum(len(batch[1]) for batch in SOURCES[make](0)))


SAMPLERS = {
    "a sampler longer than the dataset": lambda data: DataLoader(data, 4, sampler=SequentialSampler(range(14))),
    "a sampler shorter than the dataset": lambda data: DataLoader(data, 4, sampler=SequentialSampler(range(5))),
    "batches of a sampler's own": lambda data: DataLoader(data, batch_sampler=BatchSampler(SequentialSampler(data), 3, True)),
}


@pytest.mark.parametrize("case", SAMPLERS)
def test_a_sequential_sampler_is_taken_at_its_word(case, format, publish, read_back):
    """However a sequential sampler is set up, the export has the examples that a loop over the loader gives, and no others."""

    class Cycle(Dataset):
        def __len__(self):
            return 7

        def __getitem__(self, index):
            return X[index % 7], index

    loader = SAMPLERS[case](Cycle())
    expected = [torch.cat(parts) for parts in zip(*loader, strict=True)]
    found = read_back(publish(loader, format, on_hazard="ignore"))
    assert np.array_equal(found["features"], expected[0].numpy())
    assert np.array_equal(found["label"], expected[1].numpy())
