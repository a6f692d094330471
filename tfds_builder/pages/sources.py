"""The features of a published version as arrays of many rows at once: from the stored column where it holds the values
themselves, else decoded example by example as data sources decode them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfds_builder.aliases import Array, StoredValue
from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.contract.decode import to_numpy_dtype
from tfds_builder.contract.manifest import STRINGS, Column, Manifest
from tfds_builder.contract.ragged import Ragged
from tfds_builder.features.feature_json import features_of
from tfds_builder.features.kinds import Kind, kind_of
from tfds_builder.features.specs import flatten_features
from tfds_builder.readers.data_source import Value
from tfds_builder.table.single_rows import values_of
from tfds_builder.table.table import Table

Rows = slice | Array

_MAX_CHANNELS = 1024


@dataclasses.dataclass(frozen=True)
class Source:
    """One feature, and where its values come from.

    Attributes:
      loaded: its name, shape and dtype as `tfds.load` gives it.
      kind: of its values: of the items, if it is a sequence.
      value: how the feature of the dataset that it is, or lies in, is decoded.
      path: the keys from that feature on down to it.
      column: the stored column that holds its values; None if they must be decoded.
      counted: the variable column that tells how long its rows are; None if all are of one length, or that is not stored.
    """

    loaded: Loaded
    kind: Kind
    value: Value
    path: tuple[str, ...]
    column: Column | None
    counted: Column | None

    @property
    def names(self) -> list[str]:
        """The columns that are read of it."""
        return [self.column.name] if self.column is not None else list(self.value.specs)

    @property
    def word(self) -> str:
        """What kind it is, in a word."""
        flags = {
            "label": self.kind.is_label, "image": self.kind.is_image, "text": self.kind.is_text, "box": self.kind.is_box,
            "sound": self.kind.is_sound,
        }  # fmt: skip
        if kind_of(self.value.feature).is_video:
            return "video"
        found = next((word for word, is_one in flags.items() if is_one), "")
        if found:
            return found
        if not self.kind.is_tensor:
            return "other"
        return "text" if self.is_text else "array" if self.loaded.shape else "number"

    @property
    def is_text(self) -> bool:
        return self.loaded.dtype in ("string", "object", "str")

    @property
    def dtype(self) -> Any:
        """NumPy's dtype of its numbers; None of strings."""
        if self.column is not None and self.column.encoding != STRINGS:
            return np.dtype(to_numpy_dtype(self.column.dtype))
        return None if self.is_text else np.dtype(to_numpy_dtype(self.loaded.dtype))

    @property
    def channels(self) -> int:
        """How many channels its values have, along the last axis; 1 where there is none, or where it is too long."""
        return int(self.loaded.shape[-1] or 1) if self.has_channels else 1

    @property
    def has_channels(self) -> bool:
        size = self.loaded.shape[-1] if self.loaded.shape else None
        return size is not None and 0 < size <= _MAX_CHANNELS

    @property
    def is_optional(self) -> bool:
        return bool(self.value.presence)

    def arrays(self, columns: dict[str, StoredValue]) -> Iterator[Array | None]:
        """The values of some rows: one array of all of them, or an array an example (None where there is no value).

        Args:
          columns: of those rows, as `Table.read` gives them.
        """
        if self.column is not None:
            found = columns[self.column.name]
            yield found.values if isinstance(found, Ragged) else found
            return
        stored = [values_of(columns[name], self.value.is_item) for name in self.names]
        for example in zip(*stored, strict=True):
            yield from _pieces(self.value.decode(list(example)), self.path)


def _pieces(value: object, path: Sequence[str]) -> Iterator[Array | None]:
    """The arrays in a decoded value: of lists and data sources, those of the items; of dicts, what is under the next key."""
    if value is None:
        yield None
    elif isinstance(value, dict) and path:
        yield from _pieces(value[path[0]], path[1:])
    elif isinstance(value, bytes | str):
        array = np.empty(1, object)
        array[0] = value if isinstance(value, bytes) else value.encode()
        yield array
    elif isinstance(value, Sequence):  # a list, or the data source that TFDS makes of a Dataset
        for item in value:
            yield from _pieces(item, path)
    else:
        yield np.asarray(value)


def sources_of(manifest: Manifest) -> list[Source]:
    """The features of a version, in the order of their columns.

    Raises:
      ManifestError: TFDS cannot make sense of them, or they are of a class nobody has imported.
    """
    leaves = dict(flatten_features(features_of(manifest)))
    columns = {column.name: column for column in manifest.columns}
    loose = columns.keys() - leaves.keys()
    found = []
    for loaded in describe(manifest):
        leaf = next((name for name in leaves if loaded.name == name or loaded.name.startswith(f"{name}/")), None)
        if leaf is not None:
            value = Value.of(leaf, leaves[leaf], loose)
            path = tuple(loaded.name[len(leaf) + 1 :].split("/")) if loaded.name != leaf else ()
            found.append(_source(loaded, value, path, columns))
    return found


def _source(loaded: Loaded, value: Value, path: tuple[str, ...], columns: dict[str, Column]) -> Source:
    kind, depth = value.kind.innermost()
    for key in path:
        part = kind.parts[key] if kind.parts is not None and key in kind.parts else None
        if part is None:
            return Source(loaded, kind, value, path, None, None)
        kind, more = kind_of(part).innermost()
        depth += more
    column = columns.get(loaded.name) or columns.get(f"{loaded.name}/ragged_flat_values")
    lengths = columns.get(f"{loaded.name}/ragged_row_lengths_0") or column
    is_stored = value.is_direct or (depth > 0 and kind.is_direct_item)
    holds = column if is_stored and not value.presence else None
    counted = lengths if lengths is not None and lengths.is_variable else None
    return Source(loaded, kind, value, path, holds, counted)


def stored_lengths(table: Table, column: Column, start: int, stop: int) -> Array:
    """How long rows of a variable column are, without reading them: items, or bytes of strings (of all in a row together).

    Args:
      table: the table.
      column: its column.
      start, stop: which rows.
    """
    number, out, done = table.number(column.name), [], 0
    for segment in table.segments:
        first, last = max(start - done, 0), min(stop - done, segment.stop - segment.start)
        done += segment.stop - segment.start
        if first >= last:
            continue
        rows = slice(segment.start + first, segment.start + last)
        if column.encoding != STRINGS:
            out.append(table.stored.item_runs(segment.shard, number, rows)[1] // column.width)
        elif column.is_ragged:
            lists = table.stored.string_lists(segment.shard, number, rows)
            out.append(np.array([len(strings) // column.values for strings in lists], np.int64))
        else:
            out.append(table.stored.strings(segment.shard, number, rows)[1].ravel())
    return np.concatenate(out) if out else np.empty(0, np.int64)
