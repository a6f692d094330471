"""Side by side with the peers, on the same data, in one run; and studies of what a table of peers does not show.

    python benchmarks/run.py                                   # every table, an hour or more
    python benchmarks/run.py --workload a --side read          # one workload
    python benchmarks/run.py --small --workload a --repeat 1   # a smoke test, a minute
    python benchmarks/run.py --study cold                      # one study; `all` for every one

Each workload and each study runs in a process of its own, so that none inherits another's memory; within
it the contestants take turns, round after round, so that what else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any

import outside
import peers
import report
import studies
from tables import Sheet, Table

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures torch2tfds beside its peers; prints Markdown.")
    parser.add_argument("--workload", choices="abcde", help="one workload (default: all, each in its own process)")
    parser.add_argument("--side", choices=("write", "read", "both"), default="both")
    parser.add_argument("--study", choices=(*studies.NAMES, "all"), help="a study instead of the workloads")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; every contestant runs once a round")
    parser.add_argument("--only", help="only contestants whose name contains this (baselines stay)")
    parser.add_argument("--json", type=pathlib.Path, help="also write the results to this file")
    parser.add_argument("--picture", type=pathlib.Path, help="also draw the tables of contestants (.svg, .png)")
    parser.add_argument("--small", action="store_true", help="a twenty-fifth of the examples")
    parser.add_argument("--dir", type=pathlib.Path, help="where to write (default: the system's temporary directory)")
    parser.add_argument(
        "--batched", action="store_true", help="a dataset that fetches whole batches: the least a DataLoader can cost"
    )
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)  # no header: one of several processes
    return parser.parse_args()


def run_workload(arguments: argparse.Namespace, out: pathlib.Path) -> list[Table]:
    """The tables of one workload, each printed as soon as it is there."""
    import contest
    import workloads

    workload = workloads.WORKLOADS[arguments.workload]
    workload = workload.shrink() if arguments.small else workload
    workload = dataclasses.replace(workload, batched=arguments.batched and not workload.jpeg)
    missing = workloads.missing_dependency(workload)
    if missing is not None:
        print(f"workload {workload.key} is left out: it needs {missing}", file=sys.stderr)
        return []
    loader, tables = workloads.make_loader(workload), []
    for side, make_contests in (("write", contest.write_contests), ("read", contest.read_contests)):
        if arguments.side not in (side, "both") or (side == "read" and workload.jpeg):
            continue
        print(f"{workload.title}, {side}", file=sys.stderr)
        with make_contests(workload, loader, out / side) as contests:
            for each in contests:
                tables.append(each.only(arguments.only).measure(workload, arguments.repeat))
                print(tables[-1].to_markdown(), flush=True)
        shutil.rmtree(out / side)
    return tables


def run_study(arguments: argparse.Namespace, out: pathlib.Path) -> list[Sheet]:
    """The sheets of one study, printed."""
    sheets = studies.run(arguments.study, out, small=arguments.small, repeat=arguments.repeat)
    for sheet in sheets:
        print(sheet.to_markdown(), flush=True)
    return sheets


def run_all(option: str, values: str | tuple[str, ...]) -> dict[str, list[Any]]:
    """Every workload or study in a process of its own; its output goes where ours goes."""
    results: dict[str, list[Any]] = {"tables": [], "sheets": []}
    for value in values:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, __file__, *sys.argv[1:], "--part", option, value, "--json", file.name]
            subprocess.run(command, check=True)
            content = json.loads(pathlib.Path(file.name).read_text())
        for key, found in results.items():
            found += content[key]
    return results


def main() -> None:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was written is removed
    facts = report.environment(outside.versions(), peers.left_out() | outside.left_out())
    content = {**facts, "repeat": arguments.repeat, "small": arguments.small}
    if not arguments.part:
        print(report.header(content), end="\n\n", flush=True)
    if arguments.study == "all":
        results = run_all("--study", studies.NAMES)
    elif arguments.study is None and arguments.workload is None:
        results = run_all("--workload", "abcde")
    else:
        with tempfile.TemporaryDirectory(prefix="torch2tfds_bench_", dir=arguments.dir) as out:
            tables = run_workload(arguments, pathlib.Path(out)) if arguments.study is None else []
            sheets = run_study(arguments, pathlib.Path(out)) if arguments.study is not None else []
        results = {"tables": [table.to_json() for table in tables], "sheets": [sheet.to_json() for sheet in sheets]}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**content, **results}, indent=1) + "\n")
    if arguments.picture is not None and not arguments.part:
        import picture

        picture.draw([Table.from_json(table) for table in results["tables"]], arguments.picture)


if __name__ == "__main__":
    main()
