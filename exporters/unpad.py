"""Padded columns back to rows of their own length, by a column of lengths or of masks: `unpad={"tokens": "length"}`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from exporters.arrays import Array
from exporters.batches import Batch
from exporters.errors import ArgumentError, SchemaError
from exporters.rows import Rows


def find_padded(names: Mapping[str, str], unpad: Mapping[str, str]) -> dict[str, str]:
    """`unpad=` by structural names.

    Raises:
      ArgumentError: it names what is no feature of the data.
    """
    sources = {name: source for source, name in names.items()}
    for name in (*unpad, *unpad.values()):
        if name not in sources:
            raise ArgumentError(f"unpad= names {name!r}, which is no feature of the data; features: {sorted(sources)}")
    return {sources[name]: sources[length] for name, length in unpad.items()}


def unpad_batch(batch: Batch, unpad: Mapping[str, str], names: Mapping[str, str], where: str) -> Batch:
    """A batch whose padded columns are `Rows`.

    Args:
      batch: the batch.
      unpad: structural name of a padded column -> that of its lengths (integers, shape (N,)) or mask (bool, shape (N, L), True
        where there is a value, all of them before the padding).
      names: flat names, for errors.

    Raises:
      SchemaError: lengths or mask do not fit.
    """
    if not unpad:
        return batch
    columns = dict(batch.columns)
    for source, partner in unpad.items():
        place = f"{where}, feature {names[source]!r}"
        column, told = batch.columns[source], batch.columns[partner]
        if not isinstance(column, np.ndarray) or column.ndim < 2:
            raise SchemaError(f"{place}: unpad= needs one array of shape (N, longest, ...), got {column.shape}")
        if not isinstance(told, np.ndarray):
            raise SchemaError(
                f"{place}: {names[partner]!r} must be one array, lengths of shape (N,) or a mask of shape (N, longest)"
            )
        lengths = _lengths(told, column.shape[1], f"{place}: {names[partner]!r}")
        columns[source] = Rows.of_items(column[np.arange(column.shape[1]) < lengths[:, None]], lengths.tolist())
    return dataclasses.replace(batch, columns=columns)


def _lengths(told: Array, longest: int, what: str) -> Array:
    """The length of each row, from lengths or from a mask."""
    if told.ndim == 2 and told.shape[1] == longest and (told.dtype == bool or set(np.unique(told).tolist()) <= {0, 1}):
        mask = told.astype(bool)
        lengths: Array = mask.sum(axis=1)
        if not np.array_equal(mask, np.arange(longest) < lengths[:, None]):
            raise SchemaError(f"{what} has padding before values; give lengths, or a mask whose ones come first")
        return lengths
    if told.ndim != 1 or told.dtype.kind not in "iu":
        raise SchemaError(
            f"{what} must be lengths (integers, shape (N,)) or a mask of shape (N, {longest}); got {told.dtype} {told.shape}"
        )
    if told.size and not 0 <= int(told.min()) <= int(told.max()) <= longest:
        raise SchemaError(f"{what} has lengths from {told.min()} to {told.max()}, and rows have {longest} values")
    return told
