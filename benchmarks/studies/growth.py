"""How time grows with examples and with shards: the exponent of each should be 1 or less."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from tables import Sheet
from workloads import BATCH, Workload

from studies.common import FORMATS, Setting, count, exponent, export, load, median_time, pool_loader, timed

_ROWS = Workload("growth", 100_000, (20,), "float32")
_STORED_BYTES = {"tfrecord": 81, "hdf5": 88}
"""A row as it counts towards `shard_bytes`: 20 float32, and a class label of one byte or int64."""
_BATCH_OF_SHARDS = 10
"""Examples a batch of the loader that is cut into shards: no shard is smaller than a batch."""


_NOTE = "The exponent is the slope of log(seconds) over log(number), over all sizes and over the last two."


def run(setting: Setting) -> list[Sheet]:
    return [_examples(setting), _shards(setting), _manifest(setting)]


def _examples(setting: Setting) -> Sheet:
    sizes = (1_000, 10_000, 100_000) if setting.small else (10_000, 100_000, 1_000_000, 10_000_000)
    rows = []
    for format in FORMATS:
        found = [_example_row(setting, format, size) for size in (sizes[0], *sizes)][1:]  # the first pays for imports
        rows += [*found, *_exponents(format, sizes, found)]
    columns = ("format", "examples", "export s", "read s")
    return Sheet("Growth with the number of examples (20 float32 + class label)", columns, rows, _NOTE)


def _example_row(setting: Setting, format: str, size: int) -> list[Any]:
    """Format, examples, then seconds to export and for an epoch."""
    loader = pool_loader(_ROWS.with_rows(size))
    wrote = timed(lambda: _export(loader, setting.out, format))
    pipeline = load(setting.out / f"growth_{format}" / "1.0.0", batch_size=BATCH)
    return [format, size, wrote, median_time(lambda: count(pipeline), min(3, setting.repeat))]


def _exponents(format: str, sizes: Sequence[int], found: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Two rows of slopes of every column of seconds: over all sizes, and over the last two."""
    columns = list(zip(*(row[2:] for row in found), strict=True))
    return [
        [format, "exponent", *(exponent(sizes, column) for column in columns)],
        [format, "exponent, last two", *(exponent(sizes[-2:], column[-2:]) for column in columns)],
    ]


def _export(loader: Any, out: pathlib.Path, format: str, **options: Any) -> Any:
    return export(loader, out, f"growth_{format}", format, overwrite=True, **options)


def _shards(setting: Setting) -> Sheet:
    workload = _ROWS.with_rows(10_000 if setting.small else 100_000)
    counts = (1, 10, 100, 1_000) if setting.small else (1, 10, 100, 1_000, 10_000)
    loader, rows = pool_loader(workload, _BATCH_OF_SHARDS), []
    for format in FORMATS:
        found = [_shard_row(setting, workload, loader, format, number) for number in counts]
        rows += [*found, *_exponents(format, counts, found)]
    title = f"Growth with the number of shards ({workload.rows:,} examples)"
    return Sheet(title, ("format", "shards", "export s", "tfds.load + first batch s", "read s"), rows, _NOTE)


def _shard_row(setting: Setting, workload: Workload, loader: Any, format: str, shards: int) -> list[Any]:
    """Format, shards, then seconds to export, to the first batch, and for an epoch."""
    limit = workload.rows // shards * _STORED_BYTES[format]
    result: dict[str, Any] = {}
    wrote = timed(lambda: result.update(vars(_export(loader, setting.out, format, shard_bytes=limit))))
    if result["shards"]["train"] != shards:
        raise RuntimeError(f"{result['shards']['train']} shards, and {shards} were wanted")
    path = pathlib.Path(result["path"])
    first = median_time(lambda: next(iter(load(path, batch_size=BATCH))), setting.repeat)
    pipeline = load(path, batch_size=BATCH)
    return [format, shards, wrote, first, median_time(lambda: count(pipeline), min(3, setting.repeat))]


def _manifest(setting: Setting) -> Sheet:
    """A manifest with the shards of a real one, numbered on."""
    from tfds_builder.catalog import read as read_lib
    from tfds_builder.contract import manifest as manifest_lib

    path = setting.out / "growth_tfrecord" / "1.0.0"
    real, rows = read_lib.read_manifest(path), []
    counts: Sequence[int] = (1_000, 10_000) if setting.small else (1_000, 10_000, 100_000)
    shard, out = real.splits["train"].shards[0], setting.out / "manifest"
    names = "growth-train.tfrecord-{:06d}-of-{:06d}"
    out.mkdir()
    for number in counts:
        files = [dataclasses.replace(shard.data, file=names.format(place, number)) for place in range(number)]
        shards = tuple(dataclasses.replace(shard, data=file) for file in files)
        content = dataclasses.replace(real, splits={"train": manifest_lib.Split(shards=shards)}).to_json()
        (out / manifest_lib.FILENAME).write_bytes(content)
        rows.append([number, len(content) / 1e6, median_time(lambda: read_lib.read_manifest(out), setting.repeat)])
    rows.append(["exponent", "", exponent(counts, [row[2] for row in rows])])
    return Sheet("Reading and checking manifest.json", ("shards", "MB", "s"), rows)
