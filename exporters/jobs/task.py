"""The unit of work, and what comes of it: plain values, which can go to another process and come back from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Iterator

from exporters.hazards.observers import Observations
from exporters.plans.shard import ShardResult


@dataclasses.dataclass(frozen=True)
class Task:
    """One shard of a split.

    Attributes:
      split, number: which.
      start: number of the first batch that may be in it; None where it is the one behind the task before, which must then be
        done in the same session.
      stop: number of the batch with which the shard behind it begins; None where that shows while it is drained.
      rows: how many it will have, if the loader keeps its word; None if it gave none.
      before: what was written of it before the export was stopped, if it is only to be compared: in a stream nothing can be
      skipped, so what is finished is drained again.
    """

    split: str
    number: int
    start: int | None
    stop: int | None = None
    rows: int | None = None
    before: ShardResult | None = None


@dataclasses.dataclass(frozen=True)
class Done:
    """A shard that is on disk.

    Attributes:
      task: what was to be done.
      shard: its files, their hashes, its rows, and where in it columns lie.
      seen: of its examples; merged in the order of the shards.
      state: of the loader behind its last batch, where the loader has one.
    """

    task: Task
    shard: ShardResult
    seen: Observations
    state: bytes | None


def in_order(results: Iterable[Done], done: Container[int]) -> Iterator[Done | int]:
    """What was done, in the order of the shards, as it is merged: what comes before its turn waits for it.

    Args:
      results: in any order.
      done: numbers of shards that are passed over: each is given in its turn; no result is asked for before the first ones.

    Raises:
      RuntimeError: a shard was not done, and one behind it was.
    """
    waiting, following = dict[int, Done](), 0
    while following in done:
        yield following
        following += 1
    for result in results:
        waiting[result.task.number] = result
        while following in waiting or following in done:
            yield waiting.pop(following) if following in waiting else following
            following += 1
    if waiting:
        raise RuntimeError(f"shard {following} was not done, and shards behind it were: {sorted(waiting)}")
