"""Contestants that write: each drains the same DataLoader into a directory and returns how many examples it wrote."""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import Any

import numpy as np
import peers
from peers import Write
from workloads import CLASSES, Workload, channels_last, iterate_examples

import exporters

BARE, RAW, STORE = "bare loop over the DataLoader", "bare loop + raw write", "TFDS store_as_tfds_dataset (raw tensor)"
SYNCED = f"{RAW} + fsync"
BASELINES = {"bare": BARE, "raw": RAW, "raw+fsync": SYNCED, "store_as": STORE}
OURS = {"tfrecord": "ours, tfrecord", "hdf5": "ours, hdf5"}


def make_writers(workload: Workload) -> dict[str, Write]:
    """The contestants by name. With a decoding loader only those that show what is added to its cost."""
    writers: dict[str, Write] = {name: _ours(format) for format, name in OURS.items()}
    writers |= {
        BARE: _drain,
        RAW: lambda loader, out: _write_raw(workload, loader, out, sync=False),
        SYNCED: lambda loader, out: _write_raw(workload, loader, out, sync=True),
        "h5py, a batch at a time": lambda loader, out: _write_h5py(workload, loader, out),
    }
    if not workload.jpeg:
        writers["tf.train.Example + TFRecordWriter"] = lambda loader, out: _write_examples(workload, loader, out)
        writers[STORE] = lambda loader, out: _store(workload, loader, out, png=False)
        writers |= peers.make_writers(workload)
        if workload.is_image and workload.dtype == "uint8":
            writers["TFDS store_as_tfds_dataset (PNG)"] = lambda loader, out: _store(workload, loader, out, png=True)
    return writers


def _ours(format: str) -> Write:
    def write(loader: Any, out: pathlib.Path) -> int:
        return export(loader, out, format).examples["train"]

    return write


def export(loader: Any, out: pathlib.Path, format: str) -> Any:
    """Our own export as a user calls it, apart from the progress bar."""
    return exporters.export(loader, out, name=f"bench_{format}", format=format, progress=False)


def _drain(loader: Any, out: pathlib.Path) -> int:
    return sum(len(labels) for _, labels in loader)


def _write_raw(workload: Workload, loader: Any, out: pathlib.Path, *, sync: bool) -> int:
    """The least that channels-last data on disk can cost: permute into one buffer, `write` it, nothing else."""
    rows, buffer = 0, np.empty((0, *workload.stored_shape), workload.dtype)
    with open(out / "raw", "wb", buffering=0) as stream:
        for values, labels in loader:
            if len(buffer) < len(labels):
                buffer = np.empty((len(labels), *workload.stored_shape), workload.dtype)
            batch = values.numpy()
            if workload.is_image:
                target = buffer[: len(labels)]
                for channel in range(workload.shape[0]):  # five times as fast as one transposed copy
                    np.copyto(target[..., channel], batch[:, channel])
                batch = target
            stream.write(batch)
            stream.write(labels.numpy())
            rows += len(labels)
        if sync:
            os.fsync(stream.fileno())
    return rows


def _write_h5py(workload: Workload, loader: Any, out: pathlib.Path) -> int:
    import h5py

    with h5py.File(out / "data.h5", "w") as file:
        values_out = file.create_dataset(workload.feature, (workload.rows, *workload.stored_shape), workload.dtype)
        labels_out = file.create_dataset("label", (workload.rows,), "int64")
        rows = 0
        for values, labels in loader:
            stop = rows + len(labels)
            values_out[rows:stop] = channels_last(workload, values)
            labels_out[rows:stop] = labels.numpy()
            rows = stop
    return rows


def _write_examples(workload: Workload, loader: Any, out: pathlib.Path) -> int:
    import tensorflow as tf

    rows = 0
    with tf.io.TFRecordWriter(os.fspath(out / "data.tfrecord")) as writer:
        for value, label in iterate_examples(workload, loader):
            features = {
                workload.feature: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.tobytes()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
            rows += 1
    return rows


def _store(workload: Workload, loader: Any, out: pathlib.Path, *, png: bool) -> int:
    import tensorflow_datasets as tfds

    shape, dtype = workload.stored_shape, np.dtype(workload.dtype)
    feature = tfds.features.Image(shape=shape) if png else tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")
    features = tfds.features.FeaturesDict({workload.feature: feature, "label": tfds.features.ClassLabel(num_classes=CLASSES)})
    pairs = enumerate(iterate_examples(workload, loader))
    examples = ((row, {workload.feature: value, "label": label}) for row, (value, label) in pairs)
    store = tfds.dataset_builders.store_as_tfds_dataset  # imported here: its logging keeps the stderr it finds
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
        builder = store(name="stored", version="1.0.0", features=features, split_datasets={"train": examples}, data_dir=out)
    return int(builder.info.splits["train"].num_examples)
