"""Random access: single examples and batches of 256, at random from a whole split."""

from __future__ import annotations

import functools
import importlib.util
import json
import pathlib
import shutil
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from tables import Sheet
from workloads import BATCH, WORKLOADS, Workload, channels_last, make_loader

from studies.common import FORMATS, Setting, export, timed

Read = Callable[[list[int]], Any]
"""Reads examples of those numbers."""
_STOCK = "stock tfds.data_source, ArrayRecord"
_SINGLES = 2000
_BATCHES = 20
"""Single examples and batches in one run; each run draws others."""
_SHARD_BYTES = 1024**3
"""One file each, ArrayRecord's included."""


def run(setting: Setting) -> list[Sheet]:
    sheets = [_measure(setting, setting.shrink(WORKLOADS[key])) for key in "ab"]
    return [*sheets, _epochs(setting, setting.shrink(WORKLOADS["a"]))]


def _epochs(setting: Setting, workload: Workload) -> Sheet:
    """Shuffled epochs of PyTorch's DataLoader over each dataset, with its own collate_fn."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    values, labels = (torch.cat(column) for column in zip(*make_loader(workload), strict=True))
    datasets = {"TensorDataset in memory": TensorDataset(values, labels)}
    datasets |= _datasets({format: setting.out / f"access_a_{format}" / "1.0.0" for format in FORMATS})
    rows = []
    for workers in (0, 2):
        loaders = {name: DataLoader(each, BATCH, shuffle=True, num_workers=workers) for name, each in datasets.items()}
        times: dict[str, list[float]] = {name: [] for name in loaders}
        for number in range(setting.repeat + 1):  # one that is not counted
            for name, loader in loaders.items():
                seconds = timed(lambda loader=loader: sum(1 for _ in loader))
                if number:
                    times[name].append(seconds)
        for name, seconds in times.items():
            rows.append([name, workers, workload.rows / statistics.median(seconds), workload.rows / min(seconds)])
    note = f"Medians and bests of {setting.repeat} epochs in batches of {BATCH}, each with new workers."
    columns = ("dataset", "num_workers", "examples/s", "best")
    return Sheet(f"DataLoader(shuffle=True): {workload.title}", columns, rows, note)


def _measure(setting: Setting, workload: Workload) -> Sheet:
    loader = make_loader(workload)
    paths = {}
    for format in FORMATS:
        result = export(loader, setting.out, f"access_{workload.key}_{format}", format, shard_bytes=_SHARD_BYTES)
        paths[format] = pathlib.Path(result.path)
    sources = _contestants(workload, loader, paths)
    random, times = np.random.default_rng(0), {name: ([], []) for name in sources}
    for number in range(setting.repeat + 1):  # one that is not counted
        singles = random.integers(0, workload.rows, _SINGLES // (10 if setting.small else 1)).tolist()
        batches = [random.choice(workload.rows, min(BATCH, workload.rows), replace=False).tolist() for _ in range(_BATCHES)]
        for name, (one_by_one, together) in sources.items():
            found = timed(functools.partial(one_by_one, singles)), timed(functools.partial(_read_all, together, batches))
            for kept, seconds, examples in zip(times[name], found, (len(singles), sum(map(len, batches))), strict=True):
                if number:
                    kept.append(seconds / examples * 1e6)
    return _sheet(setting, workload, times)


def _read_all(read: Read, batches: list[list[int]]) -> None:
    for keys in batches:
        read(keys)


def _sheet(setting: Setting, workload: Workload, times: dict[str, tuple[list[float], list[float]]]) -> Sheet:
    rows = []
    for name, ways in times.items():
        row: list[Any] = [name]
        for way, seconds in enumerate(ways):
            row += [statistics.median(seconds), min(seconds)]
            row += [_ratio(times, way, statistics.median, seconds), _ratio(times, way, min, seconds)]
        rows.append(row)
    columns = ["who"]
    for what in ("[i]", f"batch of {BATCH}"):
        columns += [f"{what}: µs an example", "best", "x stock", "by best"]
    note = f"Medians and bests of {setting.repeat} runs, in the page cache, every example a dict or a tuple of values of its own."
    if _STOCK not in times:
        note += f" {_STOCK} is left out: array_record is not installed."
    return Sheet(f"Random access: {workload.title}", tuple(columns), rows, note)


def _ratio(times: dict[str, Any], way: int, pick: Callable[[Any], float], seconds: list[float]) -> float:
    return pick(times[_STOCK][way]) / pick(seconds) if _STOCK in times else float("nan")


def _contestants(workload: Workload, loader: Any, paths: dict[str, pathlib.Path]) -> dict[str, tuple[Read, Read]]:
    """By name: how to read examples one by one, and together."""
    found = {name: _of_source(source) for name, source in _datasets(paths).items()}
    found["h5py, our HDF5 files"] = _of_h5py(workload, paths["hdf5"])
    found["NumPy arrays in memory"] = _of_arrays(workload, loader)
    return found


def _datasets(paths: dict[str, pathlib.Path]) -> dict[str, Any]:
    """Ours, and stock TFDS's data source if it can be had, by name."""
    import tensorflow_datasets as tfds

    import tfds_builder

    found: dict[str, Any] = {}
    for format, path in paths.items():
        found[f"ours, data source, {format}"] = tfds_builder.builder_from_directory(path).as_data_source("train")
        found[f"ours, as_torch, {format}"] = tfds_builder.as_torch(path)
    if importlib.util.find_spec("array_record"):
        found[_STOCK] = tfds.builder_from_directory(_copy_to_array_record(paths["tfrecord"])).as_data_source("train")
    return found


def _of_source(source: Any) -> tuple[Read, Read]:
    return lambda keys: [source[key] for key in keys], source.__getitems__


def _of_h5py(workload: Workload, path: pathlib.Path) -> tuple[Read, Read]:
    import h5py

    (file,) = [h5py.File(shard) for shard in sorted(path.glob("*.h5"))]
    images, labels = file[workload.feature], file["label"]

    def together(keys: list[int]) -> Any:
        order = np.sort(keys)  # h5py takes them in no other order
        return images[order], labels[order]

    return lambda keys: [(images[key], labels[key]) for key in keys], together


def _of_arrays(workload: Workload, loader: Any) -> tuple[Read, Read]:
    batches = [(channels_last(workload, values), labels.numpy()) for values, labels in loader]
    images, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    return lambda keys: [(images[key].copy(), labels[key]) for key in keys], lambda keys: (images[keys], labels[keys])


def _copy_to_array_record(path: pathlib.Path) -> pathlib.Path:
    """The same records in ArrayRecord files, one a group, as TFDS writes them; its directory."""
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module

    import tfds_builder

    target = path.parent.parent / "array_record" / path.parent.name / path.name
    if target.exists():
        return target
    target.mkdir(parents=True)
    records = tfds_builder.builder_from_directory(path).as_data_source(
        "train", deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )
    file = target / f"{path.parent.name}-train.array_record-00000-of-00001"
    writer = array_record_module.ArrayRecordWriter(str(file), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    shutil.copy(path / "features.json", target)
    for labels in path.glob("*.labels.txt"):
        shutil.copy(labels, target)
    info = json.loads((path / "dataset_info.json").read_bytes())
    info["fileFormat"] = "array_record"
    for split in info["splits"]:
        split["filepathTemplate"] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        split["shardLengths"] = [str(len(records))]
    (target / "dataset_info.json").write_text(json.dumps(info))
    return target
