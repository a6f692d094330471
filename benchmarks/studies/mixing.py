"""How well each way to shuffle mixes: how far examples move, and from how many shards the first thousand come."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from report import Sheet
from workloads import BATCH, WORKLOADS, ArrayPairs, make_arrays

from studies.common import Setting, by_rows, export, load, stock

_SHARD_BATCHES = 5
"""Batches a shard (one, if small): 40 shards of workload a."""
_FIRST = 1000
_BUFFER = 4096


class IndexedPairs(ArrayPairs):
    """Examples that know their number."""

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
    return [Sheet(title, ("shuffle", "displacement", f"shards among the first {_FIRST:,}", "neighbours"), rows, note)]


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
