"""Reading one column: the labels of workload b alone, against everything."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from tables import Sheet
from workloads import BATCH, WORKLOADS, Workload, make_loader

from studies.common import FORMATS, Setting, count, export, load, stock, timed


def run(setting: Setting) -> list[Sheet]:
    import tensorflow_datasets as tfds

    workload, rows = setting.shrink(WORKLOADS["b"]), []
    decoding = {"decoders": tfds.decode.PartialDecoding({"label": True})}
    loader = make_loader(workload)
    for format in FORMATS:
        path = pathlib.Path(export(loader, setting.out, f"columns_{format}", format).path)
        for who, reader in {"ours": load, "stock TFDS": stock}.items():
            if who == "ours" or format == "tfrecord":
                ways = {
                    "label": _counter(reader(path, batch_size=BATCH, **decoding)),
                    "all": _counter(reader(path, batch_size=BATCH)),
                    "used": _user(workload, reader(path, batch_size=BATCH)),
                }
                times = _take_turns(ways, setting.repeat)
                whole, used = times["label"] / times["all"], times["label"] / times["used"]
                rows.append([who, format, times["label"], times["all"], times["used"], whole, used])
    columns = (
        "who",
        "format",
        "labels s",
        "everything s",
        "every byte used s",
        "labels / everything",
        "labels / every byte used",
    )
    note = f"Medians of {setting.repeat} epochs. Every byte used: each batch is summed in the graph."
    return [Sheet(f"One column of {workload.title}", columns, rows, note)]


def _counter(pipeline: Any) -> Callable[[], Any]:
    return lambda: count(pipeline)


def _user(workload: Workload, pipeline: Any) -> Callable[[], Any]:
    from readers import use

    used = pipeline.map(lambda batch: use(workload, batch))
    return lambda: sum(int(rows) for _, rows in used)


def _take_turns(ways: Mapping[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Median seconds of each, after a run that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeat + 1):
        for name, work in ways.items():
            seconds = timed(work)
            if number:
                times[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in times.items()}
