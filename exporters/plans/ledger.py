"""What is planned and what is finished, on disk beside the stage: so that an export can go on where it stopped.

Before the first shard: the order of examples and the plan. After each shard: a note of it. All of it
is fsynced, and gone once the dataset is published.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from exporters import wording
from exporters.aliases import Loader
from exporters.errors import ResumeError
from exporters.loaders import facts as loader_lib
from exporters.loaders import saved_state as states
from exporters.loaders.order import Order, Source
from exporters.plans.cut import ROWS, bounds_of
from exporters.plans.differences import differences
from exporters.plans.plan import Plan
from exporters.plans.shard import ShardResult, Written
from exporters.staging.contents import PLAN_NOTE, TOLD_NOTE
from exporters.staging.stage import Stage
from tfds_builder.aliases import JsonMapping, JsonObject

Seen = TypeVar("Seen")

_ORDERED = ("range", "indices")
"""Kinds of `Source` whose batches can be drawn by number."""


class Ledger:
    """The notes of one export.

    Args:
      stage: the entered stage; its notes may be those of an export that was stopped.
      known: what is known of the plan before the first batch, by field.
      told: what was told of the loaders, to be noted with the plan.
      divide: gives the lanes of the plan, if there is no plan yet.

    Attributes:
      plan: the plan, once it is settled.
      sources: what each split's loader draws from.
      lanes: of the plan.

    Raises:
      ResumeError: what is finished belongs to another plan.
    """

    def __init__(
        self,
        stage: Stage,
        loaders: Mapping[str, Loader],
        known: JsonMapping,
        told: bytes = b"",
        divide: Callable[[], dict[str, dict[str, int]]] = dict,
    ) -> None:
        self._stage, self._known, self._told = stage, dict(known), told
        self._results: dict[str, dict[int, Written]] = {}
        self.plan: Plan | None = None
        self.lanes: dict[str, dict[str, int]] = {}
        self.sources = {split: loader_lib.describe(loader) for split, loader in loaders.items()}
        if stage.has_finished_shards():
            with self._reading():
                self.plan = self._take_up()
        if self.plan is None:
            self.lanes = divide()
        if self.plan is not None:
            for split, source in self.sources.items():  # whose indices turned out to be no integers
                if source.kind == "indices" and self.plan.sources.get(split, {}).get("kind") == "stream":
                    self.sources[split] = dataclasses.replace(source, kind="stream")
            self._check(dataclasses.replace(self.plan, **self._facts()))
            for split, loader in loaders.items():
                self._check_order(split, loader)
            return
        for split, loader in loaders.items():
            source = self.sources[split]
            if source.kind == "indices" and not loader_lib.record_order(loader, stage.notes.directory / _order_note(split)):
                self.sources[split] = dataclasses.replace(source, kind="stream")

    def _take_up(self) -> Plan | None:
        """The plan of what is finished; None if nothing of it is there any more, and the stage begun anew.

        Raises:
          ResumeError: only a part is there, or not as it was written.
        """
        plan = Plan.from_json(self._stage.notes.read(PLAN_NOTE))
        self.lanes = plan.lanes
        files = [
            file
            for split in plan.splits
            for shards in [[shard for _, written in sorted(self._noted(split).items()) for shard in written if shard.rows]]
            for number, shard in enumerate(shards)
            for file in shard.files(plan.format, plan.name, split, number, len(shards))
        ]
        if files and not self._stage.files.names():
            self._stage.begin_anew()
            self._results.clear()
            return None
        damage = list(filter(None, (self._stage.files.find_damage(*file, reads=self._stage.was_moved) for file in files)))
        if damage:
            raise ResumeError(
                f"what is finished of this version is not what was written: {'; '.join(damage[:5])}; put it back, or "
                f"{wording.passing('overwrite', True)} to begin anew"
            )
        for split, source in plan.sources.items():
            if source["kind"] not in _ORDERED and split not in plan.lanes:
                self._check_gaps(split)
            for number in self._noted(split):
                if not self._stage.notes.has(_seen_note(split, number)):
                    raise FileNotFoundError(f"{_seen_note(split, number)} is not there")
            if source["kind"] == "indices":
                Order.load(self._stage.notes.directory / _order_note(split))
        if self._stage.was_moved and not self._stage.joins:
            self._stage.settle_in()
        return plan

    def _check_gaps(self, split: str) -> None:
        """Raises ResumeError if a shard of a stream is not noted and one behind it is: it cannot be drawn alone."""
        for expected, number in enumerate(sorted(self._noted(split))):
            if number != expected:
                raise ResumeError(
                    f"the note of shard {expected} of split {split!r} is gone from {self._stage.notes.directory}; put it "
                    f"back, or {wording.passing('overwrite', True)} to begin anew"
                )

    def _check_order(self, split: str, loader: Loader) -> None:
        """Raises ResumeError if a loader's sampler draws other examples than those whose order was recorded."""
        order = self.order(split)
        if self.sources[split].kind != "indices" or order is None or not loader_lib.draws_others(loader, order):
            return
        raise ResumeError(
            f"split {split!r}: the sampler ({self.sources[split].sampler}) draws other examples, or in another order, than "
            f"before the export was stopped; give it the sampler it had, or {wording.passing('overwrite', True)} to begin anew"
        )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Notes that make no sense become a ResumeError."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError, FileNotFoundError) as error:
            if isinstance(error, ResumeError):
                raise
            raise ResumeError(
                f"the notes of what is finished, in {self._stage.notes.directory}, are cut short or changed "
                f"({type(error).__name__}: {error}); put them back as they were, or "
                f"{wording.passing('overwrite', True)} to begin anew"
            ) from error

    def _facts(self) -> JsonObject:
        """Fields of the plan that are known before the first batch."""
        return {
            **self._known,
            "splits": tuple(self.sources),
            "lanes": self.lanes,
            "sources": {split: dataclasses.asdict(source) for split, source in self.sources.items()},
        }

    def settle(self, **fields: Any) -> Plan:
        """The plan with the fields that the first batch settles; written down, or compared with what is.

        Raises:
          ResumeError: what is finished belongs to another plan.
        """
        plan = Plan(**self._facts(), **fields)
        if self.plan is None:
            for split, source in self.sources.items():
                if source.kind == "indices":
                    self._stage.notes.sync(_order_note(split))
            self._stage.notes.write(TOLD_NOTE, self._told)
            self._stage.notes.write(PLAN_NOTE, plan.to_json())
            self.plan = plan
        self._check(plan)
        return plan

    @property
    def shard_bytes(self) -> int:
        """Target size of a shard, bytes."""
        size: int = self._known["shard_bytes"]
        return size

    @property
    def settled_plan(self) -> Plan:
        """The plan, once the first batch of all has settled it."""
        if self.plan is None:
            raise RuntimeError("the plan is asked for before the first batch has settled it")
        return self.plan

    def _check(self, plan: Plan) -> None:
        if found := differences(self.settled_plan, plan):
            how = wording.either("export with what was given before", "run the command as it was before")
            raise ResumeError(
                f"{self._stage.path} holds finished shards of another export of this version: {'; '.join(found)}; "
                f"{how} to go on after them, or {wording.passing('overwrite', True)} to begin anew"
            )

    def finished(self, split: str) -> list[ShardResult]:
        """The finished shards of a split, in order, up to the first gap."""
        return [shard for written in self._up_to_gap(split) for shard in written]

    def _read(self, split: str, content: Any) -> Written:
        """What a note says that a task has written: of a lane a list."""
        shards = content if split in self.lanes else [content]
        if not isinstance(shards, list):
            raise TypeError(f"the note of a lane of split {split!r} is no list")
        return tuple(map(ShardResult.from_json, shards))

    def _up_to_gap(self, split: str) -> list[Written]:
        noted = self._noted(split)
        return [noted[number] for number in itertools.takewhile(noted.__contains__, itertools.count())]

    def done(self, split: str) -> dict[int, Written]:
        """What is finished of a split by the number of its task: what is behind a gap too, where tasks can be done alone."""
        if self.order(split) is None and split not in self.lanes:
            return dict(enumerate(self._up_to_gap(split)))
        return self._noted(split)

    def _noted(self, split: str) -> dict[int, Written]:
        """What is noted of a split by the number of the task. Notes are read once: those of 300,000 shards take half a minute."""
        if split not in self._results:
            notes = self._stage.notes.shards_of(split)
            self._results[split] = {number: self._read(split, json.loads(note)) for number, note in notes.items()}
        return dict(self._results[split])

    def seen(self, split: str, number: int, load: Callable[[bytes], Seen]) -> Seen:
        """What was seen of the examples of a finished shard.

        Args:
          load: makes it of what was noted.

        Raises:
          ResumeError: the note is damaged.
        """
        with self._reading():
            return load(self._stage.notes.read(_seen_note(split, number)))

    def told(self, load: Callable[[bytes], Seen]) -> Seen | None:
        """What was told of the loaders before the first byte, by the export that settled the plan; None if there was none before.

        Raises:
          ResumeError: the note is damaged.
        """
        if self.plan is None:
            return None
        with self._reading():
            return load(self._stage.notes.read(TOLD_NOTE))

    def order(self, split: str) -> Order | None:
        """The batches of a split, if they can be drawn by number."""
        load = self.order_of(split)
        return None if load is None else load()

    def order_of(self, split: str) -> Callable[[], Order] | None:
        """What gives them, in this process or in another one that has the same files."""
        source: Source = self.sources[split]
        seed = self._known.get("seed")
        mark = "" if seed is None else f"{seed}/{split}"
        if source.kind == "indices":
            return functools.partial(_load, self._stage.notes.directory / _order_note(split), mark)
        if source.kind == "range":
            size = source.examples or 0, source.batch_size or 1
            return functools.partial(_of_range, *size, drop_last=source.drop_last, seed=mark)
        return None

    def files(self) -> list[str]:
        """Names of the files of all finished shards."""
        shards = [shard for split in self.sources for written in self._noted(split).values() for shard in written if shard.rows]
        return [file.file for shard in shards for file in (shard.data, shard.index) if file is not None]

    def planned(self, split: str) -> Sequence[tuple[int, int | None, int | None]] | None:
        """The shards of a split as the plan has them: number of the first batch of each, of the one behind its last, and how many
        rows it will have, if that is known. None where all that shows while it is drained. Of a split that is read in lanes:
        these, by their first batches."""
        if split in self.lanes:
            return [(lane, None, None) for lane in range(self.lanes[split]["count"])]
        order = self.order(split)
        if order is None:
            return None
        rule = self.settled_plan.cuts[split]
        runs = itertools.pairwise(bounds_of(rule, order))
        return [(start, stop, order.indices(start, stop) if ROWS in rule else None) for start, stop in runs]

    def pass_over(self, split: str, loader: Loader) -> dict[int, Written]:
        """What is finished and need not be drained again, by the number of its task. A loader that has a state is put into the
        state that it had after them.

        The last finished shard of such a loader is drained again and compared, which shows if its state does not bring everything
        back.
        """
        done = self.done(split)
        if self.order(split) is not None or split in self.lanes:
            return done
        note = _state_note(split, len(done) - 2)
        if self.sources[split].kind != "state" or not self._stage.notes.has(note):
            return {}
        is_restored = states.restore_state(loader, self._stage.notes.read(note))
        return {number: shard for number, shard in done.items() if is_restored and number < len(done) - 1}

    def finish_task(self, split: str, number: int, written: Written, seen: bytes, state: bytes | None = None) -> None:
        """Notes a task whose files are on disk, what was seen of its examples, and the loader's state after it."""
        if state is not None:
            self._stage.notes.write(_state_note(split, number), state)
        self._stage.notes.write(_seen_note(split, number), seen)
        content = [shard.to_json() for shard in written]
        self._stage.notes.write_shard(split, number, json.dumps(content if split in self.lanes else content[0]).encode())
        if split in self._results:
            self._results[split][number] = written

    def finish_split(self, split: str) -> None:
        """Notes that a split has no more shards, and how many it has."""
        self._stage.notes.write(_split_note(split), str(len(self.finished(split))).encode())

    def is_finished(self, split: str) -> bool:
        """Whether a split has no more shards, and all are noted.

        Raises:
          ResumeError: it had more than there are notes of, and the others cannot be drawn alone.
        """
        if not self._stage.notes.has(_split_note(split)):
            return False
        with self._reading():
            noted = int(self._stage.notes.read(_split_note(split)))
            if noted != len(self.finished(split)):
                if self.order(split) is not None or split in self.lanes:
                    return False  # what is missing is written again
                raise ValueError(f"split {split!r} has {noted} shards, and there are notes of {len(self.finished(split))}")
        return True


def _load(path: pathlib.Path, seed: str) -> Order:
    return Order.load(path).seeded(seed)


def _of_range(examples: int, batch_size: int, *, drop_last: bool, seed: str) -> Order:
    return Order.of_range(examples, batch_size, drop_last=drop_last).seeded(seed)


def _order_note(split: str) -> str:
    return f"{split}.order"


def _state_note(split: str, number: int) -> str:
    return f"{split}-{number:05d}.state"


def _seen_note(split: str, number: int) -> str:
    return f"{split}-{number:05d}.seen"


def _split_note(split: str) -> str:
    return f"{split}.finished"
