"""What was measured, as Markdown and JSON."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = ("torch2tfds", "torch", "tensorflow", "tensorflow-cpu", "tensorflow-datasets", "numpy", "h5py", "google-crc32c")


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run took: seconds on the clock, and processor seconds of this process (all threads, no workers)."""

    seconds: float
    processor: float


@dataclasses.dataclass(frozen=True)
class Table:
    """The contestants of one workload and side.

    Attributes:
      workload: its title.
      side: `"write"` or `"read"`.
      rows: examples in one run.
      row_bytes: bytes of one example as the user sees it, without its label.
      runs: what each run took, by contestant.
      baselines: short heading -> contestant the ratios refer to.
    """

    workload: str
    side: str
    rows: int
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
                "examples_per_second": self.rows / median,
                "runs": [dataclasses.asdict(run) for run in runs],
            }
        return {"workload": self.workload, "side": self.side, "examples": self.rows, "results": results}

    def to_markdown(self) -> str:
        columns = [self.side, *(f"x {heading}" for heading in self.baselines)]
        columns += ["examples/s", "MB/s", "median s", "best s", "CPU s", "runs"]
        lines = [f"### {self.workload}, {self.side}", "", _row(columns), "|---|" + "---:|" * (len(columns) - 1)]
        for name in sorted(self.runs, key=lambda name: self.summary(name)[0]):
            median, best, processor = self.summary(name)
            ratios = [" / ".join(map(_ratio, self.ratios(name, other))) for other in self.baselines.values()]
            rate, size = self.rows / median, self.rows * self.row_bytes / median / 1e6
            times = [f"{value:.3f}" for value in (median, best, processor)]
            shown = f"**{name}**" if name.startswith("ours") else name
            lines.append(_row([shown, *ratios, f"{rate:,.0f}", f"{size:,.0f}", *times, str(len(self.runs[name]))]))
        return "\n".join([*lines, ""])


def environment() -> dict[str, Any]:
    """Versions and machine, for the header."""
    versions = {}
    for name in _SHOWN:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform(), "versions": versions}


def header(facts: Mapping[str, Any], repeat: int) -> str:
    """One paragraph that says where and how."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['cores']} cores, Python {facts['python']}, {facts['system']}; {versions}. Up to {repeat} rounds, "
        "every contestant once a round; page cache warm, TFDS's autocache off. `x NAME`: times as fast as NAME, "
        "by medians / by best runs. CPU s: processor seconds of the process, the least."
    )


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
