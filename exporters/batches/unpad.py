"""Padded columns back to rows of their own length, by a column of lengths or of masks: `unpad={"tokens": "length"}`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from exporters.batches.flatten import Batch, Parts
from exporters.batches.rows import Rows
from exporters.errors import ArgumentError, SchemaError
from exporters.tensors.arrays import PADS
from exporters.wording import argument
from tfds_builder.aliases import Array

_MULTIPLES = (8, 16, 32, 64, 128)
"""What `pad_to_multiple_of=` of Hugging Face's collators usually is."""


def find_padded(names: Mapping[str, str], unpad: Mapping[str, str]) -> dict[str, str]:
    """`unpad=` by structural names.

    Raises:
      ArgumentError: it names something that is not a feature of the data.
    """
    sources = {name: source for source, name in names.items()}
    for name in (*unpad, *unpad.values()):
        if not isinstance(name, str) or name not in sources:
            raise ArgumentError(
                f"{argument('unpad')} names {name!r}, which is no feature of the data; features: {sorted(sources)}"
            )
    return {sources[name]: sources[length] for name, length in unpad.items()}


def with_masks(unpad: Mapping[str, str], columns: Parts, fixed: Collection[str]) -> dict[str, str]:
    """`unpad` and, in it, the masks that are padded to the longest row of their batch: each is unpadded by itself.

    A mask that is wider than that has one width in all batches, as far as can be told, and stays as it is.

    >>> with_masks({"input_ids": "attention_mask"}, first_batch.columns, ())            # doctest: +SKIP
    {'input_ids': 'attention_mask', 'attention_mask': 'attention_mask'}

    Args:
      unpad: by structural names.
      columns: of the first batch.
      fixed: structural names of what `features=` declares to have one length.
    """
    found = dict(unpad)
    for source, partner in unpad.items():
        padded, told = columns[source], columns[partner]
        if partner in found or partner in fixed or not isinstance(told, np.ndarray) or told.ndim != 2:
            continue
        mask = as_mask(told) if told.shape == padded.shape[:2] else None
        if mask is not None and _rounds_up(int(mask.sum(axis=1).max(initial=0)), told.shape[1]):
            found[partner] = partner
    return found


def _rounds_up(longest: int, width: int) -> bool:
    """Whether rows are padded to the longest, or to the next multiple of a power of two, as for tensor cores."""
    return any(width == -(-longest // step) * step for step in (1, *_MULTIPLES))


def unpad_batch(batch: Batch, unpad: Mapping[str, str], names: Mapping[str, str], where: str) -> Batch:
    """A batch whose padded columns are `Rows`.

    Args:
      batch: the batch.
      unpad: structural name of a padded column -> that of its lengths (integers, shape (N,)) or mask (0 and 1 of any dtype, shape
        (N, L), 1 where there is a value; the ones of a row are one run, before or behind its padding).
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
            raise SchemaError(f"{place}: {argument('unpad')} needs one array of shape (N, longest, ...), got {column.shape}")
        if not isinstance(told, np.ndarray):
            raise SchemaError(
                f"{place}: {names[partner]!r} must be one array, lengths of shape (N,) or a mask of shape (N, longest)"
            )
        mask = _mask(told, column.shape[1], f"{place}: {names[partner]!r}")
        _check_cut(column, mask, told.ndim == 1, f"{place}: {names[partner]!r}")
        columns[source] = Rows.of_items(column[mask], mask.sum(axis=1).tolist())
    return dataclasses.replace(batch, columns=columns)


def _check_cut(column: Array, mask: Array, by_lengths: bool, what: str) -> None:
    """Raises SchemaError where values would be cut off and padding would be kept. That shows where what is cut off differs, and
    what is kept is one and the same value."""
    cut, front = column[~mask], mask.shape[1] - mask.sum(axis=1)
    is_single = by_lengths and front.max(initial=0) == 1 and _is_one_in_front(column, front == 1)
    if not is_single and (not cut.size or _is_constant(cut)):
        return
    if is_single or (by_lengths and front.max() > 1 and _is_constant(column[np.arange(mask.shape[1]) < front[:, None]])):
        raise SchemaError(
            f"{what} would cut off values that differ and keep padding: the rows are padded in front; give a mask, 1 "
            "where there is a value"
        )
    if not by_lengths and mask.any() and mask.sum() > 1 and _is_constant(column[mask]):
        raise SchemaError(
            f"{what} would cut off values that differ and keep padding: the mask is 1 where there is padding; give the "
            "contrary, ~mask"
        )


def _is_one_in_front(column: Array, padded: Array) -> bool:
    """Whether rows that have one value of padding each have it in front.

    They all begin with the same value, and no whole row begins with it (with a start token, all rows would). What they end in is
    not padding either: it differs from row to row, or whole rows end in it too (an end token), or rows are usually padded with
    the first value and not with the last.
    """
    first, last = (column[:, place].reshape(len(column), -1) for place in (0, -1))
    if not first.shape[1] or not _is_constant(first[padded]):
        return False
    pad, whole = first[padded][0, 0], ~padded
    is_usual, differs = pad in PADS, not _is_constant(last[padded])
    if not whole.any():
        return is_usual and differs
    if (first[whole] == pad).all(axis=1).any():
        return False
    is_end = not differs and bool((last[whole] == last[padded][0]).all(axis=1).any())
    return differs or is_end or bool(is_usual and padded.sum() > 1 and last[padded][0, 0] not in PADS)


def _is_constant(values: Array) -> bool:
    """Whether all values are one value; NaN counts as itself."""
    first = values.reshape(-1)[0]
    return bool(np.all((values == first) | ((values != values) & (first != first))))


def _mask(told: Array, longest: int, what: str) -> Array:
    """Where there are values, from lengths or from a mask: bool, shape (N, longest)."""
    if told.ndim == 2 and (mask := as_mask(told)) is not None:
        lengths, width = mask.sum(axis=1), mask.shape[1]
        if width == longest and is_run(mask):
            return mask
        if not np.array_equal(mask, np.arange(width) < lengths[:, None]):
            raise SchemaError(
                f"{what} has padding between values; give lengths, or a mask whose ones are one run"
                if width == longest
                else f"{what} is a mask of {width} values for rows of {longest}, so its ones must come first; "
                "give lengths, or a mask as wide as the rows"
            )
    elif told.ndim != 1 or told.dtype.kind not in "iu":
        raise SchemaError(
            f"{what} must be lengths (integers, shape (N,)) or a mask (0 and 1) of shape (N, {longest}); "
            f"got {told.dtype} {told.shape}"
        )
    else:
        lengths = told
    if lengths.size and not 0 <= int(lengths.min()) <= int(lengths.max()) <= longest:
        raise SchemaError(f"{what} has lengths from {lengths.min()} to {lengths.max()}, and rows have {longest} values")
    values: Array = np.arange(longest) < lengths[:, None]
    return values


def as_mask(told: Array) -> Array | None:
    """Zeros and ones of any dtype as bool; None if there are other values."""
    if told.dtype == bool:
        return told
    if told.dtype.kind not in "iufV":  # bfloat16 calls itself V
        return None
    if not np.all((told[:, :8] == 1) | (told[:, :8] == 0)):  # as most columns tell
        return None
    mask: Array = told == 1
    return mask if bool(np.all(mask | (told == 0))) else None


def is_run(mask: Array) -> bool:
    """Whether the ones of each row lie side by side."""
    starts = mask[:, :1].sum(axis=1) + (mask[:, 1:] & ~mask[:, :-1]).sum(axis=1)
    return bool(np.all(starts <= 1))
