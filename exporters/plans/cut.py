"""The rule of the cut: a shard is a run of whole batches, and ends before the batch that would take it past `shard_bytes`.

That depends on the batches alone, so the same loader gives the same shards however the work is done.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

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
