"""Batches given row by row: lists of tensors of different shapes, `collate_fn=lambda b: tuple(zip(*b))`, lists of dicts.

    ([image, image], [{"boxes": b, "labels": l}, {"boxes": b, "labels": l}])
        ->  "0": RowValues([image, image]), "1/boxes": RowValues([b, b]), "1/labels": RowValues([l, l])

A list may also be a structure, each part of which is a feature. Which of the two it is is decided once, from the first batch:
`find_growing` is sure of it where `collate_fn` can be tried; `find_row_lists` judges by the batch alone. `split_rows` then takes
lists of rows apart.
"""

from __future__ import annotations

import dataclasses
import json
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence

from exporters.aliases import RawBatch, RawValue
from exporters.batches.rows import RowValues
from exporters.batches.structure import (
    DEPTH,
    Form,
    check_parts,
    form_of,
    is_array,
    is_list,
    items_of,
    join,
    leading_sizes,
    parts_of,
    shape_of,
    walk,
)
from exporters.errors import SchemaError
from exporters.tensors.arrays import are_scalars, is_scalar, number_kind, shown

PROBES = (5, 7)
"""Rows of the two batches that `find_growing` compares; a structure rarely has as many parts."""

_LISTS = frozenset([Form.LIST, Form.VALUES])


@dataclasses.dataclass(frozen=True)
class Lists:
    """What the lists of a batch are, by structural name. It is decided from the first batch, and holds for all of them.

    Attributes:
      rows: the lists that have one item for each row; `""` is the batch itself.
      sequences: the lists within a row that may have any length; the other lists within a row are structures, each part of which
      is a feature.
    """

    rows: frozenset[str] = frozenset()
    sequences: frozenset[str] = frozenset()


def _find_lists(raw: RawBatch) -> Iterator[tuple[str, Sequence[RawValue]]]:
    """The lists of a batch, by structural name."""
    return ((path, value) for path, value, form in walk(raw) if form in _LISTS)


def list_names(raw: RawBatch) -> frozenset[str]:
    """Structural names of the lists of a batch."""
    return frozenset(path for path, _ in _find_lists(raw))


def has_lists(raw: RawBatch, rows: int | None) -> bool:
    """Whether a batch has a list that could have one item for each row: one of at most `rows` items, or of any number if `rows`
    is not known.

    There may be fewer rows than the loader says: `collate_fn` may have left some out.
    """
    return any(0 < len(value) <= (rows or len(value)) and _may_be_rows(value) for _, value in _find_lists(raw))


def _may_be_rows(value: Sequence[RawValue]) -> bool:
    """Whether the items of a list could be rows: they are not plain values, and they are alike, or dicts, or something that could
    not be a feature."""
    if are_scalars(value):
        return False
    return _are_alike(value) or _are_mappings(value) or any(None in leading_sizes(item) for item in value)


def guess_examples(raw: RawBatch) -> Iterator[Callable[[], RawValue]]:
    """What the first example of a batch may have been, by what made the batch: `zip` or a stack of each part, or `list`."""
    if isinstance(raw, Mapping):
        yield lambda: {key: part[0] for key, part in items_of(raw)}
    elif isinstance(raw, list | tuple):
        yield lambda: tuple([part[0] for part in raw])
        yield lambda: raw[0]


def find_growing(few: RawValue, many: RawValue) -> frozenset[str] | None:
    """Structural names of the lists that have as many items as their batches have rows; None if nothing has.

    Args:
      few, many: what a `collate_fn` makes of one example, `PROBES` times.
    """
    others = {path: value for path, value, _ in walk(many)}
    arrays, lists = set[str](), set[str]()
    for path, value, form in walk(few, closed=lists):
        other = others.get(path)
        if other is None:
            continue
        if form in _LISTS and is_list(other) and (len(value), len(other)) == PROBES:
            lists.add(path)
        elif form is Form.ARRAY and is_array(other) and _grows(shape_of(value), shape_of(other)):
            arrays.add(path)
    return frozenset(lists) if arrays or lists else None


def _grows(few: tuple[int, ...], many: tuple[int, ...]) -> bool:
    """Whether arrays of these shapes have a number of rows for each of `PROBES`."""
    return bool(few and many and few[0]) and few[0] * PROBES[1] == many[0] * PROBES[0]


def find_row_lists(raw: RawBatch, rows: int | None) -> frozenset[str]:
    """Structural names of the lists of a first batch that are lists of rows, told by that batch; `""` is the batch itself.

    Args:
      raw: the first batch.
      rows: how many rows the batch should have; None if the loader does not say, and then the items of a list must differ in
      shape to be taken for rows.
    """
    found = set[str]()
    for path, value, form in walk(raw, closed=found):
        if form in _LISTS and value and _is_row_list(value, path, rows):
            found.add(path)
    return frozenset(found)


def _is_row_list(value: Sequence[RawValue], path: str, rows: int | None) -> bool:
    """Whether the items of a list are rows, and not features: they are alike, there is one for each row, and they could not be
    features, each of which would have that many rows."""
    items = [item for item in value if item is not None]
    if _are_mappings(items) and (isinstance(value, list) or not _are_alike(items)):
        return _is_row_list_of_mappings(value, items, rows)
    if not items or not _has_an_item_a_row(value, rows):
        return False
    if are_scalars(items):
        return len(items) < len(value)  # without one that is None they are a column as it is
    if not _are_alike(items) or _is_zipped(value, path, items):
        return False
    return not _could_be_features(items, rows) or _are_rows_all_the_same(value, path, items, rows)


def _has_an_item_a_row(value: Sequence[RawValue], rows: int | None) -> bool:
    """Whether a list has as many items as the batch has rows, as far as that is known."""
    return rows in (None, len(value))


def _could_be_features(items: Sequence[RawValue], rows: int | None) -> bool:
    """Whether everything in the items has the same number of rows: that of the batch, if it is known."""
    sizes = {size for item in items for size in leading_sizes(item)}
    return sizes == {rows} if rows is not None else len(sizes) < 2 and None not in sizes


def _is_row_list_of_mappings(value: Sequence[RawValue], items: Sequence[RawValue], rows: int | None) -> bool:
    """Whether a list of dicts is a list of rows.

    Two things speak for that: it has as many items as there are rows, and its items could not be features. If the dicts are
    alike, one of the two is enough. If some of them lack keys, both are needed; `split_rows` then says which ones they are."""
    if _are_alike(items):
        return _has_an_item_a_row(value, rows) or not _could_be_features(items, rows)
    return _has_an_item_a_row(value, rows) and not _could_be_features(items, rows)


def _is_zipped(value: Sequence[RawValue], path: str, items: Sequence[RawValue]) -> bool:
    """Whether a batch is what `tuple(zip(*rows))` makes: a tuple of lists, each of which is a feature."""
    return isinstance(value, tuple) and not path and isinstance(items[0], list | tuple)


def _are_rows_all_the_same(value: Sequence[RawValue], path: str, items: Sequence[RawValue], rows: int | None) -> bool:
    """Whether items are rows although they could be features, as three images of three channels could be three features.

    Arrays of different shapes are. Where the number of rows is known, that is true only of arrays within a batch; but then any
    tuple of arrays within a batch is a list of rows too, and so is a tuple of dicts.
    """
    differ = len({shape_of(item) for item in items if is_array(item)}) > 1
    if rows is None:
        return differ
    if isinstance(items[0], Mapping):
        return True
    return bool(path) and is_array(items[0]) and (differ or isinstance(value, tuple))


def _are_mappings(items: Sequence[RawValue]) -> bool:
    """Whether the items of a list are mappings, with whatever keys; some of them may be None."""
    there = [item for item in items if item is not None]
    return bool(there) and all(isinstance(item, Mapping) for item in there)


def _are_alike(items: Sequence[RawValue], depth: int = 0) -> bool:
    """Whether the items of a list have what rows have in common: dtype and axes of arrays, keys, and in structures the kind
    of each part."""
    items = [item for item in items if item is not None]
    if not items or depth > DEPTH:
        return True
    if not all(map(is_list, items)):
        return len({_kind(item, bool(depth)) for item in items}) < 2
    if len(set(map(len, items))) == 1:
        return all(_are_alike(parts, depth + 1) for parts in zip(*items, strict=True))
    return _are_alike([part for item in items for part in item], depth + 1)


def _kind(item: RawValue, deep: bool) -> object:
    """What the items of one list must have in common to be alike. Of items within a structure (`deep`) less is asked."""
    if is_array(item):
        return "array" if deep else (str(item.dtype), len(shape_of(item)))
    if isinstance(item, Mapping):
        return "dict" if deep else frozenset(key for key, _ in items_of(item))
    return "number" if isinstance(item, numbers.Number) else type(item)


def find_sequences(raw: RawBatch, rows: frozenset[str], where: str) -> Iterator[str]:
    """Structural names of the sequences in a first batch whose lists of rows are known (see `Lists`).

    Raises:
      LoaderError, SchemaError: as `split_rows`.
    """
    for path, value, form in walk(raw, closed=rows):
        if path in rows and form in _LISTS:
            for name, leaf in split_rows(value, path, where, None):
                if any(isinstance(row, list | tuple | Mapping) for row in leaf.values):
                    yield name


def top_names(values: Sequence[RawValue], sequences: frozenset[str]) -> list[str]:
    """Structural names of the parts of rows that are known by position only; `[""]` if a row has no parts."""
    sources = [name for name, _ in split_rows(values, "", "", sequences)]
    if sources == [""]:
        return [""]
    first = next(value for value in values if value is not None)
    return [name for name, _ in parts_of(first)] if is_list(first) else []


def split_rows(
    values: Sequence[RawValue], path: str, where: str, sequences: frozenset[str] | None
) -> Iterator[tuple[str, RowValues]]:
    """A list of rows as its leaves, each of them row by row, by structural name.

    Args:
      values, path: the rows, and their structural name.
      where: split and batch, for errors.
      sequences: the lists that are known to be sequences (see `Lists`); None if that is to be decided from these rows.

    Raises:
      LoaderError: rows have a key that is no feature's name, or no parts at all.
      SchemaError: rows have different parts.
    """
    first = next((value for value in values if value is not None), None)
    if (sequences is not None and path in sequences) or not _have_parts(first, values, sequences is not None):
        yield path, RowValues(list(values))
        return
    check_parts(first, path, where)
    rows = [{} if value is None else value if type(value) is dict else dict(parts_of(value)) for value in values]
    names = rows[0].keys()
    different = next((number for number, row in enumerate(rows) if row.keys() != names), None)
    if different is not None and sequences is None and path:
        yield path, RowValues(list(values))  # only a feature that is declared for it takes that
        return
    if different is not None:
        raise SchemaError(
            f"{where}: row {different} of {shown(path)} has the parts {sorted(map(str, rows[different]))}, row 0 has the parts "
            f"{sorted(names)}; give every row the same{_same_parts(rows) if _are_mappings(values) and not path else ''}"
        )
    for name in names:
        yield from split_rows([row[name] for row in rows], join(path, name), where, sequences)


def _same_parts(rows: Sequence[Mapping[str, RawValue]]) -> str:
    """The lines that give all rows of a batch the same parts, in the words of `collate_fn`."""
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    fill = "".join(
        f"{json.dumps(str(key))}: ..., " for key in dict.fromkeys(key for row in rows for key in row if key not in shared)
    )
    kept = f"[{{key: row[key] for key in {json.dumps(shared)}}} for row in rows]"
    return f": collate_fn=lambda rows: [{{{fill}**row}} for row in rows], or, without what is missing, lambda rows: {kept}"


def _have_parts(first: RawValue, values: Sequence[RawValue], is_known: bool) -> bool:
    """Whether rows are structures, each part of which is a feature. Rows that are known to be sequences are not.

    Records always are. Tuples and lists of arrays are where all rows have the same length. Tuples of plain values are only where
    the values are of different kinds, as in `(1, 0.5)`; `(0.5, 1.5)` is one array of two numbers.
    """
    if not is_list(first):
        return form_of(first) is Form.RECORD
    if not first or not (isinstance(first, tuple) or is_array(first[0])):
        return False
    if is_known:
        return True
    rows = [value for value in values if isinstance(value, list | tuple)]
    if len(set(map(len, rows))) > 1:
        return False
    return not are_scalars(first) or _differ_in_kind(rows)


def _differ_in_kind(rows: Sequence[Sequence[RawValue]]) -> bool:
    """Whether tuples of values hold different kinds at different positions, and so are tuples of features."""
    kinds = {frozenset(map(_kind_of_value, column)) for column in zip(*rows, strict=True)}
    return isinstance(rows[0], tuple) and len(kinds) > 1


def _kind_of_value(value: RawValue) -> str:
    """The kind of a single value; one array can hold values of one kind."""
    if isinstance(value, str | bytes):
        return "str" if isinstance(value, str) else "bytes"
    return number_kind(value) if is_scalar(value) else type(value).__name__
