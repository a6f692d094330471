"""How well each way to shuffle mixes: how far examples move, from how many shards the first thousand come, and how many classes
there are in a batch of examples that were sorted by class."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from tables import Sheet
from workloads import BATCH, WORKLOADS, ArrayPairs, make_arrays

from studies.common import Setting, by_rows, export, load, stock

_SHARD_BATCHES = 5
"""Batches a shard (one, if small): 40 shards of workload a."""
_FIRST = 1000
_BUFFER = 4096
_SORTED_ROWS, _SORTED_CLASSES = 10_000, (10, 100)
_SORTED_BATCH, _SORTED_BUFFER = 128, 1000
_SORTED_SHARDS = (256, 4, 1)
"""MiB of a shard."""


class IndexedPairs(ArrayPairs):
    """Examples that know their number."""

    classes = tuple(f"class_{number}" for number in range(max(_SORTED_CLASSES)))

    def __getitems__(self, indices: list[int]) -> Any:
        import torch

        values, labels = super().__getitems__(indices)
        return {"image": values, "label": labels, "index": torch.tensor(indices)}


def run(setting: Setting) -> list[Sheet]:
    from torch.utils.data import DataLoader
    from workloads import keep

    workload = setting.shrink(WORKLOADS["a"])
    loader = DataLoader(IndexedPairs(*make_arrays(workload)), batch_size=BATCH, collate_fn=keep)
    shard_rows = BATCH if setting.small else _SHARD_BATCHES * BATCH
    limit = shard_rows * (workload.row_bytes + 1 + 8)
    result = export(loader, setting.out, "mixing", "tfrecord", shard_bytes=limit)
    rows = []
    for name, pipeline in _pipelines(pathlib.Path(result.path), loader).items():
        epochs = [_order(pipeline, workload.rows) for _ in range(setting.repeat)]
        rows.append([name, *np.mean([_mixing(order, shard_rows) for order in epochs], axis=0).tolist()])
    title = f"Mixing: {workload.rows:,} examples in {result.shards['train']} shards"
    note = (
        "Displacement: mean of |position - original position| / n; a uniform shuffle has 1/3. Neighbours: the share of "
        f"successive examples that were neighbours before; a uniform shuffle has about 2/n. Means of {setting.repeat} epochs."
    )
    sheet = Sheet(title, ("shuffle", "displacement", f"shards among the first {_FIRST:,}", "neighbours"), rows, note)
    return [sheet, *(_sorted(setting, classes) for classes in _SORTED_CLASSES)]


def _sorted(setting: Setting, classes: int) -> Sheet:
    """How many classes there are in a batch, of shards of several sizes."""
    from torch.utils.data import DataLoader
    from workloads import keep

    workload = setting.shrink(WORKLOADS["a"].with_rows(_SORTED_ROWS))
    values, _ = make_arrays(workload)
    loader = DataLoader(
        IndexedPairs(values, np.arange(workload.rows) * classes // workload.rows), batch_size=_SORTED_BATCH, collate_fn=keep
    )
    found: dict[str, list[float]] = {}
    for shard in _SORTED_SHARDS:
        name = f"sorted_{classes}_{shard}"
        path = pathlib.Path(export(loader, setting.out, name, "tfrecord", shard_bytes=shard << 20, on_hazard="ignore").path)
        for way, pipeline in _sorted_pipelines(path).items():
            found.setdefault(way, []).append(float(np.mean([_classes(pipeline) for _ in range(setting.repeat)])))
    chance = classes * (1 - (1 - 1 / classes) ** _SORTED_BATCH)
    title = f"Mixing: {workload.rows:,} examples sorted by {classes} classes, classes in a batch of {_SORTED_BATCH}"
    note = f"Means of {setting.repeat} epochs, by the size of a shard. A uniform shuffle has {chance:.3g}."
    return Sheet(title, ("shuffle", *(f"{shard} MiB" for shard in _SORTED_SHARDS)), [[w, *v] for w, v in found.items()], note)


def _sorted_pipelines(path: pathlib.Path) -> dict[str, Any]:
    batch, buffer = _SORTED_BATCH, _SORTED_BUFFER
    return {
        f"ours, shuffle_files=True, batch_size={batch}": load(path, batch_size=batch, shuffle_files=True),
        "ours, shuffle_files=True, single examples": load(path, shuffle_files=True).batch(batch),
        "ours, by rows": load(path, batch_size=batch, **by_rows()),
        "stock, shuffle_files=True": stock(path, batch_size=batch, shuffle_files=True),
        f"stock, shuffle_files=True + shuffle({buffer})": stock(path, shuffle_files=True).shuffle(buffer).batch(batch),
    }


def _classes(pipeline: Any) -> float:
    """Classes in a full batch, on average of an epoch."""
    batches = [batch["label"].numpy() for batch in pipeline]
    return float(np.mean([len(set(labels.tolist())) for labels in batches if len(labels) == _SORTED_BATCH]))


def _pipelines(path: pathlib.Path, loader: Any) -> dict[str, Any]:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(try_autocache=False)
    batches = list(loader)
    ram = {key: np.concatenate([batch[key].numpy() for batch in batches]) for key in ("label", "index")}
    return {
        "ours, by blocks, batch_size=256": load(path, batch_size=BATCH, shuffle_files=True),
        "ours, by blocks, single examples": load(path, shuffle_files=True).batch(BATCH),
        "ours, by rows": load(path, batch_size=BATCH, **by_rows()),
        f"ours, by blocks + shuffle({_BUFFER})": load(path, shuffle_files=True).shuffle(_BUFFER).batch(BATCH),
        "stock, shuffle_files=True": stock(path, batch_size=BATCH, shuffle_files=True, read_config=config),
        f"stock, shuffle_files=True + shuffle({_BUFFER})": stock(path, shuffle_files=True).shuffle(_BUFFER).batch(BATCH),
        f"stock, in order + shuffle({_BUFFER})": stock(path).shuffle(_BUFFER).batch(BATCH),
        f"from_tensor_slices + shuffle({_BUFFER})": tf.data.Dataset.from_tensor_slices(ram).shuffle(_BUFFER).batch(BATCH),
    }


def _order(pipeline: Any, rows: int) -> np.ndarray[Any, Any]:
    """Original positions in the order of an epoch, int64 of shape (rows,).

    Raises:
      RuntimeError: not every example came once.
    """
    order = np.concatenate([batch["index"].numpy() for batch in pipeline])
    if not np.array_equal(np.sort(order), np.arange(rows)):
        raise RuntimeError("an epoch did not have every example once")
    return order


def _mixing(order: np.ndarray[Any, Any], shard_rows: int) -> tuple[float, float, float]:
    displacement = np.abs(np.arange(len(order)) - order).mean() / len(order)
    shards = len(np.unique(order[:_FIRST] // shard_rows))
    return float(displacement), float(shards), float(np.mean(np.abs(np.diff(order)) == 1))
