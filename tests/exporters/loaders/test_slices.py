"""Batches taken by a slice or a gather are those that the DataLoader would have made, value for value, and so is what follows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, DataLoader, Dataset, RandomSampler, StackDataset, Subset, TensorDataset, random_split

import exporters
from exporters.loaders import facts, slices
from exporters.loaders.order import Order

pytestmark = pytest.mark.once


def tensors(rows, start=0):
    numbers = torch.arange(start, start + rows)
    return numbers[:, None].expand(rows, 3).to(torch.float32) / 7, numbers % 5, numbers > 2


def datasets():
    """Every kind of dataset that is taken by slices, some of them in others."""
    one, other = TensorDataset(*tensors(13)), TensorDataset(*tensors(9, 100))
    split, _ = random_split(one, [8, 5], torch.Generator().manual_seed(3))
    return {
        "tensors": one,
        "one tensor": TensorDataset(tensors(11)[0]),
        "not contiguous": TensorDataset(torch.arange(60).reshape(4, 15).T, torch.arange(30)[::2]),
        "stack": StackDataset(*tensors(13)[:2]),
        "stack of names": StackDataset(x=tensors(13)[0], pair=TensorDataset(*tensors(13)[1:])),
        "subset": Subset(one, [5, 1, 2, 3, -1, 0]),
        "random_split": split,
        "concatenated": ConcatDataset([one, other]),
        "of all": Subset(ConcatDataset([other, Subset(one, range(2, 9))]), np.arange(15)[::-1]),
    }


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(list(datasets())))
def test_the_same_batches(data, name):
    """Any batches of indices, in order, shuffled, repeated or negative: the same structure, dtypes, shapes and values."""
    dataset = datasets()[name]
    numbers = st.lists(st.integers(-len(dataset), len(dataset) - 1), min_size=1, max_size=6)
    runs = st.tuples(st.integers(0, len(dataset) - 1), st.integers(1, 6)).map(
        lambda run: list(range(run[0], min(len(dataset), run[0] + run[1])))
    )
    batches = data.draw(st.lists(st.one_of(numbers, runs), min_size=1, max_size=4))
    loader = DataLoader(dataset, batch_sampler=batches)
    take = slices.batches_of(loader)
    assert take is not None
    for indices, expected in zip(batches, loader, strict=True):
        got = take(indices)
        assert facts.is_same(got, expected), (indices, got, expected)


class Own(TensorDataset):
    def __getitem__(self, index):
        return super().__getitem__(index)[::-1]


class Named(TensorDataset):
    """Adds something, and leaves alone how examples are got."""

    classes = ("cat", "dog")


class Watching(TensorDataset):
    def __getattribute__(self, name):
        return super().__getattribute__(name)


class Many(TensorDataset):
    def __getitems__(self, indices):
        return [self[index] for index in reversed(indices)]


class Fickle(TensorDataset):
    tensors = property(lambda self: self.made(), lambda self, value: None)

    def made(self):
        return tensors(4)


class Doubling(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor(2.0 * index)


def test_what_is_asked_for_each_example():
    """A subclass that gets examples in its own way, a dataset of one's own in whatever else, another collate_fn, a
    worker_init_fn: none is taken by slices."""
    plain = TensorDataset(*tensors(4))
    others = [
        Own(*tensors(4)),
        Watching(*tensors(4)),
        Many(*tensors(4)),
        Fickle(*tensors(4)),
        Subset(Own(*tensors(4)), [0]),
        ConcatDataset([plain, Doubling()]),
        StackDataset(Doubling(), plain),
    ]
    assert all(slices.batches_of(DataLoader(dataset, batch_size=2)) is None for dataset in others)
    for options in ({"collate_fn": list}, {"worker_init_fn": print}, {"batch_size": None}):
        assert slices.batches_of(DataLoader(plain, **{"batch_size": 2, **options})) is None
    assert slices.batches_of(DataLoader(TensorDataset(torch.eye(3).to_sparse()), batch_size=2)) is None
    assert slices.batches_of(DataLoader(plain, batch_size=2)) is not None


@pytest.mark.parametrize("name", ["tensors", "subset", "concatenated"])
def test_an_index_that_is_not_there(name):
    """An index behind the last example is an error, as it is for the DataLoader, and never a shorter batch."""
    dataset = datasets()[name]
    take = slices.batches_of(DataLoader(dataset, batch_size=2))
    for indices in ([len(dataset) - 1, len(dataset)], [0, len(dataset) + 5]):
        with pytest.raises(IndexError):
            take(indices)
    with pytest.raises(IndexError):
        take([])


SAMPLERS = {
    "in order": lambda dataset: DataLoader(dataset, batch_size=4),
    "shuffled": lambda dataset: DataLoader(dataset, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(1)),
    "global": lambda dataset: DataLoader(dataset, batch_size=4, shuffle=True),
    "replacement": lambda dataset: DataLoader(dataset, batch_size=4, sampler=RandomSampler(dataset, True, 9)),
    "workers": lambda dataset: DataLoader(dataset, batch_size=4, num_workers=1),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_files_and_generators_are_the_same(name, tmp_path, tree, monkeypatch):
    """An export by slices has the files, and leaves the generators, of one that fetches example by example."""
    states = []
    for place in ("slices", "examples"):
        if place == "examples":
            monkeypatch.setattr(slices, "batches_of", lambda loader: None)
        torch.manual_seed(5)
        loader = SAMPLERS[name](TensorDataset(*tensors(23)))
        exporters.export(
            {"train": loader, "test": SAMPLERS[name](datasets()["concatenated"])},
            tmp_path / place, name="ds", shard_bytes=100, progress=False, on_hazard="ignore",
        )  # fmt: skip
        states.append([torch.get_rng_state(), *([loader.generator.get_state()] if loader.generator is not None else [])])
    assert tree(tmp_path / "slices") == tree(tmp_path / "examples")
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


def test_the_dataset_is_left_as_it_is(format, tmp_path):
    """Batches are views of the dataset's memory, and nothing writes into it: images that are permuted, labels, what is padded."""
    tokens = torch.tensor([[5, 6, 0, 0], [7, 0, 0, 0], [8, 9, 10, 0]] * 4)
    parts = {"image": torch.arange(12 * 3 * 5 * 6).reshape(12, 3, 5, 6).to(torch.uint8), "label": torch.arange(12) % 3}
    parts |= {"tokens": tokens, "length": (tokens > 0).sum(dim=1)}
    before = {name: tensor.clone() for name, tensor in parts.items()}
    exporters.export(
        DataLoader(StackDataset(**parts), batch_size=5),
        tmp_path, name="ds", format=format, unpad={"tokens": "length"}, progress=False, on_hazard="ignore",
    )  # fmt: skip
    assert all(torch.equal(tensor, before[name]) for name, tensor in parts.items())


def test_no_example_is_asked_for(monkeypatch):
    """The dataset is sliced: nothing asks it for an example."""
    dataset = TensorDataset(*tensors(40))
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda *_: 1 / 0)
    batches = list(facts.drain(DataLoader(dataset, batch_size=8), Order.of_range(40, 8, drop_last=False)))
    assert [len(batch[0]) for batch in batches] == [8] * 5
    assert batches[1][0].data_ptr() == dataset.tensors[0][8:].data_ptr()


def test_a_subclass_that_only_adds():
    """It is taken by slices, value for value as its loader gives it."""
    loader = DataLoader(Named(*tensors(9)), batch_size=4)
    take = slices.batches_of(loader)
    for indices, batch in zip([[0, 1, 2, 3], [4, 5, 6, 7], [8]], loader, strict=True):
        assert facts.is_same(take(indices), batch)
