"""The statistics of a published version: counted once, and kept beside it by the digest of its manifest.

>>> found = statistics_of("/data/digits/1.0.0")                          # doctest: +SKIP
>>> found.splits["train"].features["label"].classes.counts              # doctest: +SKIP
{0: 142, 1: 146, ...}
>>> found.splits["train"].features["image"].values.is_sample            # doctest: +SKIP
False

What costs little is counted over all rows: labels, lengths, NaN, strings, and numbers that are few in a row. Of images and
other arrays of many values an evenly spaced sample is looked at, and every number of it says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfds_builder.aliases import Array, StoredValue
from tfds_builder.catalog.listing import is_published
from tfds_builder.catalog.location import find_data_dir, read_given
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.contract.manifest import Manifest, Split
from tfds_builder.errors import DatasetError, UnsupportedReadError
from tfds_builder.pages.collectors import (
    ClassCollector,
    LengthCollector,
    NotFiniteCollector,
    NumberCollector,
    StringCollector,
)
from tfds_builder.pages.figures import FeatureStatistics, Shapes, SplitStatistics, Statistics, to_text
from tfds_builder.pages.sources import Rows, Source, sources_of, stored_lengths
from tfds_builder.table.table import Segment, Table

__all__ = ["SAMPLE", "FeatureStatistics", "SplitStatistics", "Statistics", "statistics_of"]

SAMPLE = 1000
"""So many examples of a split are looked at, by default, where not all are."""
CACHE = ".catalog"
_CACHE_BYTES = 64 * 1024 * 1024
_FEW_VALUES, _FEW_BYTES = 64, 4096
"""An example of at most so many values, or bytes where their number differs, is looked at in every row."""
_BLOCK_BYTES, _BLOCK_ROWS = 4 * 1024 * 1024, 4096
_VARIABLE_BYTES = 1024


def statistics_of(
    version_dir: AnyDirectory,
    *,
    exact: bool = False,
    sample: int = SAMPLE,
    cache: AnyDirectory | None = None,
    use_cache: bool = True,
    on_bytes: Callable[[int], object] = lambda count: None,
) -> Statistics:
    """What is in a published version.

    Args:
      version_dir: `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.
      exact: look at every example, whatever it costs; no number is then of a sample.
      sample: how many examples of a split, evenly spaced, are looked at otherwise where examples have many values.
      cache: directory for what was found, a file a version; by default `<data_dir>/.catalog`. It is written to if that can be
        done, and never lies inside of a version.
      use_cache: whether what was found before is taken, and what is found is kept. What lacks a feature is not: what decodes
        it may be installed later.
      on_bytes: called with the number of bytes of each block that was looked at, for a progress bar.

    Returns:
      Statistics. Those that were kept are given back if they are exact, or of the same sample.

    Raises:
      ValueError: sample is less than 1, or cache is inside of a published version.
      MissingFileError, ManifestError, DamagedFileError: the version cannot be read. Its files are not verified.
    """
    if sample < 1:
        raise ValueError(f"sample must be at least 1 (got {sample})")
    directory = Directory.given(version_dir).resolved()
    manifest = read_given(directory)
    place = _cache_of(directory, manifest, cache) if use_cache else None
    kept = None if place is None else _read_kept(place, manifest)
    if kept is not None and (kept.is_exact or (not exact and kept.sample == sample)):
        return kept
    splits = {
        name: _Split(directory, manifest, split, None if exact else sample, on_bytes).measure()
        for name, split in manifest.splits.items()
    }
    is_exact = not any(_is_sampled(feature) for split in splits.values() for feature in split.features.values())
    found = Statistics(digest=manifest.digest, name=manifest.tfds_name, is_exact=is_exact, sample=sample, splits=splits)
    if place is not None and not any(feature.note for split in splits.values() for feature in split.features.values()):
        with contextlib.suppress(OSError):  # of a data_dir that this user may only read, nothing is kept
            place.make()
            place.replace(f"{manifest.digest}.json", to_text(found))
    return found


def _is_sampled(feature: FeatureStatistics) -> bool:
    return any(part is not None and part.is_sample for part in (feature.values, feature.shapes))


def _cache_of(directory: Directory, manifest: Manifest, given: AnyDirectory | None) -> Directory | None:
    """Where statistics are kept; None if nowhere."""
    if given is None:
        data_dir = find_data_dir(directory, manifest.place)
        place = None if data_dir is None else data_dir.below(CACHE)
        return None if place is None or place.is_link() or _is_inside(place) else place
    place = Directory.given(given).resolved()
    if _is_inside(place):
        raise ValueError(f"cache must not be inside of a published version (got {place}); give a directory elsewhere")
    return place


def _is_inside(place: Directory) -> bool:
    return any(is_published(place.above(levels)) for levels in range(1, len(place.parts))) or is_published(place)


def _read_kept(place: Directory, manifest: Manifest) -> Statistics | None:
    """What was kept of a version; None if there is nothing that can be read."""
    try:
        found = Statistics.from_json(place.read(f"{manifest.digest}.json", _CACHE_BYTES))
    except DatasetError:
        return None
    return found if found.digest == manifest.digest and found.name == manifest.tfds_name else None


class _Split:
    """Goes over one split: all rows for what is counted exactly, a sample for the rest.

    Args:
      directory, manifest, split: what it is.
      sample: how many rows a sample has; None for all rows.
      on_bytes: told how many have gone by.
    """

    def __init__(
        self, directory: Directory, manifest: Manifest, split: Split, sample: int | None, on_bytes: Callable[[int], object]
    ) -> None:
        self._split, self._on_bytes = split, on_bytes
        self._table = Table(directory, manifest, [Segment(shard, 0, shard.rows) for shard in split.shards])
        rows = len(self._table)
        self._sample = np.arange(rows) if sample is None or rows <= sample else np.arange(sample) * rows // sample
        row_bytes = split.bytes // max(1, rows)
        self._features = [_Feature(source, rows, len(self._sample), row_bytes) for source in sources_of(manifest)]

    def measure(self) -> SplitStatistics:
        rows = np.arange(len(self._table))
        for feature in self._features:
            if feature.lengths is not None and feature.source.counted is not None:
                for block in self._blocks(rows, [feature.source.counted.name]):
                    feature.lengths.add(stored_lengths(self._table, feature.source.counted, int(block[0]), int(block[-1]) + 1))
        self._go_over(rows, [feature for feature in self._features if feature.is_whole], _Feature.add)
        self._go_over(rows, [f for f in self._features if not f.is_whole and f.not_finite is not None], _Feature.add_not_finite)
        self._go_over(self._sample, [feature for feature in self._features if not feature.is_whole], _Feature.add)
        self._go_over(rows, [feature for feature in self._features if feature.is_whole and feature.again], _Feature.add_again)
        self._go_over(self._sample, [f for f in self._features if not f.is_whole and f.again], _Feature.add_again)
        found = {feature.source.loaded.name: feature.found() for feature in self._features}
        return SplitStatistics(examples=len(rows), bytes=self._split.bytes, features=found)

    def _go_over(
        self, rows: Array, features: Sequence[_Feature], add: Callable[[_Feature, dict[str, StoredValue]], None]
    ) -> None:
        """Has some features add the blocks of some rows."""
        features = [feature for feature in features if not feature.note]
        names = list(dict.fromkeys(name for feature in features for name in feature.source.names))
        if not names:
            return
        for block in self._blocks(rows, names):
            columns = self._table.read(_as_rows(block), names)
            for feature in features:
                if not feature.note:
                    add(feature, columns)
            self._on_bytes(len(block) * self._table.row_bytes(names))

    def _blocks(self, rows: Array, names: Sequence[str]) -> Iterator[Array]:
        variable = any(column.is_variable for column in self._table.columns(names))
        width = self._table.row_bytes(names) + (_VARIABLE_BYTES if variable else 0)
        step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, width)))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def _as_rows(block: Array) -> Rows:
    """Row numbers as a slice, if they are neighbours."""
    first, last = int(block[0]), int(block[-1])
    return slice(first, last + 1) if last - first == len(block) - 1 else block


class _Feature:
    """What is found out about one feature.

    Args:
      source: the feature.
      rows, sample: how many rows there are, and how many of them the sample has.
      row_bytes: of an example, on average.

    Attributes:
      is_whole: whether all rows are looked at.
      note: why it is not measured any more, or "".
      lengths, not_finite: what counts those.
    """

    def __init__(self, source: Source, rows: int, sample: int, row_bytes: int) -> None:
        self.source, self.note, self._rows = source, "", rows
        dtype = source.dtype
        self._is_float = dtype is not None and dtype.kind not in "iub"
        self.is_whole = (
            sample == rows
            or source.is_text
            or source.kind.is_label
            or source.is_optional
            or (self._is_float and source.column is None)
            or self._has_few(row_bytes)
        )
        self._looked_at = rows if self.is_whole else sample
        self._classes = ClassCollector() if source.kind.is_label else None
        self._strings = StringCollector() if source.is_text else None
        is_number = dtype is not None and dtype.kind != "c" and self._classes is None
        self._numbers = NumberCollector(dtype, source.channels) if is_number else None
        self.not_finite = NotFiniteCollector() if self._is_float else None
        is_bytes = source.counted is not None and not source.counted.is_ragged
        self.lengths = LengthCollector("bytes" if is_bytes else "items") if source.counted is not None else None
        self._absent = 0
        self._shapes: tuple[Array, Array] | None = None

    def _has_few(self, row_bytes: int) -> bool:
        """Whether an example has few values."""
        if None in self.source.loaded.shape:
            return row_bytes <= _FEW_BYTES
        return int(np.prod([size or 0 for size in self.source.loaded.shape])) <= _FEW_VALUES and self.source.column is not None

    @property
    def again(self) -> bool:
        return self._numbers is not None and self._numbers.again

    def add(self, columns: dict[str, StoredValue]) -> None:
        """A block of rows."""
        for array in self._arrays(columns):
            if array is None:
                self._absent += 1
                continue
            if self._classes is not None:
                self._classes.add(array)
            if self._strings is not None:
                self._strings.add(array)
            if self._numbers is not None:
                self._numbers.add(array)
            if self.not_finite is not None and self.is_whole:
                self.not_finite.add(array)
            if self.source.column is None and self._numbers is not None and array.ndim:
                shape = np.array(array.shape)
                if self._shapes is None:
                    self._shapes = shape, shape
                elif len(shape) == len(self._shapes[0]):
                    self._shapes = np.minimum(self._shapes[0], shape), np.maximum(self._shapes[1], shape)

    def add_not_finite(self, columns: dict[str, StoredValue]) -> None:
        """A block of rows of which only NaN and infinities are counted."""
        for array in self._arrays(columns):
            if self.not_finite is not None and array is not None:
                self.not_finite.add(array)

    def add_again(self, columns: dict[str, StoredValue]) -> None:
        """A block of rows the second time."""
        for array in self._arrays(columns):
            if self._numbers is not None and array is not None:
                self._numbers.add_again(array)

    def _arrays(self, columns: dict[str, StoredValue]) -> Iterator[Array | None]:
        try:
            yield from self.source.arrays(columns)
        except UnsupportedReadError as error:
            self.note = f"not measured: {error}"
        except Exception as error:  # a decoder raises whatever it likes
            if isinstance(error, DatasetError) or self.source.column is not None:
                raise
            self.note = f"not measured: it cannot be decoded ({type(error).__name__}: {error!s:.200})"

    def found(self) -> FeatureStatistics:
        """What was found out."""
        loaded, kind = self.source.loaded, self.source.kind
        plain: dict[str, Any] = {"name": loaded.name, "kind": self.source.word, "dtype": loaded.dtype, "shape": loaded.shape}
        lengths = None if self.lengths is None else self.lengths.found(self._rows)
        if self.note:
            return FeatureStatistics(**plain, lengths=lengths, note=self.note)
        is_sample = not self.is_whole
        values, channels = (None, ()) if self._numbers is None else self._numbers.numbers(self._looked_at, is_sample)
        shapes = None
        if self._shapes is not None and None in loaded.shape:
            small, large = (tuple(sizes.tolist()) for sizes in self._shapes)
            shapes = Shapes(smallest=small, largest=large, rows=self._looked_at, is_sample=is_sample)
        classes = None
        if self._classes is not None:
            classes = self._classes.found(self._rows, kind.num_classes, tuple(kind.class_names or ()))
        return FeatureStatistics(
            **plain,
            classes=classes,
            lengths=lengths,
            values=values,
            channels=channels if self.source.has_channels else (),
            not_finite=None if self.not_finite is None else self.not_finite.found(self._rows),
            strings=None if self._strings is None else self._strings.found(self._rows),
            shapes=shapes,
            absent=self._absent,
        )
