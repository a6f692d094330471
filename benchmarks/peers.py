"""Peers that write and are installed beside us: Hugging Face Datasets and WebDataset."""

from __future__ import annotations

import importlib.util
import os
import pathlib
from collections.abc import Callable
from typing import Any

import workloads
from workloads import Workload

Write = Callable[[Any, pathlib.Path], int]

HUGGING_FACE, WEB_DATASET = "Hugging Face ArrowWriter, a batch at a time", "WebDataset ShardWriter (npy)"
_PACKAGES = {HUGGING_FACE: "datasets", WEB_DATASET: "webdataset"}


def left_out() -> dict[str, str]:
    """Peers that are not installed: name -> why they are not in the tables."""
    return {
        name: f"{package} is not installed" for name, package in _PACKAGES.items() if importlib.util.find_spec(package) is None
    }


def make_writers(workload: Workload) -> dict[str, Write]:
    """The contestants by name; those that are installed."""
    known = {
        HUGGING_FACE: lambda loader, out: write_arrow(workload, loader, out / "data.arrow"),
        WEB_DATASET: lambda loader, out: _write_web_dataset(workload, loader, out),
    }
    return {name: write for name, write in known.items() if name not in left_out()}


def write_arrow(workload: Workload, loader: Any, path: pathlib.Path) -> int:
    """One Arrow file with an example as a list of fixed length: a third of the time of Array3D."""
    import datasets
    from datasets.arrow_writer import ArrowWriter

    values_type = datasets.List(datasets.Value(workload.dtype), length=workload.row_values)
    features = datasets.Features({workload.feature: values_type, "label": datasets.Value("int64")})
    with ArrowWriter(features=features, path=os.fspath(path)) as writer:
        for values, labels in loader:
            stored = workloads.channels_last(workload, values).reshape(len(labels), -1)
            writer.write_batch({workload.feature: stored, "label": labels.numpy()})
        rows, _ = writer.finalize()
    return int(rows)


def _write_web_dataset(workload: Workload, loader: Any, out: pathlib.Path) -> int:
    import webdataset

    with webdataset.ShardWriter(
        f"{out}/data-%06d.tar", maxcount=workload.rows, maxsize=workloads.SHARD_BYTES, verbose=0
    ) as writer:
        for row, (value, label) in enumerate(workloads.iterate_examples(workload, loader)):
            writer.write({"__key__": f"{row:08d}", "npy": value, "cls": label})
        return int(writer.total)
