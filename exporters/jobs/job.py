"""One export under way: splits into staged shards, then manifest, metadata and the rename."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exporters import wording
from exporters.batches import flatten as batches_lib
from exporters.batches.flatten import Batch
from exporters.batches.row_lists import Lists
from exporters.engines import local, workers
from exporters.errors import ResumeError
from exporters.formats import Format, ShardContext
from exporters.hazards.observers import SplitObserver
from exporters.hazards.watch import Watch
from exporters.jobs import assembly
from exporters.jobs import plan as plan_lib
from exporters.jobs.comparison import Comparison, pick
from exporters.jobs.ledger import Ledger
from exporters.jobs.shard import ShardResult, stored_bytes, stored_rows, write_shard
from exporters.loaders import facts as loader_lib
from exporters.loaders import items as items_lib
from exporters.loaders import lookahead
from exporters.loaders import saved_state as states_lib
from exporters.loaders.first_batch import First, first_batch, without_examples
from exporters.loaders.random_state import random_state_kept
from exporters.options.features import Options
from exporters.progress import Progress
from exporters.schema import class_names as classes_lib
from exporters.schema import no_label as unlabelled
from exporters.schema import schema as schema_lib
from exporters.schema.round_trip import UnequalImages
from exporters.schema.schema import Schema
from exporters.staging import space as room
from exporters.staging.contents import ASIDE
from exporters.staging.disk import naming
from exporters.staging.stage import Stage
from exporters.tensors.arrays import Columns
from exporters.version import PRODUCER
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.manifest import Column, Geometry, Manifest
from tfds_builder.features.feature_json import features_to_json, labels_of
from tfds_builder.features.info import write_metadata
from tfds_builder.table.table import Segment, Table


class Job:
    """Writes splits into a stage and publishes them.

    Args:
      stage: the entered stage.
      encoder: the format.
      bar: what the user sees.
      watch: what it is warned of.
      plan: its fields that are known before the first batch.
    """

    def __init__(self, stage: Stage, encoder: Format, bar: Progress, watch: Watch, plan: Mapping[str, Any]) -> None:
        self._stage, self._encoder, self._bar, self._watch = stage, encoder, bar, watch
        self._known = {**plan, "producer": PRODUCER}
        self._schema: Schema | None = None
        self._lists = Lists()
        self._columns: tuple[Column, ...] = ()
        self._row_bytes: int | None = None  # of every row, if they are all alike
        self._splits: dict[str, list[ShardResult]] = {}
        self._used: dict[str, Any] = {}  # by split, what is drained in place of a loader that has a state
        self._heads: dict[str, lookahead.Head] = {}
        self._has_looked = False
        self._run_past: set[str] = set()  # splits whose finished batches are drained again, though their order is known

    def begin(self, loaders: Mapping[str, Any], options: Options) -> None:
        """Takes up what an export before has finished, or draws and records the order of examples.

        Raises:
          ResumeError: what is finished belongs to another plan, or the data is other data.
        """
        self._loaders, self._options = loaders, options
        if self._stage.was_moved:
            self._bar.say(f"{self._stage.path} is not where it was written: every byte that is finished is read and compared")
        self._ledger = Ledger(self._stage, loaders, self._known)
        if self._ledger.plan is not None:
            self._columns = tuple(Column.from_json(column) for column in self._ledger.plan.columns)
            self._lists = Lists(frozenset(self._ledger.plan.row_lists), frozenset(self._ledger.plan.sequences))
            finished = sum(len(self._ledger.finished(split)) for split in loaders)
            self._bar.say(f"going on after {wording.plural(finished, 'finished shard')}")
            self._run_past = {split for split in loaders if not self._compare(split)}

    def _compare(self, split: str) -> bool:
        """Whether what is finished of a split, and would not be drained again, can be passed over.

        Raises:
          ResumeError: the loader gives other data than before it was stopped.
        """
        loader, order, finished = self._loaders[split], self._ledger.order(split), self._ledger.finished(split)
        if not finished or (order is None and (self._ledger.is_finished(split) or len(finished) < 2)):
            return True

        def encode(raw: Any, number: int) -> Columns:
            batch = batches_lib.to_batch(raw, split, number, self._lists)
            if not batch.rows:
                return {}
            if self._schema is None:
                self._start(First(number, raw, self._lists), split)
            assert self._schema is not None
            return self._schema.encode(batch, split)

        with contextlib.closing(self._table(split, finished)) as table:
            comparison = Comparison(loader, split, order, table, encode)
            if order is not None:
                return comparison.run(pick(finished, order))
            with random_state_kept(loader), states_lib.state_kept(loader) as used:
                if not self._ledger.pass_over(split, used):
                    return True
                with contextlib.closing(lookahead.drain(used, None, finished[-2].stop, None)) as raws:
                    return comparison.follow(raws, len(table) - finished[-1].rows, finished[-1].stop)

    def _table(self, split: str, finished: Sequence[ShardResult]) -> Table:
        """The finished rows of a split where they are staged, some of them perhaps under their published names."""
        plan, geometries = self._ledger.plan, list[Geometry]()
        assert plan is not None
        shards = assembly.place_shards(
            finished, geometries, lambda file, name: self._stage.files.find(file, name) or file, split, plan
        )
        manifest = assembly.assemble(plan, self._columns, {split: shards}, geometries)
        return Table(self._stage.path, manifest, [Segment(shard, 0, shard.rows) for shard in shards.shards])

    def write_split(self, split: str) -> None:
        """Drains what is pending of one split into staged shards. The first batch drained settles the schema.

        Raises:
          ExportError: the loader is empty, its batches contradict the schema, or it has a hazard that is an error.
        """
        observer = None
        if not self._ledger.is_finished(split):
            with contextlib.ExitStack() as stack:
                if self._ledger.sources[split].kind == "state" and self._ledger.finished(split):
                    self._used[split] = stack.enter_context(states_lib.state_kept(self._loaders[split]))
                stack.enter_context(room.noting(self._stage.path, self._pending_bytes))
                observer = self._drain(split)
            self._ledger.finish_split(split)
        self._splits[split] = self._ledger.finished(split)
        written = sum(result.rows for result in self._splits[split])
        if not written:
            raise without_examples(split)
        if observer is None:
            self._bar.pass_over(written, len(self._splits[split]))
            digests = self._ledger.digests(split, len(self._splits[split]))
            observer = SplitObserver(self._watch, split, self._loaders[split], None, written, digests)
        self._bar.say(observer.finish(written))

    def _drain(self, split: str) -> SplitObserver | None:
        """Writes the pending shards of a split; what was seen of its examples, or None if there was none pending."""
        loader = self._used.get(split, self._loaders[split])
        order, finished = self._ledger.order(split), self._ledger.finished(split)
        first = 0 if split in self._run_past else self._ledger.pass_over(split, loader)
        start = finished[first - 1].stop if first else 0
        if order is not None and 0 < start == len(order):
            return None
        if loader_lib.is_put_in_order(loader):
            self._bar.say(
                f"split {split!r}: in_order=False is drained as in_order=True, so that it can go on where it is stopped"
            )
        encoding = workers.encoding_loader(loader, classes_lib.of_splits(self._loaders), self._options)
        with contextlib.closing(lookahead.drain(encoding, order, start, self._heads.pop(split, None))) as raws:
            head = first_batch(raws, loader, split, self._lists if self._ledger.plan is not None else None)
            if self._schema is None:
                self._start(head, split)
            assert self._schema is not None
            if not self._has_looked:
                self._look_ahead(split)
            done = sum(shard.rows for shard in finished[:first])
            self._bar.pass_over(done, first)
            observer = SplitObserver(self._watch, split, loader, self._schema, done, self._ledger.digests(split, first))
            items = self._encode(lookahead.with_first([(head.number, head.raw)], raws), split)
            del head  # no batch is held while the next one is drained
            runs = plan_lib.cut_into_shards(items, lambda item: self._size(item[1]), self._known["shard_bytes"])
            expected = self._expected_rows(loader)
            for _ in local.run(runs, functools.partial(self._write, observer, split, finished, expected), first):
                self._bar.add_shard()
            return observer

    def _look_ahead(self, split: str, batch: Batch | None = None) -> list[Columns]:
        """The stored columns of the first batch of every split that is pending, before a byte is written.

        Args:
          split: the first that is drained.
          batch: its first batch; None if that is not asked for.

        Raises:
          ExportError: a split has no example, or its first batch cannot be stored.
        """
        schema, found = self._schema, list[Columns]()
        assert schema is not None
        self._has_looked = True

        def encode(batch: Batch, split: str) -> None:
            found.append(schema.encode(batch, split))

        if batch is not None:
            encode(batch, split)
        for other, loader in self._loaders.items():
            order, others = self._ledger.order(other), [self._loaders[name] for name in self._loaders if name != other]
            is_pending = other != split and not self._ledger.finished(other)
            if not is_pending or not lookahead.can_look(loader, order, others):
                continue
            encoding = workers.encoding_loader(loader, classes_lib.of_splits(self._loaders), self._options)
            head = lookahead.look(loader, other, order, encoding, self._lists, encode)
            if head is not None:
                self._heads[other] = head
        return found

    def close(self) -> None:
        """Lets go of streams that were opened and not drained."""
        for head in self._heads.values():
            if head.rest is not None:
                head.rest.close()

    def _start(self, first: First, split: str) -> None:
        """Settles schema and plan from the first batch that has rows, and says what was decided.

        Raises:
          ResumeError: what is finished belongs to another plan.
        """
        before, options = self._ledger.plan, self._options
        if before is not None:  # this may be any batch of the split
            options = schema_lib.as_before(options, before.features, before.columns)
        classes = classes_lib.of_splits(self._loaders)
        self._schema, self._lists = schema_lib.settle(first.raw, split, first.lists, classes, options, first.number)
        decisions = (*items_lib.decisions(self._loaders), *self._schema.decisions) if before is None else before.decisions
        batch = batches_lib.to_batch(first.raw, split, first.number, self._lists)
        firsts = [self._schema.encode(batch, split)] if before is not None else self._look_ahead(split, batch)
        known = before.columns if before is not None else ()
        self._schema = unlabelled.make_room(self._schema, firsts, self._loaders, known)
        for sentence in (*decisions, *self._schema.check_round_trip(batch, split)):
            self._bar.say(sentence)
        self._columns = self._encoder.columns(self._schema.columns)
        if not any(column.is_variable for column in self._columns):
            self._row_bytes = sum(column.width for column in self._columns)
        self._ledger.settle(
            features=features_to_json(self._schema.features),
            columns=tuple(column.to_json() for column in self._columns),
            labels=labels_of(self._schema.features),
            supervised_keys=self._schema.supervised_keys,
            decisions=decisions,
            row_lists=tuple(sorted(self._lists.rows)),
            sequences=tuple(sorted(self._lists.sequences)),
        )
        room.warn_of_little(self._stage.path, self._pending_bytes())

    def _pending_bytes(self) -> int | None:
        """About how much is still to be written; None where rows differ in size, or a loader cannot tell how many it gives."""
        rows = loader_lib.expected_total(self._loaders.values())
        if rows is None or self._row_bytes is None:
            return None
        done = sum(shard.rows for split in self._loaders for shard in self._ledger.finished(split))
        return max(0, rows - done) * self._row_bytes

    def _encode(self, raws: Iterator[tuple[int, Any]], split: str) -> Iterator[tuple[int, Columns]]:
        """Numbered raw batches to (number, stored columns); batches without rows are passed over."""
        assert self._schema is not None
        unequal = UnequalImages(self._schema.fields)
        for number, raw in raws:
            batch = batches_lib.to_batch(raw, split, number, self._lists)
            columns = self._schema.encode(batch, split)
            if batch.rows:
                unlabelled.check(columns, self._columns, f"split {split!r}, batch {number}")
                unequal.look_at(batch, split)
                yield number, columns
                self._bar.add_batch(batch.rows, self._size(columns))
            del raw, batch, columns  # no batch is held while the next one is drained

    def _size(self, columns: Columns) -> int:
        if self._row_bytes is not None:
            return stored_rows(columns) * self._row_bytes
        return stored_bytes(columns, self._columns)

    def _expected_rows(self, loader: Any) -> list[int]:
        """Rows of each shard, if the loader can tell; strings differ in size, and so do then the shards."""
        batches = loader_lib.expected_batches(loader)
        row_bytes = self._row_bytes
        if batches is None or row_bytes is None:
            return []
        runs = plan_lib.cut_into_shards(batches, lambda rows: rows * row_bytes, self._known["shard_bytes"])
        return [sum(run) for run in runs]

    def _write(
        self,
        observer: SplitObserver,
        split: str,
        finished: Sequence[ShardResult],
        expected: Sequence[int],
        number: int,
        batches: Iterator[tuple[int, Columns]],
    ) -> None:
        """Writes one shard and notes it; one that is finished already is only compared.

        Raises:
          ResumeError: the loader gives other data than before.
        """
        stem, states = f"{split}-{number:05d}", list[bytes | None]()
        rows = expected[number] if number < len(expected) else None
        context = dataclasses.replace(self._context(split, number), expected_rows=rows)
        seen = observer.start_shard()
        batches = seen.watching(batches)
        if number < len(finished):  # a stream can but be run past
            with tempfile.TemporaryDirectory(prefix=ASIDE, dir=self._stage.notes.directory) as aside:
                again = write_shard(self._encoder, context, pathlib.Path(aside), stem, batches)
            observer.merge(seen.take())
            if again != finished[number]:
                raise ResumeError(
                    f"split {split!r}: the loader gives other data than before it was stopped (shard {number} differs); make it "
                    f"give the same examples in the same order, or {wording.passing('overwrite', True)} to begin anew"
                )
            return
        if self._ledger.sources[split].kind == "state":
            batches = self._with_state(batches, self._used.get(split, self._loaders[split]), states)
        shard = write_shard(self._encoder, context, self._stage.path, stem, batches)
        self._ledger.finish_shard(split, number, shard, states[-1] if states else None, observer.merge(seen.take()))

    def _with_state(
        self, batches: Iterator[tuple[int, Columns]], loader: Any, states: list[bytes | None]
    ) -> Iterator[tuple[int, Columns]]:
        """The batches; the loader's state when the last of them had been drawn, and no more, is left in `states`."""
        for batch in batches:
            states[:] = [states_lib.state_of(loader)]  # as bytes: what it is made of moves on
            yield batch
            del batch

    def _context(self, split: str, number: int) -> ShardContext:
        """What a shard says about itself (HDF5 keeps it in attributes)."""
        assert self._schema is not None
        plan = self._ledger.plan
        assert plan is not None
        facts: dict[str, dict[str, Any]] = {}
        for field in self._schema.fields:
            for column in field.columns:
                facts[column.name] = {"feature": type(field.feature).__name__, "dtype": column.dtype}
                if column.source_layout:
                    layout = Layout.of(column.source_layout)
                    facts[column.name] |= {"layout": layout.stored, "source_layout": layout.source}
                if column.name in plan.labels:
                    facts[column.name]["class_names"] = plan.labels[column.name]
        return ShardContext(
            columns=self._columns,
            lists=self._schema.lists,
            attributes={
                "dataset": plan.name,
                "version": plan.version,
                **({"config": plan.config_name} if plan.config_name else {}),
                "split": split,
                "shard": number,
                "features": plan.features,
                "producer": PRODUCER,
            },
            column_attributes=facts,
        )

    def publish(self) -> Manifest:
        """Final names, TFDS metadata, manifest, then the one rename."""
        geometries = list[Geometry]()
        plan, rename = self._ledger.plan, self._stage.files.rename
        assert plan is not None
        splits = {
            split: assembly.place_shards(results, geometries, rename, split, plan) for split, results in self._splits.items()
        }
        manifest = assembly.assemble(plan, self._columns, splits, geometries)
        self._stage.files.keep_only(file.file for file in manifest.files)
        with naming(self._stage.path):
            names = write_metadata(manifest, self._stage.path)
        files = tuple(self._stage.files.describe(name) for name in names)
        manifest = dataclasses.replace(manifest, metadata=files)
        self._stage.files.write(manifest_lib.FILENAME, manifest.to_json())
        self._stage.publish()
        return manifest
