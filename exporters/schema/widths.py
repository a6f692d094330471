"""Rows that were padded to one length: how that is seen in a batch, and which `unpad=` takes the padding off again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from exporters.batches.flatten import Batch
from exporters.batches.unpad import as_mask, is_run
from exporters.errors import SchemaError
from exporters.features.fields import AnyField, Field, RaggedField
from exporters.wording import argument
from tfds_builder.aliases import Array
from tfds_builder.features.kinds import kind_of


def find_unpad(
    columns: Mapping[str, Array], padded: Sequence[str] | None = None, trusted: Collection[str] = ()
) -> dict[str, str]:
    """What `unpad=` has to be for a batch: padded feature -> the mask, or the lengths, that tells of it; empty if nothing does.

    >>> find_unpad({"input_ids": [[5, 6, 7], [8, 0, 0]], "attention_mask": [[1, 1, 1], [1, 0, 0]]})    # as arrays
    {'input_ids': 'attention_mask'}

    Args:
      columns: all arrays of a batch, by flat name.
      padded: features that are known to be padded alike; by default those that have one and the same value wherever there is
        padding.
      trusted: what is known to tell of padding, by what `unpad=` says: it comes first, and lengths need not be seen to fit.
    """
    known = None if padded is None else set(padded)
    candidates = [name for name in columns if known is None or name in known]
    for partner, longest, mask in _find_told(columns, trusted):
        alike = [
            name
            for name in candidates
            if name != partner and columns[name].ndim > 1 and columns[name].shape[:2] == (len(mask), longest)
        ]
        constant = [name for name in alike if is_constant(columns[name][~mask])]
        if mask.all() and known is None:  # then nothing shows that it is padding
            continue
        if constant:
            return dict.fromkeys(constant if known is None else alike, partner)
    return {}


def _find_told(columns: Mapping[str, Array], trusted: Collection[str]) -> Iterator[tuple[str, int, Array]]:
    """The columns that may tell which values are not padding, as (name, width, bool of shape (N, width)); masks come first,
    whatever they are called."""
    for name in sorted(columns, key=lambda name: (name not in trusted, "mask" not in name, name)):
        column = columns[name]
        mask = as_mask(column) if column.ndim == 2 else None
        if mask is not None and mask.any() and is_run(mask) and (mask[:, 0].all() or mask[:, -1].all()):
            yield name, mask.shape[1], mask
    widths = sorted({column.shape[1] for column in columns.values() if column.ndim > 1})
    for name in sorted(columns, key=lambda name: (name not in trusted, "len" not in name, name)):
        lengths = columns[name]
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not lengths.size or lengths.min() < 0:
            continue
        for width in widths:
            if lengths.max() <= width:
                mask = np.arange(width) < lengths[:, None]
                if name in trusted or any(_ends_at(column, mask) for column in columns.values()):
                    yield name, width, mask


def is_constant(values: Array) -> bool:
    """Whether all values are the same."""
    return values.dtype != object and bool(np.all(values == values[:1]))


def _ends_at(column: Array, mask: Array) -> bool:
    """Whether the rows of a column end exactly where lengths say: what follows is padding, the last value before it is not."""
    if column.ndim < 2 or column.shape[:2] != mask.shape or not is_constant(column[~mask]):
        return False
    if mask.all():
        return True
    last = mask.sum(axis=1) - 1
    ends = column[np.arange(len(column)), last][last >= 0]
    if not len(ends):  # zeros are lengths of nothing
        return False
    differs = ends != column[~mask][0]
    return bool(np.all(differs.reshape(len(ends), -1).any(axis=1)))


def check_widths(
    fields: Sequence[AnyField], batch: Batch, names: Mapping[str, str], unpad: Mapping[str, str], where: str
) -> None:
    """Raises SchemaError, with the `unpad=` that mends it, where a batch was padded to a longest row of its own.

    Args:
      fields: of the schema.
      batch: before anything of it is unpadded.
      names, unpad: of the schema, by structural names.
      where: split and batch, for errors.
    """
    moved = [field for field in fields if isinstance(field, Field) and _is_wider(field, batch)]
    if not moved:
        return
    arrays = {names[source]: column for source, column in batch.columns.items() if isinstance(column, np.ndarray)}
    said = {names[source]: names[partner] for source, partner in unpad.items() if source != partner}
    found: dict[str, str] = {}
    alike: list[list[str]] = []
    for sizes in dict.fromkeys((field.shape[0], batch.columns[field.source].shape[1]) for field in moved):
        names_moved = [field.name for field in moved if (field.shape[0], batch.columns[field.source].shape[1]) == sizes]
        any_length = [  # declared to be so, and else stored as they are
            field.name
            for field in fields
            if isinstance(field, RaggedField) and field.source not in unpad and batch.columns[field.source].shape[1] == sizes[1]
        ]
        alike.append(names_moved + any_length)
        found |= {name: name for name in names_moved if name in said.values()} or find_unpad(arrays, alike[-1], said.values())
    field = next((field for field in moved if field.name in found), moved[0])
    got = batch.columns[field.source]
    if not found:
        advice = f", or, if rows are padded, {add_lengths(alike[0], list(names.values()), said)}"
        raise SchemaError(field.wrong_shape(got, where, advice))
    told = found.get(field.name) or next(iter(found.values()))
    raise SchemaError(
        f"{where}, feature {field.name!r}: expected shape {('N', *field.shape)}, got {got.shape}: each batch is padded to its "
        f"own longest row, and {told!r} tells how long rows are; store them without padding: {argument('unpad', said | found)}"
    )


def _is_wider(field: Field, batch: Batch) -> bool:
    """Whether the rows of a batch have another length than the schema says, and differ from it in nothing else."""
    column = batch.columns.get(field.source)
    if not isinstance(column, np.ndarray) or field.layout is not None or not kind_of(field.feature).is_direct:
        return False
    return bool(field.shape) and column.ndim > 1 and column.shape[1] != field.shape[0] and column.shape[2:] == field.shape[1:]


def add_lengths(padded: Sequence[str], names: Sequence[str], said: Mapping[str, str]) -> str:
    """How to add lengths to a batch which has none, and the `unpad=` that goes with them.

    Args:
      padded: features whose rows are padded.
      names: of all features.
      said: what `unpad=` says already.
    """
    length = next(name for name in ("length", "lengths", f"{padded[0]}_length") if name not in names)
    return (
        f'add the lengths to the batch in collate_fn, {{"{length}": torch.tensor([len(row) for row in rows])}}, '
        f"and say {argument('unpad', {**said, **dict.fromkeys(padded, length)})}"
    )
