"""The leaves of the features: what the loader must give of each, and the columns that are stored of it.

Field        one array of one shape: its values, or what the feature's encoder makes of them
RaggedField  a tensor whose rows have different shapes
TreeField    whatever else TFDS can encode: sequences, boxes, translations, optional values, ...
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow_datasets as tfds

from exporters.batches.boxes import PixelBoxes
from exporters.batches.flatten import Batch
from exporters.batches.rows import EMPTY, Rows, iterate_rows
from exporters.errors import SchemaError
from exporters.features import encoders as encoding
from exporters.features.leaves import check_arrays, check_texts, fits, to_stored
from exporters.features.python_values import to_arrays
from exporters.features.stored import check_labels, column_of, describe_missing, source_dtype, to_stored_array, to_stored_rows
from exporters.tensors import layout as layout_lib
from exporters.tensors.arrays import Columns, Encoded
from exporters.wording import Code, argument
from tfds_builder.aliases import Array, DType, Feature, FeatureValue, TensorInfo
from tfds_builder.contract.layout import Layout, copy_into
from tfds_builder.contract.manifest import RAW, STRINGS, VARINT, Column
from tfds_builder.contract.ragged import Ragged
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import nest, presence_name
from tfds_builder.features.specs import serialized_specs


class AnyField(Protocol):
    """One leaf of the features.

    Attributes:
      name: flat feature name.
      sources: structural names of the loader's columns it is made of.
      feature: the TFDS feature.
      columns: what is stored of it.
      layout: None where nothing is known of the axes.
    """

    @property
    def name(self) -> str: ...
    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def feature(self) -> Feature: ...
    @property
    def columns(self) -> tuple[Column, ...]: ...
    @property
    def layout(self) -> Layout | None: ...

    def encode(self, batch: Batch, where: str) -> Columns:
        """The stored columns of a batch; `where` places errors.

        Raises:
          SchemaError: dtype, shape or a value is not what the feature says.
        """

    def given_rows(self, batch: Batch, where: str) -> list[FeatureValue]:
        """The rows of a batch as an encoder is given them: in their stored layout, nested as the feature is."""


def lists_of(field: AnyField) -> dict[str, str]:
    """Which list of a `tf.train.Feature` TFDS expects each column of a field in, by the column's name."""
    specs = serialized_specs(field.name, field.feature)
    floats = {name for name, spec in specs.items() if spec.np_dtype == np.float32}
    return {
        column.name: "int64_list" if column.encoding == VARINT else "float_list" if column.name in floats else "bytes_list"
        for column in field.columns
    }


@dataclasses.dataclass(frozen=True)
class Field:
    """A leaf whose rows all have one shape; see `AnyField`.

    Attributes:
      source: structural name in the loader's batches.
      column: what is stored; the name is the feature's flat name.
      dtype, shape: of the loader's batches, without the batch axis. A size is None where an encoder takes any.
    """

    source: str
    feature: Feature
    column: Column
    layout: Layout | None
    dtype: DType
    shape: tuple[int | None, ...]

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self.column,)

    def encode(self, batch: Batch, where: str) -> Columns:
        if self.source in batch.encoded:
            return {self.name: self._accept(batch.encoded[self.source], where)}
        return {self.name: self.encode_array(batch.columns[self.source], where)}

    def given_rows(self, batch: Batch, where: str) -> list[FeatureValue]:
        return list(to_stored_rows(batch.columns[self.source], self.layout))

    def encode_array(self, array: Array | Rows, where: str) -> Array:
        """A column in its stored form: a view, channels-last, wherever it can be one."""
        self._check(array, where)
        if not kind_of(self.feature).is_direct:
            return encoding.encode_rows(self.feature, self.column, to_stored_rows(array, self.layout), where)
        assert isinstance(array, np.ndarray)
        if self.column.encoding == STRINGS:
            if array.size and source_dtype(array) != self.column.source_dtype:
                raise SchemaError(
                    f"{where}, feature {self.name!r}: expected {self.column.source_dtype}, got {source_dtype(array)}; "
                    "give every batch the same type"
                )
            return encoding.to_bytes(to_stored_array(array, self.layout), self.name, where)
        if kind_of(self.feature).is_label:
            check_labels(array, self.feature, self.name, where)
        return to_stored_array(array, self.layout)

    def _accept(self, encoded: Encoded, where: str) -> Array:
        """What a worker has encoded, checked as `encode_array` checks what comes raw."""
        self._check(encoded, where)
        if encoded.column != self.column:
            ours, theirs = vars(self.column), vars(encoded.column)
            differs = [key for key in ours if ours[key] != theirs[key]]
            raise SchemaError(
                f"{where}, feature {self.name!r}: expected "
                + ", ".join(f"{key} {ours[key]!r}" for key in differs)
                + ", got "
                + ", ".join(f"{key} {theirs[key]!r}" for key in differs)
                + " from a worker, whose first batch was of another structure; make every batch have the same"
            )
        return encoded.values

    def _check(self, array: Array | Rows | Encoded, where: str) -> None:
        if isinstance(array, Rows) and (row := array.first_missing) is not None:
            raise SchemaError(f"{where}, feature {self.name!r}, row {row}: {describe_missing(self.name, self.feature)}")
        if array.dtype != self.dtype and not (isinstance(array, Rows) and array.is_unknown):
            raise SchemaError(
                f"{where}, feature {self.name!r}: expected dtype {self.dtype}, got {array.dtype}; "
                "convert it in the dataset or in collate_fn so that every batch has the same"
            )
        if array.shape[1:] != self.shape and (kind_of(self.feature).is_direct or not fits(array.shape[1:], self.shape)):
            raise SchemaError(self.wrong_shape(array, where))

    def wrong_shape(self, array: Array | Rows | Encoded, where: str, advice: str = "") -> str:
        """What to say of a batch of another shape; `advice` is one more way to mend it."""
        return (
            f"{where}, feature {self.name!r}: expected shape {('N', *self.shape)}, got {array.shape}; "
            f"resize or pad it in the dataset or in collate_fn so that every batch has the same{advice}"
            + _declare(self.name, self.shape, array.shape[1:], self.dtype, self.layout)
        )


def _zip(one: Sequence[int | None], other: Sequence[int | None]) -> list[tuple[int | None, int | None]]:
    """Pairs of sizes of two shapes; none if they have different ranks."""
    return list(zip(one, other, strict=True)) if len(one) == len(other) else []


def _declare(name: str, expected: Sequence[int | None], got: Sequence[int | None], dtype: DType, layout: Layout | None) -> str:
    """The line by which the caller declares the sizes that vary, in the stored layout; empty if no feature holds both shapes."""
    if layout is None and (line := layout_lib.line_for(name, got, expected)):
        return f", or, if all rows are laid out so, say {line}"
    sizes = tuple(size if size == other else None for size, other in _zip(expected, got))
    if layout is not None and sizes:
        sizes = layout.stored_shape(sizes)
    if not sizes or (dtype == np.uint32 and sizes.count(None) > 1):  # TFDS decodes no uint32 as bytes
        return ""
    module = "ml_dtypes" if dtype.name == "bfloat16" else "np"
    kind = "object_" if dtype.kind == "O" else dtype.name
    encoding = "" if kind in ("object_", "uint32") else ', encoding="bytes"'
    feature = f"tfds.features.Tensor(shape=({', '.join(map(str, sizes))},), dtype={module}.{kind}{encoding})"
    return f", or declare what varies: {argument('features', {name: Code(feature)})}"


@dataclasses.dataclass(frozen=True)
class RaggedField:
    """A tensor whose rows have different shapes; see `AnyField`.

    It is stored as one column of items, if its rows differ along the first axis only; else as a column of values and, if
    more than one axis is unknown, one of shapes, as TFDS has it.

    Attributes:
      source: structural name in the loader's batches.
      dtype, shape: of the loader's rows; None where they differ.
    """

    name: str
    source: str
    feature: Feature
    columns: tuple[Column, ...]
    layout: Layout | None
    dtype: DType
    shape: tuple[int | None, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    def encode(self, batch: Batch, where: str) -> Columns:
        """The values, and the shapes if more than one size is unknown; see `AnyField`."""
        column = self._given(batch, where)
        self._check(column, where)
        *shapes, main = self.columns
        values, rows = self._join(column)
        lengths = [row.size for row in rows]
        if main.encoding == STRINGS:
            values = encoding.to_bytes(values, self.name, where)
        elif (item := kind_of(self.feature).item).is_label:
            check_labels(values, item.feature, self.name, where, np.repeat(np.arange(len(rows)), lengths).tolist())
            values = values.astype(np.int64)
        splits = np.cumsum([0, *lengths]) // main.values
        stored: Columns = {main.name: Ragged(values.reshape(-1, *main.item_shape), splits)}
        for shape in shapes:
            stored[shape.name] = np.array([row.shape for row in rows], np.int32).reshape(len(rows), len(self.shape))
        return stored

    def given_rows(self, batch: Batch, where: str) -> list[FeatureValue]:
        return list(to_stored_rows(self._given(batch, where), self.layout))

    def _given(self, batch: Batch, where: str) -> Array | Rows:
        """The column of a batch. Lists of arrays become arrays: a first batch of nothing but empty lists had not shown what is in
        them."""
        column = batch.columns[self.source]
        if not isinstance(column, Rows) or column.dtype != object or self.dtype == object or column.is_unknown:
            return column
        return to_arrays(column, self.feature, self.name, where)

    def _join(self, column: Array | Rows) -> tuple[Array, Sequence[Array]]:
        """All values end to end, and the rows, both in the stored layout."""
        if isinstance(column, np.ndarray) and self.layout is None and column.dtype == self.dtype != object:
            return np.ascontiguousarray(column).reshape(-1), list(column)  # without a copy, as a rule
        empty = np.empty([size or 0 for size in self.feature.shape], self.dtype)
        rows = [empty if row is EMPTY else np.asarray(row) for row in to_stored_rows(column, self.layout)]
        if isinstance(column, Rows) and column.items is not None and self.layout is None:
            return column.items.reshape(-1), rows
        values, start = np.empty(sum(row.size for row in rows), self.dtype), 0
        for row in rows:
            copy_into(values[start : start + row.size].reshape(row.shape), row)
            start += row.size
        return values, rows

    def _check(self, column: Array | Rows, where: str) -> None:
        if isinstance(column, Rows) and (row := column.first_missing) is not None:
            raise SchemaError(f"{where}, feature {self.name!r}, row {row}: {describe_missing(self.name, self.feature)}")
        rows = list(iterate_rows(column))
        known = [row for row in rows if row is not EMPTY]
        if known and column.dtype != self.dtype:
            raise SchemaError(
                f"{where}, feature {self.name!r}: expected dtype {self.dtype}, got {column.dtype}; "
                "convert it in the dataset or in collate_fn so that every batch has the same"
            )
        kind, got_kind = self.columns[-1].source_dtype, source_dtype(column)
        if self.dtype == object and kind and kind != got_kind and any(row.size for row in known):
            raise SchemaError(f"{where}, feature {self.name!r}: expected {kind}, got {got_kind}; give every batch the same type")
        items = column.items if isinstance(column, Rows) else None
        if items is not None and self.shape[0] is None and fits(items.shape[1:], self.shape[1:]):
            return
        shapes = [np.shape(row) for row in known]
        for got in set(shapes):
            if not fits(got, self.shape):
                raise SchemaError(
                    f"{where}, feature {self.name!r}, row {shapes.index(got)}: expected shape {self.shape}, got {got}; resize it "
                    "in the dataset" + _declare(self.name, self.shape, got, self.dtype, self.layout)
                )


@dataclasses.dataclass(frozen=True)
class TreeField:
    """A leaf that goes through the feature's own encoder and may be stored as several columns; see `AnyField`.

    Attributes:
      layouts: of its leaves, by path below the feature, as `leaves.settle` has them.
      parts: path below the feature -> structural name in the loader's batches; `""` is the feature itself.
      boxes: where its bounding boxes come from, if it has any.
    """

    name: str
    feature: Feature
    columns: tuple[Column, ...]
    layouts: Mapping[str, Layout]
    parts: Mapping[str, str]
    boxes: PixelBoxes | None = None

    @property
    def layout(self) -> Layout | None:
        return self.layouts.get("")

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(self.parts.values())

    def encode(self, batch: Batch, where: str) -> Columns:
        """What the feature's own encoder makes of each row; see `AnyField`."""
        specs = serialized_specs(self.name, self.feature)
        found: dict[str, list[FeatureValue]] = {name: [] for name in specs}
        given = self.given_rows(batch, where)
        check_texts(self.name, self.feature, self.columns, given, where)
        for number, example in enumerate(given):
            for key, value in encoding.serialize(self.name, self.feature, example, where, number).items():
                found[key].append(value)
        there: Columns = {}
        if kind_of(self.feature).is_optional:
            there = {presence_name(self.name): np.array([value is not None for value in given], bool)}
        columns = [column for column in self.columns if column.name not in there]
        return there | {column.name: _gather(column, specs[column.name], found[column.name], where) for column in columns}

    def given_rows(self, batch: Batch, where: str) -> list[FeatureValue]:
        rows = {path: [_to_value(row) for row in iterate_rows(batch.columns[source])] for path, source in self.parts.items()}
        if self.boxes is not None:
            rows = self.boxes.normalise(rows, batch, where)
        given = rows.get("")
        if given is None:
            given = [nest({path: values[number] for path, values in rows.items()}) for number in range(batch.rows)]
        check_arrays(self.name, self.feature, self.layouts, given, where)
        return [self._to_stored(row, f"{where}, row {number}") for number, row in enumerate(given)] if self.layouts else given

    def _to_stored(self, example: FeatureValue, where: str) -> FeatureValue:
        """An example with its arrays in their stored layouts."""
        try:
            return to_stored(self.feature, example, self.layouts)
        except ValueError as error:
            raise SchemaError(f"{where}, feature {self.name!r}: the lists there make no array: {error}") from error


def _to_value(row: FeatureValue) -> FeatureValue:
    """A row as TFDS's encoders take it: NumPy's scalars as Python's, strings as they are."""
    if row is EMPTY:
        return []
    if isinstance(row, np.ndarray) and row.dtype == object:
        return row.tolist() if row.ndim else row.item()
    if isinstance(row, np.generic) or (isinstance(row, np.ndarray) and not row.ndim):
        return row.item() if row.dtype.kind != "f" else np.asarray(row)[()]
    return row


def _gather(column: Column, spec: TensorInfo, values: list[FeatureValue], where: str) -> Array | Ragged:
    """The serialized values of all rows as one column."""
    dtype = object if column.encoding == STRINGS else np.dtype(spec.np_dtype)
    rows = []
    for value in values:
        array = np.empty(np.shape(value), object) if dtype is object else np.asarray(value, dtype)
        if dtype is object:
            flat = np.ravel(np.array(value, object)).tolist()
            array = encoding.to_bytes(np.array([*flat, None], object)[:-1], column.name, where)
        rows.append(array.reshape(-1))
    flat_values = np.concatenate(rows) if rows else np.empty(0, dtype)
    if not column.is_ragged:
        return flat_values.reshape(len(values), *column.item_shape)
    return Ragged(flat_values.reshape(-1, *column.item_shape), np.cumsum([0, *map(len, rows)]) // column.values)


def ragged_columns(name: str, feature: Feature, source: Array | Rows, layout: Layout | None) -> tuple[Column, ...]:
    """What is stored of a tensor whose rows have different shapes; the values come last.

    Raises:
      SchemaError: TFDS cannot decode it.
    """
    shape, specs = tuple(feature.shape), serialized_specs(name, feature)
    kind = kind_of(feature)
    known = "str" if kind.item.is_text else ""
    if not isinstance(source, Rows) or not source.is_unknown:
        known = source_dtype(source)
    elif feature.np_dtype != np.object_:
        known = np.dtype(feature.np_dtype).name
    facts = {"source_dtype": known, "source_layout": layout.source if layout is not None else ""}
    is_bytes = kind.encoding == tfds.features.Encoding.BYTES
    first_only = shape[0] is None and shape.count(None) == 1
    item = tuple(size for size in shape[1:] if size is not None) if first_only else ()
    if math.prod(item) == 0:
        raise SchemaError(f"feature {name!r}: rows of shape {shape} have no values to be counted by; leave the feature out")
    if not first_only and not is_bytes:
        raise SchemaError(
            f"feature {name!r}: TFDS reads an unknown size only where it is the first (got {shape}); use encoding='bytes'"
        )
    key = name if shape.count(None) == 1 else f"{name}/value"
    if is_bytes:
        dtype = np.dtype(feature.np_dtype).name
        width = math.prod(item) * np.dtype(feature.np_dtype).itemsize
        main = Column(name=key, dtype=dtype, shape=(None, *item), encoding=RAW, width=width, **facts)
    else:
        main = Column(**{**vars(column_of(key, specs[key], feature)), **facts})
    return (main,) if key == name else (column_of(f"{name}/shape", specs[f"{name}/shape"], feature), main)
