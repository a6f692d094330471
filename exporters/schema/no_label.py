"""Labels of -1, by which TFDS means "no label", and how wide labels are stored because of them.

A ClassLabel takes as few bytes as its classes need, and -1 takes ten: it is the varint of 64 set bits. A record's length is
settled before the first byte, so whatever shows by then that labels may be -1 makes them ten bytes wide, in all splits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from exporters.aliases import Dataset, Loader
from exporters.errors import SchemaError
from exporters.features.stored import WIDEST
from exporters.loaders.datasets import datasets_of
from exporters.schema.schema import Schema
from exporters.tensors.arrays import Columns
from exporters.wording import Code, argument
from tfds_builder.aliases import Array, Json
from tfds_builder.contract.manifest import VARINT, Column
from tfds_builder.contract.ragged import Ragged


def make_room(
    schema: Schema, firsts: Iterable[Columns], loaders: Mapping[str, Loader], before: Iterable[Mapping[str, Json]]
) -> Schema:
    """A schema whose labels are wide enough for -1, wherever something shows that they may be that.

    Args:
      schema: as the features say.
      firsts: stored columns of the first batches that are at hand.
      loaders: by split; `targets` or `labels` of their datasets, as torchvision has them, or `tensors`, may hold a -1.
      before: columns of the plan of an export that was stopped, whose widths stay as they are.
    """
    narrow = list(_narrow(schema.columns))
    if not narrow:
        return schema
    known = {column["name"]: column for column in before}
    if known:
        wide = {column.name for column in narrow if known.get(column.name, {}).get("width", 0) > column.width}
    elif any(_targets_have_none(loader.dataset) for loader in loaders.values()):
        wide = {column.name for column in narrow}
    else:
        wide = {
            column.name
            for columns in firsts
            for column in narrow
            if column.name in columns and _is_negative(columns[column.name]).any()
        }
    return schema.widened(wide) if wide else schema


def check(columns: Columns, stored: Sequence[Column], where: str) -> None:
    """Raises SchemaError where a label of -1 does not fit into what is stored of a column.

    Args:
      columns: of one batch.
      stored: how the format stores them.
      where: split and batch, for errors.
    """
    for column in _narrow(stored):
        found = columns[column.name]
        bad = np.flatnonzero(_is_negative(found))
        if not len(bad):
            continue
        if isinstance(found, Ragged):
            row = int(np.searchsorted(found.row_splits, bad[0] // column.values, side="right")) - 1
        else:
            row = int(bad[0]) // column.values
        lines = [argument("format", "hdf5")]
        if column.shape == ():
            lines.append(argument("features", {column.name: Code("tfds.features.Scalar(dtype=np.int64)")}))
        raise SchemaError(
            f"{where}, feature {column.name!r}, row {row}: class label -1 (no label) comes too late, for records of TFRecord are "
            "of a length that is settled: no split begins with a batch that has one, nor do `targets` or `labels` of a dataset; "
            f"store it otherwise, {' or '.join(lines)}, together with {argument('overwrite', True)} if shards are finished"
        )


def _narrow(columns: Iterable[Column]) -> Iterator[Column]:
    """Columns of integers with a sign that are too narrow for -1: class labels."""
    for column in columns:
        is_signed = column.encoding == VARINT and np.dtype(column.dtype).kind == "i"
        if is_signed and column.width < WIDEST * column.values:
            yield column


def _is_negative(column: Array | Ragged) -> Array:
    values = column.values if isinstance(column, Ragged) else column
    negative: Array = np.asarray(values).reshape(-1) < 0
    return negative


def _targets_have_none(dataset: Dataset) -> bool:
    """Whether a dataset, or one that it wraps, keeps its labels in `targets`, `labels` or `tensors`, and some are -1."""
    for part in datasets_of(dataset):
        kept = [getattr(part, "__dict__", {}).get(name) for name in ("targets", "labels")]
        for labels in [*kept, *getattr(part, "__dict__", {}).get("tensors", ())]:
            with contextlib.suppress(Exception):  # it may be anything
                values = np.asarray(labels)
                if values.ndim == 1 and values.dtype.kind == "i" and (values == -1).any():
                    return True
    return False
