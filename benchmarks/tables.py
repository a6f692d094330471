"""What was measured: the runs of the contestants of a workload, and the sheets of a study."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


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


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
