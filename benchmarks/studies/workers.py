"""Expensive encodings with more and more workers of the DataLoader: what is left on the main process."""

from __future__ import annotations

import shutil
import statistics
from typing import Any

import numpy as np
from tables import Sheet
from workloads import WORKLOADS, Workload

from studies.common import Setting, export, pool_loader, timed

_WORKERS = (0, 1, 2)


def run(setting: Setting) -> list[Sheet]:
    workload, rows = setting.shrink(WORKLOADS["b"]), []
    for encoding, feature in _features(workload).items():
        options = {"features": {"image": feature}} if feature is not None else {}
        base = 0.0
        _export_time(setting, pool_loader(workload.with_rows(64), 64), options)  # imports, and whatever else is done once
        for workers in _WORKERS:
            loader = pool_loader(workload, 64, num_workers=workers)
            bare = statistics.median(timed(lambda loader=loader: sum(1 for _ in loader)) for _ in range(setting.repeat))
            times = [_export_time(setting, loader, options) for _ in range(setting.repeat)]
            median = statistics.median(times)
            base = base or median
            rows.append([encoding, workers, base / median, median, min(times), workload.rows / median, bare])
    columns = ("encoding", "num_workers", "x 0 workers", "median s", "best s", "examples/s", "bare loop s")
    note = "Batches of 64, TFRecord; images are noise. x 0 workers: times as fast as the same export without workers."
    return [Sheet(f"Encodings and workers: {workload.title}", columns, rows, note)]


def _export_time(setting: Setting, loader: Any, options: dict[str, Any]) -> float:
    seconds = timed(lambda: export(loader, setting.out, "workers", "tfrecord", **options))
    shutil.rmtree(setting.out / "workers")
    return seconds


def _features(workload: Workload) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    shape, dtype = workload.stored_shape, np.dtype(workload.dtype)
    return {
        "raw (default)": None,
        "PNG": tfds.features.Image(shape=shape),
        "zlib": tfds.features.Tensor(shape=shape, dtype=dtype, encoding="zlib"),
    }
