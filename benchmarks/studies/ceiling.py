"""How fast one process can export what costs nothing to make: what each of its threads spends on a GB, and which one limits."""

from __future__ import annotations

import collections
import hashlib
import os
import pathlib
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from tables import Sheet
from workloads import SHARD_BYTES, keep

from studies.common import FORMATS, Setting, export, in_child

_GB = 3.0
_KINDS = {
    "224x224 uint8": ((3, 224, 224), "uint8", 64),
    "224x224 float32": ((3, 224, 224), "float32", 64),
    "32x32 uint8": ((3, 32, 32), "uint8", 1024),
}
"""Shape and dtype of an example, and how many are in a batch."""
_BATCHES = 8
"""So many batches are made, and handed out again and again."""
_MANY = 16
"""CPUs of the machine whose ceiling is computed."""


def run(setting: Setting) -> list[Sheet]:
    size, rows = _GB / 30 if setting.small else _GB, []
    cpus = sorted(os.sched_getaffinity(0))
    for kind in _KINDS:
        for format in FORMATS:
            one = _best(setting, kind, format, size, cpus[:1], None)
            all_of_them = _best(setting, kind, format, size, cpus, None)
            many = _best(setting, kind, format, size, cpus, _MANY)
            rows.append(_row(kind, format, size, one, all_of_them, many))
    limits = [[name, *found] for name, found in in_child(_limits, setting.out, size, setting.repeat).items()]
    threads = ("calling thread s/GB", "each helper", "hash", "write", "all")
    return [
        Sheet(
            f"The ceiling of one process: batches that cost nothing, {size:g} GB of them",
            ("examples", "format", "1 CPU GB/s", f"{len(cpus)} CPUs GB/s", *threads, "ceiling GB/s", "limited by"),
            rows,
            f"GB/s: the best run. Seconds: processor time by thread, with the helpers of {_MANY} CPUs. The ceiling is "
            "computed, one over the busiest thread, of which a quarter of hashing and writing is left out: "
            f"a shard of {SHARD_BYTES >> 20} MiB leaves 64 MiB of it to the time in which the next one is drained.",
        ),
        Sheet(
            "What limits, alone, on one CPU", ("what", "GB/s", "processor s/GB"), limits,
            "In blocks of 1 MiB. Writing: into a new file, told every 16 MiB to go to the disk, with an fsync every 256 MiB.",
        ),
    ]  # fmt: skip


def _row(kind: str, format: str, size: float, one: Any, every: Any, many: Any) -> list[Any]:
    spent, share = many[1], (SHARD_BYTES - (64 << 20)) / SHARD_BYTES
    busy = {
        "calling thread": spent["calling"],
        "helpers": spent["make"],
        "SHA-256": share * spent["hash"],
        "write": share * spent["write"],
    }
    limit = max(busy, key=lambda name: busy[name])
    threads = [spent[name] for name in ("calling", "make", "hash", "write", "all")]
    return [kind, format, size / one[0], size / every[0], *threads, 1 / busy[limit], limit]


def _best(setting: Setting, kind: str, format: str, size: float, cpus: list[int], as_of: int | None) -> Any:
    """Seconds of the best of some runs, and in them processor seconds a GB by thread."""
    runs = [in_child(_export, setting.out, kind, format, size, cpus, as_of) for _ in range(setting.repeat)]
    least = {name: min(spent[name] for _, spent in runs) for name in runs[0][1]}
    return min(seconds for seconds, _ in runs), least


def _export(out: pathlib.Path, kind: str, format: str, size: float, cpus: list[int], as_of: int | None) -> Any:
    """One export, by a process that may use some CPUs, and takes so many threads as if it had others."""
    import torch

    from exporters.jobs import session

    warnings.simplefilter("ignore")
    os.sched_setaffinity(0, cpus)
    torch.set_num_threads(1)
    if as_of is not None:
        session.cpus = lambda: as_of
    spent = _by_thread()
    loader = _loader(kind, size)
    export(_loader(kind, 0.01), out, "ceiling", format)  # imports, and whatever else is done once
    shutil.rmtree(out / "ceiling")
    spent.clear()
    _touch(size)
    wall, calling, every = time.perf_counter(), time.thread_time(), time.process_time()
    export(loader, out, "ceiling", format)
    wall, calling, every = time.perf_counter() - wall, time.thread_time() - calling, time.process_time() - every
    shutil.rmtree(out / "ceiling")
    helpers = max(1, len({name for name in spent if name.startswith("make")}))
    found = {name: sum(s for thread, s in spent.items() if thread.startswith(name)) / size for name in ("make", "hash", "write")}
    return wall, {**found, "make": found["make"] / helpers, "calling": calling / size, "all": every / size}


def _by_thread() -> dict[str, float]:
    """Processor seconds of threads that have ended, by name, from now on."""
    spent, run = collections.defaultdict[str, float](float), threading.Thread.run

    def timed(thread: threading.Thread) -> None:
        run(thread)
        spent[thread.name] += time.thread_time()

    threading.Thread.run = timed  # type: ignore[method-assign]
    return spent


def _loader(kind: str, size: float) -> Any:
    """Hands out the same few batches, again and again, so many GB in all."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    shape, dtype, rows = _KINDS[kind]
    rng, size_of_all = np.random.default_rng(0), (_BATCHES, rows, *shape)
    values = rng.integers(0, 256, size_of_all, np.uint8) if dtype == "uint8" else rng.standard_normal(size_of_all, np.float32)
    batches = [(torch.from_numpy(each), torch.arange(rows) % 10) for each in values]
    count = max(1, round(size * 1e9 / values[0].nbytes))

    class Ready(Dataset[Any]):
        def __len__(self) -> int:
            return count * rows

        def __getitems__(self, indices: list[int]) -> Any:
            return batches[indices[0] // rows % _BATCHES]

    return DataLoader(Ready(), batch_size=rows, collate_fn=keep)


def _touch(size: float) -> None:
    """Has the memory given to this machine that the page cache will take: a virtual one gets it when it is first touched."""
    np.ones(int(1.3 * size * 1e9), np.uint8)


def _limits(out: pathlib.Path, size: float, repeat: int) -> dict[str, tuple[float, float]]:
    """GB/s and processor seconds a GB of each step alone."""
    from tfds_builder.contract.layout import copy_into

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 224, 224), np.uint8)
    block = np.empty((6, 224, 224, 3), np.uint8)
    times = round(size * 1e9 / images.nbytes)

    def permute() -> None:
        for _ in range(times):
            copy_into(block, images.transpose(0, 2, 3, 1))

    def sha256() -> None:
        digest = hashlib.sha256()
        for _ in range(times):
            digest.update(block)

    found = {}
    for name, work in (("permuting images", permute), ("SHA-256", sha256), ("write + fsync", lambda: _write(out, block, times))):
        found[name] = min(_timed(work, size) for _ in range(repeat))
        (out / "limit").unlink(missing_ok=True)
    return {name: (size / wall, spent) for name, (wall, spent) in found.items()}


def _timed(work: Callable[[], None], size: float) -> tuple[float, float]:
    _touch(size)
    wall, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, (time.process_time() - spent) / size


def _write(out: pathlib.Path, block: Any, times: int) -> None:
    from exporters.staging.disk import begin_writeback

    (out / "limit").unlink(missing_ok=True)
    with open(out / "limit", "xb", buffering=0) as stream:
        begun = synced = 0
        for number in range(times):
            stream.write(block)
            done = (number + 1) * block.nbytes
            if done - begun >= 16 << 20:
                begin_writeback(stream.fileno(), begun, done - begun)
                begun = done
            if done - synced >= SHARD_BYTES or number == times - 1:
                os.fsync(stream.fileno())
                synced = done


assert sys.platform == "linux", "CPUs are chosen by sched_setaffinity"
