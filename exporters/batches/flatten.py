"""A raw batch, of whatever structure, as named arrays.

A batch becomes flat columns: `{"image": array, "target/boxes": array}`. Arrays are NumPy views of
the batch's own memory wherever that is possible; nothing is copied or permuted here.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from exporters.aliases import RawBatch, RawValue
from exporters.batches.row_lists import Lists, split_rows, top_names
from exporters.batches.rows import EMPTY, Rows, RowValues, stack
from exporters.batches.structure import (
    DEPTH,
    Form,
    check_parts,
    form_of,
    is_list,
    is_too_deep,
    items_of,
    parts_of,
    walk,
)
from exporters.errors import LoaderError, SchemaError
from exporters.tensors.arrays import AsIntegers, Encoded, are_scalars, check_array, list_to_numpy, picture_to_numpy, shown
from exporters.tensors.pytorch import integers_of_tensor, is_tensor, plain_dtypes, tensor_to_numpy, torch_module
from tfds_builder.aliases import Array
from tfds_builder.contract.integers import Integers

Parts = dict[str, Array | Rows]
"""Columns as the loader gives them, by structural name."""

Part: TypeAlias = Array | Rows | Encoded | AsIntegers
"""A leaf of a batch as a column, or what a worker has made of it."""

_ARRAY_KIND, _TENSOR_KIND = (
    operator.attrgetter("dtype", "ndim"),
    operator.attrgetter("dtype", "ndim", "device", "layout", "is_nested"),
)
"""What arrays, and tensors, must have in common to be joined."""
_NO_LISTS = Lists()


@dataclasses.dataclass(frozen=True)
class PartlyEncoded:
    """A raw batch taken apart in a worker: (structural name, place for errors, leaf); a leaf is as it came, or `Encoded`, or
    `AsIntegers`."""

    leaves: tuple[tuple[str, str, RawValue], ...]


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch: flat columns that all have `rows` rows, and its number in the split, from 0.

    The columns of `encoded` come from a worker, in their stored form already; no name is both in `columns` and in `encoded`.
    `numbers` has the names of the columns that are made of Python's own numbers, whose dtype says nothing about the data.
    `integers` has the table of each column of floats that is one of integers by now.
    """

    columns: Parts
    rows: int
    number: int
    encoded: Mapping[str, Encoded] = dataclasses.field(default_factory=dict)
    numbers: frozenset[str] = frozenset()
    integers: Mapping[str, Integers] = dataclasses.field(default_factory=dict)


def to_batch(raw: RawBatch, split: str, number: int, lists: Lists = _NO_LISTS) -> Batch:
    """Turns one batch of a DataLoader into columns, which still carry structural names (`"0"`, `"1/boxes"`).

    Args:
      raw: the batch.
      split, number: for errors.
      lists: what `first_batch.lists_of_batch` says of the first batch.

    Raises:
      LoaderError: the batch holds something that no batch may hold; the message names the batch and the feature.
      SchemaError: its columns have different numbers of rows, or the rows of one contradict each other.
    """
    where = f"split {split!r}, batch {number}"
    if is_empty(raw, lists):
        return Batch({}, 0, number)
    numbers: set[str] = set()
    parts = _unique(_flatten(raw, where, lists, numbers), where)
    if not parts:
        raise LoaderError(f"{where}: the batch is an empty {type(raw).__name__}; give it at least one feature")
    rows = {len(part) for part in parts.values()}
    if len(rows) > 1:
        sizes = {name: len(part) for name, part in parts.items()}
        raise SchemaError(
            f"{where}: every feature must have the same number of rows, got "
            + ", ".join(f"{shown(name)}: {size}" for name, size in sizes.items())
            + "; make collate_fn give one row an example"
        )
    encoded = {name: part for name, part in parts.items() if isinstance(part, Encoded)}
    integers = {name: part.table for name, part in parts.items() if isinstance(part, AsIntegers)}
    columns = {
        name: integers_of_tensor(part.values) if isinstance(part, AsIntegers) else part
        for name, part in parts.items()
        if not isinstance(part, Encoded)
    }
    return Batch(columns, rows.pop(), number, encoded, frozenset(numbers), integers)


def is_empty(raw: RawBatch, lists: Lists | None = None) -> bool:
    """Whether a batch has no rows: it is None, an empty list or an array without rows, or all of its parts are.

    Args:
      raw: the batch.
      lists: what the lists of the batch are; as long as that is not known, a list that has items is not empty, whatever its items
      are.
    """
    if raw is None:
        return True
    for path, value, form in walk(raw):
        if form is Form.ARRAY:
            if not value.ndim or (value.size(0) if is_tensor(value) else len(value)):
                return False
        elif form is Form.LIST:
            if len(value) and (lists is None or path in lists.rows):
                return False
        elif form is not Form.RECORD:
            return False
    return True


def encode_parts(
    raw: RawBatch, encoders: Mapping[str, Callable[[Array | Rows], Encoded | AsIntegers | RawValue]], lists: Lists = _NO_LISTS
) -> PartlyEncoded:
    """A raw batch of which the leaves that `encoders` names are encoded; the others stay as they came. Names are structural."""
    return PartlyEncoded(
        tuple(
            (path, place, encoders[path](_to_array(leaf, path, place)) if path in encoders else leaf)
            for path, place, leaf in _leaves(raw, "", lists)
        )
    )


def position_names(raw: RawBatch, lists: Lists = _NO_LISTS) -> list[str]:
    """Structural names of the top-level parts of a batch that are known by position only.

    >>> position_names(torch.zeros(8, 3)), position_names([images, labels])     # doctest: +SKIP
    ([''], ['0', '1'])

    Empty for a mapping, a dataclass or a namedtuple: their parts have names of their own.
    """
    if "" in lists.rows:
        return top_names(raw, lists.sequences)
    if form_of(raw) in (Form.ARRAY, Form.VALUES):
        return [""]
    return [name for name, _ in parts_of(raw)] if is_list(raw) else []


def _unique(items: Iterable[tuple[str, Part]], where: str) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for name, part in items:
        if name in parts:
            raise LoaderError(f"{where}: two parts of the batch are both called {name!r}; rename one in collate_fn")
        parts[name] = part
    return parts


def _flatten(raw: RawBatch, where: str, lists: Lists, numbers: set[str]) -> Iterator[tuple[str, Part]]:
    """The leaves of a batch as (structural name, array); the names of those that are made of Python's own numbers are added to
    `numbers`."""
    if isinstance(raw, PartlyEncoded):
        leaves: Iterable[tuple[str, str, RawValue]] = ((path, where + place, leaf) for path, place, leaf in raw.leaves)
    else:
        leaves = _leaves(raw, where, lists)
    for path, place, leaf in leaves:
        if isinstance(leaf, list | tuple | RowValues) and _are_numbers(leaf.values if isinstance(leaf, RowValues) else leaf):
            numbers.add(path)
        yield path, leaf if isinstance(leaf, Encoded | AsIntegers) else _to_array(leaf, path, place)


def _are_numbers(values: Iterable[RawValue]) -> bool:
    """Whether rows are numbers of Python's own, or lists of these."""
    kinds = set(map(type, values))
    if kinds <= {list, tuple}:
        kinds = {kind for value in values for kind in map(type, value)}
    return bool(kinds) and kinds <= {int, float}


def _leaves(raw: RawBatch, where: str, lists: Lists) -> Iterator[tuple[str, str, RawValue]]:
    """The leaves of a batch as they are, as (structural name, place for errors, leaf).

    The second part of a pair is called the label in errors.
    """
    first = raw[0] if "" in lists.rows and is_list(raw) and raw else raw
    is_pair, label = is_list(first) and len(first) == 2, f"{where}, label"
    for path, value, form in walk(raw, closed=lists.rows):
        place = label if is_pair and (path == "1" or path.startswith("1/")) else where
        if path in lists.rows and (form is Form.LIST or form is Form.VALUES):
            for name, leaf in split_rows(value, path, place, lists.sequences):
                yield name, label if is_pair and name == "1" else place, leaf
        elif form is Form.ARRAY or form is Form.VALUES:
            yield path, place, value
        else:
            _check_structure(value, form, path, place)


def _check_structure(value: RawValue, form: Form, path: str, where: str) -> None:
    """Raises unless a value has parts that may be features."""
    has_parts = form is Form.RECORD or (form is Form.LIST and len(value) > 0)
    if has_parts and is_too_deep(path):
        raise LoaderError(f"{where}: the batch is nested more than {DEPTH} deep at {path[:80]!r}; flatten it in collate_fn")
    if form is Form.RECORD:
        check_parts(value, path, where)
    if has_parts:
        return
    name, kind = f"{where}: {shown(path)}", type(value).__name__
    if form is Form.LIST:
        raise SchemaError(f"{name} is an empty {kind}, which has no rows; give it one an example, or leave it out")
    if form is Form.NONE:
        raise LoaderError(f"{name} is None; give every example a value, or leave the feature out of collate_fn")
    if form is Form.VALUE:
        raise LoaderError(
            f"{name} is a single {kind} with no batch axis; give the DataLoader a batch_size, or make collate_fn return a list "
            "or a tensor"
        )
    raise LoaderError(
        f"{name} is a {kind}; a batch must be built of tensors, NumPy arrays, lists of str, bytes or numbers, in tuples, "
        "lists, dicts or dataclasses: convert it in collate_fn"
    )


def _to_array(leaf: RawValue, path: str, where: str) -> Array | Rows:
    """A leaf as a column with a batch axis."""
    if is_tensor(leaf):
        if leaf.is_nested:
            return _stack_rows(leaf.unbind(), path, where)
        return _with_rows(tensor_to_numpy(leaf, path, where), path, where)
    if isinstance(leaf, RowValues):
        return _stack_rows(leaf.values, path, where)
    if isinstance(leaf, np.ndarray):
        return _with_rows(check_array(leaf, path, where), path, where)
    return list_to_numpy(leaf, path, where)


def _stack_rows(values: Iterable[RawValue], path: str, where: str) -> Array | Rows:
    """Rows, each a tensor, an array, a value, a list of values or None, as one column."""
    rows = list(values)
    if are_scalars(rows):
        return list_to_numpy(rows, path, where)
    joined = _join(rows, path, where)
    if joined is not None:
        return joined
    rows = [list(row.unbind()) if is_tensor(row) and row.is_nested else row for row in rows]
    arrays: list[Array | None] = []
    for row, form in zip(rows, map(form_of, rows), strict=True):
        if form is Form.RECORD or (form is Form.LIST and row) or (form is Form.VALUES and not are_scalars(row)):
            return Rows(tuple(_object(row, path, where) for row in rows), np.dtype(object))
        arrays.append(_row_to_array(row, form, path, where))
    return stack(arrays, path or "the batch", where)


def _row_to_array(row: RawValue, form: Form, path: str, where: str) -> Array | None:
    """One row of a column as an array; None if there is none."""
    if form is Form.NONE:
        return None
    if form is Form.LIST:
        return EMPTY
    if form is Form.ARRAY:
        return tensor_to_numpy(row, path, where) if is_tensor(row) else check_array(row, path, where)
    if form is Form.VALUE:
        return list_to_numpy([row], path, where).reshape(())
    if form is Form.VALUES:
        return list_to_numpy(row, path, where)
    if form is Form.PICTURE:
        return picture_to_numpy(row, path, where)
    return _object(row, path, where)  # what only a feature that is declared for it can take, a file say


def _join(rows: list[RawValue], path: str, where: str) -> Array | Rows | None:
    """Joins rows by one call for all of them, if they are ordinary tensors, or arrays of numbers, that differ along their first
    axis at most; None if they are anything else."""
    torch, types = torch_module(), set(map(type, rows))
    if types == {torch.Tensor}:
        kinds = set(map(_TENSOR_KIND, rows))
        dtype, ndim, *state = kinds.pop()
        is_plain = dtype in plain_dtypes() and state[1:] == [torch.strided, False]
    elif types == {np.ndarray}:
        kinds = set(map(_ARRAY_KIND, rows))
        dtype, ndim = kinds.pop()
        is_plain = dtype.kind in "biufc"
    else:
        return None
    if kinds or not is_plain or (ndim > 1 and len({row.shape[1:] for row in rows}) > 1):
        return None
    if types == {np.ndarray}:
        items = check_array(_concatenate(np.concatenate, rows) if ndim else np.stack(rows), path, where)
    else:
        with torch.no_grad():  # no gradient of it is asked
            items = tensor_to_numpy(_concatenate(torch.cat, rows) if ndim else torch.stack(rows), path, where)
    if not ndim:
        return items
    lengths = list(map(len, rows)) if types == {np.ndarray} else [row.shape[0] for row in rows]
    if len(set(lengths)) == 1:
        return items.reshape(len(rows), lengths[0], *items.shape[1:])
    return Rows.of_items(items, lengths)


def _concatenate(join: Callable[[list[RawValue]], RawValue], rows: list[RawValue]) -> RawValue:
    """Rows end to end; a single row, which may be large, is not copied."""
    return rows[0] if len(rows) == 1 else join(rows)


def _object(row: RawValue, path: str, where: str) -> Array | None:
    """A row of nested lists as it is, for an encoder of TFDS's to take: an object array of shape ()."""
    if row is None:
        return None
    out = np.empty((), object)
    out[()] = _to_plain(row, path, where)
    return out


def _to_plain(value: RawValue, path: str, where: str) -> RawValue:
    """A value made of nothing but Python's own lists and dicts, arrays of a dtype that can be stored, and single values."""
    form = form_of(value)
    if form is Form.RECORD:
        parts = items_of(value) if isinstance(value, Mapping) else parts_of(value)
        return {key: _to_plain(part, f"{path}/{key}", where) for key, part in parts}
    if form in (Form.LIST, Form.VALUES):
        return [_to_plain(item, path, where) for item in value]
    if form is Form.PICTURE:
        return picture_to_numpy(value, path, where)
    if is_tensor(value):
        return tensor_to_numpy(value, path, where)
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, str | bytes):
        array = check_array(np.asanyarray(value), path, where)
        return array if isinstance(value, np.ndarray) else value
    return value


def _with_rows(array: Array, path: str, where: str) -> Array:
    if array.ndim == 0:
        raise LoaderError(f"{where}: {shown(path)} has no batch axis (shape ()); give the DataLoader a batch_size")
    return array
