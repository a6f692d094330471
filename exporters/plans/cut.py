"""The rule of the cut: a shard is a run of whole batches, and ends before the batch that would take it past `shard_bytes`.

That depends on the batches alone, so the same loader gives the same shards however the work is done. Where batches can be
drawn by number, the plan says where each shard begins before any is written (`bounds_of`): so many rows of one size, or so many
batches, as many as a few of them say. Of a stream it shows while it is drained (`cut_into_shards`).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import TypeVar

from exporters.loaders.order import Order

ROWS, BATCHES = "rows", "batches"
"""A rule of a split in the plan has one of these keys: most rows of a shard, or how many batches it has."""

Item = TypeVar("Item")


def cut_into_shards(items: Iterable[Item], size: Callable[[Item], int], shard_bytes: int) -> Iterator[Iterator[Item]]:
    """Cuts batches into runs, each of at most `shard_bytes` unless a single batch is larger.

    >>> [list(run) for run in cut_into_shards([4, 4, 4, 9, 1], size=int, shard_bytes=8)]
    [[4, 4], [4], [9], [1]]

    Nothing is held back, nor held once it is given: each run must be used up before the next is asked for.
    """
    source = iter(items)
    ahead: list[Item] = []  # the batch that did not fit into the run before

    def take_back() -> Iterator[Item]:
        yield ahead.pop()

    def run() -> Iterator[Item]:
        taken = 0
        for item in itertools.chain(take_back(), source):
            item_bytes = size(item)
            if taken and taken + item_bytes > shard_bytes:
                ahead.append(item)
                return
            taken += item_bytes
            yield item
            del item

    for first in source:
        ahead.append(first)
        del first
        while ahead:
            yield run()


def rule_of_rows(row_bytes: int, shard_bytes: int) -> dict[str, int]:
    """The rule for rows of one size, of which every index becomes one."""
    return {ROWS: shard_bytes // row_bytes if row_bytes else sys.maxsize}


def rule_of_batches(sizes: Sequence[int], shard_bytes: int) -> dict[str, int]:
    """The rule for batches whose sizes show only as they are drawn.

    >>> rule_of_batches([900, 1100], shard_bytes=3500)
    {'batches': 3}

    Args:
      sizes: bytes of some of them.
      shard_bytes: target size of a shard.
    """
    mean = fmean(sizes)
    return {BATCHES: max(1, int(shard_bytes / mean)) if mean else sys.maxsize}


def bounds_of(rule: Mapping[str, int], order: Order) -> list[int]:
    """Number of the first batch of each shard, and how many batches there are, by the rule that the plan has of a split.

    >>> bounds_of({"batches": 2}, Order.of_range(10, 2, drop_last=False))
    [0, 2, 4, 5]
    """
    bounds = [0]
    if (batches := rule.get(BATCHES)) is not None:
        return [*range(0, len(order), batches), len(order)]
    while bounds[-1] < len(order):
        bounds.append(order.stop_within(bounds[-1], rule[ROWS]))
    return bounds
