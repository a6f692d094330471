"""The first batches of an export: drawn before anything is written, and what they settle for all that follow.

A batch that was drawn to be looked at is not drawn again where nothing could have made it another one: it waits here, with what
comes after it, until its split is drained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping

from exporters.aliases import Loader
from exporters.batches.flatten import Batch, to_batch
from exporters.batches.row_lists import Lists
from exporters.draws.lanes import Lanes
from exporters.engines import workers
from exporters.features.codecs import codecs_of
from exporters.formats import Format
from exporters.hazards.base import Scope
from exporters.hazards.repeats import find_repeating
from exporters.hazards.watch import Watch, refuse
from exporters.integers.transforms import with_scales
from exporters.jobs.probing import settle_cut
from exporters.jobs.settled import Settled
from exporters.loaders import items, lookahead
from exporters.loaders.first_batch import First, first_batch
from exporters.loaders.lookahead import Head, Numbered
from exporters.options.features import Options
from exporters.plans.ledger import Ledger
from exporters.plans.plan import Plan
from exporters.schema import class_names, no_label
from exporters.schema import schema as schema_lib
from exporters.schema.schema import Schema
from exporters.tensors.arrays import Columns
from tfds_builder.features.feature_json import features_to_json, labels_of

Firsts = dict[str, tuple[int, Columns]]
"""By split, the number of its first batch that has rows, and its stored columns."""


class Opening:
    """Draws first batches, and settles schema and plan from the first of them.

    Args:
      loaders: by split.
      lanes: of the splits that are read in lanes: the first of them that gives anything is looked at.
      options: what the caller says about the features.
      format: how columns are stored.
      ledger: where the plan is noted; it may have that of an export that was stopped.
      watch: what the caller wants done about hazards.
      say: is told what was decided, a sentence a feature.
      on_settled: called once it is, and before anything is written.

    Attributes:
      settled: what the first batch has settled; None before it.
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader],
        lanes: Mapping[str, Lanes],
        options: Options,
        format: Format,
        ledger: Ledger,
        watch: Watch,
        say: Callable[[str], None],
        on_settled: Callable[[], None],
    ) -> None:
        self._loaders, self._lanes, self._format, self._ledger = loaders, lanes, format, ledger
        self._options = with_scales(options, loaders.values())
        self._watch, self._say, self._on_settled = watch, say, on_settled
        self.settled: Settled | None = None
        self._heads: dict[str, Head] = {}
        self._has_looked = False

    @property
    def lists(self) -> Lists:
        """What the lists of a batch are, as the plan of an export that was stopped has them."""
        plan = self._ledger.settled_plan
        return Lists(frozenset(plan.row_lists), frozenset(plan.sequences))

    def settle(self, first: First, split: str) -> Settled:
        """What is settled: by an earlier batch, or else by this one, which has rows.

        Raises:
          ExportError: it cannot be settled, or another split's first batch cannot be stored.
          ResumeError: what is finished belongs to another plan.
        """
        if self.settled is None:
            schema, lists, decisions = self._infer(first, split)
            batch = to_batch(first.raw, split, first.number, lists)
            before, firsts = self._ledger.plan, {split: (batch.number, schema.encode(batch, split))}
            if before is None:
                firsts |= self._look_ahead(schema, lists, split)
                schema = no_label.make_room(schema, [columns for _, columns in firsts.values()], self._loaders, ())
            else:
                schema = no_label.make_room(schema, [firsts[split][1]], self._loaders, before.columns)
            for sentence in (*decisions, *schema.check_round_trip(batch, split)):
                self._say(sentence)
            self.settled = Settled(schema, lists, self._format.columns(schema.columns))
            self._note(self.settled, decisions, before.cuts if before is not None else self._cuts(self.settled, firsts))
            for name, lanes in self._lanes.items() if before is None else ():
                self._compare(name, lanes, self.settled)
            self._on_settled()
        return self.settled

    def _infer(self, first: First, split: str) -> tuple[Schema, Lists, tuple[str, ...]]:
        """Schema, lists and decisions; where a plan is there, any batch gives what the first of all had given."""
        before, options = self._ledger.plan, self._options
        if before is not None:
            options = schema_lib.as_before(options, before.features, before.columns, before.integers)
        classes = class_names.of_splits(self._loaders)
        schema, lists = schema_lib.settle(first.raw, split, first.lists, classes, options, first.number)
        return schema, lists, before.decisions if before is not None else (*items.decisions(self._loaders), *schema.decisions)

    def _cuts(self, settled: Settled, firsts: Firsts) -> dict[str, dict[str, int]]:
        """By split whose batches can be drawn by number, the rule by which it is cut."""
        cuts = {}
        for split, loader in self._loaders.items():
            order = self._ledger.order(split)
            if order is not None:
                cuts[split] = settle_cut(loader, split, order, *firsts[split], settled, self._ledger.shard_bytes)
        return cuts

    def _compare(self, split: str, lanes: Lanes, settled: Settled) -> None:
        """Raises HazardError if lanes of a split give the same."""
        loader, actions = self._loaders[split], self._watch.actions
        if actions["workers_repeat"] != "ignore":
            firsts = [_stored(lanes.drain(loader, lane, ahead=1), split, settled) for lane in range(lanes.count)]
            refuse(Scope.of(split, loader, actions, settled.schema), find_repeating(firsts), always=True)

    def _note(self, settled: Settled, decisions: tuple[str, ...], cuts: dict[str, dict[str, int]]) -> Plan:
        return self._ledger.settle(
            cuts=cuts,
            codecs=codecs_of(settled.schema.features),
            features=features_to_json(settled.schema.features),
            columns=tuple(column.to_json() for column in settled.columns),
            labels=labels_of(settled.schema.features),
            supervised_keys=settled.schema.supervised_keys,
            decisions=decisions,
            row_lists=tuple(sorted(settled.lists.rows)),
            sequences=tuple(sorted(settled.lists.sequences)),
            integers=tuple(table.to_json(whole=True) for table in settled.schema.tables),
        )

    def open(self, split: str, loader: Loader, start: int) -> Settled:
        """Draws the first batch of what is pending of a split, and has it settle what no other has settled.

        Args:
          split: the split; `take` gives its batches afterwards.
          loader: what is drained for it.
          start: number of the first batch that is pending.

        Raises:
          ExportError: as for `settle`, or there is no batch that has rows.
        """
        order, head = self._ledger.order(split), self._heads.pop(split, None)
        if head is None:
            loader = self._looked_at(split, loader)
        raws = lookahead.drain(self._encoding(loader), order, start, head)
        try:
            first = first_batch(raws, loader, split, self.lists if self._ledger.plan is not None else None)
            settled = self.settle(first, split)
            if not self._has_looked:
                self._look_ahead(settled.schema, settled.lists, split)
        except BaseException:
            raws.close()
            raise
        self._heads[split] = Head(first, raws)
        return settled

    def first_columns(self, split: str) -> Columns:
        """The stored columns of the batch that `open` has drawn."""
        assert self.settled is not None, "it is settled by `open`"
        first = self._heads[split].first
        return self.settled.encode(self.settled.to_batch(first.raw, split, first.number), split)

    def drop(self, split: str) -> None:
        """Lets go of what was drawn of a split: it is drawn again."""
        head = self._heads.pop(split, None)
        if head is not None and head.rest is not None:
            head.rest.close()

    def take(self, split: str, loader: Loader, start: int) -> Numbered:
        """The raw batches of a split from a batch on, with their numbers: those that `open` has drawn, or else drawn now."""
        return lookahead.drain(self._encoding(loader), self._ledger.order(split), start, self._heads.pop(split, None))

    def _encoding(self, loader: Loader) -> Loader:
        """The loader, or one whose workers encode what is dear to encode."""
        plan = self._ledger.plan
        options = self._options if plan is None else schema_lib.with_tables(self._options, plan.integers)
        return workers.encoding_loader(loader, class_names.of_splits(self._loaders), options)

    def _looked_at(self, split: str, loader: Loader) -> Loader:
        """The loader whose first batch is that of the split."""
        return self._lanes[split].first(loader) if split in self._lanes else loader

    def _look_ahead(self, schema: Schema, lists: Lists, split: str) -> Firsts:
        """The first batch of every other split that is pending, before a byte is written.

        Args:
          schema, lists: settled.
          split: the first that is drained.

        Raises:
          ExportError: a split has no example, or its first batch cannot be stored.
        """
        found: Firsts = {}
        self._has_looked = True

        def encode(batch: Batch, split: str) -> None:
            found[split] = batch.number, schema.encode(batch, split)

        for other, loader in self._loaders.items():
            order, others = self._ledger.order(other), [self._loaders[name] for name in self._loaders if name != other]
            is_pending = other != split and not self._ledger.finished(other)
            if not is_pending or not lookahead.can_look(loader, order, others):
                continue
            loader = self._looked_at(other, loader)
            head = lookahead.look(loader, other, order, self._encoding(loader), lists, encode)
            if head is not None:
                self._heads[other] = head
        return found

    def close(self) -> None:
        """Lets go of streams that were opened and not drained."""
        for head in self._heads.values():
            if head.rest is not None:
                head.rest.close()


def _stored(raws: Numbered, split: str, settled: Settled) -> Generator[Columns, None, None]:
    """The stored columns of those raw batches that have rows."""
    with contextlib.closing(raws):
        for number, raw in raws:
            batch = settled.to_batch(raw, split, number)
            columns = settled.encode(batch, split)
            if batch.rows:
                yield columns
