"""The first epoch: files that are not in the page cache, against a plain read of the same files."""

from __future__ import annotations

import pathlib
import statistics
from typing import Any

from tables import Sheet
from workloads import BATCH

from studies.common import (
    FORMATS,
    IMAGES,
    Setting,
    by_rows,
    data_files,
    export,
    export_tiny,
    in_child,
    load,
    make_cold,
    pool_loader,
    stock,
    timed,
    warm_up,
)  # fmt: skip

_PLAIN = "plain read, 1 MiB at a time"
_OURS, _BLOCKS, _ROWS, _STOCK = "ours, in order", "ours, shuffled by blocks", "ours, shuffled by rows", "stock TFDS, in order"
_WAYS = {"tfrecord": (_PLAIN, _OURS, _BLOCKS, _ROWS, _STOCK), "hdf5": (_PLAIN, _OURS, _BLOCKS, _ROWS)}


def run(setting: Setting) -> list[Sheet]:
    workload, rows = setting.shrink(IMAGES), []
    export_tiny(setting.out)
    for format in FORMATS:
        path = pathlib.Path(export(pool_loader(workload), setting.out, f"cold_{format}", format).path)
        times: dict[str, list[float]] = {way: [] for way in _WAYS[format]}
        for _ in range(setting.repeat):
            for way in times:
                times[way].append(in_child(_read_cold, path, way, workload.rows))
        size = sum(file.stat().st_size for file in data_files(path)) / 1e6
        plain = statistics.median(times[_PLAIN]), min(times[_PLAIN])
        for way, seconds in times.items():
            median, best = statistics.median(seconds), min(seconds)
            rows.append([format, way, plain[0] / median, plain[1] / best, median, best, size / median])
    title = f"Cold: {workload.rows:,} x 3x224x224 uint8, no page of the files in the page cache"
    note = (
        "Each run in a process of its own, warm but for the files, which posix_fadvise has dropped and mincore has not found. "
        "What lies below the machine (a hypervisor's cache) is not dropped. x plain: times as fast as the plain read."
    )
    columns = ("format", "read", "x plain, medians", "x plain, bests", "median s", "best s", "MB/s")
    return [Sheet(title, columns, rows, note)]


def _read_cold(path: pathlib.Path, way: str, rows: int) -> float:
    """Seconds of one epoch over cold files; runs in a process of its own."""
    warm_up(path.parent.parent)
    files = data_files(path)
    if way == _PLAIN:
        make_cold(files)
        return timed(lambda: _plain_read(files))
    options: dict[str, Any] = {_BLOCKS: {"shuffle_files": True}, _ROWS: by_rows()}.get(way, {})
    pipeline = (stock if way == _STOCK else load)(path, batch_size=BATCH, **options)
    make_cold(files)
    seen: list[int] = []
    seconds = timed(lambda: seen.append(_use(pipeline)))
    if seen != [rows]:
        raise RuntimeError(f"{way}: {seen[0]} examples, and the split has {rows}")
    return seconds


def _use(pipeline: Any) -> int:
    """An epoch that looks at a byte of every page, so that the disk is really read."""
    rows = 0
    for batch in pipeline:
        image = batch["image"].numpy()
        image.reshape(-1)[::4096].sum()
        rows += len(image)
    return rows


def _plain_read(files: list[pathlib.Path]) -> None:
    buffer = bytearray(1024 * 1024)
    for path in files:
        with open(path, "rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass
