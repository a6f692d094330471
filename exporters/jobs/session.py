"""The data of a split, drained from one batch on into one shard after another: where a `Task` becomes a `Done`.

raw batches -> columns of the loader -> stored columns -> runs of batches (plans.cut) -> looked at (hazards) -> shard
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import secrets
import tempfile
from collections.abc import Callable, Iterator

from exporters import wording
from exporters.aliases import NumberedBatches
from exporters.engines.base import cpus
from exporters.errors import EngineError, ResumeError
from exporters.features.codecs import codecs_of
from exporters.formats import Format
from exporters.hazards.observers import ShardObserver
from exporters.jobs.settled import Settled
from exporters.jobs.task import Done, Drained, Task
from exporters.loaders.lookahead import Numbered
from exporters.plans.cut import cut_into_shards
from exporters.plans.plan import Plan
from exporters.plans.shard import DrainedShard, ShardResult, write_shard
from exporters.schema.round_trip import UnequalImages
from exporters.staging.contents import ASIDE
from exporters.tensors.arrays import Columns

Batches = Iterator[tuple[int, Columns]]
"""Stored columns of batches that have rows, with the number of each in its split."""

_THREADS = 4
"""Threads that make the bytes of a shard at most, in the process of `export`: half of the CPUs, since hashing and writing take as
many. Of an engine each process is one of many, and takes one."""


@dataclasses.dataclass(frozen=True)
class SplitWork:
    """Everything that is needed to write the shards of one split.

    Attributes:
      split: which.
      plan, settled, format: of the export.
      stage: where shards are written.
      aside: in which directory one is written that is only compared.
      drain: gives the raw batches from a number on; of a lane those from its first one on.
      observe: looks at the next shard.
      state: of the loader, now; None if it has none.
      on_batch: is told of the rows and bytes of each batch.
      begin: prepares another process than that of `export`; None where the work is done in that one.
    """

    split: str
    plan: Plan
    settled: Settled
    format: Format
    stage: pathlib.Path
    aside: pathlib.Path
    drain: Callable[[int], Numbered]
    observe: Callable[[], ShardObserver]
    state: Callable[[], bytes | None] | None
    on_batch: Callable[[int, int], None]
    begin: Callable[[int, int], None] | None = None

    def prepare(self, worker: int, workers: int) -> None:
        """As `engines.base.Work.prepare`.

        Raises:
          EngineError: this process would make other bytes of the same values.
        """
        here, there = codecs_of(self.settled.schema.features), self.plan.codecs
        if here != there:
            found = ", ".join(f"{name} {here.get(name)}, not {there.get(name)}" for name in sorted(here | there))
            raise EngineError(
                f"split {self.split!r}: a process of the engine would make other bytes of images or zlib than that of export: it "
                f"has {found}; install there what is installed here"
            )
        if self.begin is not None:
            self.begin(worker, workers)

    @contextlib.contextmanager
    def meeting(self) -> Iterator[pathlib.Path]:
        """As `engines.base.Work.meeting`."""
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=self.aside, ignore_cleanup_errors=True) as directory:
            yield pathlib.Path(directory)

    def stem(self, task: Task, place: int) -> str:
        """Staged file name of a shard, without suffix. Where several processes may write it, each attempt has one of its own; so
        it has where a lane is begun anew, which has other shards perhaps.

        Args:
          task: the task.
          place: which of its shards it is.
        """
        name = f"{task.split}-{task.number:05d}" + (f"-{place:05d}" if task.is_lane else "")
        return name + (f".{secrets.token_hex(4)}" if self.begin is not None or task.is_lane else "")

    @contextlib.contextmanager
    def open(self, task: Task) -> Iterator[SplitSession]:
        """A session that begins with the first batch of a task.

        Raises:
          ValueError: the task does not say where it begins, but behind another one: only that one's session knows.
        """
        if task.start is None:
            raise ValueError(
                f"shard {task.number} of split {task.split!r} begins where the one before it ends: do both in one session"
            )
        with contextlib.closing(self.drain(task.start)) as raws:
            session = SplitSession(self, task.split, raws, task.start)
            try:
                yield session
            finally:
                session.wait()


class SplitSession:
    """Writes one shard after another, as long as there are batches.

    Attributes:
      position: number of the batch behind the last that was written.
    """

    def __init__(self, work: SplitWork, split: str, raws: Numbered, start: int) -> None:
        self._work, self._split, self._raws, self.position = work, split, raws, start
        self._unequal = UnequalImages(work.settled.schema.fields)
        self._last: DrainedShard | None = None
        self._runs = cut_into_shards(self._encode(raws), self._size, work.plan.shard_bytes)

    def wait(self) -> None:
        """Waits until nothing that was written is on its way to the disk any more."""
        if self._last is not None:
            self._last.wait()

    def goes_on_with(self, task: Task) -> bool:
        """Whether the task begins where the session is; a lane is a stream of its own."""
        return not task.is_lane and (task.start is None or task.start == self.position)

    def _size(self, batch: tuple[int, Columns]) -> int:
        return self._work.settled.size(batch[1])

    def _encode(self, raws: NumberedBatches) -> Batches:
        """Numbered raw batches to (number, stored columns); batches without rows are passed over."""
        settled = self._work.settled
        for number, raw in raws:
            batch = settled.to_batch(raw, self._split, number)
            columns = settled.encode(batch, self._split)
            if batch.rows:
                self._unequal.look_at(batch, self._split)
                yield number, columns
                self._work.on_batch(batch.rows, settled.size(columns))
            del raw, batch, columns  # no batch is held while the next one is drained

    def write(self, task: Task) -> Drained | Done | None:
        """Writes what a task asks for, or compares it with what is finished; None if there is no batch left.

        In the process of `export` the shard may not be on disk yet: what is left is done while the next one is drained.

        Raises:
          ResumeError: the loader gives other data than before the export was stopped.
          ExportError: a batch contradicts the schema, or has a hazard that is an error.
        """
        if task.is_lane:
            return self._write_lane(task)
        run = self._next_run(task)
        if run is None and task.stop is None:
            return None
        states = list[bytes | None]()
        observer = self._work.observe()
        if run is None:
            return Done(task, (self._pass_over(task),), observer.take(), None)
        batches = observer.watching(run)
        if task.before is not None:
            again = self._compare(task, task.before, batches)
            self.position = again.stop
            return Done(task, (again,), observer.take(), None)
        if self._work.state is not None:
            batches = _with_state(batches, self._work.state, states)
        self._last = shard = self._write(task, self._work.stage, batches)
        self.position = shard.stop
        drained = Drained(task, shard, observer.take(), states[-1] if states else None)
        return drained if self._work.begin is None else drained.close()

    def _write_lane(self, task: Task) -> Done:
        """Writes the shards of a lane to the disk, one after the other."""
        observer, shards = self._work.observe(), list[ShardResult]()
        for place, run in enumerate(map(observer.watching, self._runs)):
            self._last = self._write(task, self._work.stage, run, place)
            shards.append(self._last.close())
        return Done(task, tuple(shards), observer.take(), None)

    def _next_run(self, task: Task) -> Batches | None:
        """The batches of a task, of those that have rows; None if there are none."""
        if task.stop is None:
            return next(self._runs, None)
        batches = self._encode(itertools.islice(self._raws, task.stop - self.position))
        return next(cut_into_shards(batches, lambda _: 0, 1), None)  # all of them, or no run

    def _pass_over(self, task: Task) -> ShardResult:
        """The shard of a task whose batches have no rows."""
        assert task.stop is not None, "a shard ends where the plan says, or has rows"
        start, self.position = self.position, task.stop
        return ShardResult.empty(start, task.stop)

    def _write(self, task: Task, directory: pathlib.Path, batches: Batches, place: int = 0) -> DrainedShard:
        places = {"lane": task.number, "shard": place} if task.is_lane else {"shard": task.number}
        context = self._work.settled.context(self._work.plan, task.split, places, task.rows)
        threads = max(1, min(_THREADS, cpus() // 2)) if self._work.begin is None else 1
        shard = write_shard(self._work.format, context, directory, self._work.stem(task, place), batches, threads)
        return shard if task.stop is None else dataclasses.replace(shard, start=self.position, stop=task.stop)

    def _compare(self, task: Task, before: ShardResult, batches: Batches) -> ShardResult:
        """Writes a shard once more, to be thrown away."""
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=self._work.aside) as aside:
            again = self._write(task, pathlib.Path(aside), batches).close()
        if again != before:
            raise _other_data(task, "differs")
        return again


def _with_state(batches: Batches, state: Callable[[], bytes | None], states: list[bytes | None]) -> Batches:
    """The batches; the loader's state when the last of them had been drawn, and no more, is left in `states`."""
    for batch in batches:
        states[:] = [state()]  # as bytes: what it is made of moves on
        yield batch
        del batch


def _other_data(task: Task, how: str) -> ResumeError:
    return ResumeError(
        f"split {task.split!r}: the loader gives other data than before it was stopped (shard {task.number} {how}); make it "
        f"give the same examples in the same order, or {wording.passing('overwrite', True)} to begin anew"
    )
