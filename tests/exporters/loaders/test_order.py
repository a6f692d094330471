"""What a loader delivers need not be what its sampler draws: stopped and run again, every example is there once."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, default_collate

import exporters
from exporters import ResumeError
from exporters.loaders import facts as loader_lib
from exporters.loaders import order
from tfds_builder.table.table import Table

ROWS = 60


class Stop(Exception):
    """What stops an export in these tests."""


class Numbers(Dataset):
    """Its items are their numbers, eight bytes each; it stops at one of them."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        if index == self.stop_at:
            raise Stop
        return torch.tensor(int(index))


class Slow(Numbers):
    """Its first examples take long, so that other workers overtake the one that loads them."""

    def __getitem__(self, index):
        time.sleep(0.2 if index < 4 else 0.5 if index == self.stop_at else 0)
        return super().__getitem__(index)


class Reordering(Numbers):
    """Asked for many at once, it gives them the other way round."""

    def __getitems__(self, indices):
        return [self[index] for index in reversed(indices)]


class Keys(Numbers):
    """It takes pairs, strings and NumPy's integers, each in its own way."""

    def __getitem__(self, key):
        if isinstance(key, tuple):
            return super().__getitem__(key[0]) + 100 * key[1]
        if isinstance(key, str):
            return super().__getitem__(int(key)) + 1000
        return super().__getitem__(key.item())


class Backwards(DataLoader):
    """Gives its batches the other way round."""

    def __iter__(self):
        return reversed(list(super().__iter__()))


class Evens(DataLoader):
    """Has an iterator of its own, which gives every second batch, and then the others."""

    def _get_iterator(self):
        batches = list(super()._get_iterator())
        return iter(batches[::2] + batches[1::2])


def with_iterator_of_its_own(loader):
    plain = loader._get_iterator
    loader._get_iterator = lambda: iter(list(plain())[::-1])
    return loader


class Reused(Sampler):
    """Gives one list again and again, with other indices in it."""

    def __len__(self):
        return ROWS // 4

    def __iter__(self):
        batch = []
        for start in range(0, ROWS, 4):
            batch[:] = range(start, start + 4)
            yield batch


class Turning(Sampler):
    """No two of its iterations are the same."""

    turns = 0

    def __len__(self):
        return ROWS

    def __iter__(self):
        self.turns += 1
        return iter(np.roll(np.arange(ROWS), 7 * self.turns).tolist())


class Carrying:
    """A `collate_fn` that gives batches of three, and keeps what is over for the next."""

    def __init__(self):
        self.kept = []

    def __call__(self, rows):
        self.kept += rows
        give = len(self.kept) // 3 * 3
        rows, self.kept = self.kept[:give], self.kept[give:]
        return default_collate(rows)


class Deduplicating:
    """A `collate_fn` that leaves out what it has seen."""

    def __init__(self):
        self.seen = set()

    def __call__(self, rows):
        rows = [row for row in rows if int(row) // 2 not in self.seen]
        self.seen |= {int(row) // 2 for row in rows}
        return torch.stack(rows)


KEPT = []


def carry_for_all(rows):
    KEPT.extend(rows)
    give = len(KEPT) // 3 * 3
    rows, KEPT[:] = KEPT[:give], KEPT[give:]
    return default_collate(rows)


def carrying():
    """The same as a function that closes over what it keeps."""
    kept = []

    def collate(rows):
        kept.extend(rows)
        give = len(kept) // 3 * 3
        rows, kept[:] = kept[:give], kept[give:]
        return default_collate(rows)

    return collate


def leave_out(rows):
    return torch.stack([row for row in rows if int(row) % 3])


def identity(batch):
    return batch


def plain(data=Numbers, **options):
    return lambda stop_at=None: DataLoader(data(stop_at), **{"batch_size": 4, **options})


WAYS = {
    "in_order=False": plain(Slow, num_workers=2, in_order=False),
    "in_order=False, persistent": plain(Slow, num_workers=2, in_order=False, persistent_workers=True),
    "__iter__": lambda stop_at=None: Backwards(Numbers(stop_at), batch_size=4),
    "_get_iterator": lambda stop_at=None: Evens(Numbers(stop_at), batch_size=4),
    "_get_iterator of one loader": lambda stop_at=None: with_iterator_of_its_own(plain()(stop_at)),
    "__getitems__": plain(Reordering),
    "one list for all batches": lambda stop_at=None: DataLoader(Numbers(stop_at), batch_sampler=Reused()),
    "a sampler that turns": lambda stop_at=None: DataLoader(Numbers(stop_at), batch_size=4, sampler=Turning()),
    "the same, workers": lambda stop_at=None: DataLoader(Numbers(stop_at), batch_size=4, sampler=Turning(), num_workers=1),
    "leaves out": plain(collate_fn=leave_out),
    "carries over": lambda stop_at=None: plain(collate_fn=Carrying())(stop_at),
    "carries over in a closure": lambda stop_at=None: plain(collate_fn=carrying())(stop_at),
    "carries over, workers": lambda stop_at=None: plain(collate_fn=Carrying(), num_workers=2)(stop_at),
    "leaves out what was seen": lambda stop_at=None: plain(collate_fn=Deduplicating())(stop_at),
    "integers of NumPy": plain(Keys, sampler=list(np.arange(ROWS, dtype=np.int32))),
    "strings": plain(Keys, sampler=[str(index) for index in range(ROWS)]),
    "tuples": plain(Keys, sampler=[(index, index % 2) for index in range(ROWS)]),
    "pinned": plain(pin_memory=True, num_workers=2, prefetch_factor=5),
    "batches in tuples": lambda stop_at=None: DataLoader(
        Numbers(stop_at), batch_sampler=[tuple(range(start, start + 4)) for start in range(0, ROWS, 4)]
    ),
}


def run(data_dir, loader, **options):
    options = {"name": "ds", "shard_bytes": 100, "progress": False, "on_hazard": "ignore", **options}
    return exporters.export(loader, data_dir, **options)


def read(data_dir):
    return Table.of_split(data_dir / "ds" / "1.0.0", "train").read(slice(None))["features"].tolist()


@pytest.mark.filterwarnings("ignore:.*pin_memory")
@pytest.mark.parametrize("way", WAYS)
def test_every_example_once(way, tmp_path, tree, monkeypatch):
    """Stopped and run again, an export has what one in one go has, byte for byte: each example once, in the loader's order."""
    make = WAYS[way]
    run(tmp_path / "whole", make())
    expected = torch.cat(list(plain(Slow)() if "in_order" in way else make())).tolist()
    assert read(tmp_path / "whole") == expected
    stop_after(monkeypatch, 3)
    with pytest.raises(Stop):
        run(tmp_path / "data", make())
    monkeypatch.undo()
    run(tmp_path / "data", make())
    if "turns" in way or "same" in way:  # a new sampler turns as the one before did
        assert sorted(read(tmp_path / "data")) == sorted(expected)
    else:
        assert tree(tmp_path / "data") == tree(tmp_path / "whole")


def stop_after(monkeypatch, shards):
    """Stops an export when so many shards are finished."""
    from exporters.staging.notes import Notes

    note, count = Notes.write_shard, []

    def note_shard(*args):
        note(*args)
        count.append(1)
        if len(count) == shards:
            raise Stop

    monkeypatch.setattr(Notes, "write_shard", note_shard)


def test_a_state_that_cannot_be_put_back(tmp_path):
    """A `collate_fn` that keeps rows in a variable of its module is refused, not gone on with: rows would be lost."""
    collate, kept = carry_for_all, KEPT
    with pytest.raises(Stop):
        run(tmp_path, plain(collate_fn=collate)(50))
    with pytest.raises(ResumeError, match=r"split 'train': the loader gives other data .*overwrite=True"):
        run(tmp_path, plain(collate_fn=collate)())
    kept.clear()
    run(tmp_path, plain(collate_fn=collate)(), overwrite=True)
    assert read(tmp_path) == list(range(ROWS))


def test_batches_that_come_as_they_are_ready(tmp_path, capsys):
    """`in_order=False` is said to be drained in order; one that iterates in its own way is not trusted to be."""
    run(tmp_path, WAYS["in_order=False"](), progress=True)
    assert "in_order=False is drained as in_order=True" in capsys.readouterr().err
    assert loader_lib.is_put_in_order(WAYS["in_order=False"]())
    assert not loader_lib.is_put_in_order(Backwards(Numbers(), num_workers=1, in_order=False))
    assert not loader_lib.is_put_in_order(DataLoader(Numbers(), in_order=False))  # without workers nothing overtakes


@pytest.mark.parametrize(
    "batches",
    [
        [[3, 1], [], [4], list(range(100))],
        [(1, 2), (3,)], [5, 4, 3], [np.int64(5), np.int64(-1)], [[np.int32(5)], [np.int32(7)]],
        [(np.uint8(200), np.uint8(3))], [], [[]], [-(2**63), 2**63 - 1],
    ],
)  # fmt: skip
def test_indices_come_back_as_they_were(batches, tmp_path):
    """A recorded order has the values and the types that the sampler gave: a dataset may ask for them."""
    assert order.record(iter(batches), tmp_path / "order")
    found = list(order.Order.load(tmp_path / "order"))
    assert found == batches
    for got, given in zip(found, batches, strict=True):
        assert type(got) is type(given)
        for one, other in zip(got, given, strict=True) if isinstance(got, list | tuple) else ():
            assert type(one) is type(other)


@pytest.mark.parametrize(
    "batches",
    [
        [[1], ["a"]], [[1], (2,)], [[1], 2], [1, np.int64(2)], [[True]], [2**63], [[1, 2.0]], [torch.tensor(1)], [{1, 2}],
        [torch.tensor([1, 2])], [[[1]]],
    ],
)  # fmt: skip
def test_what_is_not_recorded(batches, tmp_path):
    """What would not come back as it was is not recorded; such a loader is run past what is done."""
    assert not order.record(iter(batches), tmp_path / "order")


def test_sizes_of_batches():
    """How many indices batches have is known from any of them to any other, but not where an index is a batch."""
    batches = order.Order.of_range(10, 4, drop_last=False)
    assert [batches.sizes(start, stop) for start, stop in [(0, 3), (1, 2), (2, 3), (3, 3)]] == [[4, 4, 2], [4], [2], []]
    assert order.Order(np.arange(3), np.arange(1, 4), batch=None).sizes(0, 3) is None


def test_batch_sampler_of_a_batch_sampler(tmp_path):
    """Without `batch_size` a sampler of batches asks the dataset for each batch, as a list, from where it stopped."""

    class Batches(Numbers):
        def __getitem__(self, indices):
            assert type(indices) is list
            return torch.stack([super(Batches, self).__getitem__(index) for index in indices])

    def make(stop_at=None):
        sampler = BatchSampler(range(ROWS), 4, drop_last=False)
        return DataLoader(Batches(stop_at), batch_size=None, sampler=sampler, collate_fn=identity)

    with pytest.raises(Stop):
        run(tmp_path, make(50))
    run(tmp_path, make())
    assert read(tmp_path) == list(range(ROWS))
