"""A shuffle that is drawn as arrays is PyTorch's: the same record, and the same generators afterwards."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from exporters.loaders import facts, permutations
from exporters.loaders.order import Order, summarize
from exporters.loaders.permutations import Shuffle

pytestmark = pytest.mark.once


def record(path, rows, draws, batch_size, drop_last, seed, fast, workers=0):
    """The file of an order, and the states of the generators afterwards."""
    torch.manual_seed(11)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    sampler = RandomSampler(range(rows), num_samples=draws, generator=generator)
    options = {"num_workers": workers, "generator": generator}
    loader = DataLoader(range(rows), batch_sampler=BatchSampler(sampler, batch_size, drop_last), **options)
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(Shuffle, "of", lambda batches: None)
        assert facts.record_order(loader, path)
        order = Order.load(path)
        assert not facts.draws_others(loader, order) or draws != rows
    return path.read_bytes(), torch.get_rng_state().tolist(), None if generator is None else generator.get_state().tolist()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40),
    draws=st.one_of(st.none(), st.integers(1, 130)),
    batch_size=st.integers(1, 9),
    drop_last=st.booleans(),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
def test_the_same_record(rows, draws, batch_size, drop_last, seed, tmp_path_factory):
    """Whatever is drawn, in batches of whatever size: every byte of the record, and every generator, is as PyTorch's own."""
    path, draws = tmp_path_factory.mktemp("order"), rows if draws is None else draws
    options = (rows, draws, batch_size, drop_last, seed)
    assert record(path / "fast", *options, True) == record(path / "slow", *options, False)


@pytest.mark.parametrize("rows", [1, 2, 3, 1000, (1 << 20) + 1, (1 << 21) + 5])
def test_a_permutation_passed_over(rows):
    """A generator is where a permutation would have left it, whether or not that can be had without one."""
    states = []
    for draw in (lambda own: torch.randperm(rows, generator=own), lambda own: permutations._pass_over(own, rows)):
        generator = torch.Generator().manual_seed(3)
        draw(generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("seed", [None, 4])
def test_with_workers(seed, tmp_path):
    """With workers, whose seed is drawn too, it is the same."""
    assert record(tmp_path / "fast", 20, 20, 3, False, seed, True, 2) == record(
        tmp_path / "slow", 20, 20, 3, False, seed, False, 2
    )


def test_what_is_no_such_shuffle():
    """With replacement, in order, of a subclass: drawn one by one."""

    class Own(RandomSampler):
        pass

    for sampler in (RandomSampler(range(5), replacement=True), SequentialSampler(range(5)), Own(range(5))):
        assert Shuffle.of(BatchSampler(sampler, 2, False)) is None
    assert Shuffle.of([[1, 2]]) is None
    assert Shuffle.of(DataLoader(range(5), batch_size=2, shuffle=True).batch_sampler) is not None


def test_sums_do_not_depend_on_how_indices_come(monkeypatch):
    """One by one, in batches, in arrays or in runs: indices have the same sums."""
    monkeypatch.setattr("exporters.loaders.order._RUN", 7)
    numbers = np.random.default_rng(3).permutation(50)
    order = Order(numbers, np.arange(5, 51, 5))
    expected = summarize(numbers.tolist())
    assert summarize(order) == summarize(order.runs()) == summarize([numbers]) == expected
    assert summarize(numbers[::-1].tolist())[:2] == expected[:2] != summarize(numbers[::-1].tolist())[1:]
