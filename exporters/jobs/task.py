"""The unit of work, and what comes of it: plain values, which can go to another process and come back from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Iterator
from typing import TypeVar

from exporters.hazards.observers import Observations
from exporters.plans.shard import DrainedShard, ShardResult


@dataclasses.dataclass(frozen=True)
class Task:
    """One shard of a split, or one lane of it (`draws.lanes`), with as many shards as that makes.

    Attributes:
      split, number: which.
      start: number of the first batch that may be in it; None where it is the one behind the task before, which must then be
        done in the same session.
      stop: number of the batch with which the shard behind it begins; None where that shows while it is drained.
      rows: how many it will have, if the loader keeps its word; None if it gave none.
      before: what was written of it before the export was stopped, if it is only to be compared: in a stream nothing can be
      skipped, so what is finished is drained again.
      is_lane: whether it is a lane, from its first batch to its end.
    """

    split: str
    number: int
    start: int | None
    stop: int | None = None
    rows: int | None = None
    before: ShardResult | None = None
    is_lane: bool = False


@dataclasses.dataclass(frozen=True)
class Done:
    """A task whose shards are on disk.

    Attributes:
      task: what was to be done.
      shards: of each its files, their hashes, its rows, and where in it columns lie. One; of a lane any number.
      seen: of its examples; merged in the order of the shards.
      state: of the loader behind its last batch, where the loader has one.
    """

    task: Task
    shards: tuple[ShardResult, ...]
    seen: Observations
    state: bytes | None

    def close(self) -> Done:
        """It is on disk."""
        return self


@dataclasses.dataclass(frozen=True)
class Drained:
    """A shard that was drained in this process, and is on its way to the disk.

    Attributes:
      task, seen, state: as `Done` has them.
      shard: what `Done` will have, once it is on disk.
    """

    task: Task
    shard: DrainedShard
    seen: Observations
    state: bytes | None

    def close(self) -> Done:
        """Waits until it is on disk.

        Raises:
          OSError: it could not be written.
        """
        return Done(self.task, (self.shard.close(),), self.seen, self.state)


Result = TypeVar("Result", bound=Drained | Done)


class Noting:
    """Notes shards in their order, each once it is on disk: while the one behind it is drained, mostly.

    Leaving it notes what is still to be noted, after an exception too: an export that goes on begins behind that.

    Args:
      note: given a shard that is on disk.
    """

    def __init__(self, note: Callable[[Done], None]) -> None:
        self._note, self._last = note, list[Drained]()

    def add(self, result: Drained | Done) -> None:
        """Takes the next shard.

        Raises:
          OSError: the one before it could not be written.
        """
        self.finish()
        if isinstance(result, Done):
            self._note(result)
        else:
            self._last.append(result)

    def look(self) -> None:
        """Notes the last shard if it is on disk by now.

        Raises:
          OSError: it could not be written.
        """
        if self._last and self._last[0].shard.is_ready:
            self.finish()

    def finish(self) -> None:
        """Notes the last shard, and waits for it.

        Raises:
          OSError: it could not be written.
        """
        for result in tuple(self._last):
            try:
                done = result.close()
            except OSError:
                self._last.clear()
                raise
            self._note(done)
            self._last.clear()

    def __enter__(self) -> Noting:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            self.finish()
        except OSError as other:
            if error is None:
                raise
            error.add_note(f"the shard before could not be written: {other}")


def in_order(results: Iterable[Result], done: Container[int]) -> Iterator[Result | int]:
    """What was done, in the order of the shards, as it is merged: what comes before its turn waits for it.

    Args:
      results: in any order.
      done: numbers of shards that are passed over: each is given in its turn; no result is asked for before the first ones.

    Raises:
      RuntimeError: a shard was not done, and one behind it was.
    """
    waiting, following = dict[int, Result](), 0
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
