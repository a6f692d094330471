"""The local engine: shard after shard, in the loader's order, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Run = TypeVar("Run")
Result = TypeVar("Result")


def run(runs: Iterable[Run], write: Callable[[int, Run], Result], first: int = 0) -> Iterator[Result]:
    """Calls `write(shard index, batches of the shard)` for each shard, from index `first` on, and yields what it returns.

    The batches are drained by the calling thread (a DataLoader's workers report their death to the
    main thread); hashing and writing go on meanwhile in the staged files' own threads.
    """
    for number, batches in enumerate(runs, first):
        yield write(number, batches)
