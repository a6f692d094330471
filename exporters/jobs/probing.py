"""How a split is cut into shards, settled by its first batch and, where batches differ in size, by a few more of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from exporters.aliases import Loader
from exporters.jobs.settled import Settled
from exporters.loaders import facts
from exporters.loaders.order import Order
from exporters.loaders.random_state import random_state_kept
from exporters.plans import cut
from exporters.plans.shard import stored_rows
from exporters.tensors.arrays import Columns
from exporters.tensors.copies import copy_callable
from exporters.tensors.pytorch import torch_module

_MOST, _SHARE = 7, 32
"""Batches that are drawn to learn their size beside the first: so many at most, and no more than one in so many."""


def settle_cut(
    loader: Loader, split: str, order: Order, number: int, columns: Columns, settled: Settled, shard_bytes: int
) -> dict[str, int]:
    """The rule of the cut of a split whose batches can be drawn by number (`plans.cut`).

    Args:
      loader, split, order: of the split.
      number, columns: its first batch that has rows, stored.
      settled: what the first batch of all has settled.
      shard_bytes: target size of a shard.
    """
    if settled.row_bytes is not None and order.indices(number, number + 1) == stored_rows(columns):
        return cut.rule_of_rows(settled.row_bytes, shard_bytes)
    sizes = [0] * number + [settled.size(columns)]  # those before it have no rows
    return cut.rule_of_batches([*sizes, *_sizes(loader, split, order, number + 1, settled)], shard_bytes)


def _sizes(loader: Loader, split: str, order: Order, start: int, settled: Settled) -> Iterator[int]:
    """Bytes of a few batches, spread over all from `start` on. Every random generator is put back, and what cannot be drawn, or
    stored, is left to be met in its turn."""
    count = min(_MOST, len(order) // _SHARE)
    numbers = [start + (len(order) - start) * (place + 1) // (count + 1) for place in range(count)]
    if not numbers:
        return
    collate = copy_callable(loader.collate_fn, loader.dataset)
    with random_state_kept(loader), contextlib.suppress(Exception):  # whatever it is, the drain meets it too
        draws = [order[number] for number in numbers]
        batches = facts.draw(loader, collate, draws, torch_module().Generator(), is_seeded=bool(order.seed))
        for number, raw in zip(numbers, batches, strict=True):
            batch = settled.to_batch(raw, split, number)
            yield settled.size(settled.encode(batch, split)) if batch.rows else 0
