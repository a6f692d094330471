"""What a hazard is: one class, asked at every moment of an export at which it can show.

    before       of the loader, before the first byte
    first        of the first batch that has rows
    start, add   of the batches of one shard, in whatever process writes it: what is seen of them is a plain value, `Seen`
    begin, merge what was seen of the shards of a split, in their order
    now          as soon as what was seen shows it
    finish       at the end of the split

To add one: its class, in the module of its kind, its name in `exporters.outcome.HazardName`, and its row in docs/hazards.md.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np

from exporters.aliases import Loader
from exporters.features.fields import AnyField
from exporters.hazards.digests import AxisOrders, Tally
from exporters.loaders.facts import expected_examples as examples_of_sampler
from exporters.loaders.facts import follows_pytorch, hands_on, is_iterable, length_of
from exporters.loaders.items import draws_lists, has_own_collate
from exporters.outcome import Action, Counts, HazardName
from exporters.schema.schema import Schema
from exporters.tensors.arrays import Columns, values_of
from tfds_builder.aliases import Array
from tfds_builder.contract.manifest import Column
from tfds_builder.contract.ragged import Ragged

UNNOTED = {"noted": False}
"""Metadata of a field of what is seen that a note leaves out: it has its default again in an export that goes on."""

BEFORE, DRAINING, END = "before the first byte", "while draining", "at the end of the split"
"""When a hazard is found."""

Seen = TypeVar("Seen")
"""What a hazard keeps of the batches of one shard: a plain value, which travels from one process to another, and is noted beside
the shard (`exporters.jobs.hazard_notes`), for an export that goes on after it."""
Total = TypeVar("Total")
"""What it keeps of all shards of a split so far, in the process that merges them."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a hazard says of a split; `text` completes the sentence that begins with the split.

    `remedy` is what mends it, where that is more than the table says: it has the names of the features.
    """

    name: HazardName
    count: int | None
    text: str
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Scope:
    """What the hazards know of a split, in whatever process its batches are looked at.

    Attributes:
      split: its name.
      actions: what is done about each hazard.
      promised: how many examples its loader promises, if it keeps to what it promises; else None.
      workers: of an iterable dataset that each of them reads for itself; 0 if there are none.
      has_own_collate: whether its `collate_fn` is none of PyTorch's.
      fields, columns, names, unpad, target: of the schema; empty where no batch is looked at any more.
    """

    split: str
    actions: Mapping[HazardName, Action]
    promised: int | None = None
    workers: int = 0
    has_own_collate: bool = False
    fields: Sequence[AnyField] = ()
    columns: Sequence[Column] = ()
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unpad: Mapping[str, str] = dataclasses.field(default_factory=dict)
    target: str | None = None

    @classmethod
    def of(cls, split: str, loader: Loader, actions: Mapping[HazardName, Action], schema: Schema | None = None) -> Scope:
        """The scope of a split.

        Args:
          split, loader: of the split.
          actions: by hazard; see `registry.check_policy`.
          schema: settled by a first batch; None if no batch is looked at any more.
        """
        scope = cls(
            split=split,
            actions=actions,
            promised=promised_examples(loader) if follows_pytorch(loader) else None,
            workers=loader.num_workers if is_iterable(loader) and loader.num_workers > 1 else 0,
            has_own_collate=has_own_collate(loader),
        )
        if schema is None:
            return scope
        return dataclasses.replace(
            scope,
            fields=schema.fields,
            columns=schema.columns,
            names=schema.names,
            unpad=schema.unpad,
            target=schema.supervised_keys[1] if schema.supervised_keys else None,
        )

    def is_error(self, name: HazardName) -> bool:
        """Whether this hazard ends the export."""
        return self.actions[name] == "error"


class Look:
    """One batch that has rows, as hazards look at it; what several of them need is made once.

    Args:
      columns: its stored columns; of an image that is stored as a file they hold the file's bytes, not pixels.
      number: of the batch in its split.
      axes: the order of the columns' axes that is taken for all batches.
    """

    def __init__(self, columns: Columns, number: int, axes: AxisOrders) -> None:
        self.columns, self.number, self._axes = columns, number, axes
        self.rows = len(next(iter(columns.values())))
        self._contiguous: dict[str, Array] = {}

    def values(self, name: str) -> Array:
        """The values of a column, C-contiguous; shape (N, values), where N is the number of rows, or of items of ragged ones."""
        if name not in self._contiguous:
            self._contiguous[name] = self._axes.contiguous(name, values_of(self.columns[name]))
        return self._contiguous[name]

    def bytes_of_rows(self) -> dict[str, Array]:
        """All columns, shape (N, values) each: equal for equal rows."""
        return {
            name: _join_rows(column) if isinstance(column, Ragged) else self.values(name) for name, column in self.columns.items()
        }

    @functools.cached_property
    def example_bytes(self) -> int:
        """Mean size of an example, bytes."""
        arrays = map(values_of, self.columns.values())
        sizes = (sum(map(len, array.ravel().tolist())) if array.dtype == object else array.nbytes for array in arrays)
        return sum(sizes) // self.rows


class HazardKind(Generic[Seen, Total]):
    """One hazard of one split. A subclass says what it is called, and answers at the moments at which it can show.

    Attributes:
      name: its key.
      found: when it is found: `BEFORE`, `DRAINING` or `END`.
      meaning: what a loader that has it does.
      remedy: the line that mends it.
      keeps: what it keeps of the batches it looks at; hazards that keep the same share it. Empty if it looks at none.
    """

    name: ClassVar[HazardName]
    found: ClassVar[str]
    meaning: ClassVar[str]
    remedy: ClassVar[str]
    keeps: ClassVar[str] = ""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    @classmethod
    def before(cls, loader: Loader, loaders: Iterable[Loader], *, reads: bool, seeded: bool) -> Iterator[Finding]:
        """What a loader itself shows.

        Args:
          loader: the DataLoader of one split.
          loaders: those of all splits.
          reads: whether the dataset may be read.
          seeded: whether generators are seeded before each batch.
        """
        yield from ()

    def first(self, look: Look) -> Iterator[Finding]:
        """What the first batch shows."""
        yield from ()

    def start(self, total: Total | None) -> Seen:
        """What is seen of a shard before its first batch.

        Args:
          total: of all batches before it; None in a process that does not know them.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps {self.keeps!r}, and does not say what that is")

    def add(self, seen: Seen, look: Look) -> None:
        """Takes in one more batch of the shard."""

    def close(self, seen: Seen) -> None:
        """Ends the shard: `seen` is a plain value from here on."""

    def begin(self, tally: Tally) -> Total:
        """What the shards of a split are merged into.

        Args:
          tally: the digests of all examples of every split so far.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps {self.keeps!r}, and does not say what that is")

    def merge(self, total: Total, seen: Seen) -> None:
        """Takes in what was seen of the shard that follows."""

    def now(self, total: Total | None, seen: Seen) -> Iterator[Finding]:
        """What is told, or refused, without waiting for the end of the split. Asked after each batch, and after each merge.

        Args:
          total: of all batches before those of `seen`. None in a process that does not know them: then only what no other
            shard can take back.
          seen: of a shard that is not merged yet.
        """
        yield from ()

    def finish(self, total: Total, counts: Counts) -> Iterator[Finding]:
        """What only the whole split shows, and what was shown too late for `now`.

        Args:
          total: of all shards; None for a hazard that keeps nothing.
          counts: of the split.
        """
        yield from ()


AnyHazard: TypeAlias = HazardKind[Any, Any]
"""A hazard, whatever it keeps."""


def promised_examples(loader: Loader) -> int | None:
    """How many examples a loader promises: by its sampler, or by the length of its iterable dataset.

    A map-style dataset without a batch size, whose items nobody said to be batches, has as many as it is long.
    """
    count = examples_of_sampler(loader)
    if count is not None or loader.drop_last or hands_on(loader):
        return count
    if is_iterable(loader):
        return length_of(loader.dataset) if loader.batch_size is not None else None
    return length_of(loader.sampler) if loader.batch_sampler is None and not draws_lists(loader) else None


def _join_rows(column: Ragged) -> Array:
    """The rows of a ragged column as `bytes`, or arrays of bytes, shape (N, 1): equal bytes for equal rows."""
    out, values = np.empty((len(column), 1), object), np.ascontiguousarray(column.values)
    if values.dtype == object:
        flat, bounds = values.ravel().tolist(), column.row_splits * (values[:1].size or 1)
        flat = [len(text).to_bytes(8, "little") + text for text in flat]
        out[:, 0] = [b"".join(flat[start:end]) for start, end in itertools.pairwise(bounds.tolist())]
    else:
        data, bounds = values.reshape(-1).view(np.uint8), column.row_splits * values[:1].nbytes
        for row, (start, end) in enumerate(itertools.pairwise(bounds.tolist())):
            out[row, 0] = data[start:end]
    return out
