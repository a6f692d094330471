"""The way back: a published dataset as the PyTorch dataset it came from.

>>> dataset = tfds_builder.as_torch("digits", "train")                  # doctest: +SKIP
>>> image, label = dataset[0]                                           # doctest: +SKIP
>>> image.shape, label.dtype                                            # doctest: +SKIP
(torch.Size([1, 8, 8]), torch.int64)

What the DataLoader's dataset gave comes back: channels first, the same dtypes, floats that are
stored as integers, `str` for text. The only
module of the package that uses PyTorch, which is imported when `as_torch` is called.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from tfds_builder.aliases import Example, FeatureValue, Package, SplitArgument
from tfds_builder.builder import find_builder
from tfds_builder.catalog.read import read_tables
from tfds_builder.contract.decode import to_numpy_dtype
from tfds_builder.contract.integers import Integers
from tfds_builder.contract.manifest import Column
from tfds_builder.contract.ragged import Ragged
from tfds_builder.features.names import nest
from tfds_builder.features.specs import flatten_features
from tfds_builder.install import how_to_install
from tfds_builder.readers.data_source import Value
from tfds_builder.readers.source_values import Place, check_sources, plain, with_files
from tfds_builder.table.mapped_files import LARGE_BYTES
from tfds_builder.table.segments import segments_of
from tfds_builder.table.single_rows import RowReader, check_row, check_rows, values_of
from tfds_builder.table.table import Table

_INTEGERS = ("uint8", "int8", "int16", "int32", "int64")


def as_torch(
    name_or_path: str | os.PathLike[str],
    split: SplitArgument = "train",
    *,
    as_supervised: bool | None = None,
    verify: bool = False,
) -> ExportedDataset:
    """A split as a map-style `torch.utils.data.Dataset` of what the DataLoader's dataset gave.

    >>> loader = DataLoader(tfds_builder.as_torch("digits"), batch_size=64, shuffle=True, num_workers=2)   # doctest: +SKIP

    Tensors have the layout and the dtype that the DataLoader gave (`NCHW` again, an int32 label int32), and belong to
    the caller; text is `str`, and bytes are `bytes`. A batch is read at once (`__getitems__`). It can be pickled, and
    read in threads and in forked and spawned workers.

    Args:
      name_or_path: a registered name, `"digits"`, `"digits:1.0.0"` or `"vision:digits"`, or a version directory.
      split: as for `tfds.load`: `"train"`, `"train[:80%]"`, ...
      as_supervised: True for (input, target) tuples, False for dicts, nested as the features are; None for tuples if
        the dataset's supervised keys are all it has, as they are if the DataLoader gave pairs.
      verify: whether what is read is checked first, as `tfds_builder.ReadConfig(verify=True)` does it.

    Returns:
      The dataset. Its `classes` are the names of the target's classes, or None.

    Raises:
      ImportError: PyTorch is not installed.
      MissingFileError: nothing of that name is registered, and it is no version directory.
      ManifestError, DamagedFileError: what is there cannot be read.
      ValueError: `as_supervised=True` of a dataset without supervised keys, or no such split.
    """
    builder = find_builder(name_or_path)
    manifest = builder.manifest
    if as_supervised and not manifest.supervised_keys:
        raise ValueError(f"as_supervised=True, and {manifest.name} has no supervised keys; leave it out")
    if split is None or isinstance(split, list | tuple | dict):
        raise ValueError(f"split must be one split, such as 'train' or 'train[:80%]' (got {split!r:.80})")
    segments = segments_of(manifest, builder.info.splits[split].file_instructions)
    keys = manifest.supervised_keys
    if as_supervised is False or (as_supervised is None and set(keys or ()) != set(builder.info.features)):
        keys = None
    leaves = dict(flatten_features(builder.info.features))
    columns = {column.name: column for column in manifest.columns}
    tables = read_tables(manifest, builder.data_path)
    ways = tuple(
        _Way.of(Value.of(name, feature, columns.keys() - leaves.keys()), columns, tables.get(name))
        for name, feature in leaves.items()
    )
    return _make(Table(builder.data_path, manifest, segments, verify=verify), ways, tuple(keys) if keys else None)


@dataclasses.dataclass(frozen=True)
class _Way:
    """The way back of one feature: from what is stored to what the DataLoader's dataset gave.

    Attributes:
      columns: what is stored of it; the last one, if there are several, knows the source of an array.
      value: how it is decoded.
      integers: which floats its integers were; None if they were none.

    Raises:
      ManifestError: the manifest's `source_dtype` or `source_layout` make no sense.
    """

    columns: tuple[Column, ...]
    value: Value
    integers: Integers | None = None

    def __post_init__(self) -> None:
        check_sources(self.columns)

    @classmethod
    def of(cls, value: Value, columns: Mapping[str, Column], integers: Integers | None = None) -> _Way:
        """The way back of a feature, given all columns by name, and its table of floats."""
        own = tuple(columns[name] for name in value.specs)
        value = dataclasses.replace(value, feature=with_files(value.feature, value.name, own))
        return cls(tuple(columns[name] for name in value.specs), value, integers)

    @property
    def names(self) -> list[str]:
        """Names of the columns it needs."""
        return list(self.value.specs)

    @functools.cached_property
    def source(self) -> Place:
        """What the loader gave."""
        return Place.of(self.value.name, self.value.feature, self.columns)

    @functools.cached_property
    def is_image(self) -> bool:
        """Whether the rows are images, over whose height and width boxes are."""
        return not self.value.kind.is_sequence and set(self.source.axes) == set("CHW")

    @functools.cached_property
    def is_label(self) -> bool:
        """Whether a row is one integer that can be had as Python's own, which is the quickest."""
        return self.value.is_direct and self.value.is_item and self.source.source_dtype in _INTEGERS and self.integers is None

    @functools.cached_property
    def _torch_dtype(self) -> Any:
        return getattr(_torch(), self.source.source_dtype)

    def restore_one(self, stored: Sequence[FeatureValue]) -> FeatureValue:
        """The value of one row, of its columns as `RowReader` gives them."""
        if self.is_label:
            return _torch().tensor(stored[0], dtype=self._torch_dtype)
        value = stored[0] if self.value.is_direct else plain(self.value.feature, self.value.decode(stored))
        return _to_tensors(self._to_floats(self.source.restore(value)))

    def restore(self, stored: Sequence[FeatureValue]) -> Sequence[FeatureValue]:
        """The values of rows of its columns, as `Table.read` gives them: tensors, or strings."""
        if not self.value.is_direct or isinstance(stored[0], Ragged):
            return [self.restore_one(row) for row in zip(*(map(_own, values_of(column)) for column in stored), strict=True)]
        if stored[0].dtype == object:
            return self.source.to_strings(stored[0].tolist())
        rows: Sequence[FeatureValue] = _to_tensors(self._to_floats(self.source.to_source(stored[0]))).unbind(0)
        return rows

    def _to_floats(self, value: FeatureValue) -> FeatureValue:
        """Integers, in the layout of the loader, as the floats they were; in lists too. Anything else as it is."""
        if self.integers is None:
            return value
        if isinstance(value, np.ndarray) and value.dtype == self.integers.stored_dtype:
            axis = self.source.axes.find("C")
            return self.integers.restore(value, axis - len(self.source.axes) if axis >= 0 else -1)
        return [self._to_floats(item) for item in value] if isinstance(value, list) else value


def _to_tensors(value: FeatureValue) -> FeatureValue:
    """Arrays as tensors of the same memory, in dicts and lists too; anything else as it is."""
    if isinstance(value, np.ndarray):
        if value.dtype == to_numpy_dtype("bfloat16"):
            return _torch().from_numpy(value.view(np.int16)).view(_torch().bfloat16)
        return _torch().from_numpy(value)
    if isinstance(value, dict):
        return {key: _to_tensors(item) for key, item in value.items()}
    return [_to_tensors(item) for item in value] if isinstance(value, list) else value


def _scale(boxes: FeatureValue, size: FeatureValue, dtype: str) -> FeatureValue:
    """(ymin, xmin, ymax, xmax) between 0 and 1 as (x1, y1, x2, y2) in pixels: a tensor (..., 4), or a list of them."""
    if isinstance(boxes, list):
        return [_scale(part, size, dtype) for part in boxes]
    pixels = boxes.double()[..., [1, 0, 3, 2]] * size
    return (pixels.round() if dtype in _INTEGERS else pixels).to(getattr(_torch(), dtype or "float32"))


def _own(value: FeatureValue) -> FeatureValue:
    """A value in memory of its own."""
    return value.copy() if isinstance(value, np.ndarray) else value


class _Rows:
    """What `as_torch` returns, but for its base class, which is PyTorch's.

    Args:
      table: the rows.
      ways: of the columns to give.
      keys: (input, target) names of the tuples to give, or None for dicts.

    Attributes:
      classes: names of the target's classes, or None.
    """

    def __init__(self, table: Table, ways: Sequence[_Way], keys: Sequence[str] | None) -> None:
        self._table, self._ways, self._keys = table, ways, keys
        self._names = [name for way in ways for name in way.names]
        self._is_nested = any("/" in way.value.name for way in ways)
        self._reader = RowReader(table, self._names, [way.value.name for way in ways if way.is_label])
        self._length, self._is_large = len(table), table.row_bytes(self._names) >= LARGE_BYTES
        boxes = any(True for way in ways for _ in way.value.kind.box_paths())
        self._has_boxes = boxes and sum(way.is_image for way in ways) == 1
        self.classes = _class_names(ways, keys)
        table.check_files()

    def __reduce__(self) -> tuple[object, ...]:
        return _make, (self._table, self._ways, self._keys)

    def _to_pixels(self, flat: dict[str, FeatureValue]) -> None:
        """Turns boxes between 0 and 1 back into (x1, y1, x2, y2) in pixels of the one image beside them."""
        image = next(way for way in self._ways if way.is_image)
        sizes = dict(zip(image.source.axes, flat[image.value.name].shape, strict=True))
        size = _torch().tensor([sizes[axis] for axis in "WHWH"], dtype=_torch().float64)
        for way in self._ways:
            for path in way.value.kind.box_paths():
                owner, key = flat, way.value.name
                for part in path.split("/") if path else ():
                    owner, key = owner[key], part
                owner[key] = _scale(owner[key], size, way.source.at(path).source_dtype)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: SupportsIndex) -> Example:
        row = check_row(index, self._length)
        values = iter(self._reader.read(row))
        return self._example([way.restore_one(list(itertools.islice(values, len(way.names)))) for way in self._ways])

    def __getitems__(self, indices: Iterable[SupportsIndex]) -> list[Example]:
        rows = check_rows(indices, self._length)
        if self._is_large:  # to be read together, they would be copied out of what is read
            return [self[row] for row in rows.tolist()]
        columns = self._table.read(rows, self._names)
        values = [way.restore([columns[name] for name in way.names]) for way in self._ways]
        return [self._example(example) for example in zip(*values, strict=True)]

    def _example(self, values: Sequence[FeatureValue]) -> FeatureValue:
        flat = {way.value.name: value for way, value in zip(self._ways, values, strict=True)}
        if self._has_boxes:
            self._to_pixels(flat)
        example = nest(flat) if self._is_nested else flat
        return example if self._keys is None else tuple(example[key] for key in self._keys)


def _class_names(ways: Sequence[_Way], keys: Sequence[str] | None) -> list[str] | None:
    """Names of the target's classes; without a target, of the only feature that has any."""
    target = keys[1] if keys else None
    labels = [label for way in ways if target in (None, way.value.name) for _, label in way.value.kind.labels()]
    found = [label.class_names for label in labels if label.class_names is not None]
    return found[0] if len(found) == 1 else None


if TYPE_CHECKING:
    from torch.utils.data import Dataset

    class ExportedDataset(_Rows, Dataset[Any]):
        """What `as_torch` returns, as type checkers see it; `_dataset_class` makes it where PyTorch is installed."""


def _make(*fields: object) -> ExportedDataset:
    dataset: ExportedDataset = _dataset_class()(*fields)
    return dataset


@functools.cache
def _dataset_class() -> Any:
    """`_Rows` as a `torch.utils.data.Dataset`."""
    return types.new_class(
        "ExportedDataset", (_Rows, _torch().utils.data.Dataset), {}, lambda body: body.update(__module__=__name__)
    )


@functools.cache
def _torch() -> Package:
    """PyTorch, imported when it is first needed.

    Raises:
      ImportError: it is not installed.
    """
    try:
        import torch
        import torch.utils.data
    except ImportError as error:
        raise ImportError(f"as_torch needs PyTorch: {how_to_install('torch')}") from error
    return torch
