"""What is stored of a feature, column by column, and checks of values that every kind of field needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from exporters.batches.rows import EMPTY, Rows, iterate_rows
from exporters.errors import SchemaError
from exporters.wording import Code, argument
from tfds_builder.aliases import Array, DType, Feature, FeatureValue, TensorInfo
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.manifest import DTYPE_BYTES, RAW, STRING_DTYPE, STRINGS, VARINT, Column
from tfds_builder.features.kinds import kind_of

WIDEST = 10
"""Bytes of a varint that holds any 64-bit integer; a negative number always takes as many."""


def column_of(name: str, info: TensorInfo, feature: Feature) -> Column:
    """How one serialized value of a feature is stored.

    Args:
      name: its flat name.
      info: its `tfds.features.TensorInfo`.
      feature: what it is a part of; a ClassLabel bounds its integers.

    Raises:
      SchemaError: TFDS would not give back what is stored.
    """
    shape, dtype = tuple(info.shape), info.np_dtype
    if None in shape[1:]:
        raise SchemaError(
            f"feature {name!r}: TFDS reads an unknown size only where it is the first (got {shape}); use encoding='bytes'"
        )
    item = tuple(size for size in shape if size is not None)
    if shape[:1] == (None,) and math.prod(item) == 0:
        raise SchemaError(f"feature {name!r}: rows of shape {shape} have no values to be counted by; leave the feature out")
    if dtype == np.object_:
        return Column(name=name, dtype=STRING_DTYPE, shape=shape, encoding=STRINGS, width=0)
    kind = np.dtype(dtype).name
    if np.dtype(dtype).kind in "iub":
        return Column(name=name, dtype=kind, shape=shape, encoding=VARINT, width=math.prod(item) * varint_bytes(feature, kind))
    if dtype != np.float32:
        raise SchemaError(
            f"feature {name!r}: TFDS stores {np.dtype(dtype)} without an encoding as float32, which is not exact; "
            'say encoding="bytes"'
        )
    return Column(name=name, dtype=kind, shape=shape, encoding=RAW, width=math.prod(item) * DTYPE_BYTES[kind])


def varint_bytes(feature: Feature, dtype: str) -> int:
    """Bytes that hold every value of an integer feature as a varint (7 bits a byte)."""
    classes = kind_of(feature).num_classes
    if classes is not None:
        largest = max(1, int(classes) - 1)
    elif dtype == "bool":
        largest = 1
    elif np.dtype(dtype).kind == "u":
        largest = int(np.iinfo(dtype).max)
    else:
        return WIDEST  # a negative number is a varint of its 64-bit two's complement
    return -(-largest.bit_length() // 7)


def is_file(value: FeatureValue) -> bool:
    """Whether a value is what an encoder reads a file from: its path, its bytes, or the open file."""
    return isinstance(value, str | bytes) or hasattr(value, "read") or hasattr(value, "__fspath__")


def source_dtype(column: Array | Rows) -> str:
    """The dtype a loader gave, as the manifest names it."""
    if column.dtype != object:
        return str(column.dtype.name)
    for row in iterate_rows(column):
        for value in np.ravel(np.asarray(row, object)) if row is not None else ():
            return "str" if isinstance(value, str) else "bytes" if isinstance(value, bytes) else ""
    return "bytes"


def stored_shape(column: Array | Rows, layout: Layout | None) -> tuple[int | None, ...]:
    """The shape of a row as it is stored; None where rows differ."""
    shape = tuple(column.shape)
    if layout is None or len(shape) < len(layout.source):  # empty lists show nothing
        return shape[1:]
    return layout.stored_shape(shape)[1:]


def merge_shapes(declared: tuple[int | None, ...], shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The shape of rows that an encoder is given: None where any size is declared."""
    if len(declared) != len(shape):
        return shape
    return tuple(None if want is None else got for want, got in zip(declared, shape, strict=True))


def to_stored_rows(column: Array | Rows, layout: Layout | None) -> Iterator[FeatureValue]:
    """The rows of a column in its stored layout."""
    if isinstance(column, Rows):
        return (row if row is None or row is EMPTY else to_stored_array(row, layout) for row in column.arrays)
    return iter(to_stored_array(column, layout))


def to_stored_array(array: Array, layout: Layout | None) -> Array:
    """A view of a batch, or of a row, in its stored layout."""
    return array if layout is None else layout.to_stored(array)


def describe_missing(name: str, feature: Feature) -> str:
    """Why a row must not be None, and the line that allows it, if TFDS has a value that stands for None there."""
    text = "is None, and the feature is not optional; give every example a value"
    kind, shape, dtype = kind_of(feature), tuple(feature.shape), np.dtype(feature.np_dtype)
    is_exact = dtype == np.float32 or (dtype.kind in "iubO" and dtype != np.uint64)
    if None in shape or not is_exact or not kind.is_tensor or kind.is_label:
        return f"{text}, or an empty row, or zeros beside a mask"
    name_of_dtype = "object_" if dtype.kind == "O" else dtype.name if dtype.kind != "b" else "bool_"
    declared = "Text(optional=True)" if kind.is_text else f"Tensor(shape={shape}, dtype=np.{name_of_dtype}, optional=True)"
    return f"{text}, or say that it may be None: {argument('features', {name: Code(f'tfds.features.{declared}')})}"


def check_class_names(name: str, classes: Sequence[str]) -> None:
    """Raises SchemaError where TFDS cannot store class names: it keeps one a line, stripped, and they must be unique."""
    for number, text in enumerate(classes):
        valid = text == text.encode(errors="replace").decode()
        if not text.strip() or text != text.strip() or any(c in text for c in "\r\n\0") or not valid:
            raise SchemaError(
                f"feature {name!r}: class name {text!r} (number {number}) cannot be stored: TFDS keeps one name a line, "
                "stripped; give other names: " + argument("features", {name: Code("tfds.features.ClassLabel(names=[...])")})
            )
    if len(set(classes)) != len(classes):
        twice = next(text for text in classes if list(classes).count(text) > 1)
        raise SchemaError(
            f"feature {name!r}: class name {twice!r} appears twice in dataset.classes, and TFDS needs unique names; give "
            "others, or none: " + argument("features", {name: Code(f"tfds.features.ClassLabel(num_classes={len(classes)})")})
        )


def check_labels(array: Array, feature: Feature, name: str, where: str, rows: Sequence[int] | None = None) -> None:
    """Raises SchemaError where a label does not stand for a class. Neither does -1, but TFDS allows it, and so do we: it means
    "no label".

    Args:
      array: labels, shape (N,).
      rows: which row each is in; one a row if None.
    """
    if not array.size:
        return
    unsigned = array.view(f"u{array.itemsize}")  # where a negative number is a large one
    if np.maximum.reduce(unsigned) < feature.num_classes:
        return
    bad = np.flatnonzero((array < -1) | (array >= feature.num_classes))
    if len(bad):
        place = int(bad[0])
        row = place if rows is None else rows[place]
        raise SchemaError(
            f"{where}, feature {name!r}: class label {array[place]} (row {row}) is not between 0 and "
            f"{feature.num_classes - 1}, nor -1 (no label); give ClassLabel as many names as there are classes"
        )


def check_exact(feature: Feature, value: FeatureValue, name: str, where: str, number: int) -> None:
    """Raises SchemaError where TFDS's encoders would change a value without a word, or store a label of no class.

    They turn whatever is no array of the right dtype into one: 4.5 into the int64 4, 0.1 into the nearest float32, 2 into
    two NUL bytes of text.
    """
    place = f"{where}, feature {name!r}, row {number}"
    for leaf, part in _leaves(feature, value):
        wanted = np.dtype(leaf.np_dtype)
        try:
            given = part if isinstance(part, np.ndarray) else np.array(part, object if wanted.kind == "O" else None)
        except ValueError:  # lists of different lengths, which TFDS refuses in words of its own
            continue
        if not given.size:
            continue
        if wanted.kind == "O":
            _check_text(leaf, given, place)
        elif kind_of(leaf).is_label and given.dtype.kind in "iu":
            if leaf.num_classes is None:
                raise SchemaError(f"{place}: give the ClassLabel names, or the number of classes")
            check_labels(given.reshape(-1), leaf, name, where, [number] * given.size)
        elif given.dtype != wanted and not _holds(wanted, given):
            odd = next((item for item in given.ravel().tolist() if not _is_kept(wanted, item)), given.dtype.name)
            raise SchemaError(
                f"{place}: {leaf!r} would not hold {odd!r} exactly; convert it in the dataset, or declare a feature that does"
            )


def _check_text(feature: Feature, given: Array, place: str) -> None:
    for item in given.ravel().tolist():
        if not isinstance(item, str | bytes):
            raise SchemaError(
                f"{place}: expected text, got {item!r:.80}; convert it in the dataset, or declare a feature that holds it"
            )
        try:
            item.encode() if isinstance(item, str) else b""
        except UnicodeEncodeError as error:
            raise SchemaError(f"{place}: the string is not valid Unicode: {error}") from error
        if isinstance(item, bytes) and kind_of(feature).is_text:
            try:
                item.decode()
            except UnicodeDecodeError as error:
                raise SchemaError(
                    f"{place}: expected text, got bytes that are no UTF-8 ({error}); declare tfds.features.Tensor(shape=(), "
                    "dtype=np.object_) for bytes"
                ) from None


def _leaves(feature: Feature, value: FeatureValue) -> Iterator[tuple[Feature, FeatureValue]]:
    """The tensors of a feature, each with the value that is given for it. Nothing of a feature that has an encoder of its own."""
    if value is None:
        return
    kind = kind_of(feature)
    if kind.parts is not None:
        for key in kind.parts.keys() & value.keys() if isinstance(value, Mapping) else ():
            yield from _leaves(kind.parts[key], value[key])
    elif kind.is_opened and not kind.is_video:
        parts = kind_of(kind.inner).parts
        if isinstance(value, np.ndarray):
            yield from _leaves(kind.inner, value)
        elif isinstance(value, Mapping) and parts is not None:
            for key in parts.keys() & value.keys():
                yield from _leaves(tfds.features.Sequence(parts[key]), value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                yield from _leaves(kind.inner, item)
    elif kind.is_value and not ((kind.is_label or kind.is_sound) and is_file(value)):  # names of classes, files of sound
        yield feature, value


def _is_kept(dtype: DType, item: object) -> bool:
    """Whether a single value is equal to itself in another dtype, be it of another kind."""
    with np.errstate(all="ignore"):
        try:
            return bool(np.asarray(item).astype(dtype) == np.asarray(item)) or item != item
        except (ValueError, TypeError, OverflowError):
            return False


def _holds(dtype: DType, given: Array) -> bool:
    """Whether an array keeps its values in another dtype. A number with a decimal point is not taken for an integer."""
    ranks = "biufc"
    kind, other = given.dtype.kind, "f" if dtype.kind == "V" else dtype.kind  # bfloat16 calls itself V
    if kind not in ranks or other not in ranks or (kind in "fc" and ranks.index(other) < ranks.index(kind)):
        return False
    with np.errstate(all="ignore"):
        cast = given.astype(dtype)
        back = cast.astype(given.dtype)
    return bool(np.all((back == given) | ((given != given) & (cast != cast))))
