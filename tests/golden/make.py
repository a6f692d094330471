"""Makes the golden datasets of this directory: `python tests/golden/make.py [DIRECTORY]` (needs torch, h5py, TensorFlow).

What earlier format versions wrote lies in `version_<format_version>`, and is never written again.

The values come from a frozen NumPy generator and need NumPy only, so a test on a machine without PyTorch
knows what every published byte must come back as: `truth(NAME)["train"]["image"]`.
"""

from __future__ import annotations

import functools
import pathlib
import sys
from typing import Any

import ml_dtypes
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
FORMATS = ("tfrecord", "hdf5")
DTYPES = {
    name: np.dtype(getattr(ml_dtypes, name, name))
    for name in (
        "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
        "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
    )
}  # fmt: skip
CLASSES = ("cat", "dog house", "Größe", "'; import os", '"""')
CARD = {
    "description": 'A golden dataset: """ $name \\ {braces} Größe',
    "homepage": "https://example.org/?a=1&b=2",
    "citation": "@misc{golden,\n  title={Golden}\n}",
    "license": "CC0",
}
DATASETS: dict[str, dict[str, Any]] = {
    "pairs": {"rows": {"train": 53, "test": 12, "few": 1}, "batch": 7, "shard_bytes": 1450},
    "kinds": {"rows": {"train": 7, "test": 2}, "batch": 2, "shard_bytes": 1000},
    "text": {"rows": {"train": 17, "test": 3}, "batch": 3, "shard_bytes": 350},
    "coded": {"rows": {"train": 9, "test": 2}, "batch": 3, "shard_bytes": 300},
}
"""Rows by split, rows a batch, and the shard size that cuts each train split into several shards of different length."""
EXACT = ("pairs", "kinds", "text")
"""Datasets whose bytes are ours alone; those of `coded` also depend on zlib, libpng and Pillow, if it is there."""

VARIANTS = {("large", "1.0.0"): 5, ("large", "1.1.0"): 4, ("small", "1.0.0"): 2}
"""Rows by config and version of `variants_tfrecord` and `variants_hdf5`; row r of split `train` is {"row": r}."""
VARIANT = {"description": 'The large one: """ $name Größe', "notes": {"1.0.0": "First.", "1.1.0": "One row less:\n'4'"}}


def _bits(random: np.random.RandomState, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Values of every bit pattern, NaNs and infinities included."""
    data = np.frombuffer(random.bytes(int(np.prod(shape)) * dtype.itemsize), np.uint8)
    return (data & 1 if dtype.name == "bool" else data).view(dtype).reshape(shape)


def _strings(random: np.random.RandomState, count: int, text: bool) -> np.ndarray[Any, Any]:
    """Byte strings of 0 to 400 bytes (so lengths of one and of two varint bytes), some holding NULs."""
    out = np.empty(count, object)
    for i in range(count):
        length = int(random.randint(0, 6)) if i % 4 else (0, 127, 128, 400)[i // 4 % 4]
        out[i] = "Größe-日本-\0"[: length % 11].encode() * (1 + length // 16) if text else random.bytes(length)
    return out


def _pairs(random: np.random.RandomState, rows: int) -> dict[str, Any]:
    return {"image": _bits(random, np.dtype("u1"), (rows, 4, 5, 3)), "label": random.randint(0, len(CLASSES), rows)}


def _kinds(random: np.random.RandomState, rows: int) -> dict[str, Any]:
    scalars = {f"scalar/{name}": _bits(random, dtype, (rows,)) for name, dtype in DTYPES.items()}
    arrays = {f"array/deep/{name}": _bits(random, dtype, (rows, 2, 1)) for name, dtype in DTYPES.items()}
    return scalars | arrays | {"label": random.randint(0, 300, rows)}


def _text(random: np.random.RandomState, rows: int) -> dict[str, Any]:
    return {
        "caption": _strings(random, rows, text=True),
        "id": random.randint(0, 2**40, rows, dtype=np.int64),
        "meta/raw": _strings(random, rows, text=False),
        "meta/words": _strings(random, 2 * rows, text=False).reshape(rows, 2),
    }


def _coded(random: np.random.RandomState, rows: int) -> dict[str, Any]:
    return {"png": _bits(random, np.dtype("u1"), (rows, 3, 2, 3)), "zipped": _bits(random, np.dtype("f8"), (rows, 4))}


def truth(name: str) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """The values of a golden dataset as `tfds.load` must give them: split -> flat feature name -> array, rows first."""
    kind = name.partition("_")[0]
    random = np.random.RandomState(sum(kind.encode()))
    make = {"pairs": _pairs, "kinds": _kinds, "text": _text, "coded": _coded}[kind]
    return {split: make(random, rows) for split, rows in DATASETS[kind]["rows"].items()}


def publish(data_dir: pathlib.Path, name: str) -> None:
    """Exports one golden dataset (`pairs_hdf5`) under a directory."""
    from unittest import mock

    import tensorflow_datasets as tfds
    import torch
    from torch.utils.data import DataLoader

    import exporters

    def tensor(values: np.ndarray[Any, Any]) -> Any:
        if values.dtype == object:
            return values.tolist() if values.ndim == 1 else values
        if values.dtype == DTYPES["bfloat16"]:
            return torch.from_numpy(values.view(np.int16).copy()).view(torch.bfloat16)
        return torch.from_numpy(values.copy())

    def batch(columns: dict[str, Any], rows: list[int]) -> dict[str, Any]:
        nested: dict[str, Any] = {}
        for flat, values in columns.items():
            *parents, leaf = flat.split("/")
            level = nested
            for parent in parents:
                level = level.setdefault(parent, {})
            part = tensor(values[rows])
            if flat == "image":
                part = part.permute(0, 3, 1, 2).contiguous()
            level[leaf] = [text.decode() for text in part] if flat == "caption" else part
        return nested

    kind, _, format = name.partition("_")
    spec = DATASETS[kind]
    step = spec["batch"]
    loaders = {
        split: DataLoader(range(spec["rows"][split]), step, collate_fn=functools.partial(batch, columns))
        for split, columns in truth(kind).items()
    }
    options: dict[str, dict[str, Any]] = {
        "pairs": {
            "features": {"label": tfds.features.ClassLabel(names=CLASSES)},
            "layouts": {"image": "NCHW"},
            "supervised_keys": ("image", "label"),
        },
        "kinds": {"features": {"label": tfds.features.ClassLabel(num_classes=300)}},
        "text": {"supervised_keys": ("caption", "id")},
        "coded": {
            "features": {
                "png": tfds.features.Image(shape=(3, 2, 3)),
                "zipped": tfds.features.Tensor(shape=(4,), dtype=np.float64, encoding="zlib"),
            },
            "layouts": {"png": "NHWC"},
        },
    }
    with mock.patch("exporters.jobs.job.PRODUCER", "torch2tfds golden"):  # a new release writes the same bytes
        exporters.export(
            loaders, data_dir, name=name, format=format, shard_bytes=spec["shard_bytes"], overwrite=True, progress=False,
            card=exporters.Card(**CARD) if kind == "pairs" else None, **options[kind],
        )  # fmt: skip


def publish_variants(data_dir: pathlib.Path, name: str) -> None:
    """Exports one golden dataset that has configs (`variants_hdf5`) under a directory."""
    from unittest import mock

    from torch.utils.data import DataLoader

    import exporters

    for (config, version), rows in VARIANTS.items():
        large = config == "large"
        with mock.patch("exporters.jobs.job.PRODUCER", "torch2tfds golden"):
            exporters.export(
                DataLoader([{"row": row} for row in range(rows)], rows), data_dir, name=name, version=version,
                config=exporters.Config(config, VARIANT["description"]) if large else config,
                release_notes=VARIANT["notes"] if large else None,
                format=name.partition("_")[2], overwrite=True, progress=False,
            )  # fmt: skip


ROWS = 5
"""Rows of `rows_tfrecord` and `rows_hdf5`, which differ in length: what format version 2 added."""


def rows() -> list[dict[str, Any]]:
    """The examples of split `train` of these."""
    return [
        {
            "id": np.int64(row),
            "boxes": np.arange(8 * row, dtype=np.float32).reshape(2 * row, 4) / 4,
            "tokens": np.arange(row, dtype=np.int64) * 1000 - 1,
            "words": [f"word {i}" for i in range(3 - row % 3)],
        }
        for row in range(ROWS)
    ]


def publish_rows(data_dir: pathlib.Path, name: str) -> None:
    """Exports the golden dataset whose rows differ in length (`rows_hdf5`) under a directory."""
    from unittest import mock

    import tensorflow_datasets as tfds
    import torch
    from torch.utils.data import DataLoader

    import exporters

    def tensors(example: dict[str, Any]) -> dict[str, Any]:
        return {key: value if key == "words" else torch.from_numpy(np.array(value)) for key, value in example.items()}

    def batch(examples: list[dict[str, Any]]) -> dict[str, Any]:
        return {key: [example[key] for example in map(tensors, examples)] for key in examples[0]}

    with mock.patch("exporters.jobs.job.PRODUCER", "torch2tfds golden"):
        exporters.export(
            DataLoader(rows(), 2, collate_fn=batch), data_dir, name=name, format=name.partition("_")[2],
            features={"words": tfds.features.Tensor(shape=(None,), dtype=np.str_)}, shard_bytes=100, overwrite=True,
            progress=False,
        )  # fmt: skip


def names() -> list[str]:
    """Every golden dataset: `pairs_tfrecord`, `pairs_hdf5`, ..."""
    return [f"{kind}_{format}" for kind in DATASETS for format in FORMATS]


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for golden in names():
        publish(target, golden)
    for format in FORMATS:
        publish_variants(target, f"variants_{format}")
        publish_rows(target, f"rows_{format}")
