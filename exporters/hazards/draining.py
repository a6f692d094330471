"""What a loader gives, looked at batch by batch while it is drained: digests, labels, floats, padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from exporters import wording
from exporters.features.fields import AnyField, Field, RaggedField
from exporters.hazards.before import expected_examples
from exporters.hazards.digests import Tally
from exporters.hazards.kinds import Finding
from exporters.hazards.padding import PaddingWatch
from exporters.hazards.watch import Watch
from exporters.loaders.facts import follows_pytorch, is_iterable
from exporters.loaders.items import has_own_collate
from exporters.outcome import Counts
from exporters.schema.schema import Schema
from exporters.tensors.arrays import Array, Columns
from exporters.tensors.layout import CHANNELS
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.ragged import Ragged

NARROW_BYTES = 64
"""Examples smaller than that repeat by chance (a few categories, a label alone), and are not called duplicates."""
FEW_ROWS = 32
"""A split smaller than that may well have one class only."""
_LABELS = ("label", "labels", "target", "targets", "y")
_FIRST_ROWS = 16
"""Rows of each worker that are compared."""
_SAMPLE = 16_384
"""Values of a channel that are looked at."""
_EXPONENTS = {"float16": 0x7C00, "bfloat16": 0x7F80}
"""Bits that are all set in a NaN or an infinity, of the floats that NumPy adds up slowly."""


class Observer:
    """Watches one split.

    Args:
      watch: what to look for, and where to report it.
      split, loader: of the split.
      schema: of the columns that `add` is given.
      done: examples that an export that was stopped had read, and this one does not.
      digests: of those examples; None if they were not noted.
    """

    def __init__(
        self, watch: Watch, split: str, loader: Any, schema: Schema, done: int = 0, digests: Array | None = None
    ) -> None:
        self._done, self._known = done, done if digests is not None else 0
        self._pending: list[Array] = []  # digests of rows that are in no finished shard
        if digests is not None:
            watch.tally.add(split, digests)
        self._watch, self._split, self._loader, self._schema = watch, split, loader, schema
        self._read = self._example_bytes = 0
        self._promised = expected_examples(loader) if follows_pytorch(loader) else None
        self._has_digests = watch.watches("duplicates", "shared_examples", "workers_repeat")
        self._floats = _floats(schema) if watch.watches("not_finite") else ()
        self._labels: dict[str, Any] = dict.fromkeys(_labels(schema)) if watch.watches("single_class") else {}
        looks = watch.watches("padding") and has_own_collate(loader)
        self._padding = PaddingWatch(schema.fields, schema.names, schema.unpad) if looks else None
        self._classes = {field.name for field in schema.fields if type(field.feature).__name__ == "ClassLabel"}
        self._not_finite: dict[str, list[int]] = {}
        self._workers = loader.num_workers if is_iterable(loader) and loader.num_workers > 1 else 0
        self._first: dict[int, list[int]] = {worker: [] for worker in range(self._workers)}

    def add(self, columns: Columns, number: int) -> None:
        """Looks at the stored columns of one batch that has rows.

        Raises:
          HazardError: what it found is an error.
        """
        rows = len(next(iter(columns.values())))
        if not self._read:
            self._look_at_first(columns)
        self._read += rows
        if self._padding is not None:
            self._report(*self._padding.add(columns))
        if self._promised is not None and self._done + self._read > self._promised:
            promised = wording.plural(self._promised, "example")
            text = f"the loader gives more than the {promised} that its sampler, or its dataset's length, promised"
            self._report(Finding("more_examples", None, text))
            self._promised = None
        flat = {
            name: self._watch.layouts.contiguous(name, column.values if isinstance(column, Ragged) else column)
            for name, column in columns.items()
            if self._has_digests or name in self._floats
        }
        if self._floats:
            self._count_not_finite(flat)
        for name, value in list(self._labels.items()):
            self._follow_label(name, value, columns[name])
        flat |= {name: _join_rows(column) for name, column in columns.items() if isinstance(column, Ragged) and name in flat}
        if self._has_digests and (self._watch.digester.add(flat) or self._first):
            digests = self._take_digests()
            if self._first:
                self._compare_workers(digests, number)

    def _take_digests(self) -> Array:
        digests = self._watch.digester.take()
        self._watch.tally.add(self._split, digests)
        self._pending.append(digests)
        return digests

    def take_shard(self, rows: int) -> Array | None:
        """The digests of the next shard's examples, in order; None if examples are not compared."""
        if not self._has_digests or self._example_bytes < NARROW_BYTES:
            return None
        self._take_digests()
        digests = np.concatenate(self._pending)
        self._pending = [digests[rows:].copy()]
        return digests[:rows]

    def finish(self, written: int) -> str:
        """Reports what only the whole split shows; returns its summary.

        Args:
          written: number of examples in its shards.

        Raises:
          HazardError: what it found is an error.
        """
        if self._has_digests:
            self._take_digests()
        counts = Counts(expected_examples(self._loader), self._done + self._read, written)
        self._report(*self._find_at_end(counts))
        return self._watch.finish(self._split, counts)

    def _report(self, *findings: Finding) -> None:
        self._watch.report(self._split, findings)

    def _look_at_first(self, columns: Columns) -> None:
        self._example_bytes = _example_bytes(columns)
        for field in self._schema.fields:
            column = columns[field.columns[-1].name]
            values = column.values if isinstance(column, Ragged) else column
            if self._watch.watches("float_images") and (levels := _levels(field, values)):
                text = (
                    f"{field.name!r} has {levels} different, evenly spaced values a channel, in {values.dtype}: uint8 holds them"
                )
                self._report(Finding("float_images", None, f"{text} in {values.dtype.itemsize} times less"))
            if isinstance(field, Field | RaggedField) and field.layout is not None:
                self._report(*find_contradiction(field.name, field.layout, field.shape))

    def _count_not_finite(self, flat: Mapping[str, Array]) -> None:
        with np.errstate(all="ignore"):
            for name in self._floats:
                nans, infs = count_not_finite(flat[name])
                if nans or infs:
                    total = self._not_finite.setdefault(name, [0, 0])
                    total[0] += nans
                    total[1] += infs
        if self._not_finite and self._watch.raises("not_finite"):
            self._report(*self._find_not_finite())

    def _find_not_finite(self) -> Iterator[Finding]:
        if self._not_finite:
            parts = [f"{name!r} has {nans:,} NaN and {infs:,} infinite values" for name, (nans, infs) in self._not_finite.items()]
            text = f"{', '.join(parts)} in the first {wording.plural(self._read, 'example')}"
            yield Finding("not_finite", sum(map(sum, self._not_finite.values())), text)

    def _follow_label(self, name: str, value: Any, labels: Array | Ragged) -> None:
        assert isinstance(labels, np.ndarray)  # a label is one integer
        value = labels[0] if value is None else value
        if np.all(labels == value):
            self._labels[name] = value
        else:
            del self._labels[name]

    def _compare_workers(self, digests: Array, number: int) -> None:
        """Batch i comes from worker i % workers, as long as all of them have some left: compares their first rows."""
        rows = self._first[number % self._workers]
        rows += digests[: _FIRST_ROWS - len(rows)].tolist()
        if all(len(other) == _FIRST_ROWS for other in self._first.values()):
            self._report(*self._find_repeating_workers())
            self._first = {}

    def _find_repeating_workers(self) -> Iterator[Finding]:
        """A finding if the first rows of all workers are the same, and not all alike."""
        rows = self._first.get(0, [])
        if len(set(rows)) > 1 and all(other == rows for other in self._first.values()):
            same = wording.plural(len(rows), "example")
            text = f"all {self._workers} workers begin with the same {same}, and give each example as many times"
            yield Finding("workers_repeat", None, text)

    def _find_at_end(self, counts: Counts) -> Iterator[Finding]:
        yield from self._find_not_finite()
        yield from self._find_repeating_workers()
        if counts.expected is not None and counts.read < counts.expected:
            missing = counts.expected - counts.read
            yield Finding("examples_missing", missing, f"{missing:,} of the {counts.expected:,} examples expected did not come")
        if self._read >= FEW_ROWS and not self._done:
            labelled = {name: value for name, value in self._labels.items() if value != -1 or name not in self._classes}
            for name, value in labelled.items():
                yield Finding("single_class", self._read, f"{name!r} is {value} in all {wording.plural(self._read, 'example')}")
        if self._has_digests and self._example_bytes >= NARROW_BYTES:
            yield from find_duplicates(self._watch.tally, self._split, self._known + self._read, self._workers)


def find_duplicates(tally: Tally, split: str, examples: int, workers: int = 0) -> Iterator[Finding]:
    """What the digests of a split show, beside those of the splits before it.

    Args:
      tally: has them all.
      split: the split.
      examples: how many of its examples are in the tally.
      workers: of an iterable dataset that each of them reads for itself; 0 if there are none.
    """
    about, share = "" if tally.exact else "about ", f"of {examples:,} examples"
    if repeated := tally.repeated(split):
        if workers and repeated >= examples - examples // workers:
            yield Finding("workers_repeat", repeated, f"{workers} workers give each example as many times")
        yield Finding("duplicates", repeated, f"{about}{repeated:,} {share} equal an earlier one")
    if shared := tally.shared(split):
        parts = [f"{about}{count:,} are also in split {other!r}" for other, count in shared.items()]
        yield Finding("shared_examples", max(shared.values()), f"{share}, {', '.join(parts)}")


def count_not_finite(values: Array) -> tuple[int, int]:
    """(NaN, infinite) values of a contiguous array; complex numbers count by their parts.

    Where the sum is finite, every value is; only where it is not are they counted.
    """
    if values.dtype.kind == "c":
        values = values.view(values.real.dtype)
    if values.dtype.itemsize == 2:
        exponent = _EXPONENTS[values.dtype.name]
        if np.all(values.view(np.uint16) & exponent != exponent):
            return 0, 0
    elif math.isfinite(values.sum()):
        return 0, 0
    return int(np.count_nonzero(np.isnan(values))), int(np.count_nonzero(np.isinf(values)))


def _floats(schema: Schema) -> tuple[str, ...]:
    """Columns that are stored as floating-point numbers."""
    return tuple(column.name for column in schema.columns if column.dtype.startswith(("float", "bfloat", "complex")))


def _labels(schema: Schema) -> Iterator[str]:
    """Columns that are a class label: declared as one, or an integer that is the target or called like one."""
    target = schema.supervised_keys[1] if schema.supervised_keys else None
    for field in schema.fields:
        if not isinstance(field, Field):
            continue
        name = field.name
        is_integer = not field.shape and field.dtype.kind in "iu"
        if is_integer and (type(field.feature).__name__ == "ClassLabel" or name == target or name.split("/")[-1] in _LABELS):
            yield name


def _example_bytes(columns: Columns) -> int:
    """Mean size of an example, bytes."""
    total = 0
    for column in columns.values():
        array = column.values if isinstance(column, Ragged) else column
        total += sum(map(len, array.ravel().tolist())) if array.dtype == object else array.nbytes
    return total // len(next(iter(columns.values())))


def _join_rows(column: Ragged) -> Array:
    """The rows of a ragged column as `bytes`, or arrays of bytes, shape (N, 1): equal bytes for equal rows."""
    out, values = np.empty((len(column), 1), object), np.ascontiguousarray(column.values)
    if values.dtype == object:
        flat, bounds = values.ravel().tolist(), column.row_splits * (values[:1].size or 1)
        flat = [len(text).to_bytes(8, "little") + text for text in flat]
        out[:, 0] = [b"".join(flat[start:end]) for start, end in itertools.pairwise(bounds.tolist())]
    else:
        data, bounds = values.reshape(-1).view(np.uint8), column.row_splits * values[:1].nbytes
        for row, (start, end) in enumerate(itertools.pairwise(bounds.tolist())):
            out[row, 0] = data[start:end]
    return out


def find_contradiction(name: str, layout: Layout, shape: Sequence[int | None]) -> Iterator[Finding]:
    """A finding if a layout takes one axis for another: there are as many channels as no image has, and height, or width, is what
    images have channels; or there are 3 frames, or 3 layers of a volume.

    Args:
      name: the feature.
      layout: of the batches.
      shape: of a row as the loader gives it.
    """
    sizes = dict(zip(layout.source[1:], shape, strict=True))
    swapped = [axis for axis in "HWTD" if sizes.get(axis) in (CHANNELS if axis in "HW" else (3,))]
    if sizes.get("C") is None or sizes["C"] in CHANNELS or len(swapped) != 1:
        return
    letters = [axis for axis in layout.source if axis != "C"]
    letters.insert(layout.source.index(swapped[0]), "C")
    text = (
        f"{name!r}, of shape {tuple(shape)}, is said to be {layout.source}: {sizes['C']} channels, and {swapped[0]} of "
        f"{sizes[swapped[0]]}"
    )
    yield Finding(
        "layout_doubtful", None, text, f"say where the channels are: {wording.argument('layouts', {name: ''.join(letters)})}"
    )


def _levels(field: AnyField, array: Array) -> int:
    """How many values each channel of a float image has at most, if they are k steps from the lowest, k = 0..255; else 0.

    That is what 8-bit integers become by any affine map. Fewer than 16 values, or values that hardly repeat, do not count.
    """
    is_image = field.layout is not None and field.layout.stored.endswith("C") and len(field.layout.stored) >= 4
    channels = field.feature.shape[-1] if is_image and isinstance(field, Field | RaggedField) else None
    if not channels or array.dtype.name not in ("float16", "float32", "float64"):
        return 0
    pixels, most = array.reshape(-1, channels) if array.ndim == 1 else array, 0
    for channel in range(channels):
        values = pixels[..., channel].flat[:_SAMPLE].astype(np.float64)  # reshape would copy the whole channel
        levels = np.unique(values)
        if not 1 < len(levels) <= 256 or not np.isfinite(levels).all() or len(values) < 4 * len(levels):
            return 0
        gaps = np.diff(levels)
        steps = np.concatenate([[0], np.cumsum(np.round(gaps / gaps.min()))])
        unit = (levels[-1] - levels[0]) / steps[-1]
        if steps[-1] > 255 or np.abs(levels - levels[0] - steps * unit).max() > unit / 4:  # float16 is that coarse
            return 0
        most = max(most, len(levels))
    return most if most >= 16 else 0
