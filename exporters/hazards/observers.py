"""Batches looked at while they are drained: those of one shard, in whatever process, and the shards of a split put together.

>>> split = SplitObserver(watch, "train", loader, schema)                                           # doctest: +SKIP
>>> shard = ShardObserver(split.scope, split.axes)      # in any process: scope and axes are plain values
>>> shard.add(columns, number)                          # each batch of the shard
>>> split.merge(shard.take())                           # so is what is taken; merged in the order of the shards
>>> split.finish(written=40)
'train: 40 examples expected, 40 read, 40 written'
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from exporters.aliases import Loader
from exporters.hazards.base import BEFORE, DRAINING, AnyHazard, Finding, Look, Scope, promised_examples
from exporters.hazards.digests import AxisOrders
from exporters.hazards.registry import HAZARDS
from exporters.hazards.watch import Watch, refuse
from exporters.outcome import Counts
from exporters.schema.schema import Schema
from exporters.tensors.arrays import Columns
from tfds_builder.aliases import JsonMapping, JsonObject


@dataclasses.dataclass(frozen=True)
class Observations:
    """What was seen of the batches of one shard: a plain value, which travels from one process to another.

    Attributes:
      rows: examples looked at.
      axes: the order of the columns' axes that was taken; None if there was no batch.
      first: what its first batch shows, unless that is known not to be the first of its split.
      seen: by `HazardKind.keeps`.
    """

    rows: int
    axes: AxisOrders | None
    first: tuple[Finding, ...]
    seen: JsonMapping


@dataclasses.dataclass
class Totals:
    """The same of all shards of a split so far, in the process that merges them."""

    rows: int
    kept: JsonObject


class ShardObserver:
    """Looks at the batches of one shard, in their order.

    Args:
      scope: of the split.
      axes: the order of the columns' axes, settled by the first batch of all; None if that is yet to come, and comes here.
      totals: of all batches before. None in a process that does not know them: it refuses what no other shard can take
        back, if it is an error; all else is told once the shards are merged.
      report: is given what is found; of use with `totals`.

    Raises:
      HazardError: by `add` and `watching`; what was found is an error.
    """

    def __init__(
        self,
        scope: Scope,
        axes: AxisOrders | None,
        totals: Totals | None = None,
        report: Callable[[Iterable[Finding]], None] | None = None,
    ) -> None:
        self._axes, self._totals, self._rows = axes, totals, 0
        self._report = report or (lambda findings: refuse(scope, findings))
        self._hazards = _watched(scope)
        self._keepers = _keepers(self._hazards)
        kept = totals.kept if totals is not None else dict.fromkeys(self._keepers)
        self._seen = {keeps: hazard.start(kept[keeps]) for keeps, hazard in self._keepers.items()}
        self._alert = [(hazard, kept[hazard.keeps]) for hazard in self._hazards if hazard.keeps and hazard.found is DRAINING]
        self._first: tuple[Finding, ...] = ()

    def watching(self, batches: Iterable[tuple[int, Columns]]) -> Iterator[tuple[int, Columns]]:
        """The numbered batches of the shard as they are, each looked at; none is held while the next one is drained."""
        for number, columns in batches:
            self.add(columns, number)
            yield number, columns
            del columns

    def add(self, columns: Columns, number: int) -> None:
        """Looks at the stored columns of the next batch that has rows.

        Args:
          columns: by flat name, shape (N, ...) each.
          number: of the batch in its split.
        """
        if self._axes is None:
            self._axes = AxisOrders.of(columns)
        look = Look(columns, number, self._axes)
        if not self._rows and (self._totals is None or not self._totals.rows):
            self._first = tuple(finding for hazard in self._hazards for finding in hazard.first(look))
            if self._totals is not None:
                self._report(self._first)
        self._rows += look.rows
        for keeps, hazard in self._keepers.items():
            hazard.add(self._seen[keeps], look)
        for hazard, total in self._alert:
            self._report(hazard.now(total, self._seen[hazard.keeps]))

    def take(self) -> Observations:
        """What was seen, at the end of the shard; nothing may be added any more."""
        for keeps, hazard in self._keepers.items():
            hazard.close(self._seen[keeps])
        return Observations(self._rows, self._axes, self._first, self._seen)


class SplitObserver:
    """Puts together what was seen of the shards of one split, in their order, and tells what that shows.

    Args:
      watch: where it is reported; it has the digests of the splits before.
      split, loader: of the split.
      schema: of its columns; None if none of its batches is looked at any more.

    Attributes:
      scope: what a `ShardObserver` of the split needs, in whatever process it is.
    """

    def __init__(self, watch: Watch, split: str, loader: Loader, schema: Schema | None) -> None:
        self.scope = Scope.of(split, loader, watch.actions, schema)
        self._watch, self._loader = watch, loader
        self._hazards = _watched(self.scope)
        self._keepers = _keepers(self._hazards)
        self._totals = Totals(0, {keeps: hazard.begin(watch.tally) for keeps, hazard in self._keepers.items()})

    @property
    def axes(self) -> AxisOrders | None:
        """The order of the columns' axes, settled by the first batch of all; None before it."""
        return self._watch.axes

    def start_shard(self) -> ShardObserver:
        """Looks at the next shard in this process, once those before it are merged: what it shows is reported at its batch."""
        return ShardObserver(self.scope, self.axes, self._totals, self._report)

    def merge(self, shard: Observations) -> None:
        """Takes in the shard that follows: one that was drained now, or one of which what was seen was noted.

        A hazard of which nothing was kept there, since it was ignored then, is not told of the split any more.

        Raises:
          HazardError: what it shows is an error.
        """
        if self._watch.axes is None:
            self._watch.axes = shard.axes
        if not self._totals.rows:
            self._report(shard.first)
        self._totals.rows += shard.rows
        kept = self._totals.kept
        for keeps in self._keepers.keys() - shard.seen.keys():
            del self._keepers[keeps]
        self._hazards = [hazard for hazard in self._hazards if not hazard.keeps or hazard.keeps in self._keepers]
        for keeps, hazard in self._keepers.items():
            hazard.merge(kept[keeps], shard.seen[keeps])
        for hazard in self._hazards:
            if hazard.keeps and hazard.found is DRAINING:
                self._report(hazard.now(kept[hazard.keeps], hazard.start(kept[hazard.keeps])))

    def finish(self, written: int) -> str:
        """Reports what only the whole split shows; returns its summary in one line.

        Args:
          written: number of examples in its shards.

        Raises:
          HazardError: what it found is an error.
        """
        counts = Counts(promised_examples(self._loader), self._totals.rows, written)
        for hazard in self._hazards:
            self._report(hazard.finish(self._totals.kept.get(hazard.keeps), counts))
        return self._watch.finish(self.scope.split, counts)

    def _report(self, findings: Iterable[Finding]) -> None:
        self._watch.report(self.scope.split, findings)


def _watched(scope: Scope) -> list[AnyHazard]:
    """The hazards that batches can show, those ignored left out, in the order in which they are told."""
    kinds = [kind for name, kind in HAZARDS.items() if kind.found is not BEFORE and scope.actions[name] != "ignore"]
    return [kind(scope) for kind in kinds]


def _keepers(hazards: Iterable[AnyHazard]) -> dict[str, AnyHazard]:
    """By what is kept, the first of the hazards that keep it; it does so for all of them."""
    found: dict[str, AnyHazard] = {}
    for hazard in hazards:
        if hazard.keeps:
            found.setdefault(hazard.keeps, hazard)
    return found
