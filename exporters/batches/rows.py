"""Batches given row by row: lists of tensors of different shapes, `collate_fn=lambda b: tuple(zip(*b))`, lists of dicts.

    ([image, image], [{"boxes": b, "labels": l}, {"boxes": b, "labels": l}])
        ->  "0": RowValues([image, image]), "1/boxes": RowValues([b, b]), "1/labels": RowValues([l, l])

A list may also be a structure, one part a feature. `find_row_lists` tells which it is, once, from the first batch.
Nothing here knows torch: a tensor is what has a shape and a dtype.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from exporters.errors import LoaderError, SchemaError
from exporters.tensors.arrays import Array, are_scalars, is_scalar, number_kind

EMPTY: Array = np.empty(0)
"""A row that is an empty list, which says nothing of its dtype; known by being this very array."""
DEPTH = 20
"""Deepest nesting of a batch; protobuf, which carries the features, stops at 100 messages."""
PROBES = (5, 7)
"""Rows of the two batches that `find_growing` compares; a structure rarely has as many parts."""


@dataclasses.dataclass(frozen=True)
class Lists:
    """What the lists of a batch are, by structural name: told from the first batch, it holds for all.

    Attributes:
      rows: those that have an item a row; `""` is the batch itself.
      sequences: within a row, those that are as long as they like; the others are structures, a feature each part.
    """

    rows: frozenset[str] = frozenset()
    sequences: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class RowValues:
    """A leaf of a batch that is given row by row: a tensor, an array, a value, a list of values or None each."""

    values: list[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """A column whose rows have different shapes, or are not all there.

    Attributes:
      arrays: one a row; None where a row has no value.
      dtype: of all of them.
      items: the rows end to end along their first axis, where they are at hand and differ in nothing else.
    """

    arrays: tuple[Array | None, ...]
    dtype: np.dtype[Any]
    items: Array | None = None

    @classmethod
    def of_items(cls, items: Array, lengths: Sequence[int]) -> Rows:
        """Rows that lie end to end, by the length of each along the first axis."""
        bounds = itertools.accumulate(lengths, initial=0)
        return cls(tuple([items[start:stop] for start, stop in itertools.pairwise(bounds)]), items.dtype, items)

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def is_unknown(self) -> bool:
        """Whether the rows tell nothing of their dtype: empty lists, or None."""
        return all(array is None or array is EMPTY for array in self.arrays)

    @property
    def first_missing(self) -> int | None:
        """The first row that is None; None if there is none."""
        return next((number for number, array in enumerate(self.arrays) if array is None), None)

    @property
    def ndim(self) -> int:
        """Axes, the batch axis included."""
        return len(self.shape)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The batch axis, then the shape of a row, None where rows differ."""
        shapes = {array.shape for array in self.arrays if array is not None}
        axes = zip(*shapes, strict=True)
        return (len(self), *(sizes[0] if len(set(sizes)) == 1 else None for sizes in axes))


def iterate_rows(column: Array | Rows) -> Iterator[Any]:
    """The rows of a column."""
    return iter(column.arrays if isinstance(column, Rows) else column)


def stack(values: Sequence[Array | None], name: str, where: str) -> Array | Rows:
    """Rows as one array if all have one shape, else as `Rows`.

    Raises:
      SchemaError: they differ in dtype or in the number of axes.
    """
    there = [value for value in values if value is not None]
    known = [value for value in there if value is not EMPTY]
    kinds = {(value.dtype, value.ndim) for value in known}
    if len(kinds) > 1 or (len(known) < len(there) and any(not ndim for _, ndim in kinds)):
        shown = " and ".join(sorted(f"{dtype} with {ndim} axes" for dtype, ndim in kinds))
        shown += " and empty lists" if len(kinds) == 1 else ""
        raise SchemaError(f"{where}: the rows of {name!r} mix {shown}; convert them in collate_fn so that all are alike")
    if kinds:
        dtype, ndim = kinds.pop()
        items = {value.shape[1:] for value in known}
        empty = np.empty((0, *(items.pop() if len(items) == 1 else (0,) * (ndim - 1))), dtype)
        values = [empty if value is EMPTY else value for value in values]
        there = [value for value in values if value is not None]
    elif there:
        return Rows(tuple(values), EMPTY.dtype)
    if len(there) == len(values) and len({value.shape for value in there}) == 1:
        return np.stack(there)
    return Rows(tuple(values), there[0].dtype if there else np.dtype(np.float64))


def has_lists(raw: Any, rows: int | None) -> bool:
    """Whether a batch has a list that could have an item a row: of so many items at most, of any number if that is not known.

    There may be fewer rows than the loader says: `collate_fn` may have left some out.
    """
    return any(
        0 < len(value) <= (rows or len(value)) and not are_scalars(value) and (_are_alike(value) or _are_mappings(value))
        for _, value in _find_lists(raw)
    )


def list_names(raw: Any) -> frozenset[str]:
    """Structural names of the lists of a batch."""
    return frozenset(path for path, _ in _find_lists(raw))


def _find_lists(value: Any, path: str = "") -> Iterator[tuple[str, Sequence[Any]]]:
    if (
        path.count("/") > DEPTH
        or _is_array(value)
        or (not isinstance(value, Mapping | list | tuple) and not dataclasses.is_dataclass(value))
    ):
        return
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        yield path, value
    for name, item in _parts(value):
        yield from _find_lists(item, f"{path}/{name}" if path else name)


def guess_examples(raw: Any) -> Iterator[Callable[[], Any]]:
    """What the first example of a batch may have been, by what made the batch: `zip` or a stack of each part, or `list`."""
    if isinstance(raw, Mapping):
        yield lambda: {key: part[0] for key, part in items_of(raw)}
    elif isinstance(raw, list | tuple):
        yield lambda: tuple([part[0] for part in raw])
        yield lambda: raw[0]


def find_growing(few: Any, many: Any) -> frozenset[str] | None:
    """Structural names of the lists that have as many items as their batches have rows; None if nothing has.

    Args:
      few, many: what a `collate_fn` makes of one example, `PROBES` times.
    """
    found = dict(_find_growing(few, many, ""))
    return frozenset(path for path, is_list in found.items() if is_list) if found else None


def _find_growing(few: Any, many: Any, path: str) -> Iterator[tuple[str, bool]]:
    """What has as many rows as its batch, by structural name, and whether it is a list."""
    if _is_array(few) and _is_array(many):
        if few.shape and few.shape[0] and few.shape[0] * PROBES[1] == many.shape[0] * PROBES[0]:
            yield path, False
    elif isinstance(few, list | tuple) and isinstance(many, list | tuple) and (len(few), len(many)) == PROBES:
        yield path, True
    elif isinstance(few, Mapping | list | tuple) or dataclasses.is_dataclass(few):
        for (name, one), (_, other) in zip(_parts(few), _parts(many), strict=False):
            yield from _find_growing(one, other, f"{path}/{name}" if path else name)


def find_row_lists(raw: Any, rows: int | None) -> frozenset[str]:
    """Structural names of the lists of a first batch that are lists of rows; `""` is the batch itself.

    A list is one if it has an item for each row, all items are alike, and they cannot be features: as features they
    would all have that many rows. A list of mappings is one in any case, unless it has fewer items than rows and its parts
    have all of them, even if a key is missing in some (`split_rows` says in which). A tuple of arrays is one, or a list of
    arrays of different shapes, within a batch: three images of three channels are no three features.

    Args:
      raw: the first batch.
      rows: how many rows it should have, None if the loader does not say: then items must differ in shape.
    """
    return frozenset(_find(raw, "", rows))


def _find(value: Any, path: str, rows: int | None) -> Iterator[str]:
    if _is_array(value) or (not isinstance(value, Mapping | list | tuple) and not dataclasses.is_dataclass(value)):
        return
    if _is_row_list(value, path, rows):
        yield path
        return
    for name, item in _parts(value):
        yield from _find(item, f"{path}/{name}" if path else name, rows)


def _is_row_list(value: Any, path: str, rows: int | None) -> bool:
    if not isinstance(value, list | tuple) or hasattr(value, "_fields") or not value:
        return False
    items = [item for item in value if item is not None]
    if _are_mappings(items) and not _are_alike(items):
        sizes = {size for item in items for size in leading_sizes(item)}
        return rows in (None, len(value)) and (None in sizes or len(sizes) > 1 or (rows is not None and sizes != {rows}))
    if isinstance(value, list) and _are_mappings(items):
        return rows in (None, len(value)) or {size for item in items for size in leading_sizes(item)} != {rows}
    if rows is not None and len(value) != rows:
        return False
    if not items or any(map(is_scalar, items)):
        return bool(items) and len(items) < len(value) and are_scalars(items)  # values, some of them None
    if not _are_alike(items) or (isinstance(value, tuple) and not path and isinstance(items[0], list | tuple)):
        return False  # a tuple of lists is what `zip(*rows)` makes: a feature each
    sizes = {size for item in items for size in leading_sizes(item)}
    if rows is not None:
        differ = isinstance(value, tuple) or len({tuple(item.shape) for item in items if _is_array(item)}) > 1
        return sizes != {rows} or isinstance(items[0], Mapping) or (bool(path) and _is_array(items[0]) and differ)
    return len(sizes) > 1 or None in sizes or (_is_array(items[0]) and len({tuple(item.shape) for item in items}) > 1)


def _are_mappings(items: Sequence[Any]) -> bool:
    """Whether the items of a list are mappings, with whatever keys; some of them may be None."""
    there = [item for item in items if item is not None]
    return bool(there) and all(isinstance(item, Mapping) for item in there)


def _are_alike(items: Sequence[Any], depth: int = 0) -> bool:
    """Whether the items of a list have what rows have in common: dtype and axes of arrays, keys, and in structures the kind
    of each part."""
    items = [item for item in items if item is not None]
    if not items or depth > DEPTH:
        return True
    if not all(isinstance(item, list | tuple) and not hasattr(item, "_fields") for item in items):
        return len({_kind(item, bool(depth)) for item in items}) < 2
    if len({len(item) for item in items}) == 1:
        return all(_are_alike(parts, depth + 1) for parts in zip(*items, strict=True))
    return _are_alike([part for item in items for part in item], depth + 1)


def _kind(item: Any, deep: bool) -> Any:
    if _is_array(item):
        return "array" if deep else (str(item.dtype), len(item.shape))
    if isinstance(item, Mapping):
        return "dict" if deep else frozenset(key for key, _ in items_of(item))
    return "number" if isinstance(item, numbers.Number) else type(item)


def leading_sizes(item: Any) -> Iterator[int | None]:
    """The rows that every part of an item would have if the item was a feature, or a batch; None if it could not be one."""
    return (shape[0] if shape else None for _, shape in leaves_with_shapes(item))


def leaves_with_shapes(item: Any, path: str = "") -> Iterator[tuple[str, tuple[int, ...]]]:
    """Structural name and shape of every part of an item; `()` of what is neither an array nor a list of values."""
    if _is_array(item):
        yield path, tuple(map(int, item.shape))
    elif isinstance(item, list | tuple) and are_scalars(item):
        yield path, (len(item),)
    elif isinstance(item, Mapping | list | tuple) or dataclasses.is_dataclass(item):
        for name, part in _parts(item):
            yield from leaves_with_shapes(part, f"{path}/{name}" if path else name)
    else:
        yield path, ()


def items_of(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Keys and values of a mapping, which need have nothing but those: tensordict's iterates over its rows, and has no truth
    value."""
    return [(key, value[key]) for key in value.keys()]  # noqa: SIM118


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in items_of(value)]
    if isinstance(value, list | tuple):
        return list(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]


def find_sequences(raw: Any, rows: frozenset[str], where: str, path: str = "") -> Iterator[str]:
    """Structural names of the sequences in a first batch whose lists of rows are known (see `Lists`).

    Raises:
      LoaderError: as `split_rows`.
    """
    if path in rows:
        for name, leaf in split_rows(raw, path, where, None):
            if any(isinstance(value, list | tuple | Mapping) for value in leaf.values):
                yield name
    elif not _is_array(raw) and (isinstance(raw, Mapping | list | tuple) or dataclasses.is_dataclass(raw)):
        for name, item in _parts(raw):
            yield from find_sequences(item, rows, where, f"{path}/{name}" if path else name)


def top_names(values: Sequence[Any], sequences: frozenset[str]) -> list[str]:
    """Structural names of the parts of rows that are known by position only; `[""]` if a row has no parts."""
    sources = [name for name, _ in split_rows(values, "", "", sequences)]
    if sources == [""]:
        return [""]
    first = next(value for value in values if value is not None)
    is_plain = isinstance(first, list | tuple) and not hasattr(first, "_fields")
    return [str(number) for number in range(len(first))] if is_plain else []


def _is_array(value: Any) -> bool:
    """Whether a value is an array or a tensor; a structure may have a shape and a dtype too, that of its parts."""
    if isinstance(value, Mapping) or dataclasses.is_dataclass(value):
        return False
    return hasattr(value, "dtype") and not getattr(value, "is_nested", False) and hasattr(value, "shape")


def split_rows(values: Sequence[Any], path: str, where: str, sequences: frozenset[str] | None) -> Iterator[tuple[str, RowValues]]:
    """A list of rows as its leaves, each of them row by row, by structural name.

    Args:
      values, path: the rows, and their structural name.
      where: split and batch, for errors.
      sequences: what is known to be one (see `Lists`); None if these rows are to tell.

    Raises:
      LoaderError: rows have different parts.
    """
    first = next((value for value in values if value is not None), None)
    if not _has_parts(first, values, sequences is not None) or (sequences is not None and path in sequences):
        yield path, RowValues(list(values))
        return
    for key, _ in items_of(first) if isinstance(first, Mapping) else ():
        if not isinstance(key, str) or "/" in key:
            raise LoaderError(
                f"{where}: {path or 'the batch'!r} has the key {key!r}; keys must be str without '/', they become feature names: "
                "rename it in collate_fn"
            )
    rows = [dict(_parts(value)) if value is not None else {} for value in values]
    names = list(rows[0])
    if sequences is None and path and any(set(row) != set(names) for row in rows):
        yield path, RowValues(list(values))  # only a feature that is declared for it takes that
        return
    for number, row in enumerate(rows):
        if set(row) != set(names):
            raise LoaderError(
                f"{where}: row {number} of {path or 'the batch'!r} has the parts {sorted(row)}, row 0 has the parts "
                f"{sorted(names)}; give every row the same{_same_parts(rows) if _are_mappings(values) and not path else ''}"
            )
    for name in names:
        yield from split_rows([row[name] for row in rows], f"{path}/{name}" if path else name, where, sequences)


def _same_parts(rows: Sequence[Mapping[str, Any]]) -> str:
    """The lines that give all rows of a batch the same parts, in the words of `collate_fn`."""
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    fill = "".join(f"{json.dumps(key)}: ..., " for key in dict.fromkeys(key for row in rows for key in row if key not in shared))
    kept = f"[{{key: row[key] for key in {json.dumps(shared)}}} for row in rows]"
    return f": collate_fn=lambda rows: [{{{fill}**row}} for row in rows], or, without what is missing, lambda rows: {kept}"


def _has_parts(first: Any, values: Sequence[Any], is_known: bool) -> bool:
    """Whether rows are structures, a feature each part; of lists and tuples that is asked of those that are no known sequence.

    Mappings, dataclasses and namedtuples are. A tuple is, and a list of arrays, where all rows have one length; a tuple of
    values only where they are of different kinds, as `(1, 0.5)`: `(0.5, 1.5)` is one array of two.
    """
    if _is_array(first):
        return False
    if isinstance(first, Mapping) or dataclasses.is_dataclass(first) or hasattr(first, "_fields"):
        return True
    if not isinstance(first, tuple) and not (isinstance(first, list) and _is_array(first[0] if first else 0)):
        return False
    if is_known:
        return bool(first)
    rows = [value for value in values if isinstance(value, list | tuple)]
    if not first or len({len(row) for row in rows}) > 1:
        return False
    if not are_scalars(first):
        return True
    kinds = [frozenset(map(_kind_of_value, column)) for column in zip(*rows, strict=True)]
    return isinstance(first, tuple) and len(set(kinds)) > 1


def _kind_of_value(value: Any) -> str:
    """What a single value is, as far as one array holds it beside others."""
    if isinstance(value, str | bytes):
        return "str" if isinstance(value, str) else "bytes"
    return number_kind(value) if is_scalar(value) else type(value).__name__
