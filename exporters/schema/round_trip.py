"""What an encoder made of a first batch, decoded again and compared with what was given, before anything is written.

Features without a fast path of ours go through TFDS's own encoders, or through those of a class of the user's own. What
comes out of them is believed only once it has come back. What TensorFlow alone cannot read is warned of (`UnequalImages`).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from exporters import wording
from exporters.batches.flatten import Batch
from exporters.batches.rows import Rows, iterate_rows
from exporters.errors import ExportWarning, SchemaError
from exporters.features.fields import AnyField, TreeField
from exporters.features.leaves import Leaf, find_arrays, leaves_of
from exporters.features.stored import is_file
from tfds_builder.aliases import Array, Feature, FeatureValue
from tfds_builder.contract.decode import to_numpy_dtype
from tfds_builder.contract.manifest import Column
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import UnsupportedReadError
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import join
from tfds_builder.readers.data_source import Value
from tfds_builder.table.single_rows import values_of

_BYTES = 4 * 1024 * 1024
"""So much of a first batch is decoded again, two rows at least: enough to see what a class does to its values."""


def check_round_trip(fields: tuple[AnyField, ...], batch: Batch, split: str) -> list[str]:
    """Decodes the first rows of what was encoded, and compares them with what the loader gave.

    Args:
      fields: all of the schema; those that are stored as their very value are passed over.
      batch: a batch that has rows, none of them encoded in a worker.
      split: for errors.

    Returns:
      A sentence for each feature of a class of the user's own that gives back something else than it was given. That is allowed,
      and worth saying.

    Raises:
      SchemaError: a value of any other feature does not come back; names split, batch, feature and row.
    """
    where = f"split {split!r}, batch {batch.number}"
    return [sentence for field in fields if _has_encoder(field) for sentence in _check_field(field, batch, where)]


def _has_encoder(field: AnyField) -> bool:
    return isinstance(field, TreeField) or not kind_of(field.feature).is_direct


def _check_field(field: AnyField, batch: Batch, where: str) -> Iterator[str]:
    if not all(source in batch.columns for source in field.sources):
        return  # a worker has encoded it, as this process has encoded its first batch
    part = _first_rows(field, batch)
    stored = field.encode(part, where)
    columns = {column.name: column for column in field.columns}
    value = Value.of(field.name, field.feature, columns.keys() - {field.name})
    items = {value.name} if value.is_item else set()
    rows = [values_of(_as_read(stored[name], columns[name]), name in items) for name in value.specs]
    given = field.given_rows(part, where)
    for number, parts in enumerate(zip(*rows, strict=True)):
        try:
            back = value.decode(list(parts))
        except UnsupportedReadError:
            return  # it lacks Pillow or OpenCV, which the machine that reads will have
        except Exception as error:  # decoders raise whatever they meet
            if kind_of(field.feature).is_of_the_user:
                return  # it may be decoded in TensorFlow only
            raise SchemaError(
                f"{where}, feature {field.name!r}, row {number}: what {type(field.feature).__name__} stores cannot be decoded "
                f"again ({error}); declare another feature"
            ) from error
        if _is_same(field.feature, given[number], back):
            continue
        shown = f"given {_show(given[number])}, read again {_show(back)}"
        if not kind_of(field.feature).is_of_the_user:
            raise SchemaError(
                f"{where}, feature {field.name!r}, row {number}: {type(field.feature).__name__} does not give back what it is "
                f"given ({shown}); declare another feature"
            )
        yield f"{field.name}: {type(field.feature).__name__} gives back something else than it is given ({shown})"
        return


def _first_rows(field: AnyField, batch: Batch) -> Batch:
    """As many rows of a batch as `_BYTES` allow."""
    sources = set(field.sources) | ({field.boxes.image} if isinstance(field, TreeField) and field.boxes else set())
    size = sum(_size(batch.columns[source]) for source in sources)
    count = min(batch.rows, max(2, _BYTES * batch.rows // max(1, size)))
    columns = {
        source: Rows(column.arrays[:count], column.dtype) if isinstance(column, Rows) else column[:count]
        for source, column in batch.columns.items()
        if source in sources
    }
    return dataclasses.replace(batch, columns=columns, rows=count)


def _size(column: Array | Rows) -> int:
    if isinstance(column, Rows):
        return sum(row.nbytes for row in column.arrays if row is not None)
    return column.nbytes


def _as_read(column: Array | Ragged, spec: Column) -> Array | Ragged:
    """An encoded column as `Table.read` gives it."""
    dtype = to_numpy_dtype(spec.dtype)
    if isinstance(column, Ragged):
        return Ragged(column.values.astype(dtype), column.row_splits)
    return column.astype(dtype)


def _is_same(feature: Feature, given: FeatureValue, back: FeatureValue) -> bool:
    """Whether a decoded value is the one that was given, as far as its feature promises to give it back."""
    kind = kind_of(feature)
    if given is None:
        return back is None or not kind.is_optional
    if _is_changed_by_design(feature, given):
        return True
    if kind.parts is not None:
        parts = kind.parts.items() if isinstance(given, Mapping) else ()
        return all(_is_same(part, given[key], back[key]) for key, part in parts)
    if kind.is_translation:
        return True  # dicts of texts, which come back in an order of TFDS's
    if kind.is_sequence and not kind.is_video:
        return _is_same_sequence(kind.inner, given, back)
    if kind.is_label and isinstance(given, str | bytes):
        return bool(int(back) == feature.str2int(given.decode() if isinstance(given, bytes) else given))
    return _is_same_array(given, back)


def _is_same_sequence(inner: Feature, given: FeatureValue, back: FeatureValue) -> bool:
    keys = kind_of(inner).parts
    if keys is not None and isinstance(given, Mapping) and not isinstance(back, Mapping):
        back = {key: [item[key] for item in back] for key in keys}  # a Dataset gives examples
    if isinstance(back, Mapping):
        kind, depth = kind_of(inner).innermost()
        if kind.parts is None:
            return False  # it was not decoded: no tensor of several unknown sizes in a sequence
        parts = {key: _in_sequences(part, 1 + depth) for key, part in kind.parts.items()}
        return all(_is_same(part, _part_of(given, key), back[key]) for key, part in parts.items())
    items, found = list(given), list(back)
    return len(items) == len(found) and all(_is_same(inner, *pair) for pair in zip(items, found, strict=True))


def _in_sequences(feature: Feature, count: int) -> Feature:
    """A feature in so many sequences."""
    return _in_sequences(tfds.features.Sequence(feature), count - 1) if count else feature


def _part_of(given: FeatureValue, key: str) -> FeatureValue:
    """The values of one key of dicts that lie in lists, in the same lists."""
    return given[key] if isinstance(given, Mapping) else [_part_of(item, key) for item in given]


def _is_changed_by_design(feature: Feature, given: FeatureValue) -> bool:
    """Whether a feature makes something else of what it is given, and says so: files are read, boxes are normalised, JPEG
    loses detail, text encoders make numbers of text."""
    kind = kind_of(feature)
    if kind.is_box or kind.is_lossy or (kind.is_text and feature.encoder is not None):
        return True
    if kind.is_video and isinstance(given, list | tuple):
        return bool(given) and is_file(given[0])
    return is_file(given) and (kind.is_image or kind.is_video or kind.is_sound)


def _is_same_array(given: FeatureValue, back: FeatureValue) -> bool:
    if isinstance(given, str):
        given = given.encode()
    if isinstance(back, str):
        back = back.encode()
    try:
        one, other = np.asarray(given), np.asarray(back)
    except ValueError:  # lists of different lengths
        return isinstance(given, list) and len(given) == len(back) and all(map(_is_same_array, given, back))
    if one.dtype.kind in "OSU" or other.dtype.kind in "OSU":
        flat = [[item.encode() if isinstance(item, str) else item for item in array.ravel().tolist()] for array in (one, other)]
        return one.shape == other.shape and flat[0] == flat[1]
    return one.shape == other.shape and bool(np.all((one == other) | ((one != one) & (other != other))))


def _show(value: FeatureValue) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."


class UnequalImages:
    """Warns, once a feature, of an example whose images in a `Sequence(Image(shape=(None, None, C)))` differ in size.

    TFDS 4.9.10 writes it and cannot read it with TensorFlow: `FeatureConnector.decode_batch_example`
    (tensorflow_datasets/core/features/feature.py) decodes what is in a Sequence by `tf.map_fn`, which stacks the results, so
    stock `tfds.load` raises `InvalidArgumentError` at that example, and so do we. Data sources and `as_torch` decode by
    NumPy and give every image as it is. Of images that come as files, encoded already, nothing is known here.

    >>> UnequalImages(schema.fields).look_at(batch, "train")                               # doctest: +SKIP
    ExportWarning: split 'train', feature 'views': images of one example differ in size, ...

    Args:
      fields: of the schema.
    """

    def __init__(self, fields: Sequence[AnyField]) -> None:
        self._pending = list(_find_sized(fields))

    def look_at(self, batch: Batch, split: str) -> None:
        """Looks at the rows of one more batch: arrays of shape (H, W, C) or (C, H, W) in lists, of any dtype."""
        argument = wording.argument("features")
        for entry in list(self._pending):
            name, source, path, leaf = entry
            column = batch.columns.get(source)
            rows = iterate_rows(column) if column is not None else ()
            if any(_differ_in_size(leaf, row.item() if _is_boxed(row) else row, path) for row in rows):
                self._pending.remove(entry)
                warnings.warn(
                    f"split {split!r}, feature {name!r}: images of one example differ in size, and TensorFlow cannot read such "
                    "an example, because TFDS stacks what is in a Sequence; data sources and as_torch can. To mend it, resize "
                    f"them, give each image an example, or leave the feature out of {argument} (it becomes sequences of pixels)",
                    ExportWarning,
                    stacklevel=2,
                )


def _find_sized(fields: Sequence[AnyField]) -> Iterator[tuple[str, str, str, Leaf]]:
    """(flat name, structural name, path below that, leaf) of images of any size in sequences."""
    for field in fields:
        if not isinstance(field, TreeField):
            continue
        for leaf in leaves_of(field.feature):
            if not leaf.above or None not in leaf.shape or not leaf.kind.is_image:
                continue
            for part, source in field.parts.items():
                if not part or f"{leaf.path}/".startswith(f"{part}/"):
                    yield join(field.name, leaf.path), source, leaf.path[len(part) + 1 if part else 0 :], leaf


def _is_boxed(row: FeatureValue) -> bool:
    return isinstance(row, np.ndarray) and row.dtype == object and not row.ndim


def _differ_in_size(leaf: Leaf, row: FeatureValue, path: str) -> bool:
    found = find_arrays(leaf, [row], 1, path)
    return found is not None and None in found.shape[-len(leaf.shape) :]
