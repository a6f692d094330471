"""`seed=`: what a dataset draws at random does not depend on who draws it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, StackDataset, get_worker_info

import exporters

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore::exporters.HazardWarning")]

ROWS = 40


class Noisy(Dataset):
    """Draws from each of the global generators, examples one by one or in one go."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        if index == self.stop_at:
            raise RuntimeError("stopped")
        row = {"python": random.random(), "numpy": np.random.rand(), "torch": torch.rand(3), "text": "x" * random.randrange(9)}
        return row | {"index": index}


class Gathering(Noisy):
    def __getitems__(self, indices):
        return [self[index] for index in indices][::-1]


def noisy_batch(examples):
    """Draws too."""
    batch = torch.utils.data.default_collate(examples)
    return batch | {"drawn": torch.randint(1000, (len(examples),))}


def loaders(kind=Noisy, workers=0, **options):
    options = {"num_workers": workers, "collate_fn": noisy_batch, **options}
    train = DataLoader(kind(), 4, shuffle=True, generator=torch.Generator().manual_seed(1), **options)
    return {"train": train, "test": DataLoader(kind(), 4, **options)}


def export(loaders, data_dir, **options):
    return exporters.export(loaders, data_dir, **{"name": "ds", "progress": False, "shard_bytes": 600, "seed": 5, **options})


WAYS = {
    "1 worker": ({"workers": 1}, {}),
    "3 workers": ({"workers": 3}, {}),
    "2 processes": ({}, {"engine": "processes", "engine_options": {"workers": 2, "start_method": "fork"}}),
    "workers and processes": ({"workers": 2}, {"engine": "processes", "engine_options": {"workers": 3, "start_method": "fork"}}),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tree):
    """By kind of dataset, what one process writes without workers."""
    found = {}

    def publish(kind):
        if kind not in found:
            random.seed(0)
            found[kind] = tree(export(loaders(kind), tmp_path_factory.mktemp("whole")).path)
        return found[kind]

    return publish


@pytest.mark.parametrize("kind", [Noisy, Gathering])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_bytes(way, kind, whole, tmp_path, tree):
    """Every file is the same with any number of workers, and by any engine, wherever global generators are before."""
    options, arguments = WAYS[way]
    torch.manual_seed(hash(way))
    random.seed(way)
    assert tree(export(loaders(kind, **options), tmp_path, **arguments).path) == whole(kind)


def test_other_seeds_give_other_data(whole, tmp_path, tree, read_back):
    """Another seed draws otherwise; so does each batch, and each split."""
    assert tree(export(loaders(), tmp_path / "other", seed=6).path) != whole(Noisy)
    result = export({"a": DataLoader(Noisy(), 4), "b": DataLoader(Noisy(), 4)}, tmp_path / "same")
    values = [value for split in "ab" for value in read_back(result, split)["python"].tolist()]
    assert len(set(values)) == 2 * ROWS


def test_without_a_seed(tmp_path, tree):
    """Without one, the number of workers decides what is drawn, and the hazard says so; with one it does not."""
    published = []
    for workers in (1, 2):
        torch.manual_seed(0)
        published.append(tree(export(loaders(workers=workers), tmp_path / str(workers), seed=None).path))
    assert published[0] != published[1]
    with pytest.warns(exporters.HazardWarning, match=r"which one depends on the engine and its workers \(pass seed=0"):
        export(loaders(), tmp_path / "told", seed=None)
    with pytest.warns(exporters.HazardWarning) as told:
        export(loaders(), tmp_path / "seeded")
    assert all("depends on the engine" not in str(warning.message) for warning in told)


def test_generators_are_put_back(tmp_path):
    """What is drawn after an export is not what was drawn in its last batch."""
    loader = DataLoader(Noisy(), 4, generator=torch.Generator())
    before = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()
    export(loader, tmp_path)
    assert before == (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())


def test_going_on(whole, tmp_path, tree):
    """After a stop the same data is drawn, and is compared bit for bit; another seed is another plan."""
    stopping = loaders() | {"test": DataLoader(Noisy(30), 4, collate_fn=noisy_batch)}
    with pytest.raises(RuntimeError, match="stopped"):
        export(stopping, tmp_path)
    with pytest.raises(exporters.ResumeError, match="seed: 5, now 6"):
        export(loaders(), tmp_path, seed=6)
    assert tree(export(loaders(workers=2), tmp_path).path) == whole(Noisy)


class Whose(Noisy):
    def __getitem__(self, index):
        return {"index": index, "own": get_worker_info().dataset is self, "begun": self.begun}


def begin(worker):
    get_worker_info().dataset.begun = 1 + worker


def test_workers_have_their_own_dataset(tmp_path, read_back):
    """`get_worker_info()` has the dataset that was given, also for `worker_init_fn`, which may write to it."""
    result = export(DataLoader(Whose(), 4, num_workers=2, worker_init_fn=begin), tmp_path, on_hazard="ignore")
    rows = read_back(result)
    assert rows["own"].all()
    assert set(rows["begun"].tolist()) == {1, 2}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(9))


def test_what_cannot_be_seeded(tmp_path):
    """A stream has no numbers of batches: it is refused, and nothing is left. So is what is no integer."""
    with pytest.raises(exporters.ArgumentError, match="split 'test': seed=5 is for loaders whose batches can be drawn by number"):
        export({"train": DataLoader(Noisy(), 4), "test": DataLoader(Stream(), 4)}, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    with pytest.raises(exporters.ArgumentError, match=r"seed must be an integer \(got 1.5\); for example seed=0"):
        export(loaders(), tmp_path / "data", seed=1.5)


def test_slices_are_not_seeded(tmp_path, read_back):
    """Where nothing is drawn at random, batches are taken in slices as without a seed."""
    result = export(DataLoader(StackDataset(x=torch.arange(ROWS)), 4), tmp_path, on_hazard="ignore")
    assert read_back(result)["x"].tolist() == [*range(ROWS)]


def test_what_is_told_does_not_depend_on_workers(tmp_path, tree):
    """That the dataset draws at random is found out, and published, whether this process reads it or workers do."""
    for workers in (0, 2):
        found = export(loaders(workers=workers, collate_fn=None), tmp_path / str(workers), on_hazard="warn").hazards
        assert {(hazard.name, hazard.split) for hazard in found} >= {("random_transform", "train"), ("random_transform", "test")}
    assert tree(tmp_path / "0") == tree(tmp_path / "2")
