"""The first batch -> a `tfds.features.FeaturesDict`; every later batch is checked against it.

There is no schema class of ours beside TFDS's features: `Schema` holds a FeaturesDict and, for
each of its leaves, how to turn a batch of it into the column that is stored.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from exporters import encoding
from exporters import layout as layout_lib
from exporters.arrays import Array, Encoded
from exporters.batches import Batch, Columns
from exporters.errors import ArgumentError, SchemaError
from exporters.layout import Layout
from exporters.names import Options, name_columns, pick_supervised_keys
from tfds_builder import metadata
from tfds_builder.manifest import DTYPE_BYTES, RAW, STRING_DTYPE, STRINGS, VARINT, Column


@dataclasses.dataclass(frozen=True)
class Field:
    """One leaf of the features: what the loader must give, and what is stored of it.

    Attributes:
      source: structural name in the loader's batches.
      feature: the TFDS feature.
      column: what is stored; the name is the feature's flat name.
      layout: None where nothing is known of the axes.
      dtype, shape: of the loader's batches, without the batch axis.
    """

    source: str
    feature: Any
    column: Column
    layout: Layout | None
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def list(self) -> str:
        """Which list of a `tf.train.Feature` TFDS expects the column in."""
        if self.column.encoding == VARINT:
            return "int64_list"
        return "float_list" if self.feature.get_serialized_info().np_dtype == np.float32 else "bytes_list"

    def encode(self, array: Array, where: str) -> Array:
        """A checked batch in its stored form: a view, channels-last, wherever it can be one.

        Raises:
          SchemaError: dtype, shape or a value is not what the feature says.
        """
        self._check(array, where)
        if not metadata.is_direct(self.feature):
            return encoding.encode_rows(self.feature, self.column, layout_lib.to_stored(array, self.layout), where)
        if self.column.encoding == STRINGS:
            if array.size and _source_dtype(array) != self.column.source_dtype:
                raise SchemaError(
                    f"{where}, feature {self.column.name!r}: expected {self.column.source_dtype}, got {_source_dtype(array)}; "
                    "give every batch the same type"
                )
            return encoding.to_bytes(layout_lib.to_stored(array, self.layout), self.column.name, where)
        if isinstance(self.feature, tfds.features.ClassLabel):
            _check_labels(array, self.feature, self.column.name, where)
        return layout_lib.to_stored(array, self.layout)

    def accept(self, encoded: Encoded, where: str) -> Array:
        """What a worker has encoded, checked as `encode` checks what comes raw.

        Raises:
          SchemaError: the worker had another dtype or shape, or stores it in another way.
        """
        self._check(encoded, where)
        if encoded.column != self.column:
            ours, theirs = vars(self.column), vars(encoded.column)
            differs = [key for key in ours if ours[key] != theirs[key]]
            raise SchemaError(
                f"{where}, feature {self.column.name!r}: expected "
                + ", ".join(f"{key} {ours[key]!r}" for key in differs)
                + ", got "
                + ", ".join(f"{key} {theirs[key]!r}" for key in differs)
                + " from a worker, whose first batch was of another structure; make every batch have the same"
            )
        return encoded.values

    def _check(self, array: Array | Encoded, where: str) -> None:
        if array.dtype != self.dtype:
            raise SchemaError(
                f"{where}, feature {self.column.name!r}: expected dtype {self.dtype}, got {array.dtype}; "
                "convert it in the dataset or in collate_fn so that every batch has the same"
            )
        if array.shape[1:] != self.shape:
            raise SchemaError(
                f"{where}, feature {self.column.name!r}: expected shape {('N', *self.shape)}, got {array.shape}; "
                "resize or pad it in the dataset or in collate_fn so that every batch has the same"
            )


@dataclasses.dataclass(frozen=True)
class Schema:
    """The features of a dataset and how its columns are stored.

    Attributes:
      features: `tfds.features.FeaturesDict`.
      fields: its leaves, sorted by flat name.
      supervised_keys: (input, target) feature names, or None.
      decisions: what was decided, a sentence a feature.
    """

    features: Any
    fields: tuple[Field, ...]
    supervised_keys: tuple[str, ...] | None
    decisions: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(field.column for field in self.fields)

    @functools.cached_property
    def _sources(self) -> frozenset[str]:
        return frozenset(field.source for field in self.fields)

    def encode(self, batch: Batch, split: str) -> Columns:
        """The stored columns of a batch, by flat feature name.

        Raises:
          SchemaError: the batch contradicts the schema; names split, batch and feature.
        """
        where = f"split {split!r}, batch {batch.number}"
        expected, got = self._sources, batch.columns.keys() | batch.encoded.keys()
        if got != expected:
            names = {field.source: field.column.name for field in self.fields}
            missing = sorted(names[source] for source in expected - got)
            extra = sorted(got - expected)
            raise SchemaError(
                f"{where}: the structure of the batch changed: "
                + "; ".join(
                    part
                    for part in (
                        f"missing {', '.join(map(repr, missing))}" if missing else "",
                        f"unexpected {', '.join(map(repr, extra))}" if extra else "",
                    )
                    if part
                )
                + "; make every batch of every split have the same features"
            )
        return {
            field.column.name: field.accept(batch.encoded[field.source], where)
            if field.source in batch.encoded
            else field.encode(batch.columns[field.source], where)
            for field in self.fields
        }


def infer(batch: Batch, positions: Sequence[str], classes: Sequence[str] | None, options: Options) -> Schema:
    """The schema of a first batch.

    Args:
      batch: the first batch of the first split.
      positions: `batches.position_names` of the raw batch.
      classes: `dataset.classes`, or None.
      options: what the caller said.

    Raises:
      SchemaError, LayoutError, ArgumentError: it cannot be settled, or an option contradicts the data.
    """
    names = name_columns(batch.columns, positions, options)
    overrides = flatten_overrides(options.features)
    layouts = dict(options.layouts or {})
    for option, given in (("features", overrides), ("layouts", layouts)):
        unknown = sorted(set(given) - set(names.values()))
        if unknown:
            raise ArgumentError(
                f"{option}= names {unknown[0]!r}, which is no feature of the data; features: {sorted(names.values())}"
            )
    label = _label_column(batch.columns, names, positions) if classes is not None else None
    fields, decisions = [], []
    for source, name in sorted(names.items(), key=lambda item: item[1].split("/")):
        array = batch.columns[source]
        layout = layout_lib.decide(name, array.shape, layouts.get(name))
        stored_shape = tuple(layout_lib.to_stored(array, layout).shape[1:])
        if name in overrides:
            feature = overrides[name]
            _check_override(name, feature, array, stored_shape)
        elif name == label:
            feature = _class_label(name, classes or ())
        else:
            feature = _infer_feature(name, array, stored_shape)
        fields.append(Field(source, feature, _column(name, feature, array, layout), layout, array.dtype, array.shape[1:]))
        decisions.append(_describe(fields[-1], stored_shape))
    _check_label_files(fields)
    features = tfds.features.FeaturesDict(metadata.nest({field.column.name: field.feature for field in fields}))
    return Schema(features, tuple(fields), pick_supervised_keys(names, positions, options), tuple(decisions))


# --- features ------------------------------------------------------------------------------------


def flatten_overrides(features: Any, prefix: str = "") -> dict[str, Any]:
    """`features=` by flat name: nested mappings, a FeaturesDict, or keys with `/`.

    Raises:
      ArgumentError: a value is no feature.
    """
    flat: dict[str, Any] = {}
    for name, value in features.items() if features is not None else ():
        if isinstance(value, Mapping) or type(value) is tfds.features.FeaturesDict:
            flat.update(flatten_overrides(value, f"{prefix}{name}/"))
        else:
            try:
                flat[f"{prefix}{name}"] = tfds.features.FeaturesDict({"feature": value})["feature"]
            except (ValueError, TypeError) as error:
                raise ArgumentError(f"features={{{name!r}: ...}} must be a tfds feature (got {value!r})") from error
    return flat


def _label_column(columns: Columns, names: Mapping[str, str], positions: Sequence[str]) -> str | None:
    """Which column `dataset.classes` names: the target of a pair, else the only 1-D integer one."""
    integers = [name for source, name in names.items() if columns[source].ndim == 1 and columns[source].dtype.kind in "iu"]
    if len(positions) == 2:
        return names.get(positions[1]) if names.get(positions[1]) in integers else None
    named = [name for name in integers if name.split("/")[-1] in ("label", "labels", "target", "targets", "y")]
    candidates = integers if len(integers) == 1 else named
    return candidates[0] if len(candidates) == 1 else None


def _class_label(name: str, classes: Sequence[str]) -> Any:
    """A ClassLabel that TFDS can store: one name a line, stripped, unique."""
    for number, text in enumerate(classes):
        valid = text == text.encode(errors="replace").decode()
        if not text.strip() or text != text.strip() or any(c in text for c in "\r\n\0") or not valid:
            raise SchemaError(
                f"feature {name!r}: class name {text!r} (number {number}) cannot be stored: TFDS keeps one name a line, "
                f'stripped; give other names: features={{"{name}": tfds.features.ClassLabel(names=[...])}}'
            )
    if len(set(classes)) != len(classes):
        twice = next(text for text in classes if list(classes).count(text) > 1)
        raise SchemaError(
            f"feature {name!r}: class name {twice!r} appears twice in dataset.classes, and TFDS needs unique names; give "
            f'others, or none: features={{"{name}": tfds.features.ClassLabel(num_classes={len(classes)})}}'
        )
    return tfds.features.ClassLabel(names=list(classes))


def _check_label_files(fields: Sequence[Field]) -> None:
    """Raises SchemaError where TFDS would keep the class names of two features in one file."""
    files: dict[str, str] = {}
    for field in fields:
        if isinstance(field.feature, tfds.features.ClassLabel):
            name = field.column.name
            other = files.setdefault(name.replace("/", "-"), name)
            if other != name:
                raise SchemaError(
                    f"features {other!r} and {name!r} would share the file {name.replace('/', '-')}.labels.txt; "
                    "rename one with names="
                )


def _infer_feature(name: str, array: Array, shape: tuple[int, ...]) -> Any:
    """The feature of an array without an override (the dtype table of docs/format.md)."""
    if array.dtype == object:
        is_text = array.size and isinstance(array.ravel()[0], str)
        return tfds.features.Text() if is_text and not shape else tfds.features.Tensor(shape=shape, dtype=np.object_)
    if array.dtype == np.uint32:  # tf.io.decode_raw has no uint32; an int64_list is exact
        return tfds.features.Tensor(shape=shape, dtype=np.uint32)
    return tfds.features.Tensor(shape=shape, dtype=array.dtype, encoding="bytes")


def _check_override(name: str, feature: Any, array: Array, shape: tuple[int, ...]) -> None:
    """Raises SchemaError where an override contradicts the data or cannot be stored bit-exact."""
    if isinstance(feature, tfds.features.ClassLabel):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise SchemaError(
                f"feature {name!r}: features= says ClassLabel, and the data is {array.dtype} of shape {array.shape}; "
                "a class label is one integer an example"
            )
        if feature.num_classes is None:
            raise SchemaError(f"feature {name!r}: give the ClassLabel names= or num_classes=")
        if feature._str2int is not None:
            _class_label(name, feature.names)
        return
    info = feature.get_tensor_info()
    if not isinstance(info, tfds.features.TensorInfo) or not isinstance(feature.get_serialized_info(), tfds.features.TensorInfo):
        raise SchemaError(
            f"feature {name!r}: {type(feature).__name__} is not supported; declare its parts as features of their own"
        )
    encoding = getattr(feature, "_encoding", tfds.features.Encoding.NONE)
    if info.np_dtype == np.uint32 and encoding != tfds.features.Encoding.NONE:
        raise SchemaError(f"feature {name!r}: TFDS cannot decode uint32 with encoding={encoding.value!r}; leave the encoding out")
    if isinstance(feature, tfds.features.Image) and info.shape[-1] not in (None, 1, 3, 4):
        raise SchemaError(f"feature {name!r}: an Image has 1, 3 or 4 channels (got {info.shape[-1]}); store it as a Tensor")
    stored = tuple(info.shape)
    if len(stored) != len(shape) or any(want is not None and want != got for want, got in zip(stored, shape, strict=True)):
        raise SchemaError(
            f"feature {name!r}: features= says shape {stored}, and the data (channels-last) has {shape}; "
            "drop the override or correct it"
        )
    wanted, got = np.dtype(info.np_dtype), array.dtype
    if wanted != got:
        raise SchemaError(f"feature {name!r}: features= says dtype {wanted}, and the data is {got}; convert it in collate_fn")


def _column(name: str, feature: Any, array: Array, layout: Layout | None) -> Column:
    """How the feature is stored: its value if TFDS stores just that, else its serialized form.

    Raises:
      SchemaError: TFDS would not give back what is stored, or the size is not fixed.
    """
    info = feature.get_serialized_info()
    shape = tuple(feature.shape if metadata.is_direct(feature) else info.shape)
    if None in shape or getattr(feature, "_optional", False):
        raise SchemaError(f"feature {name!r}: {feature} has no fixed shape, which is not supported; give it one")
    dtype = feature.np_dtype if metadata.is_direct(feature) else info.np_dtype
    encoding, width = RAW, 0
    if info.np_dtype == np.object_:
        is_bytes = metadata.is_direct(feature) and dtype != np.object_
        encoding = RAW if is_bytes else STRINGS
    elif np.dtype(info.np_dtype).kind in "iub":
        encoding = VARINT
    elif info.np_dtype != np.float32:
        raise SchemaError(
            f"feature {name!r}: TFDS stores {np.dtype(dtype)} without an encoding as float32, which is not exact; "
            'say encoding="bytes"'
        )
    kind = STRING_DTYPE if encoding == STRINGS else np.dtype(dtype).name
    if encoding != STRINGS:
        size = DTYPE_BYTES[kind] if encoding == RAW else _varint_bytes(feature, kind)
        width = int(np.prod(shape, dtype=np.int64)) * size
    return Column(
        name=name, dtype=kind, shape=shape, encoding=encoding, width=width,
        source_dtype=_source_dtype(array), source_layout=layout.source if layout is not None else "",
    )  # fmt: skip


def _source_dtype(array: Array) -> str:
    if array.dtype == object:
        return "str" if array.size and isinstance(array.ravel()[0], str) else "bytes"
    return array.dtype.name


def _varint_bytes(feature: Any, dtype: str) -> int:
    """Bytes that hold every value of an integer feature as a varint (7 bits a byte)."""
    if isinstance(feature, tfds.features.ClassLabel):
        largest = max(1, int(feature.num_classes) - 1)
    elif dtype == "bool":
        largest = 1
    elif np.dtype(dtype).kind == "u":
        largest = int(np.iinfo(dtype).max)
    else:
        return 10  # a negative number is a varint of its 64-bit two's complement
    return -(-largest.bit_length() // 7)


# --- values --------------------------------------------------------------------------------------


def _check_labels(array: Array, feature: Any, name: str, where: str) -> None:
    if not array.size:
        return
    unsigned = array.view(f"u{array.itemsize}")  # where a negative number is a large one
    if np.maximum.reduce(unsigned) >= feature.num_classes:
        low = int(array.min())
        bad = low if low < 0 else int(array.max())
        row = int(np.flatnonzero(array == bad)[0])
        raise SchemaError(
            f"{where}, feature {name!r}: class label {bad} (row {row}) is not between 0 and {feature.num_classes - 1}; "
            "give ClassLabel as many names as there are classes"
        )


def _describe(field: Field, stored_shape: tuple[int, ...]) -> str:
    """What was decided about a feature, in words."""
    name, column = field.column.name, field.column
    if isinstance(field.feature, tfds.features.ClassLabel):
        what = f"ClassLabel of {field.feature.num_classes} classes"
    elif metadata.is_direct(field.feature):
        what = f"{type(field.feature).__name__} {column.dtype}" + (
            f" {stored_shape}" if stored_shape and not field.layout else ""
        )
    else:
        lossy = " as JPEG, which loses detail" if getattr(field.feature, "_encoding_format", "") == "jpeg" else ""
        what = f"{type(field.feature).__name__}, encoded by {encoding.encoder_name(field.feature)}{lossy}"
    if field.layout is None:
        return f"{name}: {what}"
    return f"{layout_lib.describe(name, field.layout, stored_shape)}, {what}"
