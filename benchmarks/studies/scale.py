"""How what is done once grows: drawing an order, a shard, going on after a stop, publishing, a manifest of very many shards."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import resource
import shutil
import time
from typing import Any

from tables import Sheet

from studies.common import IMAGES, Setting, export, in_child, pool_loader

_ORDERS = (1_000_000, 10_000_000, 100_000_000)
_SHARDS = (1_000, 4_000, 16_000)
_MANIFESTS = (3_000, 30_000, 300_000)
_STOP = 0.9
"""Where an export is stopped, of its shards."""


def run(setting: Setting) -> list[Sheet]:
    shrink = 100 if setting.small else 1
    orders = [[count // shrink, *in_child(_draw, setting.out, count // shrink)] for count in _ORDERS]
    shards = [[count // shrink, *in_child(_export, setting.out, count // shrink)] for count in _SHARDS]
    manifests = [[count // shrink, *in_child(_manifest, setting.out, count // shrink)] for count in _MANIFESTS]
    return [
        Sheet(
            "Drawing a shuffled order (DataLoader(shuffle=True))", ("examples", "s", "CPU s", "peak MB", "file MB"), orders,
            "Once, before the first byte. Peak memory is of the whole process; PyTorch and TFDS are 250 MB of it.",
        ),
        Sheet(
            "Shards of one example each",
            ("shards", "ms a shard", "CPU ms a shard", "take up, ms a shard", "publish, ms a shard"),
            shards,
            "Per shard: written, hashed, fsynced and noted; noted ones taken up by an export that goes on; named and published.",
        ),
        Sheet(
            "A manifest of many shards", ("shards", "MB", "write s", "read s", "peak MB"), manifests,
            "As JSON, with its digest; read and checked as `tfds.load` does it.",
        ),
    ]  # fmt: skip


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _draw(out: pathlib.Path, count: int) -> tuple[float, ...]:
    """Draws an order into a file."""
    from torch.utils.data import DataLoader

    from exporters.loaders import facts

    path = out / "order"
    loader: Any = DataLoader(range(count), 256, shuffle=True)  # type: ignore[arg-type]
    start, used = time.perf_counter(), time.process_time()
    assert facts.record_order(loader, path)
    found = time.perf_counter() - start, time.process_time() - used, _peak(), path.stat().st_size / 1e6
    path.unlink()
    return found


class _Rows:
    """Rows of a hundred bytes; one of them cannot be read. When the first of them was read is kept."""

    def __init__(self, count: int, stop: int | None = None) -> None:
        self.count, self.stop, self.began = count, stop, 0.0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Any:
        import torch

        if row == self.stop:
            raise KeyError(row)
        self.began = self.began or time.perf_counter()
        return torch.full((100,), row % 251, dtype=torch.uint8), row % 7


def _export(out: pathlib.Path, count: int) -> tuple[float, ...]:
    """An export that is stopped near its end, and one that goes on; per shard."""
    import warnings

    from torch.utils.data import DataLoader

    import exporters
    from exporters.jobs.job import Job

    warnings.simplefilter("ignore")
    stop, published = int(count * _STOP), list[float]()
    publish = Job.publish

    def timed(job: Job) -> Any:
        start = time.perf_counter()
        manifest = publish(job)
        published.append(time.perf_counter() - start)
        return manifest

    Job.publish = timed  # type: ignore[method-assign]
    started, used = time.perf_counter(), time.process_time()
    with contextlib.suppress(KeyError):
        exporters.export(DataLoader(_Rows(count, stop), 1), out, name="scale", shard_bytes=1, progress=False, on_hazard="ignore")
    first, cpu = time.perf_counter() - started, time.process_time() - used
    rows, again = _Rows(count), time.perf_counter()
    exporters.export(DataLoader(rows, 1), out, name="scale", shard_bytes=1, progress=False, on_hazard="ignore", overwrite=False)
    taken_up = rows.began - again
    shutil.rmtree(out / "scale")
    return 1000 * first / stop, 1000 * cpu / stop, 1000 * taken_up / stop, 1000 * published[0] / count


def _manifest(out: pathlib.Path, count: int) -> tuple[float, ...]:
    """A manifest of so many shards, written and read."""
    from tfds_builder.catalog.read import read_manifest
    from tfds_builder.contract.manifest import FILENAME, Split

    path = pathlib.Path(export(pool_loader(IMAGES.with_rows(64)), out, "scale_manifest", "tfrecord").path)
    manifest = read_manifest(path)
    shard = next(iter(manifest.splits.values())).shards[0]

    def named(number: int) -> Any:
        file = shard.data.file.replace("00000-of-00001", f"{number:05d}-of-{count:05d}")
        return dataclasses.replace(shard, data=dataclasses.replace(shard.data, file=file))

    many = dataclasses.replace(manifest, splits={"train": Split(shards=tuple(map(named, range(count))))})
    start = time.perf_counter()
    content = many.to_json()
    written = time.perf_counter() - start
    (path / FILENAME).write_bytes(content)
    start = time.perf_counter()
    assert len(read_manifest(path).splits["train"].shards) == count
    found = len(content) / 1e6, written, time.perf_counter() - start, _peak()
    shutil.rmtree(path.parent)
    return found
