"""Side by side with the peers, on the same data, in one run.

    python benchmarks/run.py                                   # everything, half an hour or more
    python benchmarks/run.py --workload a --side read          # one table
    python benchmarks/run.py --small --workload a --repeat 1   # a smoke test, well under a minute

Each workload runs in a process of its own, so that none inherits another's memory; within it the
contestants take turns, round after round, so that what else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import report

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

BUDGET_SECONDS = 90.0
"""A contestant that has used this up takes no part in further rounds (`runs` in the table says so)."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures torch2tfds beside its peers; prints Markdown.")
    parser.add_argument("--workload", choices="abcde", help="one workload (default: all, each in its own process)")
    parser.add_argument("--side", choices=("write", "read", "both"), default="both")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; every contestant runs once a round")
    parser.add_argument("--only", help="only contestants whose name contains this (baselines stay)")
    parser.add_argument("--json", type=pathlib.Path, help="also write the results to this file")
    parser.add_argument("--small", action="store_true", help="a twenty-fifth of the examples")
    parser.add_argument("--dir", type=pathlib.Path, help="where to write (default: the system's temporary directory)")
    parser.add_argument("--no-header", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


@dataclasses.dataclass(frozen=True)
class Contest:
    """Who runs against whom.

    Attributes:
      contestants: each does its work once and returns the number of examples it saw.
      baselines: heading -> contestant that the ratios of a table refer to.
      prepare: called before each run, outside the measured time.
    """

    contestants: Mapping[str, Callable[[], int]]
    baselines: Mapping[str, str]
    prepare: Callable[[], None]

    def measure(self, repeat: int, rows: int) -> dict[str, list[report.Run]]:
        """What every run took, by contestant, in rounds.

        Raises:
          RuntimeError: a contestant saw another number of examples than `rows`.
        """
        runs: dict[str, list[report.Run]] = {name: [] for name in self.contestants}
        for number in range(repeat):
            for name, run in self.contestants.items():
                if number and sum(past.seconds for past in runs[name]) + runs[name][-1].seconds > BUDGET_SECONDS:
                    continue
                self.prepare()
                start, processor = time.perf_counter(), time.process_time()
                seen = run()
                runs[name].append(report.Run(time.perf_counter() - start, time.process_time() - processor))
                print(f"  round {number + 1}/{repeat}: {name} {runs[name][-1].seconds:.3f} s", file=sys.stderr, flush=True)
                if seen != rows:
                    raise RuntimeError(f"{name}: {seen} examples, and the workload has {rows}")
        return runs


def write_contest(workload: Any, loader: Any, out: pathlib.Path) -> Contest:
    """Everyone who writes, each into a new empty directory."""
    import workloads
    import writers

    def prepare() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        os.sync()  # what the one before left to be written must not slow down the next

    contestants = {name: functools.partial(write, loader, out) for name, write in writers.make_writers(workload).items()}
    tiny = dataclasses.replace(workload, rows=2 * workloads.BATCH)
    for write in writers.make_writers(tiny).values():  # imports, and whatever else is done once
        prepare()
        write(workloads.make_loader(tiny), out)
    contestants[writers.BARE]()  # the first drain touches the data for everyone
    return Contest(contestants, writers.BASELINES, prepare)


def read_contest(workload: Any, loader: Any, out: pathlib.Path) -> Contest:
    """Everyone who reads, each one epoch further than its first."""
    import readers

    out.mkdir()
    contestants = readers.make_readers(workload, loader, out)
    for name, read in contestants.items():
        print(f"  warming up: {name}", file=sys.stderr, flush=True)
        read()
    return Contest(contestants, readers.BASELINES, lambda: None)


def run_workload(arguments: argparse.Namespace, out: pathlib.Path) -> list[Any]:
    """The tables of one workload, each printed as soon as it is there."""
    import workloads

    workload = workloads.WORKLOADS[arguments.workload]
    workload = workload.shrink() if arguments.small else workload
    missing = workloads.missing_dependency(workload)
    if missing is not None:
        print(f"workload {workload.key} is left out: it needs {missing}", file=sys.stderr)
        return []
    loader, tables = workloads.make_loader(workload), []
    for side, make_contest in (("write", write_contest), ("read", read_contest)):
        if arguments.side not in (side, "both") or (side == "read" and workload.jpeg):
            continue
        print(f"{workload.title}, {side}", file=sys.stderr)
        contest = make_contest(workload, loader, out / side)
        contestants = {
            name: run
            for name, run in contest.contestants.items()
            if arguments.only is None or arguments.only in name or name in contest.baselines.values()
        }
        contest = dataclasses.replace(contest, contestants=contestants)
        runs = contest.measure(arguments.repeat, workload.rows)
        baselines = {heading: name for heading, name in contest.baselines.items() if name in runs}
        tables.append(report.Table(workload.title, side, workload.rows, workload.row_bytes, runs, baselines))
        print(tables[-1].to_markdown(), flush=True)
        shutil.rmtree(out / side)
    return tables


def run_all(arguments: argparse.Namespace) -> tuple[list[str], list[Any]]:
    """Every workload in a process of its own: Markdown and JSON of the tables."""
    markdown, results = [], []
    for key in "abcde":
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, __file__, *sys.argv[1:], "--no-header", "--workload", key, "--json", file.name]
            markdown.append(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            results += json.loads(pathlib.Path(file.name).read_text())["tables"]
    return markdown, results


def main() -> None:
    arguments = parse_arguments()
    facts = report.environment()
    if not arguments.no_header:
        print(report.header(facts, arguments.repeat), end="\n\n", flush=True)
    if arguments.workload is None:
        markdown, results = run_all(arguments)
        print(*markdown, sep="\n")
    else:
        with tempfile.TemporaryDirectory(prefix="torch2tfds_bench_", dir=arguments.dir) as out:
            tables = run_workload(arguments, pathlib.Path(out))
        results = [table.to_json() for table in tables]
    if arguments.json is not None:
        content = {**facts, "repeat": arguments.repeat, "small": arguments.small, "tables": results}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
