"""Normalised float photos, stored as the floats they are and as the integers they were: sizes, writing, reading, the way back."""

from __future__ import annotations

import functools
import pathlib
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tables import Sheet
from workloads import ArrayPairs, Workload, keep, make_arrays

from studies.common import FORMATS, Setting, data_files, export, load

PHOTOS = Workload("photos", 1_500, (3, 224, 224), "uint8")
_BATCH = 64
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(setting: Setting) -> list[Sheet]:
    import tfds_builder

    workload = setting.shrink(PHOTOS)
    integers, labels = make_arrays(workload)
    mean, std = (np.array(numbers, np.float32)[:, None, None] for numbers in (_MEAN, _STD))
    floats = (integers.astype(np.float32) / np.float32(255) - mean) / std
    rows = [["the check and the conversion alone", "", floats.nbytes / 1e6, *_convert(floats, setting.repeat), "", "", ""]]
    for format in FORMATS:
        paths = {way: setting.out / f"{way}_{format}" / "1.0.0" for way in ("floats", "integers")}
        loader = _loader(floats, labels)
        written = _take_turns(
            {way: functools.partial(_write, loader, path, format) for way, path in paths.items()}, setting.repeat
        )
        readers: dict[str, Callable[[], Any]] = {way: _reader(path) for way, path in paths.items()}
        readers["integers, restored"] = _reader(paths["integers"], tfds_builder.restore(paths["integers"]))
        read = _take_turns(readers, setting.repeat)
        for who, times in read.items():
            way = who.partition(",")[0]
            size = sum(file.stat().st_size for file in data_files(paths[way])) / 1e6
            own = [*written[way], written["floats"][0] / written[way][0]] if who == way else ["", "", ""]
            rows.append([who, format, size, *own, times[0], times[1], read["floats"][0] / times[0]])
    columns = ("who", "format", "MB", "write s", "write CPU s", "x floats", "read s", "read CPU s", "x floats")
    size = f"{workload.rows:,} images, {floats.nbytes / 1e9:.2f} GB of floats, in batches of {_BATCH} that cost nothing to load."
    note = f"{size} Best of {setting.repeat} rounds, in turns."
    return [Sheet("Normalised float32 photos as the integers they were", columns, rows, note)]


class _Slices(ArrayPairs):
    """Batches that cost nothing, so that what an export adds shows: views, of examples that follow each other."""

    def __getitems__(self, indices: list[int]) -> Any:
        rows = slice(indices[0], indices[-1] + 1)
        return self.values[rows], self.labels[rows]


def _write(loader: Any, path: pathlib.Path, format: str) -> None:
    """Exports as floats or as integers, as the name says."""
    name = path.parent.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        integers = ["image"] if name.startswith("integers") else None
        export(loader, path.parent.parent, name, format, overwrite=True, integers=integers)


def _loader(floats: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Any:
    from torch.utils.data import DataLoader

    return DataLoader(_Slices(floats, labels), batch_size=_BATCH, collate_fn=keep)


def _convert(floats: np.ndarray[Any, Any], repeat: int) -> list[Any]:
    """Seconds and processor seconds of `Conversion` over all images."""
    from exporters.integers.conversion import Conversion
    from exporters.integers.finding import find
    from exporters.options.integers import Given

    conversion = Conversion(find("image", floats[:_BATCH], 1, Given(), (), "here"), 1)

    def convert() -> None:
        for start in range(0, len(floats), _BATCH):
            conversion.to_integers(floats[start : start + _BATCH], "image", "here")

    return [*_take_turns({"": convert}, repeat)[""], ""]


def _reader(path: pathlib.Path, change: Any = None) -> Callable[[], Any]:
    pipeline = load(path, batch_size=_BATCH)
    if change is not None:
        import tensorflow as tf

        pipeline = pipeline.map(change, num_parallel_calls=tf.data.AUTOTUNE)
    return lambda: sum(int(batch["label"].shape[0]) for batch in pipeline)


def _take_turns(ways: Mapping[str, Callable[[], Any]], repeat: int) -> dict[str, tuple[float, float]]:
    """The least seconds and processor seconds of each, after a run that is not counted."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeat + 1):
        for name, work in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            work()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: (min(wall for wall, _ in found[1:]), min(cpu for _, cpu in found[1:])) for name, found in times.items()}
