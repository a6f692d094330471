"""Random access: `source[i]` is an example as TFDS's own data sources give it, of TFRecord and HDF5 alike.

>>> source = tfds.data_source("digits", split="train")      # doctest: +SKIP
>>> len(source), source[0]["image"].shape, source[-1]["label"]       # doctest: +SKIP
(1437, (8, 8, 1), 4)

TFDS reads at random from ArrayRecord files only. The byte table needs no such format: a row is where
it is. A value has the type that TFDS gives it (`FeaturesDict.deserialize_example_np`), and no
TensorFlow is needed for it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_parser, file_adapters
from tensorflow_datasets.core.features import image_feature

from tfds_builder import formats
from tfds_builder.aliases import (
    Array,
    DatasetInfo,
    Decoder,
    Decoders,
    Example,
    Feature,
    Features,
    FeatureValue,
    SplitArgument,
    StoredValue,
    TensorInfo,
)
from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.manifest import Manifest
from tfds_builder.errors import UnsupportedReadError
from tfds_builder.features.decoders import flatten_decoders
from tfds_builder.features.info import read_dataset_info
from tfds_builder.features.kinds import Kind, kind_of
from tfds_builder.features.names import flatten_nested, nest, presence_name
from tfds_builder.features.specs import flatten_features, is_item, put_together, read_specs
from tfds_builder.install import how_to_install
from tfds_builder.table.single_rows import RowReader, check_row, check_rows, values_of
from tfds_builder.table.table import Table

_Method = tfds.decode.DeserializeMethod

_BLOCK_BYTES = 1024 * 1024
_BLOCK_ROWS = 1024
"""Examples read together share memory, which lives as long as any of them: at most so much of it."""
_BULK_ROWS = 8
"""Fewer rows than that are read one by one."""
_STRING_BYTES = 1024
"""What a string of unknown length counts for in a block."""


@dataclasses.dataclass(frozen=True)
class Value:
    """How a feature's value comes from what is stored.

    Attributes:
      name: flat feature name.
      feature: TFDS feature.
      decoder: `tfds.decode.Decoder`, or None for the feature's own decoding.
      presence: name of the column that says whether there is a value; "" if there always is.
    """

    name: str
    feature: Feature
    decoder: Decoder = None
    presence: str = ""

    @classmethod
    def of(cls, name: str, feature: Feature, columns: Collection[str], decoder: Decoder = None) -> Value:
        """How a feature's value comes from a dataset's columns. `columns` are those that no feature has the name of: they show
        that a feature is optional where its class does not say so in its JSON."""
        presence = presence_name(name)
        return cls(name, feature, decoder, presence if presence in columns else "")

    @functools.cached_property
    def kind(self) -> Kind:
        """What kind of feature it is."""
        return kind_of(self.feature)

    @functools.cached_property
    def is_direct(self) -> bool:
        """Whether what is stored is the value."""
        return self._is_stored_as_it_is and not self.presence

    @functools.cached_property
    def _is_stored_as_it_is(self) -> bool:
        return self.decoder is None and self.kind.is_direct

    @functools.cached_property
    def is_list(self) -> bool:
        """Whether TFDS gives the stored array as a list of its rows: a sequence."""
        return self._is_stored_as_it_is and self.kind.is_run

    @functools.cached_property
    def is_item(self) -> bool:
        """Whether TFDS gives the stored number as Python's own: one that it keeps without an encoding."""
        return is_item(self.feature)

    @functools.cached_property
    def specs(self) -> dict[str, TensorInfo]:
        """The `tfds.features.TensorInfo` of each stored column of the feature, by its name."""
        there = {self.presence: tfds.features.TensorInfo(shape=(), dtype=np.bool_)} if self.presence else {}
        return {**there, **self._value_specs}

    @functools.cached_property
    def _value_specs(self) -> dict[str, TensorInfo]:
        return read_specs(self.name, self.feature, as_it_is=self._is_stored_as_it_is)

    @functools.cached_property
    def _is_shape_and_values(self) -> bool:
        """Whether what is stored is the shape and the values: TFDS's own decoding in NumPy fails where there are none."""
        is_bytes = self.kind.is_array and self.kind.encoding == tfds.features.Encoding.BYTES
        return self.decoder is None and is_bytes and len(self._value_specs) == 2

    @functools.cached_property
    def _decoders(self) -> Decoders:
        """What TFDS's `decode_example_np` is told of the feature: the given decoder, or what TFDS lacks for its parts."""
        return self.decoder if self.decoder is not None else _missing_decoders(self.feature)

    @functools.cached_property
    def _lacks(self) -> str:
        """What TFDS's decoding in NumPy needs and is not installed, and how it is; "" if nothing."""
        return _lacking(self.feature) if self.decoder is None else ""

    def decode(self, stored: Sequence[StoredValue]) -> FeatureValue:
        """The value, made of one stored value of each of its columns, as `RowReader` gives them; None where an optional feature
        has no value.

        Raises:
          UnsupportedReadError: it is decoded by a package that is not installed.
        """
        if self.presence:
            if not stored[0]:
                return None
            stored = stored[1:]
        if self._is_stored_as_it_is:
            return list(stored[0]) if self.is_list else stored[0]
        if self._is_shape_and_values:
            return stored[1].reshape(stored[0])
        if self._lacks:
            raise UnsupportedReadError(f"feature {self.name!r}: {self._lacks}; or tfds.load, which decodes it with TensorFlow")
        columns = {
            name: value.tobytes() if _is_bytes(spec) and isinstance(value, np.ndarray) and value.dtype != object else value
            for (name, spec), value in zip(self._value_specs.items(), stored, strict=True)
        }
        example = put_together(self.name, self.feature, lambda key, info: _assemble(key, info, columns))
        if self.kind.is_tree:
            tree = tfds.features.FeaturesDict({"feature": self.feature})
            decoders = None if self._decoders is None else {"feature": self._decoders}
            return tree.decode_example_np({"feature": example}, decoders=decoders)["feature"]
        if self.decoder is None:
            return self.feature.decode_example_np(example)
        self.decoder.setup(feature=self.feature)
        return self.decoder.decode_example_np(example)


def _lacking(feature: Feature) -> str:
    """What `Value._lacks` says of the first image in a feature that needs a package which is not installed."""
    kind, _ = kind_of(feature).innermost()
    if kind.parts is not None:
        return next(filter(None, map(_lacking, kind.parts.values())), "")
    if not kind.has_image_decoder or image_feature.cv2 is not None:
        return ""
    feature = kind.feature
    if feature.np_dtype not in (np.uint8, np.float32):
        return f"images of {np.dtype(feature.np_dtype)} need OpenCV: pip install opencv-python-headless"
    return "" if image_feature.PIL_Image is not None else f"images need Pillow: {how_to_install('image')}"


def _is_bytes(spec: TensorInfo) -> bool:
    return bool(spec.np_dtype == np.object_) and spec.shape == ()


class _NestedTensorDecoder:
    """Decodes encoded tensors in sequences of sequences, which TFDS does not do in NumPy; as a `tfds.decode.Decoder` does."""

    def setup(self, *, feature: Feature) -> None:
        self._feature = feature

    def decode_ragged_example_np(self, value: FeatureValue) -> Example:
        """Nested lists of arrays of strings as nested lists of arrays."""
        if isinstance(value, list):
            return [self.decode_ragged_example_np(item) for item in value]
        decoded = [self._feature.decode_example_np(item) for item in value]
        return np.stack(decoded) if decoded else np.empty((0, *self._feature.shape), self._feature.np_dtype)


def _missing_decoders(feature: Feature, depth: int = 0) -> Decoders:
    """A `_NestedTensorDecoder` wherever in a feature one is needed, nested as `decoders=` are; None if nowhere.

    Args:
      feature: the feature.
      depth: how many sequences it lies in.
    """
    kind, sequences = kind_of(feature).innermost()
    depth += sequences
    if kind.parts is not None:
        found = {key: _missing_decoders(part, depth) for key, part in kind.parts.items()}
        return {key: decoder for key, decoder in found.items() if decoder is not None} or None
    return _NestedTensorDecoder() if kind.is_array and kind.is_encoded and depth > 1 else None


def _assemble(key: str, info: TensorInfo, columns: Mapping[str, StoredValue]) -> StoredValue:
    """One serialized value of a row; nested sequences as nested lists of arrays, as TFDS's own parser gives them."""
    if info.sequence_rank < 2:
        return columns[key]
    lengths = [columns[f"{key}/ragged_row_lengths_{level}"] for level in range(info.sequence_rank - 1)]
    return example_parser.reshape_ragged_tensor(columns[f"{key}/ragged_flat_values"].reshape(-1), lengths, info.shape)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of one split.

    Attributes:
      split: as the user gave it.
      features: the FeaturesDict to yield (already cut down by a PartialDecoding).
      decoders: nested dict of `tfds.decode.Decoder`, or None.
      deserialize_method: `tfds.decode.DeserializeMethod`.
    """

    split: SplitArgument
    features: Features
    decoders: Mapping[str, Decoder] | None = None
    deserialize_method: tfds.decode.DeserializeMethod = _Method.DESERIALIZE_AND_DECODE


class ExportedDataSource(Sequence[Any]):
    """The examples of a split, in any order, any number of times.

    A sequence of examples: `len(source)`, `source[i]`, `source[-1]`, `source[2:5]` (a list), iteration. Also
    `source.__getitems__(rows)`, which PyTorch's DataLoader asks for a batch and which reads it at once. Arrays
    belong to the caller. Picklable, and safe in threads and in forked and spawned workers, each of which maps the
    files for itself.

    You rarely make one: `tfds.data_source(name, split=...)` and `builder.as_data_source(split)` do.

    Args:
      table: the rows.
      manifest: of the version directory they are in.
      request: what to make of them.

    Attributes:
      split, decoders, deserialize_method: as they were asked for.
      features: the FeaturesDict of an example.

    Raises:
      MissingFileError, DamagedFileError: a shard is not what the manifest says.
      UnsupportedReadError: records are asked for, and the files have none.
    """

    def __init__(self, table: Table, manifest: Manifest, request: Request) -> None:
        table.check_files()
        self._table, self._name = table, manifest.name
        self.split, self.features, self.decoders = request.split, request.features, request.decoders
        self.deserialize_method = request.deserialize_method
        stored = formats.find(manifest.format)
        if not stored.has_records and self.deserialize_method != _Method.DESERIALIZE_AND_DECODE:
            raise UnsupportedReadError(
                f"dataset {manifest.name!r}: {self.deserialize_method} asks for records of TFRecord files, and its files are "
                f"{manifest.format}; leave deserialize_method out"
            )
        self._block = 1
        self._prepare()
        widths = {column.name: _STRING_BYTES if column.is_variable else column.width for column in manifest.columns}
        row_bytes = max(1, sum(widths[name] for name in self._names), table.row_bytes(self._names))
        self._block = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes))

    def _prepare(self) -> None:
        decoders = flatten_decoders(self.features, self.decoders)
        leaves = dict(flatten_features(self.features))
        columns = {column.name for column in self._table.columns()} - leaves.keys()
        self._values = [Value.of(name, feature, columns, decoders.get(name)) for name, feature in leaves.items()]
        self._names = [name for value in self._values for name in value.specs]
        self._items = {value.name for value in self._values if value.is_item}
        self._is_nested = any("/" in value.name for value in self._values)
        self._reader = RowReader(self._table, self._names, self._items)
        self._length = len(self._table)
        self._reads_records = self.deserialize_method != _Method.DESERIALIZE_AND_DECODE
        self._is_plain = not (self._is_nested or self._reads_records) and all(
            value.is_direct and not value.is_list for value in self._values
        )
        self._info: DatasetInfo = None

    @property
    def dataset_info(self) -> DatasetInfo:
        """The `tfds.core.DatasetInfo` of the dataset."""
        if self._info is None:
            manifest = read_manifest(self._table.directory)
            self._info = read_dataset_info(manifest, self._table.directory)
        return self._info

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: SupportsIndex | slice) -> Example:
        """One example, or a list of those of a slice.

        Raises:
          IndexError: there is no such example.
          TypeError: `key` is neither an integer nor a slice.
        """
        if type(key) is int and 0 <= key < self._length:  # as it nearly always is
            return self._read(key)
        if isinstance(key, slice):
            return self.__getitems__(range(*key.indices(self._length)))
        return self._read(check_row(key, self._length))

    def __getitems__(self, keys: Iterable[SupportsIndex]) -> list[Example]:
        """The examples of those numbers, read together.

        Raises:
          IndexError: there is no such example.
          TypeError: the keys are no integers.
        """
        rows = check_rows(keys, self._length)
        if self._block < _BULK_ROWS or len(rows) < _BULK_ROWS or self._reads_records:
            return [self._read(row) for row in rows.tolist()]
        parts = [self._read_block(rows[start : start + self._block]) for start in range(0, len(rows), self._block)]
        return parts[0] if len(parts) == 1 else [example for part in parts for example in part]

    def __iter__(self) -> Iterator[Example]:
        step = 1 if self._reads_records else self._block
        for start in range(0, self._length, step):
            yield from self._read_block(slice(start, start + step)) if step > 1 else [self._read(start)]

    def __repr__(self) -> str:
        decoders = {name: type(decoder) for name, decoder in flatten_nested(self.decoders or {})} or None
        return f"{type(self).__name__}(name={self._name}, split={self.split!r}, decoders={decoders})"

    def __getstate__(self) -> dict[str, object]:
        kept = ("_table", "_name", "_block", "split", "features", "decoders", "deserialize_method")
        return {key: self.__dict__[key] for key in kept}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _read(self, row: int) -> Example:
        if self._is_plain:
            return dict(zip(self._names, self._reader.read(row)))  # noqa: B905  # one value a name
        if self._reads_records:
            record = self._table.record(row)
            raw = self.deserialize_method == _Method.RAW_BYTES
            return record if raw else file_adapters.FileFormat.TFRECORD.deserialize(record)
        return self._make(self._reader.read(row))

    def _read_block(self, rows: slice | Array) -> list[Example]:
        columns = self._table.read(rows, self._names)
        values = [values_of(columns[name], name in self._items) for name in self._names]
        return [self._make(list(example)) for example in zip(*values, strict=True)]

    def _make(self, values: list[FeatureValue]) -> dict[str, FeatureValue]:
        """An example of its stored values."""
        example, place = {}, 0
        for value in self._values:
            stop = place + len(value.specs)
            example[value.name] = value.decode(values[place:stop])
            place = stop
        return nest(example) if self._is_nested else example
