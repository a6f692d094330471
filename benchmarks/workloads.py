"""Synthetic datasets, the same bytes at every run: what the contestants write and read.

Rows are drawn at random from a seed, 64 MiB of them at most; a dataset that is larger repeats them,
because random numbers cost more than anything that is measured here.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

BATCH = 256
CLASSES = 10
SHARD_BYTES = 256 * 1024 * 1024
"""Size of a shard of those who write several: ours by default, and the peers told so."""
_RANDOM_BYTES = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Workload:
    """What one dataset looks like.

    Attributes:
      key: the letter on the command line.
      rows: number of examples.
      shape: of one example as PyTorch has it, channels-first where it is an image.
      dtype: NumPy dtype name of the example; the label is an int64 class number.
      workers: `num_workers` of the DataLoader.
      jpeg: whether examples are kept as JPEG and decoded by the workers.
      batched: whether the dataset fetches a whole batch at once, so that the bare loop costs next to nothing.
    """

    key: str
    rows: int
    shape: tuple[int, ...]
    dtype: str
    workers: int = 0
    jpeg: bool = False
    batched: bool = False

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def feature(self) -> str:
        """Name the exporter gives the first half of a pair."""
        return "image" if self.is_image else "features"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of an example channels-last."""
        return (*self.shape[1:], self.shape[0]) if self.is_image else self.shape

    @property
    def row_values(self) -> int:
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        return self.row_values * np.dtype(self.dtype).itemsize

    @property
    def title(self) -> str:
        shape = "x".join(map(str, self.shape))
        how = f", decoded from JPEG by {self.workers} workers" if self.jpeg else ", fetched by the batch" if self.batched else ""
        size = self.rows * self.row_bytes / 1e6
        return f"{self.key}: {self.rows:,} x {shape} {self.dtype} + class label ({size:,.0f} MB{how})"

    def shrink(self) -> Workload:
        """The same dataset with a twenty-fifth of the rows, for a smoke test."""
        return self.with_rows(max(self.rows // 25, 2 * BATCH))

    def with_rows(self, rows: int) -> Workload:
        """The same dataset with another number of rows."""
        return dataclasses.replace(self, rows=rows)


WORKLOADS = {
    workload.key: workload
    for workload in (
        Workload("a", 50_000, (3, 32, 32), "uint8"),
        Workload("b", 2_000, (3, 224, 224), "uint8"),
        Workload("c", 1_000, (3, 224, 224), "float32"),
        Workload("d", 1_000_000, (20,), "float32"),
        Workload("e", 4_000, (3, 224, 224), "uint8", workers=2, jpeg=True),
    )
}


class Pairs(TensorDataset):
    """(x, y) pairs in memory, as most have them: an example at a time, stacked by PyTorch's own collate_fn."""

    classes = tuple(f"class_{number}" for number in range(CLASSES))

    def __init__(self, values: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        self.values, self.labels = torch.from_numpy(values), torch.from_numpy(labels)
        super().__init__(self.values, self.labels)


class ArrayPairs(Pairs):
    """The same, fetched by the batch: a quarter of the cost (workload a), so that whatever is added shows the more."""

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.tensor(indices)
        return self.values.index_select(0, rows), self.labels.index_select(0, rows)


class JpegPairs(Dataset[Any]):
    """(x, y) pairs whose images are decoded when they are asked for, as an image folder does it."""

    classes = Pairs.classes

    def __init__(self, encoded: Sequence[bytes], labels: np.ndarray[Any, Any]) -> None:
        self.encoded, self.labels = encoded, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        pixels = np.array(Image.open(io.BytesIO(self.encoded[index])))
        return torch.from_numpy(pixels).permute(2, 0, 1), int(self.labels[index])


def keep(batch: Any) -> Any:
    """A collate_fn for datasets whose `__getitems__` returns the batch."""
    return batch


def make_arrays(workload: Workload) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Examples (rows, *shape), channels-first, and int64 labels (rows,)."""
    rng = np.random.default_rng(sum(map(ord, workload.key)))
    drawn = min(workload.rows, max(1, _RANDOM_BYTES // workload.row_bytes))
    if workload.dtype == "float32":
        values = rng.standard_normal((drawn, *workload.shape), np.float32)
    else:
        values = rng.integers(0, 256, (drawn, *workload.shape), np.uint8)
    labels = rng.integers(0, CLASSES, workload.rows)
    return np.resize(values, (workload.rows, *workload.shape)), labels


def channels_last(workload: Workload, values: torch.Tensor) -> np.ndarray[Any, Any]:
    """A batch for a peer, permuted the fastest way that is one expression."""
    return (values.permute(0, 2, 3, 1).contiguous() if workload.is_image else values).numpy()


def iterate_examples(workload: Workload, loader: Any) -> Iterator[tuple[np.ndarray[Any, Any], int]]:
    """The examples of a loader one by one, for peers that take them so."""
    for values, labels in loader:
        yield from zip(channels_last(workload, values), labels.tolist(), strict=True)


def make_loader(workload: Workload) -> Any:
    """The DataLoader of a workload: batches of 256 in order, the last one short."""
    if workload.batched:
        return DataLoader(ArrayPairs(*make_arrays(workload)), batch_size=BATCH, collate_fn=keep)
    if not workload.jpeg:
        return DataLoader(Pairs(*make_arrays(workload)), batch_size=BATCH)
    encoded = _encode_jpegs(workload, 64)
    labels = np.random.default_rng(0).integers(0, CLASSES, workload.rows)
    images = [encoded[row % len(encoded)] for row in range(workload.rows)]
    return DataLoader(JpegPairs(images, labels), batch_size=BATCH, num_workers=workload.workers)


def _encode_jpegs(workload: Workload, count: int) -> list[bytes]:
    """Smooth random pictures (noise would be unlike a photograph) as JPEG, quality 90."""
    from PIL import Image

    rng, out = np.random.default_rng(0), []
    for _ in range(count):
        small = Image.fromarray(rng.integers(0, 256, (14, 14, 3), np.uint8))
        stream = io.BytesIO()
        small.resize(workload.shape[:0:-1], Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        out.append(stream.getvalue())
    return out


def missing_dependency(workload: Workload) -> str | None:
    """The package a workload needs and does not find."""
    if workload.jpeg:
        try:
            import PIL  # noqa: F401
        except ImportError:
            return "Pillow"
    return None
