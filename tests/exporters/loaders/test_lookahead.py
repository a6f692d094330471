"""The first batch of every split is looked at before the first byte; batches without rows are passed over, wherever they are."""

from __future__ import annotations

import itertools
import multiprocessing
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

import exporters
from exporters import ExportError, SchemaError
from exporters.loaders import lookahead

pytestmark = pytest.mark.once

ROWS = 12


class Images(Dataset):
    """Images of which some are broken."""

    def __init__(self, broken=()):
        self.broken = set(broken)

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return None if index in self.broken else (torch.full((3, 8, 8), index, dtype=torch.uint8), index)


def there(rows):
    return [row for row in rows if row is not None]


EMPTY = {
    "an empty list": list,
    "an empty tuple": lambda: (),
    "an empty dict": dict,
    "None": lambda: None,
    "arrays of no rows": lambda: (torch.empty(0, 3, 8, 8, dtype=torch.uint8), torch.empty(0, dtype=torch.int64)),
    "lists of no rows": lambda: ([], []),
    "a tensor of no rows": lambda: torch.empty(0),
    "a dict of lists": lambda: {"a": [], "b": np.empty((0, 2))},
}


class Whole:
    """A `collate_fn` that leaves broken examples out, and gives something empty where all are broken."""

    def __init__(self, empty):
        self.empty = empty

    def __call__(self, rows):
        return default_collate(there(rows)) if there(rows) else EMPTY[self.empty]()


@pytest.mark.parametrize("broken", [range(4), range(4, 8), range(8), range(8, 12)], ids=["first", "second", "both", "last"])
@pytest.mark.parametrize("empty", EMPTY)
def test_batches_without_rows_are_passed_over(empty, broken, publish, read_back):
    """A batch without rows, first or later, whatever stands for it, is passed over; the others are all there."""
    found = read_back(publish(DataLoader(Images(broken), batch_size=4, collate_fn=Whole(empty)), on_hazard="ignore"))
    assert found["label"].tolist() == [index for index in range(ROWS) if index not in broken]
    assert found["image"].shape[1:] == (8, 8, 3)


ROW_BY_ROW = {"rows": there, "parts": lambda rows: tuple(zip(*there(rows), strict=True))}


@pytest.mark.parametrize("collate", ROW_BY_ROW)
def test_lists_that_are_empty_first(collate, publish, read_back):
    """What the lists of a batch are is told from the first that has any."""
    loader = DataLoader(Images(range(8)), batch_size=4, collate_fn=ROW_BY_ROW[collate])
    assert read_back(publish(loader, on_hazard="ignore"))["label"].tolist() == [8, 9, 10, 11]


def tokens(rows):
    return {"tokens": [[1] * row for row in rows]}


def test_rows_that_are_empty_are_rows(publish, read_back):
    """Examples that are empty lists, or arrays without items, are examples, in a first batch as well."""
    import tensorflow_datasets as tfds

    features = {"tokens": tfds.features.Sequence(np.int64)}
    loader = DataLoader([0, 0, 0, 2], batch_size=2, collate_fn=tokens)
    found = read_back(publish(loader, features=features, on_hazard="ignore"))["tokens"]
    assert np.diff(found.row_splits).tolist() == [0, 0, 0, 2]
    boxes = [torch.empty(0, 4), torch.ones(1, 4), torch.empty(0, 4), torch.empty(0, 4)]
    found = read_back(publish(DataLoader(boxes, batch_size=2, collate_fn=list), on_hazard="ignore"))["features"]
    assert np.diff(found.row_splits).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("broken", [range(4), range(8)])
def test_workers_whose_first_batch_is_empty(broken, publish, read_back):
    """Workers that encode tell the features from their first batch that has rows."""
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(shape=(8, 8, 3))}
    for empty in ("None", "an empty list", "arrays of no rows"):
        options = {"batch_size": 2, "collate_fn": Whole(empty)}
        found = [
            read_back(publish(DataLoader(Images(broken), num_workers=workers, **options), features=features, on_hazard="ignore"))
            for workers in (0, 2)
        ]
        assert [column["label"].tolist() for column in found] == [[i for i in range(ROWS) if i not in broken]] * 2
        assert found[0]["image"].tolist() == found[1]["image"].tolist()


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("empty", EMPTY)
def test_previews_pass_over_them(empty):
    """`in_memory` and `stream` pass over batches without rows, the first one too, and refuse what has no other."""
    for make in (exporters.in_memory, exporters.stream):
        loader = DataLoader(Images(range(4)), batch_size=4, collate_fn=Whole(empty))
        assert [int(example["label"]) for example in make(loader)] == list(range(4, 12))
        with pytest.raises(SchemaError, match=r"split 'train': .*no example"):
            make(DataLoader(Images(range(12)), batch_size=4, collate_fn=Whole(empty)))


# --- before the first byte ------------------------------------------------------------------------


class Rows(Dataset):
    """Examples of a kind, which remember which of them were asked for."""

    classes = ("ant", "bee")

    def __init__(self, count=ROWS, make=lambda index: (torch.full((30,), index), index % 2)):
        self.count, self.make, self.asked = count, make, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        return self.make(index)


class Stream(IterableDataset):
    """The same as an iterable."""

    classes = Rows.classes

    def __init__(self, *args):
        self.rows = Rows(*args)

    def __iter__(self):
        return (self.rows[index] for index in range(len(self.rows)))


FAULTS = {
    "label": (lambda i: (torch.full((30,), i), 2), "feature 'label'"),
    "dtype": (lambda i: (torch.full((30,), float(i)), 1), "feature 'features'"),
    "shape": (lambda i: (torch.full((31,), i), 1), "feature 'features'"),
    "structure": (lambda i: {"x": torch.full((30,), i)}, "structure"),
}


@pytest.mark.parametrize("kind", [Rows, Stream])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_later_split_is_refused_before_the_first_byte(fault, workers, kind, tmp_path):
    """What the first batch of a later split shows is refused when one batch of the first split has been asked for, and nothing
    is left, no process either."""
    make, word = FAULTS[fault]
    before = set(multiprocessing.active_children())  # of another test's loader, where it keeps its workers
    train = Rows()
    loaders = {
        "train": DataLoader(train, batch_size=2),
        "val": DataLoader(Stream(), batch_size=2, num_workers=workers),
        "test": DataLoader(kind(ROWS, make), batch_size=2, num_workers=workers),
    }
    with pytest.raises(ExportError, match=f"split 'test', batch 0.*{word}"):
        exporters.export(loaders, tmp_path / "data", name="ds", shard_bytes=500, progress=False, on_hazard="ignore")
    assert train.asked == [0, 1]
    assert not (tmp_path / "data").exists()
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize(
    "test",
    [
        lambda: DataLoader([], sampler=[]), lambda: DataLoader(Rows(), sampler=[], batch_size=2), lambda: DataLoader(Stream(0)),
        lambda: DataLoader(Rows(), collate_fn=lambda rows: [], batch_size=2), lambda: DataLoader(Rows(1), 2, drop_last=True),
    ],
)  # fmt: skip
def test_a_split_without_examples(test, tmp_path):
    """A split that gives no example is refused before the first byte."""
    train = Rows()
    loaders = {"train": DataLoader(train, batch_size=2), "test": test()}
    with pytest.raises(SchemaError, match=r"split 'test': the loader gives no example"):
        exporters.export(loaders, tmp_path / "data", name="ds", shard_bytes=500, progress=False, on_hazard="ignore")
    assert train.asked == [0, 1]
    assert not (tmp_path / "data").exists()


def test_nothing_is_asked_twice(publish):
    """Where nothing is drawn at random, the batch that was looked at is the one that is stored."""
    splits = {"train": Rows(), "val": Rows(7), "test": Stream()}
    publish({split: DataLoader(dataset, batch_size=4) for split, dataset in splits.items()}, on_hazard="ignore")
    assert splits["train"].asked == list(range(ROWS))
    assert splits["val"].asked == list(range(7))
    assert splits["test"].rows.asked == list(range(ROWS))


def draw(index):
    """Numbers of all generators there are."""
    own = torch.rand(20), torch.tensor([random.random()]), torch.from_numpy(np.random.random(9))
    return torch.cat([part.double() for part in own]), index % 2


def fixed(index):
    return torch.full((30,), float(index)).double(), index % 2


def seeded(seed=4):
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def after():
    return torch.rand(2).tolist(), np.random.random(2).tolist(), random.random()


LOADERS = {
    "fixed": lambda: DataLoader(Rows(ROWS, fixed), batch_size=4),
    "random": lambda: DataLoader(Rows(ROWS, draw), batch_size=4),
    "shuffled": lambda: DataLoader(Rows(ROWS, fixed), batch_size=4, shuffle=True),
    "random, shuffled": lambda: DataLoader(Rows(ROWS, draw), batch_size=4, shuffle=True),
    "stream": lambda: DataLoader(Stream(ROWS, fixed), batch_size=4),
    "workers": lambda: DataLoader(Rows(ROWS, draw), batch_size=4, num_workers=1),
}


@pytest.mark.parametrize("splits", itertools.product(LOADERS, repeat=2), ids=", ".join)
def test_looking_ahead_changes_nothing(splits, tmp_path, tree, monkeypatch):
    """The bytes, and where all random generators end, are those of an export that looks at other loaders, which are like its own:
    where shards begin must be known."""
    found, look = [], lookahead.look

    def look_at_another(_, split, *rest):
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        look(LOADERS[splits[split == "test"]](), split, *rest)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])

    for looks in (True, False):
        if not looks:
            monkeypatch.setattr(lookahead, "can_look", lambda loader, order, others: order is not None)
            monkeypatch.setattr(lookahead, "look", look_at_another)
        seeded()
        loaders = {split: LOADERS[name]() for split, name in zip(("train", "test"), splits, strict=True)}
        exporters.export(loaders, tmp_path / str(looks), name="ds", progress=False, on_hazard="ignore")
        found.append((tree(tmp_path / str(looks)), after()))
    assert found[0] == found[1]


def test_draws_are_those_of_bare_loops(publish, read_back):
    """Without a shuffle each split has what loops over the loaders give, one after the other."""
    names = ("random", "fixed", "random", "stream")
    seeded()
    expected = [torch.cat([x for x, _ in LOADERS[name]()]).tolist() for name in names]
    end = after()
    seeded()
    result = publish({f"split_{number}": LOADERS[name]() for number, name in enumerate(names)}, on_hazard="ignore")
    assert after() == end
    assert [read_back(result, split)["features"].tolist() for split in result.examples] == expected


class Take(IterableDataset):
    """So many rows of a source that others take from too."""

    def __init__(self, source, count):
        self.source, self.count = source, count

    def __iter__(self):
        return itertools.islice(self.source, self.count)


def test_splits_that_share_a_stream(publish, read_back):
    """Streams that take from one source are not looked at ahead: each gets what it would get."""
    source = iter(range(20))
    loaders = {split: DataLoader(Take(source, count), batch_size=3) for split, count in (("train", 12), ("test", 8))}
    result = publish(loaders, on_hazard="ignore")
    assert [read_back(result, split)["features"].tolist() for split in loaders] == [list(range(12)), list(range(12, 20))]


class Carrying:
    """A `collate_fn` that keeps a row for the next batch."""

    def __init__(self):
        self.kept = []

    def __call__(self, rows):
        rows = self.kept + rows
        self.kept = rows[-1:]
        return default_collate(rows[:-1])


@pytest.mark.parametrize("kind", [Rows, Stream])
def test_a_collate_fn_that_splits_share(kind, publish, read_back):
    """What `collate_fn` keeps of one split is not disturbed by looking at another."""

    def make():
        collate = Carrying()
        return {
            split: DataLoader(kind(ROWS, lambda i, f=first: torch.full((3,), f + i)), batch_size=4, collate_fn=collate)
            for split, first in (("train", 0), ("test", 100))
        }

    expected = [torch.cat(list(loader))[:, 0].tolist() for loader in make().values()]
    loaders = make()
    result = publish(loaders, on_hazard="ignore")
    assert [read_back(result, split)["features"][:, 0].tolist() for split in loaders] == expected


def test_a_loader_of_two_splits(publish, read_back):
    """One loader over a stream may stand for two splits; neither loses a batch to the other's look ahead."""
    for workers in (0, 1):
        loader = DataLoader(Stream(), batch_size=4, num_workers=workers, persistent_workers=bool(workers))
        result = publish({"train": loader, "test": loader}, on_hazard="ignore")
        assert [read_back(result, split)["features"][:, 0].tolist() for split in ("train", "test")] == [list(range(ROWS))] * 2
