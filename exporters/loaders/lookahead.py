"""The first batch of every split, looked at before the first byte is written: what is wrong with the test split shows before
the training split is drained.

Nothing of what an undisturbed export draws may change. A map-style dataset is asked for its first batch with the state of
all random generators kept; the batch is used later if nothing could have made it another one then, else it is asked for
again. A stream is opened, and drained from there when its turn comes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable
from typing import Any

from exporters.aliases import Loader, NumberedBatches, RawBatch
from exporters.batches.flatten import Batch, to_batch
from exporters.batches.row_lists import Lists
from exporters.loaders import facts as loader_lib
from exporters.loaders.first_batch import First, first_batch, without_examples
from exporters.loaders.order import Order
from exporters.loaders.random_state import fingerprint, random_state_kept, shared_iterators
from exporters.tensors.copies import copy_callable, keeps_nothing

Numbered = Generator[tuple[int, Any], None, None]
"""Raw batches with their numbers in the split."""


@dataclasses.dataclass(frozen=True)
class Head:
    """The first batch of a split, drawn before its turn.

    Attributes:
      first: the batch.
      rest: the opened stream after it; None if the others can be drawn by number.
      draws_seed: whether the seed of the stream's workers is drawn when its turn comes.
    """

    first: First
    rest: Numbered | None = None
    draws_seed: bool = False


def drain(loader: Loader, order: Order | None, start: int, head: Head | None) -> Numbered:
    """The raw batches of a split from batch number `start` on, with their numbers; its head, if there is one, is their first."""
    if head is None:
        yield from _numbered(loader, order, start)
        return
    if head.draws_seed:
        loader_lib.draw_seed(loader)
    held = [(head.first.number, head.first.raw)]
    with contextlib.closing(head.rest or _numbered(loader, order, head.first.number + 1)) as rest:
        del head
        yield from _with_first(held, rest)


def _with_first(held: list[tuple[int, RawBatch]], batches: NumberedBatches) -> NumberedBatches:
    """All numbered batches, that in the list before the others; none is held once it is given."""
    yield held.pop()
    yield from batches


def _numbered(loader: Loader, order: Order | None, start: int) -> Numbered:
    with contextlib.closing(loader_lib.drain(loader, order, start)) as batches:
        yield from map(_pair, itertools.count(start), batches)  # enumerate() would hold the batch before


def _pair(number: int, raw: RawBatch) -> tuple[int, RawBatch]:
    return number, raw


def look(
    loader: Loader, split: str, order: Order | None, encoding: Loader, lists: Lists, check: Callable[[Batch, str], object]
) -> Head | None:
    """Draws the first batch of a split and checks it. Returns what of it can be used when the split's turn comes.

    Args:
      loader, split, order: of the split.
      encoding: the loader that will be drained.
      lists: what the lists of a batch are.
      check: is given the batch and the split; raises if it cannot be stored.

    Raises:
      ExportError: what `check` raises, or the split has no example.
    """
    if order is None:
        return _open(loader, split, encoding, lists, check)
    if not len(order):
        raise without_examples(split)
    can_keep = keeps_nothing(loader.collate_fn) and not loader.num_workers
    collate = loader.collate_fn if can_keep else copy_callable(loader.collate_fn, loader.dataset)
    with random_state_kept(loader):
        before = fingerprint(loader)
        first = first_batch(enumerate(loader_lib.draw_first(loader, collate, order)), loader, split, lists)
        is_drawn = fingerprint(loader) != before
    check(to_batch(first.raw, split, first.number, lists), split)
    return Head(first) if can_keep and not is_drawn else None


def _open(loader: Loader, split: str, encoding: Loader, lists: Lists, check: Callable[[Batch, str], object]) -> Head:
    """Opens a stream. Generators are put back if it drew nothing but the seed of its workers, which is drawn again later."""
    with random_state_kept(loader) as put_back:
        before = fingerprint(loader)
        with random_state_kept(loader):
            loader_lib.draw_seed(loader)
            seeded = fingerprint(loader)
        rest = _numbered(encoding, None, 0)
        try:
            first = first_batch(rest, loader, split, lists)
            check(to_batch(first.raw, split, first.number, lists), split)
        except BaseException:
            rest.close()
            raise
        after = fingerprint(loader)
        if after not in (before, seeded):
            put_back.clear()
    return Head(first, rest, draws_seed=after == seeded)


def can_look(loader: Loader, order: Order | None, others: Iterable[Loader]) -> bool:
    """Whether a split can be looked at before others are drained. A stream cannot if it shares an iterator with the stream of
    another split: it would take what belongs to that one."""
    if order is not None:
        return True
    return not any(
        other.dataset is loader.dataset
        or (other.collate_fn is loader.collate_fn and not keeps_nothing(loader.collate_fn))
        or shared_iterators(loader.dataset, other.dataset)
        for other in others
    )
