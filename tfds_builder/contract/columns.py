"""The stored columns, and the byte table that says where in a shard they lie. Standard library only.

Each can be read from JSON nobody vouches for (`from_json` checks the type and the range of every value)
and written back. Whether parts agree with each other is the business of `consistency.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from tfds_builder.aliases import Json, JsonObject
from tfds_builder.contract.untrusted import (
    expect,
    expect_field,
    expect_natural,
    expect_naturals,
    show,
)
from tfds_builder.errors import ManifestError

RAW, VARINT, STRINGS = "raw", "varint", "strings"
"""Encodings of a column. RAW: little-endian values in C order. VARINT: each value a protobuf
varint padded to `width / values` bytes. STRINGS: byte strings of any length, found by an index."""

DTYPE_BYTES: Mapping[str, int] = {
    "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4, "int32": 4,
    "uint64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
    "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Every fixed-size dtype that can be stored, with its size in bytes."""

STRING_DTYPE = "string"

_MAX_AXES = 63
"""NumPy has at most 64, and the rows are one."""
_MAX_ROW_VALUES = 2**48
"""More than any file holds; products of sizes up to here do not overflow NumPy's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One stored column: the flat name of a feature, and how a row of it is encoded.

    Attributes:
      name: flat name of what TFDS stores, nested ones joined by `/` (`"target/boxes"`).
      dtype: a key of `DTYPE_BYTES`, or `"string"`.
      shape: shape of one row, channels-last, without the batch axis. The first size is None where rows
        differ in length: a row is then any number of items of the rest of the shape.
      encoding: `RAW`, `VARINT` or `STRINGS`.
      width: bytes one row (one item, where rows differ in length) takes; 0 for `STRINGS`, which differ.
      source_dtype: dtype the DataLoader gave, for the way back.
      source_layout: layout the DataLoader gave (`"NCHW"`), or `""` where it was not permuted.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    encoding: str
    width: int
    source_dtype: str = ""
    source_layout: str = ""

    def __post_init__(self) -> None:
        where = f"column {self.name!r:.200}"
        if None in self.shape[1:]:
            raise ManifestError(f"{where}: only the first size can be unknown (got shape {show(self.shape)})")
        if len(self.shape) > _MAX_AXES or math.prod(max(1, size) for size in self.item_shape) > _MAX_ROW_VALUES:
            raise ManifestError(
                f"{where}: a row must have at most {_MAX_AXES} axes and {_MAX_ROW_VALUES} values (got shape {show(self.shape)})"
            )
        if not self.name or any(not part for part in self.name.split("/")):
            raise ManifestError(f"a column's name must not have empty parts (got {show(self.name)})")
        if self.encoding == STRINGS:
            expected, allowed = 0, self.dtype == STRING_DTYPE
        elif self.encoding == RAW:
            expected = self.values * DTYPE_BYTES.get(self.dtype, 0)
            allowed = self.dtype in DTYPE_BYTES
        elif self.encoding == VARINT:
            expected = self.width if self.values else 0
            allowed = self.dtype in DTYPE_BYTES and (
                self.values == 0 or (self.width % self.values == 0 and 1 <= self.width // self.values <= 10)
            )
        else:
            raise ManifestError(f"{where}: encoding must be one of raw, varint, strings (got {show(self.encoding)})")
        if not allowed or self.width != expected:
            raise ManifestError(
                f"{where}: {self.encoding} of dtype {show(self.dtype)} and shape {show(self.shape)} "
                f"cannot be {self.width} bytes wide"
            )
        if self.is_ragged and not self.values:
            raise ManifestError(f"{where}: items of no values cannot be counted (got shape {show(self.shape)})")

    @property
    def is_ragged(self) -> bool:
        """Whether a row is any number of items."""
        return bool(self.shape) and self.shape[0] is None

    @property
    def is_variable(self) -> bool:
        """Whether rows take different numbers of bytes, so that an index says where they are."""
        return self.is_ragged or self.encoding == STRINGS

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of an item; of a row, where all rows have one shape."""
        return tuple(size for size in self.shape if size is not None)

    @property
    def values(self) -> int:
        """Number of values in one item (in one row, where all rows have one shape)."""
        return math.prod(self.item_shape)

    @property
    def index_slots(self) -> int:
        """(start, length) pairs that the index of a TFRecord shard has for a row: one a string, or one for all items."""
        return 1 if self.is_ragged else self.values if self.encoding == STRINGS else 0

    def to_json(self) -> JsonObject:
        return {**dataclasses.asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_json(cls, content: Json, where: str = "column") -> Column:
        content = expect(content, dict, where)
        text = {
            key: expect(expect_field(content, key, where), str, f"{where} {key}")
            for key in ("name", "dtype", "encoding", "source_dtype", "source_layout")
        }
        shape = expect(expect_field(content, "shape", where), list, f"{where} shape")
        first: tuple[int | None, ...] = (None,) if shape[:1] == [None] else ()
        return cls(
            shape=first + expect_naturals(shape[len(first) :], f"{where} shape"),
            width=expect_natural(expect_field(content, "width", where), f"{where} width"),
            **text,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the columns of a shard lie: the byte table. Shards that agree share one.

    For column `i`, row `r` starts at `offsets[i] + r * strides[i]` from the start of the file.
    For a variable column of an HDF5 shard, `offsets[i]` is where its `values` start and `row_splits[i]` where its
    int64 `row_splits` do: the bounds of its strings, or of the items of its rows; `string_splits[i]` where those of its
    strings do, if a row is any number of them. A TFRecord shard with a variable column has records of different
    lengths: `strides` are 0, `offsets` count from the record's start, and an index file says
    where each record and each string, or run of items, is.
    """

    offsets: tuple[int, ...]
    strides: tuple[int, ...]
    row_splits: tuple[int, ...]
    string_splits: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.string_splits:
            object.__setattr__(self, "string_splits", (0,) * len(self.offsets))

    def to_json(self) -> JsonObject:
        content = {field.name: list(getattr(self, field.name)) for field in dataclasses.fields(self)}
        if not any(self.string_splits):
            del content["string_splits"]
        return content

    @classmethod
    def from_json(cls, content: Json, columns: int, where: str) -> Geometry:
        content = expect(content, dict, where)
        parts = {
            field.name: expect_naturals(expect_field(content, field.name, where), f"{where} {field.name}")
            for field in dataclasses.fields(cls)
            if field.name != "string_splits" or field.name in content
        }
        if any(len(part) != columns for part in parts.values()):
            raise ManifestError(f"{where} must have one entry for each of the {columns} columns")
        return cls(**parts)
