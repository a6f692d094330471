"""What the lists of a first batch are, told by trying `collate_fn` on one example."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from exporters.aliases import Collate, Examples, Loader, NumberedBatches, RawBatch, RawValue
from exporters.batches.flatten import is_empty, to_batch
from exporters.batches.row_lists import (
    PROBES,
    Lists,
    find_growing,
    find_row_lists,
    find_sequences,
    guess_examples,
    has_lists,
    list_names,
)
from exporters.batches.structure import Form, walk
from exporters.errors import SchemaError
from exporters.loaders.facts import draw, expected_examples, gives_batches, is_iterable
from exporters.loaders.items import check_stream, gathers
from exporters.loaders.random_state import random_state_kept
from exporters.tensors.copies import copy_example

_TRIED = 3
"""Examples that are asked for to tell lists of rows, one after the other, until `collate_fn` makes batches of one."""

_LARGE = 32 * 1024 * 1024
"""Examples of more bytes than that are not asked for: a dozen of them would be in memory, and the batch alone must do."""


@dataclasses.dataclass(frozen=True)
class First:
    """The first batch of a split that has rows: its number, the batch as it came, and what its lists are."""

    number: int
    raw: RawBatch
    lists: Lists


def first_batch(raws: NumberedBatches, loader: Loader, split: str, lists: Lists | None = None) -> First:
    """The first of some raw batches that has rows; those before it are passed over.

    Args:
      raws: the batches with their numbers.
      loader, split: of the batches.
      lists: what the lists of a batch are; None if the batch must tell.

    Raises:
      LoaderError: it cannot be turned into columns.
      SchemaError: its rows contradict each other, or no batch has rows.
    """
    for number, raw in raws:
        if is_empty(raw, lists):
            continue
        check_stream(raw, loader, split)
        known = lists_of_batch(raw, loader, split) if lists is None else lists
        if to_batch(raw, split, number, known).rows:
            return First(number, raw, known)
    raise without_examples(split)


def without_examples(split: str) -> SchemaError:
    """What is wrong with a split whose loader gives no batch, or none that has rows."""
    return SchemaError(f"split {split!r}: the loader gives no example; leave the split out, or fill its dataset")


def lists_of_batch(raw: RawBatch, loader: Loader, split: str) -> Lists:
    """What the lists of a loader's first batch are.

    Raises:
      LoaderError, SchemaError: its rows have parts that no row may have, or different ones.
    """
    rows = _row_lists_of(raw, loader)
    return Lists(rows, frozenset(find_sequences(raw, rows, f"split {split!r}, batch 0")))


def _row_lists_of(raw: RawBatch, loader: Loader) -> frozenset[str]:
    """Structural names of the lists that have one item for each row; `""` is the batch itself.

    PyTorch's own `collate_fn` makes no such lists: it stacks. Any other one is given one example five times, and then seven
    times; the lists that grow with that number have one item for each row. Where the dataset cannot be asked for an example, one
    is taken out of the batch. If that tells nothing, or if examples are large, the batch alone must do
    (`row_lists.find_row_lists`).
    """
    if getattr(loader.collate_fn, "__name__", "") == "default_collate":
        return frozenset()
    if gathers(loader):
        return frozenset([""])
    is_ready = gives_batches(loader)
    rows = None if is_ready else loader.batch_size
    if rows is not None:
        total = expected_examples(loader)
        with contextlib.suppress(Exception):  # datasets without a length fail in whatever way
            rows = min(rows, len(loader.dataset) if total is None else total)
    if not has_lists(raw, rows):
        return frozenset()
    if not is_ready and _size_of(raw) <= _LARGE * (rows or 1):
        with random_state_kept(loader):
            for probe in _probes(raw, loader):
                with contextlib.suppress(Exception):  # whatever it is, the drain meets it or need not
                    growing = find_growing(*probe())
                    if growing is not None and growing <= list_names(raw):
                        return growing
    return find_row_lists(raw, rows)


def _probes(raw: RawBatch, loader: Loader) -> Iterator[Callable[[], Iterable[RawValue]]]:
    """Ways to get two batches that are made of one example, repeated as often as `PROBES` says. Each is made of copies, never of
    the example itself, because `collate_fn` may write into it."""
    collate = functools.partial(_collate_copies, loader.collate_fn)
    keys = () if is_iterable(loader) else loader.sampler if isinstance(loader.sampler, Sequence) else range(_TRIED)
    for key in itertools.islice(keys, _TRIED):
        yield lambda key=key: draw(loader, collate, [[key] * count for count in PROBES])  # type: ignore[misc]
    for example in guess_examples(raw):
        yield lambda example=example: [collate([example()] * count) for count in PROBES]  # type: ignore[misc]


def _size_of(raw: RawBatch) -> int:
    """Bytes of the arrays, tensors and strings of a batch."""
    return sum(sum(map(_bytes_of, value)) if form is Form.VALUES else _bytes_of(value) for _, value, form in walk(raw))


def _bytes_of(value: object) -> int:
    """Bytes of an array, a tensor or a string; 0 of anything else."""
    if isinstance(value, str | bytes):
        return len(value)
    try:
        return int(getattr(value, "nbytes", 0))
    except RuntimeError:  # of a tensor that is not dense, which is refused later
        return 0


def _collate_copies(collate: Collate, examples: Examples) -> RawBatch:
    return collate(copy_example(examples))
