"""What comes before the first batch: imports, and `tfds.load` of a dataset of many shards."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
from typing import Any

from tables import Sheet
from workloads import BATCH, Workload

from studies.common import FORMATS, Setting, export, export_tiny, in_child, load, pool_loader, stock, timed, warm_up

_BOTH = "import torch, tensorflow_datasets"
_IMPORTS = (
    ("exporters", "", "import exporters"),
    (
        "what an export imports, above torch and tensorflow_datasets",
        _BOTH,
        f"{_BOTH}, exporters.jobs.job, exporters.formats.hdf5",
    ),
    ("torch, for comparison", "", "import torch"),
    ("tensorflow_datasets, for comparison", "", "import tensorflow_datasets"),
    ("tfds_builder, above tensorflow_datasets", "import tensorflow_datasets", "import tensorflow_datasets, tfds_builder"),
)
_SHARD_ROWS = 10


def run(setting: Setting) -> list[Sheet]:
    return [_imports(setting), _first_batch(setting)]


def _imports(setting: Setting) -> Sheet:
    rows = []
    for name, before, code in _IMPORTS:
        pairs = [(_run_python(before), _run_python(code)) for _ in range(setting.repeat)]
        least = [min(column) for column in zip(*pairs, strict=True)]
        rows.append([name, least[1] - least[0], least[1]])
    note = "The least time of a new interpreter with the imports, less that of one without (or with the one it is above)."
    return Sheet("Import times", ("import", "s", "whole process s"), rows, note)


def _run_python(code: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL))


def _first_batch(setting: Setting) -> Sheet:
    shards, rows = 100 if setting.small else 1000, []
    workload = Workload("startup", shards * _SHARD_ROWS, (20,), "float32")
    export_tiny(setting.out)
    for format, row_bytes in zip(FORMATS, (81, 88), strict=True):
        loader = pool_loader(workload, _SHARD_ROWS)
        result = export(loader, setting.out, f"startup_{format}", format, shard_bytes=_SHARD_ROWS * row_bytes)
        for who in ("ours", "stock TFDS") if format == "tfrecord" else ("ours",):
            found = [in_child(_load_first, who, pathlib.Path(result.path)) for _ in range(setting.repeat)]
            rows.append([who, format, result.shards["train"], *(min(column) for column in zip(*found, strict=True))])
    note = "In a new process that has read another dataset before; the least times."
    title = "tfds.load and the first batch of 256 of a dataset of many shards"
    return Sheet(title, ("who", "format", "shards", "tfds.load s", "first batch s"), rows, note)


def _load_first(who: str, path: pathlib.Path) -> tuple[float, float]:
    """Seconds of `tfds.load`, then to the first batch; runs in a process of its own."""
    warm_up(path.parent.parent)
    start = time.perf_counter()
    pipeline: Any = (stock if who == "stock TFDS" else load)(path, batch_size=BATCH)
    loaded = time.perf_counter()
    next(iter(pipeline))
    return loaded - start, time.perf_counter() - loaded
