"""Whether reading stalls the training loop: how long a thread of Python waits for its turn during an epoch."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tables import Sheet
from workloads import BATCH

from studies.common import (
    FORMATS,
    IMAGES,
    Setting,
    count,
    data_files,
    export,
    export_tiny,
    in_child,
    load,
    make_cold,
    pool_loader,
    stock,
    warm_up,
)  # fmt: skip

_TICK = 0.001


class Ticker(threading.Thread):
    """Sleeps a millisecond at a time and notes how much later than that it wakes up.

    Attributes:
      late: seconds, one entry a tick.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.late: list[float] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            start = time.perf_counter()
            time.sleep(_TICK)
            self.late.append(time.perf_counter() - start - _TICK)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def run(setting: Setting) -> list[Sheet]:
    workload, rows = setting.shrink(IMAGES), []
    export_tiny(setting.out)
    paths = {
        format: pathlib.Path(export(pool_loader(workload), setting.out, f"stalls_{format}", format).path) for format in FORMATS
    }
    ways = [("idle", "", ""), *(("ours", format, state) for format in FORMATS for state in ("warm", "cold"))]
    for who, format, state in [*ways, ("stock TFDS", "tfrecord", "warm"), ("stock TFDS", "tfrecord", "cold")]:
        found = [in_child(_measure, who, paths.get(format), state) for _ in range(setting.repeat)]
        rows.append([who, format, state, *np.median(found, axis=0).tolist()])
    title = f"Stalls of a thread that ticks every millisecond, while {workload.rows:,} images are read"
    note = f"How much later than asked it woke up; medians of {setting.repeat} epochs, each in a process of its own."
    columns = ("who", "format", "files", "longest ms", "99th percentile ms", "median ms", "epoch s")
    return [Sheet(title, columns, rows, note)]


def _measure(who: str, path: pathlib.Path | None, state: str) -> list[float]:
    """Longest, 99th percentile and median lateness in ms, and seconds of the epoch; runs in a process of its own."""
    if path is None:
        return _tick_during(lambda: time.sleep(1))
    warm_up(path.parent.parent)
    pipeline: Any = (stock if who == "stock TFDS" else load)(path, batch_size=BATCH)
    if state == "cold":
        make_cold(data_files(path))
    else:
        for file in data_files(path):
            file.read_bytes()
    return _tick_during(lambda: count(pipeline))


def _tick_during(work: Callable[[], Any]) -> list[float]:
    ticker = Ticker()
    ticker.start()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    ticker.stop()
    late = np.array(ticker.late) * 1000
    return [float(late.max()), float(np.percentile(late, 99)), float(np.median(late)), seconds]
