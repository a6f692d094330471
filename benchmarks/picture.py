"""The tables of contestants as a picture: how many times as fast as the stock writer and the stock reader."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from tables import Table

_BASELINES = {"write": "store_as", "read": "stock"}
_TITLES = {
    "write": "times as fast as TFDS store_as_tfds_dataset, raw tensor",
    "read": "times as fast as stock TFDS on the same TFRecord",
}
_OURS, _OTHER, _SELF = "#0b6e4f", "#9aa5b1", "#4a5560"
_BAR_INCHES = 0.21


def draw(tables: Sequence[Table], path: pathlib.Path) -> None:
    """Draws a row of panels a workload, one column a side; the suffix of `path` says the format."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: a tenth of the size
    matplotlib.rcParams["svg.hashsalt"] = "torch2tfds"  # the same picture, the same bytes
    from matplotlib import pyplot

    shown = [table for table in tables if _BASELINES.get(table.side) in table.baselines]
    sides = [side for side in _BASELINES if any(table.side == side for table in shown)]
    names = list(dict.fromkeys(table.workload for table in shown))
    if not shown:
        raise ValueError("no table has a baseline to draw: run both sides of a workload first")
    panels = {(table.workload, table.side): table for table in shown}
    heights = [max(len(panels[name, side].runs) for side in sides if (name, side) in panels) for name in names]
    size = (9.5 * len(sides), sum(heights) * _BAR_INCHES + 0.9 * len(names) + 0.4)
    figure, axes = pyplot.subplots(
        len(names), len(sides), figsize=size, squeeze=False, layout="constrained", height_ratios=heights
    )
    for name, line in zip(names, axes, strict=True):
        for side, panel in zip(sides, line, strict=True):
            if (name, side) in panels:
                _draw_panel(panel, panels[name, side])
            else:
                panel.set_axis_off()
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _draw_panel(panel: Any, table: Table) -> None:
    """One workload and side: bars sorted by ratio of medians, on a logarithmic axis through 1."""
    from matplotlib import ticker

    baseline = table.baselines[_BASELINES[table.side]]
    ratios = sorted((table.ratios(name, baseline)[0], name) for name in table.runs)
    colors = [_OURS if name.startswith("ours") else _SELF if name == baseline else _OTHER for _, name in ratios]
    places, values = range(len(ratios)), [ratio for ratio, _ in ratios]
    panel.barh(places, [value - 1 for value in values], left=1, color=colors, height=0.72)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_locator(ticker.NullLocator())
    panel.axvline(1, color=_SELF, linewidth=1)
    panel.set_yticks(places, [name for _, name in ratios], fontsize=8)
    panel.set_xlim(min(values) / 1.6, max(values) * 1.9)
    panel.set_ylim(-0.6, len(ratios) - 0.4)
    for place, value in zip(places, values, strict=True):
        text = f"{value:.2g}" if value < 10 else f"{value:.0f}"
        panel.annotate(
            text, (value, place), (3 if value >= 1 else -3, 0), textcoords="offset points", fontsize=8, va="center",
            ha="left" if value >= 1 else "right",
        )  # fmt: skip
    panel.set_title(f"{table.workload}\n{table.side}: {_TITLES[table.side]} (log scale)", fontsize=9, loc="left")
    panel.tick_params(axis="x", labelsize=8)
    panel.grid(axis="x", which="major", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
