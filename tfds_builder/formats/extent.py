"""How far the columns of a shard reach, and that none lies over another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tfds_builder.contract.columns import Column
from tfds_builder.contract.untrusted import show
from tfds_builder.errors import ManifestError


class Extent(NamedTuple):
    """Bytes `start` to `stop` of a file (or of a record), and what lies there, in words."""

    start: int
    stop: int
    name: str


def last_end(extents: Sequence[Extent], where: str) -> tuple[int, str]:
    """Where the last of some extents ends, and what lies there. Raises ManifestError if two lie over each other."""
    last, name = 0, "nothing"
    for start, end, column in sorted(extents):
        if start < last and start < end:
            raise ManifestError(f"{where}: {column} and {name} overlap")
        if end > last or name == "nothing":
            last, name = end, column
    return last, name


def name_of(column: Column) -> str:
    """What an error calls a column."""
    return f"column {show(column.name)}"
