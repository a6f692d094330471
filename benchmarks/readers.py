"""Contestants that read: each goes through one epoch in batches of 256 and returns how many examples it saw."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import peers
import tensorflow as tf
import tensorflow_datasets as tfds
import writers
from workloads import BATCH, Workload, channels_last

import tfds_builder

Read = Callable[[], int]

STOCK, RAM = "stock TFDS on the same TFRecord, batch_size=256", "from_tensor_slices in RAM, batch(256)"
STOCK_SHUFFLE, RAM_SHUFFLE = "stock TFDS, shuffle(4096).batch(256)", "from_tensor_slices, shuffle(4096).batch(256)"
BASELINES = {"stock": STOCK, "RAM": RAM, "stock shuffled": STOCK_SHUFFLE, "RAM shuffled": RAM_SHUFFLE}
_H5PY, _READINTO = "from_generator over h5py, by the batch", "readinto of the TFRecord files"
_FORMATS = ("tfrecord", "hdf5")
_SHUFFLE = 4096
_WARM_SECONDS = 5.0


def make_readers(workload: Workload, loader: Any, out: pathlib.Path) -> dict[str, dict[str, Read]]:
    """Exports both formats into `out`; returns the epochs of each table, warm, by title and contestant."""
    paths = {format: pathlib.Path(writers.export(loader, out, format).path) for format in _FORMATS}
    tfds_builder.register(out)
    files = sorted(paths["tfrecord"].glob("*.tfrecord*"))
    pipelines = _ours() | _stock(paths["tfrecord"]) | _others(workload, loader, paths["hdf5"])
    chosen = {name for name in pipelines if name.startswith("ours") and "4096" not in name} | {*BASELINES.values(), _H5PY}
    used = {name: _use_all(workload, pipeline) for name, pipeline in pipelines.items() if name in chosen}
    if importlib.util.find_spec("datasets") is not None:
        pipelines |= _hugging_face(workload, loader, out)
    for name, pipeline in [*pipelines.items(), *used.items()]:
        print(f"  warming up: {name}", file=sys.stderr, flush=True)
        _warm_up(pipeline)
    epochs: dict[str, Read] = {name: _epoch(pipeline) for name, pipeline in pipelines.items()}
    used_epochs: dict[str, Read] = {name: _used_epoch(pipeline) for name, pipeline in used.items()}
    for table, is_used in ((epochs, False), (used_epochs, True)):
        table[_READINTO] = _readinto(workload, files, used=is_used)
        table[_READINTO]()
    return {"read": epochs, "read, and every byte used": used_epochs}


def _warm_up(pipeline: tf.data.Dataset) -> None:
    """An epoch, or as much of it as comes in a few seconds."""
    stop = time.perf_counter() + _WARM_SECONDS
    for _ in pipeline:
        if time.perf_counter() > stop:
            break


def _ours() -> dict[str, tf.data.Dataset]:
    pipelines = {}
    for format in _FORMATS:
        name, ours = f"bench_{format}", f"ours, {format},"
        rows = tfds_builder.ReadConfig(shuffle_unit="row")
        pipelines[f"{ours} batch_size=256"] = tfds.load(name, split="train", batch_size=BATCH)
        pipelines[f"{ours} shuffled by blocks"] = tfds.load(name, split="train", batch_size=BATCH, shuffle_files=True)
        pipelines[f"{ours} shuffled by rows"] = tfds.load(
            name, split="train", batch_size=BATCH, shuffle_files=True, read_config=rows
        )
        single = tfds.load(name, split="train")
        pipelines[f"{ours} shuffle(4096).batch(256)"] = single.shuffle(_SHUFFLE).batch(BATCH).prefetch(2)
    return pipelines


def _stock(path: pathlib.Path) -> dict[str, tf.data.Dataset]:
    builder, config = tfds.builder_from_directory(path), tfds.ReadConfig(try_autocache=False)
    single = builder.as_dataset(split="train", read_config=config)
    return {
        STOCK: builder.as_dataset(split="train", batch_size=BATCH, read_config=config),
        "stock TFDS, .batch(256)": single.batch(BATCH).prefetch(2),
        STOCK_SHUFFLE: single.shuffle(_SHUFFLE).batch(BATCH).prefetch(2),
    }


def _others(workload: Workload, loader: Any, hdf5: pathlib.Path) -> dict[str, tf.data.Dataset]:
    shards = sorted(hdf5.glob("*.h5"))
    ram = tf.data.Dataset.from_tensor_slices(_in_ram(workload, loader))
    return {
        "from_generator over the DataLoader, by the batch": _from_generator(workload, lambda: _loader_batches(workload, loader)),
        _H5PY: _from_generator(workload, lambda: _h5py_batches(workload, shards)),
        RAM: ram.batch(BATCH).prefetch(2),
        RAM_SHUFFLE: ram.shuffle(_SHUFFLE).batch(BATCH).prefetch(2),
    }


def _hugging_face(workload: Workload, loader: Any, out: pathlib.Path) -> dict[str, tf.data.Dataset]:
    """Its integers come as int64, whatever is stored."""
    import datasets

    peers.write_arrow(workload, loader, out / "data.arrow")
    stored = datasets.Dataset.from_file(str(out / "data.arrow"))
    return {
        "Hugging Face to_tf_dataset": stored.to_tf_dataset(batch_size=BATCH),
        "Hugging Face to_tf_dataset(shuffle=True)": stored.to_tf_dataset(batch_size=BATCH, shuffle=True),
    }


def _parts(batch: Any, feature: str) -> tuple[Any, Any]:
    """Values and labels of a batch, which is a dict or a pair."""
    return (batch[feature], batch["label"]) if isinstance(batch, Mapping) else batch


def _epoch(pipeline: tf.data.Dataset) -> Read:
    """One pass; the label counts the examples of a batch."""

    def read() -> int:
        rows = 0
        for batch in pipeline:
            label = batch["label"] if isinstance(batch, Mapping) else batch[1]
            rows += label.shape[0]
        return rows

    return read


def use(workload: Workload, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The sum of all the bytes of a batch, eight at a time, and its number of examples.

    Nothing a model does with a batch costs less; a reader that only maps files has its bytes
    fetched by this.
    """
    values, label = _parts(batch, workload.feature)
    words = tf.bitcast(tf.reshape(values, (-1, 8 // values.dtype.size)), tf.int64)
    return tf.reduce_sum(words), tf.shape(label)[0]


def _use_all(workload: Workload, pipeline: tf.data.Dataset) -> tf.data.Dataset:
    return pipeline.map(lambda *batch: use(workload, batch[0] if len(batch) == 1 else batch))


def _used_epoch(pipeline: tf.data.Dataset) -> Read:
    return lambda: sum(int(rows) for _, rows in pipeline)


def _from_generator(workload: Workload, batches: Callable[[], Iterator[Any]]) -> tf.data.Dataset:
    signature = (
        tf.TensorSpec((None, *workload.stored_shape), workload.dtype),
        tf.TensorSpec((None,), tf.int64),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)


def _loader_batches(workload: Workload, loader: Any) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    for values, labels in loader:
        yield channels_last(workload, values), labels.numpy()


def _h5py_batches(workload: Workload, shards: list[pathlib.Path]) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    import h5py

    for shard in shards:
        with h5py.File(shard) as file:
            values, labels = file[workload.feature], file["label"]
            for start in range(0, len(labels), BATCH):
                yield values[start : start + BATCH], labels[start : start + BATCH]


def _in_ram(workload: Workload, loader: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The whole loader as two arrays, channels-last."""
    values, labels = zip(*_loader_batches(workload, loader), strict=True)
    return np.concatenate(values), np.concatenate(labels)


def _readinto(workload: Workload, files: list[pathlib.Path], *, used: bool) -> Read:
    """The files from the page cache into memory that is there already: what no reader that copies can beat."""
    buffer = np.empty(max(path.stat().st_size for path in files) // 8 + 1, np.int64)

    def read() -> int:
        for path in files:
            with open(path, "rb", buffering=0) as stream:
                view = memoryview(buffer).cast("B")
                while count := stream.readinto(view):
                    view = view[count:]
            if used:
                np.sum(buffer[: path.stat().st_size // 8])
        return workload.rows

    return read
