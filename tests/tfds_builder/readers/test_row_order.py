"""`tfds_builder.readers.row_order`: which rows each call reads, in which order."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfds_builder.readers import row_order as order_lib
from tfds_builder.readers.row_order import InOrder, Shuffled, permute

pytestmark = pytest.mark.once

SEED = np.array([3, -5])


def epoch(order, seed=SEED):
    """The rows of every call, in turn."""
    return [order.rows(number, seed) for number in range(order.calls)]


def joined(order, seed=SEED):
    return np.concatenate([np.empty(0, np.int64), *epoch(order, seed)])


@pytest.fixture(params=[2**16, 0], ids=["listed", "number by number"])
def way(request, monkeypatch):
    """Permutations made whole, and number by number, as those of large splits are."""
    monkeypatch.setattr(order_lib, "_LISTED", request.param)


sizes = st.integers(1, 300)
orders = st.builds(
    Shuffled, size=st.integers(0, 2000), unit=sizes, window=st.integers(1, 700), block=st.integers(1, 80), call=st.none() | sizes
)


@pytest.mark.parametrize("listed", [2**16, 0])
@settings(max_examples=300, deadline=None)
@given(order=orders, seed=st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2))
def test_every_row_once(listed, order, seed):
    """Whatever the sizes of split, batch, window, block and call, an epoch has every row once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_lib, "_LISTED", listed)
        assert np.array_equal(np.sort(joined(order, np.array(seed))), np.arange(order.size))


@settings(max_examples=200, deadline=None)
@given(order=orders)
def test_windows(order):
    """Calls that read a window are whole units but for the last, none has more than was allowed (and less than a unit), and
    none has less than half of what the largest one has: no window is small enough to be one neighbourhood."""
    lengths = [len(rows) for rows in epoch(Shuffled(order.size, order.unit, order.window, order.block))]
    assert all(length % order.unit == 0 for length in lengths[:-1])
    assert max(lengths, default=0) < max(order.window, order.unit) + order.unit
    assert 2 * min(lengths, default=0) >= max([0, *lengths[:-1]])


@settings(max_examples=100, deadline=None)
@given(order=orders)
def test_calls_of_a_length(order):
    """Calls of a length asked for have it, but for the last, whatever the windows are: together they are the same order."""
    calls = epoch(Shuffled(order.size, order.unit, order.window, order.block, call=7))
    assert [len(rows) for rows in calls] == [7] * (order.size // 7) + [order.size % 7] * (order.size % 7 > 0)
    whole = Shuffled(order.size, order.unit, order.window, order.block)
    assert np.array_equal(np.concatenate([np.empty(0, np.int64), *calls]), joined(whole))


def test_in_order():
    """Without a shuffle, calls are the runs of rows of a split."""
    order = InOrder(10, 4)
    assert [order.rows(number) for number in range(order.calls)] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert InOrder(0, 4).calls == Shuffled(0, 4, 4, 1).calls == Shuffled(0, 4, 4, 2, 4).calls == 0


@pytest.mark.parametrize("block", [1, 2, 7])
def test_seeds(block, way):
    """The same seed gives the same order, in whatever order calls are made; any other one another."""
    order = Shuffled(1000, 10, 100, block)
    numbers = list(range(order.calls))
    assert all(np.array_equal(order.rows(n, SEED), epoch(order)[n]) for n in numbers[::-1])
    orders = {joined(order, np.array(seed)).tobytes() for seed in itertools.product((0, 1, -1, 2**40), repeat=2)}
    assert len(orders) == 16


def test_orders_stay():
    """The order of a seed is the same on any machine and in versions to come."""
    assert joined(Shuffled(12, 2, 6, 2)).tolist() == [9, 6, 4, 10, 5, 3, 8, 0, 2, 11, 7, 1]
    large = Shuffled(10**9, 1, 4, 1)
    assert large.rows(10**8, SEED).tolist() == [704810954, 481874238, 175475118, 455315104]


@pytest.mark.parametrize(("block", "window"), [(1, 8), (3, 6), (3, 12), (2, 4)])
def test_every_row_at_every_place(block, window):
    """Over many seeds, each row is at each place about as often as at any other: also those left when blocks are cut."""
    order, seeds = Shuffled(13, 2, window, block), 4000
    counts = np.zeros((13, 13))
    for seed in range(seeds):
        counts[np.arange(13), joined(order, np.array([seed, 7]))] += 1
    assert np.abs(counts - seeds / 13).max() < 6 * np.sqrt(seeds / 13)


def test_permutations_are_like_random_ones(way):
    """Of permutations, fixed points and numbers that follow each other are as rare as in random ones, and so is a number in one
    that is where it was in that of a key beside it."""
    size, numbers = 5000, np.arange(5000)
    found = [permute(numbers, size, (key, 1)) for key in range(40)]
    for one, other in itertools.pairwise(found):
        assert sorted(one.tolist()) == numbers.tolist()
        assert np.sum(one == numbers) < 10
        assert np.sum(np.abs(np.diff(one)) == 1) < 20
        assert np.sum(one == other) < 10
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.08
        assert abs(np.corrcoef(one, numbers)[0, 1]) < 0.08


def test_large_permutations():
    """Numbers of a range too large to be listed are told apart, and are spread over all of it; a number is spread over all of it
    by many seeds."""
    size = 10**9 + 7
    found = permute(np.arange(100_000), size, (1, 2))
    assert len(set(found.tolist())) == 100_000
    assert 0 <= found.min() <= found.max() < size
    shares = np.histogram(found, 10, (0, size))[0] / 100_000
    assert np.abs(shares - 0.1).max() < 0.01


def test_a_window_is_of_blocks_from_all_over():
    """The rows of a window come from as many blocks as fill it, and lie among each other like those of a shuffle."""
    order = Shuffled(100_000, 128, 4096, 32)
    for rows in epoch(order)[:5]:
        blocks = collections.Counter((rows // 32).tolist())
        assert len(blocks) > 120
        assert np.ptp(rows) > 80_000
        first = rows[:128] // 32
        assert len(set(first.tolist())) > 60  # 81 on average


@pytest.mark.parametrize("seed", [lambda n: (n, 7), lambda n: (7, n), lambda n: (n, n << 32)])
def test_a_number_of_a_large_permutation_goes_anywhere(seed):
    """Over many seeds, neighbours of a range too large to be listed are each in any part of it about as often as in another, and
    one says nothing of the other."""
    size, seeds, parts = 2**40, 2000, 5
    found = np.array([permute(np.array([12, 13]), size, seed(n)) for n in range(seeds)]) * parts // size
    pairs = np.histogram(found @ [parts, 1], parts**2, (0, parts**2))[0]
    assert np.abs(pairs - seeds / parts**2).max() < 5 * np.sqrt(seeds / parts**2)
