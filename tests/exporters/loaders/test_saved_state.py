"""torchdata's StatefulDataLoader: an export that was stopped goes on from the state of the loader, to the same bytes."""

from __future__ import annotations

import traceback

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

import exporters
from exporters.loaders import facts as loader_lib
from tfds_builder.table.table import Table

stateful_dataloader = pytest.importorskip("torchdata.stateful_dataloader")
pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:.*lambda function is not supported for pickle")]

ROWS = 41


class Stop(Exception):
    """What stops an export in these tests."""


def example(index, stop_at):
    if index == stop_at:
        raise Stop
    return torch.full((3, 5, 6), index, dtype=torch.uint8), index % 3


class Map(Dataset):
    """A map-style dataset that counts what it is asked for."""

    def __init__(self, stop_at=None):
        self.stop_at, self.asked = stop_at, 0

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        self.asked += 1
        return example(index, self.stop_at)


class Stream(IterableDataset):
    """A stream that has no state; each worker gives its share of it."""

    def __init__(self, stop_at=None):
        self.stop_at, self.given, self.position = stop_at, [], 0

    def __iter__(self):
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        while (index := self.position * workers + worker) < ROWS:
            self.position += 1
            self.given.append(index)
            yield example(index, self.stop_at)
        self.position = 0

    @property
    def asked(self):
        return len(self.given)


class Stateful(Stream):
    """The same with a state."""

    def state_dict(self):
        return {"position": [self.position]}

    def load_state_dict(self, state):
        self.position = state["position"][0]


class Moving(Stateful):
    """A state that moves on after it was given."""

    def __init__(self, stop_at=None):
        super().__init__(stop_at)
        self.state = [0]

    def state_dict(self):
        self.state[0] = self.position
        return {"position": self.state}


class WithoutState(Stream):
    """A stream that begins at its start every time."""

    def __iter__(self):
        self.position = 0
        return super().__iter__()


class Opaque(Stateful):
    """A state that takes a class to be brought back."""

    def state_dict(self):
        return {"position": np.array([self.position])}

    def __iter__(self):
        if "position" not in vars(self):
            self.position = 0
        return super().__iter__()


class Forgetful(Stateful):
    """A state that does not bring back where the stream was."""

    def load_state_dict(self, state):
        self.position = state["position"][0] and state["position"][0] - 1


def make(dataset, **options):
    return stateful_dataloader.StatefulDataLoader(dataset, **{"batch_size": 4, **options})


def run(data_dir, loader, format="tfrecord", **options):
    return exporters.export(
        loader,
        data_dir,
        **{"name": "ds", "format": format, "shard_bytes": 800, "progress": False, "on_hazard": "ignore", **options},
    )


def stop(data_dir, loader, *options, error=Stop):
    """An export that is stopped. Its workers are let go at once: the garbage collector would wait ten seconds for them."""
    try:
        run(data_dir, loader, *options)
    except error as stopped:
        traceback.clear_frames(stopped.__traceback__)
        return
    pytest.fail("it was not stopped")


def read_images(data_dir):
    return Table.of_split(data_dir / "ds" / "1.0.0", "train").read(slice(None))["image"][:, 0, 0, 0].tolist()


def seeded(dataset, **options):
    return make(dataset, shuffle=True, generator=torch.Generator().manual_seed(2), **options)


KINDS = {"map": (Map, make), "shuffled": (Map, seeded), "stateful": (Stateful, make), "without_state": (WithoutState, make)}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_to_the_same_bytes(kind, workers, tmp_path, tree):
    """Stopped and run again, an export has the bytes of one that was not stopped, in the order of a bare loop; what was
    done is passed over, but for three batches that are compared, and the last shard of a loader that has a state,
    which is compared and then drained again."""
    (dataset, loader), format = KINDS[kind], "hdf5" if workers else "tfrecord"
    run(tmp_path / "whole", loader(dataset(), num_workers=workers), format)
    bare = [row for images, _ in loader(dataset(), num_workers=workers) for row in images[:, 0, 0, 0].tolist()]
    assert read_images(tmp_path / "whole") == bare
    stop(tmp_path / "data", loader(dataset(stop_at=bare[33]), num_workers=workers), format)
    shards = len(list((tmp_path / "data" / "ds" / "1.0.0.resume").glob("*.shard.json")))
    assert shards >= 2
    again = dataset()
    run(tmp_path / "data", loader(again, num_workers=workers), format)
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")
    if not workers:
        assert again.asked == {"stateful": ROWS - 8 * (shards - 1) + 8, "without_state": ROWS}.get(
            kind, ROWS - 8 * shards + 3 * 4
        )


class Dice(Sampler):
    """A sampler that draws anew each time, and has no state."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        return iter(torch.randperm(len(self.dataset)).tolist())


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": Dice(Map())}], ids=["shuffle", "sampler"])
def test_an_order_that_cannot_be_drawn_again(options, tmp_path):
    """Without a seed, or with a sampler that torchdata could not put back, every example comes once all the same."""
    stop(tmp_path, make(Last(30), **options))
    run(tmp_path, make(Map(), **options))
    assert sorted(read_images(tmp_path)) == list(range(ROWS))


class Last(Map):
    """Stops at the so-manyth example that it is asked for."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def __getitem__(self, index):
        if self.asked == self.number:
            raise Stop
        return super().__getitem__(index)


def test_a_state_that_cannot_be_brought_back(tmp_path, tree):
    """A state of more than tensors and plain values is not unpickled: the stream is run past, and compared."""
    run(tmp_path / "whole", make(Opaque()))
    stop(tmp_path / "data", make(Opaque(stop_at=33)))
    again = Opaque()
    run(tmp_path / "data", make(again))
    assert again.asked == ROWS
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


def test_a_state_that_moves_on(tmp_path, tree):
    """What is noted is the state after a shard, even if its parts change later. With workers torchdata itself loses such
    changes: the stream is run past then."""
    run(tmp_path / "whole", make(Moving()))
    stop(tmp_path / "data", make(Moving(stop_at=33)))
    again = Moving()
    run(tmp_path / "data", make(again))
    assert again.asked < ROWS
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")
    stop(tmp_path / "workers", make(Moving(stop_at=33), num_workers=2))
    run(tmp_path / "workers", make(Moving(), num_workers=2))
    assert sorted(read_images(tmp_path / "workers")) == list(range(ROWS))


def test_a_state_that_forgets(tmp_path, tree):
    """Where the state of a stream does not bring back where it was, the stream is run past what is done, to the same bytes."""
    run(tmp_path / "whole", make(Forgetful()))
    stop(tmp_path / "data", make(Forgetful(stop_at=33)))
    again = Forgetful()
    run(tmp_path / "data", make(again))
    assert again.asked > ROWS
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["stateful", "forgetful", "hugging face", "hugging face, shuffled"])
def test_the_loader_is_as_after_an_export_in_one_go(kind, tmp_path, tree):
    """After an export that went on, the loader gives all rows, as it does after one that was not stopped."""

    def loader(stops):
        if not kind.startswith("hugging"):
            return make({"stateful": Stateful, "forgetful": Forgetful}[kind](33 if stops else None))
        datasets = pytest.importorskip("datasets")
        rows = datasets.Dataset.from_dict({"x": [[index] * 30 for index in range(ROWS)]}).to_iterable_dataset(num_shards=2)
        rows = rows.shuffle(seed=1, buffer_size=10) if "shuffled" in kind else rows
        batches = []

        def collate(examples):
            batches.append(1)
            if stops and len(batches) > 8:
                raise Stop
            return torch.utils.data.default_collate(examples)

        return make(rows.with_format("torch"), collate_fn=collate)

    def count(loader):
        return sum(len(next(iter(batch.values())) if isinstance(batch, dict) else batch[0]) for batch in loader)

    whole = loader(False)
    run(tmp_path / "whole", whole)
    stop(tmp_path / "data", loader(True))
    again = loader(False)
    run(tmp_path / "data", again)
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")
    assert [count(loader) for loader in (whole, again, again)] == [ROWS] * 3


def test_what_a_loader_was_put_into_is_kept(tmp_path):
    """A loader that was put into a state is drained from there, as a bare loop would."""
    loader = make(Map())
    batches = iter(loader)
    next(batches)
    state, rest = loader.state_dict(), make(Map())
    rest.load_state_dict(state)
    assert loader_lib.describe(rest).kind == "state"
    run(tmp_path, rest)
    assert read_images(tmp_path) == list(range(4, ROWS))
