"""Shards that are looked at in different processes, and merged in order, tell what one look at the whole split tells."""

from __future__ import annotations

import itertools
import pickle
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from exporters import HazardError, HazardWarning
from exporters.batches.flatten import to_batch
from exporters.batches.row_lists import Lists
from exporters.hazards.observers import ShardObserver, SplitObserver
from exporters.hazards.registry import HAZARDS
from exporters.hazards.watch import Watch
from exporters.jobs.hazard_notes import dump, load
from exporters.options.features import Options
from exporters.schema import schema as schema_lib

NOT_NARROW = 40
"""Numbers of a row that make it large enough to be compared."""


class Promising(IterableDataset):
    """Of a length that is not kept."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(())


def one_of_mine(rows):
    """A `collate_fn` that is none of PyTorch's."""
    return rows


def loader(length, workers=0):
    return DataLoader(Promising(length), batch_size=4, num_workers=workers, collate_fn=one_of_mine)


def raw_batch(draw, *, values=NOT_NARROW, one_class=False, width=12):
    """Rows that come again now and then, some of them with NaN, and padded tokens that seldom have the padding among them."""
    numbers = draw.integers(0, 150, draw.integers(1, 6))
    tokens = np.stack([np.random.default_rng(number).integers(1, 9, width) for number in numbers])
    for row, number in zip(tokens, numbers, strict=True):
        row[3 + number % (width - 2) :] = 0
    if draw.random() < 0.02:
        tokens[:, 1] = 0
    x = np.repeat(numbers[:, None], values, axis=1).astype(np.float32)
    if draw.random() < 0.2:
        x[0, 0] = draw.choice([np.nan, np.inf])
    return {
        "x": torch.from_numpy(x),
        "tokens": torch.from_numpy(tokens),
        "label": torch.from_numpy(numbers * 0 + 3 if one_class else numbers % 3),
        "text": [str(number) for number in numbers],
    }


def columns_of(raws):
    """The schema of the first of some batches, and all of them as stored columns with their numbers."""
    schema, lists = schema_lib.settle(raws[0], "train", Lists(), {}, Options())
    return schema, [(number, schema.encode(to_batch(raw, "train", number, lists), "train")) for number, raw in enumerate(raws)]


def travelled(value):
    return pickle.loads(pickle.dumps(value))


def tell(loader, schema, runs, how, before=(), on_hazard="warn"):
    """What is told of a split whose batches come in runs, and the digests of each; what is seen elsewhere travels as a note."""
    watch = Watch(on_hazard)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HazardWarning)
        for name, batches in (("earlier", [list(before)]), ("train", runs)):
            observer, notes = SplitObserver(watch, name, loader, schema), []
            for run in batches:
                if how == "elsewhere":
                    shard = ShardObserver(travelled(observer.scope), travelled(observer.axes))
                else:
                    shard = observer.start_shard()
                assert list(shard.watching(run)) == run
                taken = shard.take()
                notes.append(taken.seen["digests"].parts[0])
                observer.merge(load(dump(taken)) if how == "elsewhere" else travelled(taken))
            said = observer.finish(sum(len(next(iter(columns.values()))) for run in batches for _, columns in run))
    return watch.found, said, notes


def in_order(how, told):
    """What is told in this process is told batch by batch, in the same order; of shards from elsewhere, when they are merged."""
    found, said = told[0], told[1].partition("; hazards: ")
    if how == "elsewhere":
        return sorted(found, key=lambda hazard: (hazard.split, hazard.name)), said[0], sorted(said[2].split(", "))
    return found, said


def cut(batches, places):
    return [batches[start:stop] for start, stop in itertools.pairwise([0, *sorted(places), len(batches)])]


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 1 << 30),
    count=st.integers(1, 90),
    places=st.sets(st.integers(0, 90), max_size=5),
    length=st.integers(1, 300),
    workers=st.sampled_from([0, 2]),
    values=st.sampled_from([1, NOT_NARROW]),
)
def test_any_cut_tells_the_same(seed, count, places, length, workers, values):
    """However a split is cut, and wherever its shards are looked at: the same hazards, counts, words and digests."""
    draw = np.random.default_rng(seed)
    one_class = draw.random() < 0.5
    schema, batches = columns_of([raw_batch(draw, values=values, one_class=one_class) for _ in range(count)])
    given = loader(length, workers)
    found, said, notes = tell(given, schema, [batches], "here", before=batches[:1])
    runs = cut(batches, {min(place, count) for place in places})
    for how in ("here", "elsewhere"):
        again = tell(given, schema, runs, how, before=batches[:1])
        assert in_order(how, again) == in_order(how, (found, said))
        if notes[0] is None:
            assert all(part is None for part in again[2])
        else:
            assert np.array_equal(np.concatenate(again[2]), notes[0])


def test_the_cases_have_every_hazard_of_a_batch():
    """What the test above compares is there: with some seed each hazard that batches of such columns can have is found."""
    found = set()
    for seed in range(12):
        draw = np.random.default_rng(seed)
        schema, batches = columns_of([raw_batch(draw, one_class=seed % 2) for _ in range(40)])
        told, _, _ = tell(loader(20 + 300 * (seed % 3), 2 * (seed % 2)), schema, [batches], "here", before=batches[:1])
        found |= {hazard.name for hazard in told}
    images = {"float_images", "layout_doubtful", "one_hot", "wide_mask"}  # of the first batch alone
    before = {name for name, kind in HAZARDS.items() if kind.found == "before the first byte"}
    assert found >= HAZARDS.keys() - before - images - {"workers_repeat"}


@pytest.mark.parametrize("places", [(), (1,), (3,), (2, 2, 5), range(1, 40)])
@pytest.mark.parametrize("rows", [3, 20])
def test_workers_that_repeat(places, rows):
    """Rows of two workers that are the same are told wherever the batches of either are looked at."""
    lines = [{"x": torch.full((1, NOT_NARROW), float(row))} for row in range(rows)]
    schema, batches = columns_of([line for line in lines for _ in range(2)])
    given = loader(2 * rows, 2)
    found, said, _ = tell(given, schema, [batches], "here")
    assert "workers_repeat" in said
    for how in ("here", "elsewhere"):
        again = tell(given, schema, cut(batches, [min(place, 2 * rows) for place in places]), how)
        assert in_order(how, again) == in_order(how, (found, said))


@pytest.mark.parametrize("how", ["here", "elsewhere"])
@pytest.mark.parametrize("last", [3, 5])
def test_one_class_a_shard(how, last):
    """A label that has one value in each shard, and not in all of them, has several; a shard without batches tells nothing."""
    labels = [3] * 39 + [last]
    schema, batches = columns_of([{"x": torch.full((1, 2), n), "label": torch.tensor([label])} for n, label in enumerate(labels)])
    found, _, _ = tell(loader(40), schema, cut(batches, [20, 20, 39]), how)
    assert [hazard.name for hazard in found if hazard.split == "train"] == (["single_class"] if last == 3 else [])


def test_first_batch_of_the_split():
    """What only the first batch shows is told of the first batch of the split, not of the first one of each shard."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16))) / 255
    flat = [{"image": pixels}, {"image": pixels * 0 + torch.rand(8, 3, 16, 16)}]
    for raws, expected in ((flat, ["float_images"]), (flat[::-1], [])):
        schema, batches = columns_of(raws)
        for how in ("here", "elsewhere"):
            found, _, _ = tell(loader(16), schema, cut(batches, [1]), how)
            assert [hazard.name for hazard in found if hazard.split == "train"] == expected


def test_an_error_is_raised_where_it_is_seen():
    """A process that knows nothing of the other shards refuses at its batch what they cannot take back, and no more."""
    clean, broken = ({"x": torch.full((4, NOT_NARROW), value), "label": torch.zeros(4).long()} for value in (1.0, np.nan))
    schema, batches = columns_of([clean, broken])
    watch = Watch("error")
    scope = travelled(SplitObserver(watch, "train", loader(4), schema).scope)
    with pytest.raises(HazardError, match=r"split 'train': 'x' has 160 NaN .* of a shard .*; nothing was published"):
        ShardObserver(scope, None).add(batches[1][1], 1)
    shard = ShardObserver(scope, None)
    shard.add(batches[0][1], 0)
    with pytest.raises(HazardError, match="more than the 4 examples"):
        shard.add(batches[0][1], 1)


def test_axes_of_another_process():
    """Digests of rows whose axes lie in memory in another order are the same, where the first batch's order was brought along."""
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8)
    one, other = torch.from_numpy(images), torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    schema, batches = columns_of([{"image": one}, {"image": other}])
    _, _, here = tell(loader(8), schema, [batches], "here")
    found, _, elsewhere = tell(loader(8), schema, cut(batches, [1]), "elsewhere")
    assert np.array_equal(here[0], np.concatenate(elsewhere))
    assert np.array_equal(elsewhere[0], elsewhere[1])
    assert [hazard.count for hazard in found if hazard.name == "duplicates"] == [4]


def test_nothing_is_kept_of_small_rows():
    """Memory does not grow with rows that are too small to be compared."""
    schema, batches = columns_of([{"x": torch.rand(1000, 2)}] * 50)
    watch = Watch("warn")
    observer = SplitObserver(watch, "train", loader(50_000), schema)
    shard = observer.start_shard()
    list(shard.watching(batches))
    seen = shard.take()
    assert len(pickle.dumps(seen)) < 2000
    assert observer.merge(seen) is None
    assert watch.tally.repeated("train") == 0
