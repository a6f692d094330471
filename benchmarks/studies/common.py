"""What the studies share: a place to write, datasets of any size, processes of their own, cold files."""

from __future__ import annotations

import concurrent.futures
import ctypes
import dataclasses
import mmap
import multiprocessing
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from workloads import BATCH, ArrayPairs, Workload, keep, make_arrays

FORMATS = ("tfrecord", "hdf5")
IMAGES = Workload("images", 10_000, (3, 224, 224), "uint8")
"""1.5 GB of images as in workload b."""
_POOL_BYTES = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where and how long a study runs.

    Attributes:
      out: an empty directory.
      small: whether it is a smoke test.
      repeat: runs of whatever is run several times.
    """

    out: pathlib.Path
    small: bool
    repeat: int

    def shrink(self, workload: Workload) -> Workload:
        return workload.shrink() if self.small else workload


class PoolPairs(ArrayPairs):
    """(x, y) pairs of any number: few distinct examples, given again and again, so that they take no memory."""

    def __getitems__(self, indices: list[int]) -> Any:
        return super().__getitems__([index % len(self.labels) for index in indices])


def pool_loader(workload: Workload, batch_size: int = BATCH, **options: Any) -> Any:
    """A DataLoader of `workload.rows` examples that keeps 64 MiB of them at most.

    Args:
      workload: rows, shape and dtype.
      batch_size: examples a batch.
      options: further arguments of the DataLoader.
    """
    from torch.utils.data import DataLoader, SequentialSampler

    pool = workload.with_rows(min(workload.rows, max(BATCH, _POOL_BYTES // workload.row_bytes)))
    dataset = PoolPairs(*make_arrays(pool))
    sampler = SequentialSampler(range(workload.rows))
    return DataLoader(dataset, batch_size=batch_size, sampler=sampler, collate_fn=keep, **options)


def export(loader: Any, out: pathlib.Path, name: str, format: str, **options: Any) -> Any:
    """Our export, silent; returns its result."""
    import exporters

    return exporters.export(loader, out, name=name, format=format, progress=False, **options)


def load(path: pathlib.Path, **options: Any) -> Any:
    """`tfds.load` of a version directory of ours, by name."""
    import tensorflow_datasets as tfds

    import tfds_builder

    tfds_builder.register(path.parent.parent)
    return tfds.load(path.parent.name, split="train", **options)


def stock(path: pathlib.Path, **options: Any) -> Any:
    """The same TFRecord directory through TFDS's own reader."""
    import tensorflow_datasets as tfds

    config = options.pop("read_config", None) or tfds.ReadConfig(try_autocache=False)
    return tfds.builder_from_directory(path).as_dataset(split="train", read_config=config, **options)


def by_rows(**options: Any) -> dict[str, Any]:
    """Arguments of `tfds.load` that shuffle every row."""
    import tfds_builder

    return {"shuffle_files": True, "read_config": tfds_builder.ReadConfig(shuffle_unit="row", **options)}


def data_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The shards of a version directory, in order."""
    return sorted([*path.glob("*.tfrecord-*"), *path.glob("*.h5")])


def count(pipeline: Any) -> int:
    """One epoch; how many examples it has."""
    return sum(int(batch["label"].shape[0]) for batch in pipeline)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_time(work: Callable[[], Any], repeat: int) -> float:
    """Median seconds of `repeat` calls, after one that is not counted."""
    work()
    return statistics.median(timed(work) for _ in range(repeat))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log(seconds) over log(size): 1 is proportional, 2 is quadratic."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a module's function in a new process; what it returns, or a text if the process was killed."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            return "killed"


def warm_up(directory: pathlib.Path) -> None:
    """Reads a small dataset both ways, so that what is measured next has nothing left to import or to compile."""
    for format in FORMATS:
        path = directory / f"tiny_{format}" / "1.0.0"
        for options in ({}, {"shuffle_files": True}, by_rows()):
            count(load(path, batch_size=BATCH, **options))
        if format == "tfrecord":
            count(stock(path, batch_size=BATCH))


def export_tiny(directory: pathlib.Path) -> None:
    """The datasets that `warm_up` reads."""
    for format in FORMATS:
        export(pool_loader(IMAGES.with_rows(2 * BATCH)), directory, f"tiny_{format}", format)


def make_cold(files: Sequence[pathlib.Path]) -> None:
    """Drops files from the page cache.

    Raises:
      RuntimeError: more than a hundredth of their pages is still there (someone has them mapped).
    """
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    left = sum(map(resident_bytes, files)) / sum(path.stat().st_size for path in files)
    if left > 0.01:
        raise RuntimeError(f"{left:.0%} of the files is still in the page cache")


def resident_bytes(path: pathlib.Path) -> int:
    """Bytes of a file that are in the page cache (man 2 mincore)."""
    libc = ctypes.CDLL(None, use_errno=True)
    mapped = np.memmap(path, np.uint8, "r")
    pages = np.zeros(-(-len(mapped) // mmap.PAGESIZE), np.uint8)
    if libc.mincore(ctypes.c_void_p(mapped.ctypes.data), ctypes.c_size_t(len(mapped)), ctypes.c_void_p(pages.ctypes.data)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int((pages & 1).sum()) * mmap.PAGESIZE


def memory(key: str) -> float:
    """A line of /proc/self/status (`"RssAnon"`, `"VmHWM"`, `"VmSize"`), in MB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(key)
