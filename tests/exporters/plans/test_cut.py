"""Shards are runs of whole batches, cut by size alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exporters.loaders.order import Order
from exporters.plans import cut

SIZES = st.lists(st.integers(0, 12), max_size=30)


@given(sizes=SIZES, limit=st.integers(1, 20))
def test_cuts(sizes, limit):
    """Runs join up to the batches in order; each fits the limit or is a single batch, and none could have taken one more."""
    batches = list(enumerate(sizes))
    runs = [list(run) for run in cut.cut_into_shards(iter(batches), lambda batch: batch[1], limit)]
    assert [batch for run in runs for batch in run] == batches
    assert all(runs)
    totals = [sum(size for _, size in run) for run in runs]
    for run, total in zip(runs, totals, strict=True):
        assert total <= limit or sum(size > 0 for _, size in run) == 1
    for total, following in zip(totals, runs[1:], strict=False):
        assert total + following[0][1] > limit


@given(sizes=SIZES.filter(bool), limit=st.integers(1, 20))
def test_nothing_is_held_back(sizes, limit):
    """A batch reaches its shard before the next is asked of the loader, save the one that opens the next shard."""
    asked = []

    def loader():
        for batch in enumerate(sizes):
            asked.append(batch)
            yield batch

    given_out = []
    for run in cut.cut_into_shards(loader(), lambda batch: batch[1], limit):
        for batch in run:
            given_out.append(batch)
            assert asked == given_out


def test_no_batches_no_shards():
    """No batch gives no shard."""
    assert list(cut.cut_into_shards([], len, 10)) == []


def order_of(sizes):
    """Batches of so many indices each."""
    ends = np.cumsum(np.array(sizes, np.int64), dtype=np.int64)
    return Order(np.arange(sum(sizes)), ends)


@given(sizes=SIZES.filter(any), limit=st.integers(1, 20), row_bytes=st.integers(1, 3))
def test_planned_by_rows(sizes, limit, row_bytes):
    """Rows of one size are cut before they are drawn as they would be while they are drained."""
    bounds = cut.bounds_of(cut.rule_of_rows(row_bytes, limit), order_of(sizes))
    runs = [list(run) for run in cut.cut_into_shards(enumerate(sizes), lambda batch: batch[1] * row_bytes, limit)]
    drained = [run[0][0] for run in runs] + [len(sizes)]
    assert [number for number in bounds if sum(sizes[number:])] == [number for number in drained if sum(sizes[number:])]
    assert (bounds[0], bounds[-1]) == (0, len(sizes))


@given(examples=st.integers(1, 60), size=st.integers(1, 9), drop_last=st.booleans(), limit=st.integers(1, 40))
def test_planned_of_a_range(examples, size, drop_last, limit):
    """Indices in order, of which nothing is kept in memory, are cut like those of a sampler."""
    order = Order.of_range(examples, size, drop_last=drop_last)
    same = order_of(order.sizes(0, len(order)))
    rule = cut.rule_of_rows(1, limit)
    assert cut.bounds_of(rule, order) == cut.bounds_of(rule, same)
    assert cut.bounds_of({"batches": 3}, order) == [*range(0, len(order), 3), len(order)]


def test_rule_of_batches():
    """As many batches as make a shard on average, one at least; all of them where none takes any room."""
    assert cut.rule_of_batches([900, 1100], 3500) == {"batches": 3}
    assert cut.rule_of_batches([900], 10) == {"batches": 1}
    assert cut.bounds_of(cut.rule_of_batches([0, 0], 10), order_of([4, 4])) == [0, 2]
    assert cut.bounds_of(cut.rule_of_rows(0, 10), order_of([4, 4])) == [0, 2]


def test_shards_of_an_export(format, publish, loader_of, manifest_of, read_back, assert_same):
    """An export cuts between batches: where they are the dataset's own, as many as the first says make 250 bytes."""
    batches = [{"x": np.full((rows, 10), rows, np.uint8)} for rows in (10, 10, 10, 40, 5, 5)]
    result = publish(loader_of(*batches), format, shard_bytes=250)
    assert [shard.rows for shard in manifest_of(result).splits["train"].shards] == [20, 50, 10]
    assert result.shards == {"train": 3}
    assert_same(read_back(result), {"x": np.concatenate([batch["x"] for batch in batches])})
