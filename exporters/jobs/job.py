"""One export under way: what is pending becomes tasks, an engine does them, and what is done is noted, merged and published."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from exporters import wording
from exporters.aliases import Loader, RawBatch
from exporters.batches.flatten import to_batch
from exporters.draws.apart import Draws, Part, base_seed_of
from exporters.draws.lanes import LaneDraws, Lanes, no_lanes
from exporters.engines.local import Local
from exporters.errors import ArgumentError, LoaderError
from exporters.formats import Format
from exporters.hazards.digests import AxisOrders
from exporters.hazards.observers import ShardObserver, SplitObserver
from exporters.hazards.watch import Watch
from exporters.jobs import assembly, hazard_notes
from exporters.jobs.comparison import Comparison, pick
from exporters.jobs.crew import Crew
from exporters.jobs.opening import Opening
from exporters.jobs.session import SplitWork
from exporters.jobs.settled import Settled
from exporters.jobs.task import Done, Drained, Noting, Task, in_order
from exporters.loaders import facts, lookahead, saved_state
from exporters.loaders.first_batch import First, without_examples
from exporters.loaders.lookahead import Numbered
from exporters.loaders.random_state import random_state_kept
from exporters.options.features import Options
from exporters.plans.cut import cut_into_shards
from exporters.plans.ledger import Ledger
from exporters.plans.shard import ShardResult, Written
from exporters.progress import Progress
from exporters.staging import space
from exporters.staging.disk import naming
from exporters.staging.stage import Stage
from exporters.tensors.arrays import Columns
from exporters.version import PRODUCER
from tfds_builder.aliases import JsonMapping
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.manifest import Column, Geometry, Manifest
from tfds_builder.features.info import write_metadata
from tfds_builder.table.table import Segment, Table


class Job:
    """Writes splits into a stage and publishes them.

    Args:
      stage: the entered stage; what an export before has finished in it is taken up.
      crew: the loaders, and who writes their shards.
      options: what the caller says about the features.
      format: how shards are written.
      bar: what the user sees.
      watch: what it is warned of.
      plan: its fields that are known before the first batch.

    Raises:
      ResumeError: what is finished belongs to another plan, or the data is other data.
    """

    def __init__(
        self,
        stage: Stage,
        crew: Crew,
        options: Options,
        format: Format,
        bar: Progress,
        watch: Watch,
        plan: JsonMapping,
    ) -> None:
        self._stage, self._crew, self._format, self._bar, self._watch = stage, crew, format, bar, watch
        self._splits: dict[str, list[ShardResult]] = {}
        if stage.was_moved:
            bar.say(f"{stage.path} is not where it was written: every byte that is finished is read and compared")
        told = hazard_notes.dump(tuple(watch.found))
        self._ledger = Ledger(stage, crew.as_given(), {**plan, "producer": PRODUCER}, told, crew.lanes)
        self._lanes = {split: Lanes(**lanes) for split, lanes in self._ledger.lanes.items()}
        self._loaders = loaders = {
            split: self._lanes[split].whole(loader) if split in self._lanes else loader for split, loader in crew.loaders.items()
        }
        watch.restore(self._ledger.told(hazard_notes.load) or ())
        self._check_seed(plan.get("seed"))
        self._opening = Opening(loaders, self._lanes, options, format, self._ledger, watch, bar.say, self._warn_of_space)
        self._run_past: set[str] = set()  # splits whose finished batches are drained again, though their order is known
        if self._ledger.plan is not None and not stage.joins:
            finished = sum(len(written) for split in loaders for written in self._ledger.done(split).values())
            stage.files.remove_attempts(self._ledger.files())
            bar.say(f"going on after {wording.plural(finished, 'finished shard')}")
            try:
                self._run_past = {split for split in loaders if not self._can_pass_over(split)}
            except BaseException:
                self.close()  # nobody else has it
                raise

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in order."""
        return list(self._loaders)

    def _check_seed(self, seed: int | None) -> None:
        """Raises ArgumentError if batches are to be seeded that cannot be drawn by number."""
        self._is_seeded = seed is not None
        for split in self._loaders if self._is_seeded else ():
            if self._ledger.order_of(split) is None:
                raise ArgumentError(
                    f"split {split!r}: {wording.argument('seed', seed)} is for loaders whose batches can be drawn by number, and "
                    "those of this one cannot: it is a stream, or iterates in a way of its own; seed it where it draws"
                )

    def _can_pass_over(self, split: str) -> bool:
        """Whether what is finished of a split, and would not be drained again, can be passed over.

        Raises:
          ResumeError: the loader gives other data than before it was stopped.
        """
        loader, order, done = self._loaders[split], self._ledger.order(split), self._ledger.done(split)
        finished = [shard for number in sorted(done) for shard in done[number]]
        is_stream = order is None and split not in self._lanes
        if not finished or (is_stream and (self._ledger.is_finished(split) or len(finished) < 2)):
            return True

        def encode(raw: RawBatch, number: int) -> Columns:
            lists = self._opening.lists
            batch = to_batch(raw, split, number, lists)
            return self._opening.settle(First(number, raw, lists), split).encode(batch, split) if batch.rows else {}

        with contextlib.closing(self._table(split, finished)) as table:
            comparison = Comparison(loader, split, order, table, encode)
            if order is not None:
                return comparison.run(pick(finished, order))
            if split in self._lanes:
                lane = next(number for number in sorted(done) if done[number])
                return comparison.begin(lambda: self._lanes[split].drain(loader, lane, ahead=1))
            with random_state_kept(loader), saved_state.state_kept(loader) as used:
                if not self._ledger.pass_over(split, used):
                    return True
                with contextlib.closing(lookahead.drain(used, None, finished[-2].stop, None)) as raws:
                    return comparison.follow(raws, len(table) - finished[-1].rows, finished[-1].stop)

    def _table(self, split: str, finished: Sequence[ShardResult]) -> Table:
        """The finished rows of a split where they are staged, some of them perhaps under their published names."""
        plan, geometries, find = self._ledger.settled_plan, list[Geometry](), self._stage.files.find
        shards = assembly.place_shards(finished, geometries, lambda file, name: find(file, name) or file, split, plan)
        columns = tuple(Column.from_json(column) for column in plan.columns)
        manifest = assembly.assemble(plan, columns, {split: shards}, geometries)
        return Table(self._stage.path, manifest, [Segment(shard, 0, shard.rows) for shard in shards.shards])

    def write_split(self, split: str) -> None:
        """Drains what is pending of one split into staged shards. The first batch drained settles the schema.

        Raises:
          ExportError: the loader is empty, its batches contradict the schema, or it has a hazard that is an error.
        """
        observer = None
        if not self._ledger.is_finished(split):
            with contextlib.ExitStack() as stack:
                loader = self._loaders[split]
                if self._ledger.sources[split].kind == "state" and self._ledger.finished(split):
                    loader = stack.enter_context(saved_state.state_kept(loader))
                if self._is_seeded:  # again and again: then nobody afterwards draws from what was the last of these
                    stack.enter_context(random_state_kept())
                stack.enter_context(space.noting(self._stage.path, self._pending_bytes))
                observer = self._drain(split, loader)
            self._ledger.finish_split(split)
        self._splits[split] = self._ledger.finished(split)
        written = sum(result.rows for result in self._splits[split])
        if not written:
            raise without_examples(split)
        if observer is None:
            self._bar.pass_over(written, len(self._splits[split]))
            observer = SplitObserver(self._watch, split, self._loaders[split], None)
            for number in sorted(self._ledger.done(split)):
                observer.merge(self._ledger.seen(split, number, hazard_notes.load))
        self._bar.say(observer.finish(written))

    def _drain(self, split: str, loader: Loader) -> SplitObserver | None:
        """Writes the pending shards of a split; what was seen of its examples, or None if there was none pending.

        Args:
          split: the split.
          loader: what is drained for it: its loader, or one like it that may be put into a state.
        """
        order, done = self._ledger.order(split), {} if split in self._run_past else self._ledger.pass_over(split, loader)
        if done and len(done) == len(self._ledger.planned(split) or ()):
            return None
        lanes = self._lanes.get(split)
        first = next(number for number in itertools.count() if number not in done)
        start = done[first - 1][-1].stop if first and lanes is None else 0
        if facts.is_put_in_order(loader):
            self._bar.say(
                f"split {split!r}: in_order=False is drained as in_order=True, so that it can go on where it is stopped"
            )
        run_past, in_lanes = split in self._run_past, lanes is not None
        engine, part = self._crew.engine_of(split, by_number=order is not None, run_past=run_past, in_lanes=in_lanes)
        with random_state_kept(loader) if part is not None else contextlib.nullcontext():
            settled = self._opening.open(split, loader, start)
        finished = [shard for written in done.values() for shard in written]
        self._bar.pass_over(sum(shard.rows for shard in finished), len(finished))
        observer = SplitObserver(self._watch, split, loader, settled.schema)
        work = self._work(split, loader, settled, observer) if part is None else self._work_apart(split, loader, part, observer)
        noting = Noting(functools.partial(self._finish_task, split))
        if part is None:
            work = dataclasses.replace(work, on_batch=functools.partial(self._on_batch, noting))
        run: Generator[Drained | Done, None, None] = engine.run(work, self._tasks(split, done, loader, settled))
        with noting, contextlib.closing(run) as results:
            for result in in_order(results if part is None else self._noted(split, results), done):
                if isinstance(result, int):
                    observer.merge(self._ledger.seen(split, result, hazard_notes.load))
                    continue
                observer.merge(result.seen)
                if part is None:
                    noting.add(result)
        return observer

    def _on_batch(self, noting: Noting, rows: int, size: int) -> None:
        self._bar.add_batch(rows, size)
        noting.look()

    def _noted(self, split: str, results: Iterator[Drained | Done]) -> Iterator[Done]:
        """What comes in any order: each is noted as it comes, so that it counts after a stop, whatever lacks before it."""
        for result in (each.close() for each in results):
            self._finish_task(split, result)
            for shard in result.shards:
                self._bar.add_batch(shard.rows, shard.data.bytes)
            yield result

    def _finish_task(self, split: str, result: Done) -> None:
        if result.task.before is None:
            self._ledger.finish_task(split, result.task.number, result.shards, hazard_notes.dump(result.seen), result.state)
        for _ in result.shards:
            self._bar.add_shard()

    def _work(self, split: str, loader: Loader, settled: Settled, observer: SplitObserver) -> SplitWork:
        """What this process needs to write the shards of a split."""
        has_state = self._ledger.sources[split].kind == "state"
        return SplitWork(
            split=split,
            plan=self._ledger.settled_plan,
            settled=settled,
            format=self._format,
            stage=self._stage.path,
            aside=self._stage.notes.directory,
            drain=self._drain_of(split, loader),
            observe=observer.start_shard,
            state=functools.partial(saved_state.state_of, loader) if has_state else None,
            on_batch=self._bar.add_batch,
        )

    def _drain_of(self, split: str, loader: Loader) -> Callable[[int], Numbered]:
        """What gives the raw batches of a split in this process."""
        if (lanes := self._lanes.get(split)) is None:
            return lambda start: self._opening.take(split, loader, start)
        self._opening.drop(split)  # lanes are drained from their start
        return functools.partial(lanes.drain, loader)

    def _work_apart(self, split: str, loader: Loader, part: Part, observer: SplitObserver) -> SplitWork:
        """What other processes need for it: plain values, and what of the loader can get to them."""
        load_order, settled = self._ledger.order_of(split), self._opening.settled
        assert settled is not None, "it is opened"
        axes = observer.axes or AxisOrders.of(self._opening.first_columns(split))
        self._opening.drop(split)
        if split in self._lanes:
            draws: Draws | LaneDraws = LaneDraws(part, self._lanes[split])
        else:
            assert load_order is not None, "its batches are drawn by number"
            draws = Draws(part, load_order, base_seed_of(loader, load_order()))
        return dataclasses.replace(
            self._work(split, loader, settled, observer),
            drain=draws.drain,
            observe=functools.partial(ShardObserver, observer.scope, axes),
            state=None,
            on_batch=_pass_by,
            begin=draws.prepare,
        )

    def _tasks(self, split: str, done: Mapping[int, Written], loader: Loader, settled: Settled) -> Iterator[Task]:
        """The shards of a split that are to be written, or compared.

        Where batches can be drawn by number the plan says where each begins and ends. Of a stream, how many there are shows as
        the data ends.

        Args:
          split: the split.
          done: shards that are passed over, by number.
          loader: what is drained.
          settled: what its first batch has settled.
        """
        finished, planned = dict(enumerate(self._ledger.finished(split))), self._ledger.planned(split)
        if planned is not None:
            for number, shard in enumerate(planned):
                if number not in done:
                    before = None if split in self._lanes else finished.get(number)
                    yield Task(split, number, *shard, before, is_lane=split in self._lanes)
            return
        expected = dict(enumerate(self._expected_rows(loader, settled)))
        for number in itertools.count(len(done)):
            start = done[number - 1][-1].stop if number - 1 in done else None if number else 0
            yield Task(split, number, start, None, expected.get(number), finished.get(number))

    def _expected_rows(self, loader: Loader, settled: Settled) -> list[int]:
        """Rows of each shard of a stream, if the loader can tell; strings differ in size, and so do then the shards."""
        batches, row_bytes = facts.expected_batches(loader), settled.row_bytes
        if batches is None or row_bytes is None:
            return []
        runs = cut_into_shards(batches, lambda rows: rows * row_bytes, self._ledger.settled_plan.shard_bytes)
        return [sum(run) for run in runs]

    def _pending_bytes(self) -> int | None:
        """About how much is still to be written; None where rows differ in size, or a loader cannot tell how many it gives."""
        rows, settled = facts.expected_total(self._loaders.values()), self._opening.settled
        if rows is None or settled is None or settled.row_bytes is None:
            return None
        written = [written for split in self._loaders for written in self._ledger.done(split).values()]
        done = sum(shard.rows for shards in written for shard in shards)
        return max(0, rows - done) * settled.row_bytes

    def _warn_of_space(self) -> None:
        space.warn_of_little(self._stage.path, self._pending_bytes())

    def plan(self) -> dict[str, int]:
        """Settles the plan from the first batches, and writes no shard. How many each split has, for whoever will write them.

        Raises:
          ExportError: it cannot be settled, or the batches of a split cannot be drawn by number.
        """
        for split, loader in self._loaders.items():
            if self._ledger.order_of(split) is None and split not in self._lanes:
                raise LoaderError(
                    f"split {split!r}: nobody can begin in the midst of it: {no_lanes(loader)}; torch2tfds export drains it in "
                    "one process"
                )
        split, loader = next(iter(self._loaders.items()))
        with random_state_kept(loader):
            self._opening.open(split, loader, 0)
            self._opening.drop(split)
        return {split: len(self._ledger.planned(split) or ()) for split in self._loaders}

    def write_share(self, rank: int, ranks: int) -> tuple[int, str]:
        """Writes the shards of one rank of an array job that are not finished: each `ranks`-th of all. Of a stream these are its
        lanes. How many it has written, and how many are its own, in words.

        Raises:
          ExportError: as `write_split`.
        """
        shards = [
            (split, number, shard) for split in self._loaders for number, shard in enumerate(self._ledger.planned(split) or ())
        ]
        own, written = shards[rank::ranks], 0
        for split in self._loaders:
            done = self._ledger.done(split)
            pending = [(number, shard) for owner, number, shard in own if owner == split and number not in done]
            tasks = [Task(split, number, *shard, is_lane=split in self._lanes) for number, shard in pending]
            if tasks:
                self._write_tasks(split, tasks)
            written += len(tasks)
        return written, wording.plural(len(own), "task" if self._lanes else "shard")

    def _write_tasks(self, split: str, tasks: Sequence[Task]) -> None:
        """Writes some shards of a split, of which others are written by others: each file has a name of its own."""
        loader = self._loaders[split]
        with contextlib.ExitStack() as stack:
            if self._is_seeded:
                stack.enter_context(random_state_kept())
            self._opening.drop(split)  # it was looked at from its first batch, and is drained from another
            settled = self._opening.open(split, loader, 0 if split in self._lanes else tasks[0].start or 0)
            observer = SplitObserver(self._watch, split, loader, settled.schema)
            work = dataclasses.replace(self._work(split, loader, settled, observer), begin=_pass_by)
            run: Generator[Drained | Done, None, None] = Local().run(work, tasks)
            results = stack.enter_context(contextlib.closing(run))
            for result in results:
                observer.merge(result.seen)
                self._finish_task(split, result.close())

    def missing(self) -> dict[str, str]:
        """By split of which shards are not finished, how many, in words."""
        lacking = {split: len(self._ledger.planned(split) or ()) - len(self._ledger.done(split)) for split in self._loaders}
        nouns = {split: "part" if split in self._lanes else "shard" for split in lacking}
        return {split: wording.plural(count, nouns[split]) for split, count in lacking.items() if count}

    def close(self) -> None:
        """Lets go of streams that were opened and not drained, and of the engine."""
        self._opening.close()
        self._crew.close()

    def publish(self) -> Manifest:
        """Final names, TFDS metadata, manifest, then the one rename."""
        geometries, plan, rename = list[Geometry](), self._ledger.settled_plan, self._stage.files.rename
        splits = {
            split: assembly.place_shards(results, geometries, rename, split, plan) for split, results in self._splits.items()
        }
        columns = tuple(Column.from_json(column) for column in plan.columns)
        manifest = assembly.assemble(plan, columns, splits, geometries, self._watch.found)
        self._stage.files.keep_only(file.file for file in manifest.files)
        with naming(self._stage.path):
            names = write_metadata(manifest, self._stage.path)
        files = tuple(self._stage.files.describe(name) for name in names)
        manifest = dataclasses.replace(manifest, metadata=files)
        self._stage.files.write(manifest_lib.FILENAME, manifest.to_json())
        self._stage.publish()
        return manifest


def _pass_by(rows: int, size: int) -> None:
    """Another process counts no batches: its shards are counted as they come."""
