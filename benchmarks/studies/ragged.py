"""Workload f: rows of different lengths, token ids and a text, written and read beside TFDS."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tables import Sheet
from workloads import BATCH

from studies.common import FORMATS, Setting, export, load, stock, timed

_ROWS = 100_000
_BARE, _RAW, _STORE = "bare loop over the DataLoader", "bare loop + raw write", "TFDS store_as_tfds_dataset"


def run(setting: Setting) -> list[Sheet]:
    rows = _ROWS // 25 if setting.small else _ROWS
    loader = _make_loader(rows)
    write = {
        _BARE: lambda: sum(1 for _ in loader),
        _RAW: lambda: _write_raw(loader, setting.out / "raw"),
        _STORE: lambda: _store(loader, setting.out / "stored"),
        **{f"ours, {format}": (lambda format=format: _export(loader, setting.out, format)) for format in FORMATS},
    }
    wrote = _take_turns(write, setting.repeat, lambda: _clear(setting.out))
    _clear(setting.out)
    for format in FORMATS:
        _export(loader, setting.out, format)
    path = {format: setting.out / f"ragged_{format}" / "1.0.0" for format in FORMATS}
    pipelines = {f"ours, {format}": load(path[format], batch_size=BATCH) for format in FORMATS}
    pipelines["stock TFDS on the same TFRecord"] = stock(path["tfrecord"], batch_size=BATCH)
    read = _take_turns({who: (lambda ds=ds: _count(ds)) for who, ds in pipelines.items()}, min(3, setting.repeat), lambda: None)
    title = f"f: {rows:,} rows of 1 to 200 int32, and a text"
    return [
        _sheet(f"{title}, write", wrote, {"raw": _RAW, "store_as": _STORE}),
        _sheet(f"{title}, read in padded batches of {BATCH}", read, {"stock": "stock TFDS on the same TFRecord"}),
    ]


def _sheet(title: str, times: Mapping[str, list[float]], baselines: Mapping[str, str]) -> Sheet:
    rows = []
    for who, seconds in times.items():
        ratios = [statistics.median(times[base]) / statistics.median(seconds) for base in baselines.values()]
        rows.append([who, *ratios, statistics.median(seconds), min(seconds)])
    note = "x: times as fast, by medians."
    return Sheet(title, ("who", *(f"x {name}" for name in baselines), "median s", "best s"), rows, note)


def _make_loader(rows: int) -> Any:
    """A loader whose batches are a list of tensors, and a list of str."""
    import torch
    from torch.utils.data import DataLoader

    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 201, rows)
    values = torch.from_numpy(rng.integers(0, 50_000, int(lengths.sum())).astype(np.int32))
    tokens = torch.split(values, lengths.tolist())
    words = ["lorem", "ipsum", "dolor", "sit", "amet"]
    texts = [" ".join(words[k % 5] for k in range(length // 20 + 1)) for length in lengths.tolist()]

    def collate(indices: list[int]) -> dict[str, Any]:
        return {"tokens": [tokens[i] for i in indices], "text": [texts[i] for i in indices]}

    return DataLoader(range(rows), batch_size=BATCH, collate_fn=collate)


def _write_raw(loader: Any, path: pathlib.Path) -> None:
    with open(path, "wb", buffering=0) as stream:
        for batch in loader:
            stream.write(b"".join([tokens.numpy().tobytes() for tokens in batch["tokens"]]))
            stream.write("".join(batch["text"]).encode())


def _store(loader: Any, out: pathlib.Path) -> None:
    import tensorflow_datasets as tfds

    tokens = tfds.features.Tensor(shape=(None,), dtype=np.int32, encoding="bytes")
    features = tfds.features.FeaturesDict({"tokens": tokens, "text": tfds.features.Text()})
    pairs = ((t, s) for batch in loader for t, s in zip(batch["tokens"], batch["text"], strict=True))
    examples = ((row, {"tokens": t.numpy(), "text": s}) for row, (t, s) in enumerate(pairs))
    store = tfds.dataset_builders.store_as_tfds_dataset  # imported here: its logging keeps the stderr it finds
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
        store(name="stored", version="1.0.0", features=features, split_datasets={"train": examples}, data_dir=out)


def _export(loader: Any, out: pathlib.Path, format: str) -> None:
    export(loader, out, f"ragged_{format}", format)


def _clear(out: pathlib.Path) -> None:
    shutil.rmtree(out)
    out.mkdir()
    os.sync()


def _count(pipeline: Any) -> int:
    return sum(int(batch["tokens"].shape[0]) for batch in pipeline)


def _take_turns(ways: Mapping[str, Callable[[], Any]], repeat: int, prepare: Callable[[], None]) -> dict[str, list[float]]:
    """Seconds of each run, after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeat + 1):
        for name, work in ways.items():
            prepare()
            seconds = timed(work)
            if number:
                times[name].append(seconds)
    return times
