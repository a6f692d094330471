"""Shards are runs of whole batches, cut by size alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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


def test_shards_of_an_export(format, publish, loader_of, manifest_of, read_back, assert_same):
    """An export cuts its shards between batches: here 100-byte batches, at most two of them in 250 bytes."""
    import numpy as np

    batches = [{"x": np.full((rows, 10), rows, np.uint8)} for rows in (10, 10, 10, 40, 5, 5)]
    result = publish(loader_of(*batches), format, shard_bytes=250)
    assert [shard.rows for shard in manifest_of(result).splits["train"].shards] == [20, 10, 40, 10]
    assert result.shards == {"train": 4}
    assert_same(read_back(result), {"x": np.concatenate([batch["x"] for batch in batches])})
