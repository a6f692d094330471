"""Contestants that take turns: who runs against whom, and what every run took."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tables import Run, Table

BUDGET_SECONDS = 90.0
"""A contestant that has used this up takes no part in further rounds (`runs` in the table says so)."""

_SHARE = 10
"""Whom one run would take past the budget gets one part in so many of the examples."""
_PROBES = (2, 8)
"""Batches of the two short runs that tell what an example costs a writer, whatever a file costs it."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """Someone who does the work of a table.

    Attributes:
      run: does it once; returns the number of examples it saw, and what it took if it has a clock of
        its own.
      share: it does one part in `share` of the work, and its times are multiplied by that.
    """

    run: Callable[[], int | tuple[int, Run]]
    share: int = 1

    def measure(self) -> tuple[int, Run]:
        """Number of examples of the whole work, and what they take."""
        start, processor = time.perf_counter(), time.process_time()
        seen = self.run()
        took = Run(time.perf_counter() - start, time.process_time() - processor)
        seen, took = seen if isinstance(seen, tuple) else (seen, took)
        return seen * self.share, Run(took.seconds * self.share, took.processor * self.share)


@dataclasses.dataclass(frozen=True)
class Contest:
    """Who runs against whom.

    Attributes:
      title: of the table: `"write"`, `"read"`, ...
      contestants: by name.
      baselines: heading -> contestant that the ratios of a table refer to.
      prepare: called before each run, outside the measured time.
    """

    title: str
    contestants: Mapping[str, Contestant]
    baselines: Mapping[str, str]
    prepare: Callable[[], None] = lambda: None

    def only(self, text: str | None) -> Contest:
        """The same with only those whose name contains `text`, and the baselines."""
        chosen = {
            name: contestant
            for name, contestant in self.contestants.items()
            if text is None or text in name or name in self.baselines.values()
        }
        return dataclasses.replace(self, contestants=chosen)

    def measure(self, workload: Any, repeat: int) -> Table:
        """Runs all rounds.

        Raises:
          RuntimeError: a contestant saw another number of examples than the workload has.
        """
        runs: dict[str, list[Run]] = {name: [] for name in self.contestants}
        for number in range(repeat):
            for name, contestant in self.contestants.items():
                spent = sum(past.seconds for past in runs[name]) / contestant.share
                if number and spent * (number + 1) / number > BUDGET_SECONDS:
                    continue
                self.prepare()
                seen, took = contestant.measure()
                runs[name].append(took)
                print(f"  round {number + 1}/{repeat}: {name} {took.seconds:.3f} s", file=sys.stderr, flush=True)
                if abs(seen - workload.rows) >= contestant.share:
                    raise RuntimeError(f"{name}: {seen} examples, and the workload has {workload.rows}")
        baselines = {heading: name for heading, name in self.baselines.items() if name in runs}
        return Table(workload.title, self.title, workload.rows, workload.row_bytes, runs, baselines)


@contextlib.contextmanager
def write_contests(workload: Any, loader: Any, out: pathlib.Path) -> Iterator[list[Contest]]:
    """Everyone who writes, each into a new empty directory."""
    import outside
    import workloads
    import writers

    def prepare() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        os.sync()  # what the one before left to be written must not slow down the next

    def probe(name: str, batches: int) -> float:
        part = workload.with_rows(batches * workloads.BATCH)
        prepare()
        return Contestant(functools.partial(writers.make_writers(part)[name], loaders[batches], out)).measure()[1].seconds

    loaders = {batches: workloads.make_loader(workload.with_rows(batches * workloads.BATCH)) for batches in _PROBES}
    contestants, tenth = {}, workload.with_rows(workload.rows // _SHARE)
    for name, write in writers.make_writers(workload).items():
        print(f"  warming up: {name}", file=sys.stderr, flush=True)
        probe(name, _PROBES[0])  # imports, and whatever else is done once
        contestants[name] = Contestant(functools.partial(write, loader, out))
        if workload.rows > 10 * _PROBES[1] * workloads.BATCH:
            first, last = (probe(name, batches) for batches in _PROBES)
            if (last - first) / (_PROBES[1] - _PROBES[0]) * workload.rows / workloads.BATCH > BUDGET_SECONDS:
                run = functools.partial(writers.make_writers(tenth)[name], workloads.make_loader(tenth), out)
                contestants[f"{name} [a tenth of the examples, times x {_SHARE}]"] = Contestant(run, _SHARE)
                del contestants[name]
    contestants[writers.BARE].run()  # the first drain touches the data for everyone
    with outside.start(workload) as others:
        contestants |= {name: Contestant(functools.partial(write, out)) for name, write in others.items()}
        yield [Contest("write", contestants, writers.BASELINES, prepare)]


@contextlib.contextmanager
def read_contests(workload: Any, loader: Any, out: pathlib.Path) -> Iterator[list[Contest]]:
    """Everyone who reads: an epoch that counts the examples, and one that uses every byte of them."""
    import readers

    out.mkdir()
    yield [
        Contest(title, {name: Contestant(read) for name, read in epochs.items()}, readers.BASELINES)
        for title, epochs in readers.make_readers(workload, loader, out).items()
    ]
