"""Contestants that read: each goes through one epoch in batches of 256 and returns how many examples it saw."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import writers
from workloads import BATCH, Workload

import tfds_builder

Read = Callable[[], int]

STOCK, RAM = "stock TFDS on the same TFRecord, batch_size=256", "from_tensor_slices in RAM, batch(256)"
STOCK_SHUFFLE, RAM_SHUFFLE = "stock TFDS, shuffle(4096).batch(256)", "from_tensor_slices, shuffle(4096).batch(256)"
BASELINES = {"stock": STOCK, "RAM": RAM, "stock shuffled": STOCK_SHUFFLE, "RAM shuffled": RAM_SHUFFLE}
OURS = {format: f"ours, {format}, batch_size=256" for format in ("tfrecord", "hdf5")}
OURS_SHUFFLE = {format: f"ours, {format}, shuffle(4096).batch(256)" for format in ("tfrecord", "hdf5")}
_SHUFFLE = 4096


def make_readers(workload: Workload, loader: Any, out: pathlib.Path) -> dict[str, Read]:
    """Exports both formats into `out` and returns the contestants, by name, each ready for an epoch."""
    paths = {format: pathlib.Path(writers.export(loader, out, format).path) for format in OURS}
    tfds_builder.register(out)
    pipelines = {}
    for format, name in OURS.items():
        pipelines[name] = _load(f"bench_{format}", batch_size=BATCH)
        pipelines[OURS_SHUFFLE[format]] = _load(f"bench_{format}").shuffle(_SHUFFLE).batch(BATCH).prefetch(2)
    stock = tfds.builder_from_directory(paths["tfrecord"])
    config = tfds.ReadConfig(try_autocache=False)
    pipelines[STOCK] = stock.as_dataset(split="train", batch_size=BATCH, read_config=config)
    single = stock.as_dataset(split="train", read_config=config)
    pipelines["stock TFDS, .batch(256)"] = single.batch(BATCH).prefetch(2)
    pipelines[STOCK_SHUFFLE] = single.shuffle(_SHUFFLE).batch(BATCH).prefetch(2)
    pipelines["from_generator over the DataLoader, by the batch"] = _from_generator(workload, lambda: _loader_batches(loader))
    shards = sorted(paths["hdf5"].glob("*.h5"))
    pipelines["from_generator over h5py, by the batch"] = _from_generator(workload, lambda: _h5py_batches(workload, shards))
    ram = tf.data.Dataset.from_tensor_slices(_in_ram(loader))
    pipelines[RAM] = ram.batch(BATCH).prefetch(2)
    pipelines[RAM_SHUFFLE] = ram.shuffle(_SHUFFLE).batch(BATCH).prefetch(2)
    readers: dict[str, Read] = {name: _epoch(pipeline) for name, pipeline in pipelines.items()}
    readers["readinto of the TFRecord files"] = _readinto(workload, sorted(paths["tfrecord"].glob("*.tfrecord*")))
    return readers


def _load(name: str, batch_size: int | None = None) -> tf.data.Dataset:
    config = tfds.ReadConfig(try_autocache=False)
    return tfds.load(name, split="train", batch_size=batch_size, read_config=config)


def _epoch(pipeline: tf.data.Dataset) -> Read:
    """One pass; a batch is a dict or a pair, and the label counts its examples."""

    def read() -> int:
        rows = 0
        for batch in pipeline:
            label = batch["label"] if isinstance(batch, dict) else batch[1]
            rows += label.shape[0]
        return rows

    return read


def _from_generator(workload: Workload, batches: Callable[[], Iterator[Any]]) -> tf.data.Dataset:
    signature = (
        tf.TensorSpec((None, *workload.stored_shape), workload.dtype),
        tf.TensorSpec((None,), tf.int64),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)


def _loader_batches(loader: Any) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    for values, labels in loader:
        yield (values.permute(0, 2, 3, 1).contiguous() if values.ndim == 4 else values).numpy(), labels.numpy()


def _h5py_batches(workload: Workload, shards: list[pathlib.Path]) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    import h5py

    for shard in shards:
        with h5py.File(shard) as file:
            values, labels = file[workload.feature], file["label"]
            for start in range(0, len(labels), BATCH):
                yield values[start : start + BATCH], labels[start : start + BATCH]


def _in_ram(loader: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The whole loader as two arrays, channels-last."""
    values, labels = zip(*_loader_batches(loader), strict=True)
    return np.concatenate(values), np.concatenate(labels)


def _readinto(workload: Workload, files: list[pathlib.Path]) -> Read:
    """The files from the page cache into memory that is there already: what no reader that copies can beat."""
    buffer = bytearray(max(path.stat().st_size for path in files))

    def read() -> int:
        for path in files:
            with open(path, "rb", buffering=0) as stream:
                view = memoryview(buffer)
                while count := stream.readinto(view):
                    view = view[count:]
        return workload.rows

    return read
