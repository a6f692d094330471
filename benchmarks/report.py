"""What was measured, as Markdown, as JSON, and back from JSON.

python benchmarks/report.py RESULTS.json...                       # prints the tables of saved results again
python benchmarks/report.py RESULTS.json... --into DOCUMENT.md    # between its two marks
python benchmarks/report.py RESULTS.json... --picture BARS.svg    # draws them
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = (
    "torch2tfds", "torch", "tensorflow", "tensorflow-cpu", "tensorflow-datasets", "numpy", "h5py", "google-crc32c",
    "array_record", "datasets", "webdataset", "pillow",
)  # fmt: skip

MARKS = ("<!-- tables of benchmarks/report.py -->", "<!-- end of tables -->")
"""Lines of a document between which the tables go."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run took: seconds on the clock, and processor seconds of its process (all threads, no workers)."""

    seconds: float
    processor: float


@dataclasses.dataclass(frozen=True)
class Table:
    """The contestants of one workload and side.

    Attributes:
      workload: its title.
      side: `"write"`, `"read"`, ...
      examples: in one run.
      row_bytes: bytes of one example as the user sees it, without its label.
      runs: what each run took, by contestant.
      baselines: short heading -> contestant the ratios refer to.
    """

    workload: str
    side: str
    examples: int
    row_bytes: int
    runs: Mapping[str, Sequence[Run]]
    baselines: Mapping[str, str]

    def summary(self, name: str) -> tuple[float, float, float]:
        """Median seconds, best seconds, least processor seconds of a contestant."""
        runs = self.runs[name]
        seconds = [run.seconds for run in runs]
        return statistics.median(seconds), min(seconds), min(run.processor for run in runs)

    def ratios(self, name: str, baseline: str) -> tuple[float, float]:
        """How many times as fast as a baseline, by medians and by bests."""
        mine, other = self.summary(name), self.summary(baseline)
        return other[0] / mine[0], other[1] / mine[1]

    def to_json(self) -> dict[str, Any]:
        results = {}
        for name, runs in self.runs.items():
            median, best, processor = self.summary(name)
            results[name] = {
                "times_as_fast_by_median": {heading: self.ratios(name, other)[0] for heading, other in self.baselines.items()},
                "times_as_fast_by_best": {heading: self.ratios(name, other)[1] for heading, other in self.baselines.items()},
                "median_seconds": median,
                "best_seconds": best,
                "least_processor_seconds": processor,
                "examples_per_second": self.examples / median,
                "runs": [dataclasses.asdict(run) for run in runs],
            }
        facts = {field: getattr(self, field) for field in ("workload", "side", "examples", "row_bytes", "baselines")}
        return {**facts, "results": results}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Table:
        runs = {name: [Run(**run) for run in result["runs"]] for name, result in content["results"].items()}
        return cls(**{key: value for key, value in content.items() if key != "results"}, runs=runs)

    def to_markdown(self) -> str:
        columns = [self.side, *(f"x {heading}" for heading in self.baselines)]
        columns += ["examples/s", "MB/s", "median s", "best s", "CPU s", "runs"]
        lines = [f"### {self.workload}, {self.side}", "", _row(columns), "|---|" + "---:|" * (len(columns) - 1)]
        for name in sorted(self.runs, key=lambda name: self.summary(name)[0]):
            median, best, processor = self.summary(name)
            ratios = [" / ".join(map(_ratio, self.ratios(name, other))) for other in self.baselines.values()]
            rate, size = self.examples / median, self.examples * self.row_bytes / median / 1e6
            times = [f"{value:.3f}" for value in (median, best, processor)]
            shown = f"**{name}**" if name.startswith("ours") else name
            lines.append(_row([shown, *ratios, f"{rate:,.0f}", f"{size:,.0f}", *times, str(len(self.runs[name]))]))
        return "\n".join([*lines, ""])


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One table of a study.

    Attributes:
      title: what was measured.
      columns: headings, with units.
      rows: cells, numbers or text; one entry a column.
      note: what one must know to read it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_markdown(self) -> str:
        lines = [f"### {self.title}", "", *([self.note, ""] if self.note else []), _row(self.columns)]
        cells = zip(*self.rows, strict=True)
        numeric = [all(value == "" or not isinstance(value, str) for value in column) for column in cells]
        lines.append("|" + "".join("---:|" if number else "---|" for number in numeric))
        return "\n".join([*lines, *(_row([_cell(value) for value in row]) for row in self.rows), ""])


def environment(others: Mapping[str, str], left_out: Mapping[str, str]) -> dict[str, Any]:
    """Versions and machine, for the header.

    Args:
      others: versions of peers that are installed elsewhere.
      left_out: contestants that cannot take part -> why.
    """
    versions = {}
    for name in _SHOWN:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {**versions, **others},
        "left_out": dict(left_out),
    }


def header(content: Mapping[str, Any]) -> str:
    """One paragraph that says where and how, for the content of a file of results."""
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    left_out = "".join(f" Left out: {name} ({reason})." for name, reason in content["left_out"].items())
    small = " **Small: a smoke test, not a measurement.**" if content["small"] else ""
    return (
        f"{content['cores']} cores, Python {content['python']}, {content['system']}; {versions}.{left_out}{small} "
        f"Up to {content['repeat']} rounds, every contestant once a round; page cache warm unless it says cold, TFDS's "
        "autocache off. `x NAME`: times as fast as NAME, by medians / by best runs. CPU s: processor seconds of the "
        "process, the least."
    )


def to_markdown(files: Sequence[Mapping[str, Any]]) -> str:
    """All tables of files of results; a header wherever it differs from the one before."""
    parts: list[str] = []
    shown = ""
    for content in files:
        if header(content) != shown:
            shown = header(content)
            parts.append(f"{shown}\n")
        parts += [Table.from_json(table).to_markdown() for table in content["tables"]]
        parts += [Sheet(**sheet).to_markdown() for sheet in content["sheets"]]
    return "\n".join(parts)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def put_into(document: pathlib.Path, tables: str) -> None:
    """Replaces what is between the two marks of a Markdown document.

    Raises:
      ValueError: it does not have each of them once.
    """
    parts = re.split("|".join(map(re.escape, MARKS)), document.read_text())
    if len(parts) != 3:
        raise ValueError(f"{document} must have the lines {MARKS[0]} and {MARKS[1]}, once each")
    document.write_text(f"{parts[0]}{MARKS[0]}\n\n{tables}\n{MARKS[1]}{parts[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Prints saved results as Markdown, or draws them.")
    parser.add_argument("results", nargs="+", type=pathlib.Path, help="files that run.py --json wrote")
    parser.add_argument("--into", type=pathlib.Path, help=f"put the tables into this document, between {' and '.join(MARKS)}")
    parser.add_argument("--picture", type=pathlib.Path, help="draw the tables of contestants here (.svg, .png)")
    arguments = parser.parse_args()
    files = [json.loads(path.read_text()) for path in arguments.results]
    if arguments.into is not None:
        put_into(arguments.into, to_markdown(files))
    elif arguments.picture is None:
        sys.stdout.write(to_markdown(files))
    if arguments.picture is not None:
        import picture

        picture.draw([Table.from_json(table) for content in files for table in content["tables"]], arguments.picture)


if __name__ == "__main__":
    main()
