"""The interface of a format: turn the columns of a shard into the bytes of its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from exporters.formats.hands import Hands
from exporters.tensors.arrays import Columns
from tfds_builder.aliases import Buffer, JsonMapping
from tfds_builder.contract.manifest import Column, Geometry
from tfds_builder.formats.base import StoredFormat


class Sink(Protocol):
    """Where bytes go, in order: an open file, or anything that takes them."""

    def take_back(self) -> memoryview:
        """Everything written so far (valid as long as it is held); the file begins anew, empty."""

    def write(self, buffer: Buffer, release: Callable[[], None] | None = None) -> None:
        """Takes over `buffer` (contiguous bytes), to be written now or later; `release()` is called
        once it is written and may be filled again."""


@dataclasses.dataclass(frozen=True)
class ShardContext:
    """What a format may write into a shard to make it readable on its own.

    Attributes:
      columns: what is stored, in the manifest's order.
      lists: which list of a `tf.train.Feature` TFDS expects each column in: `"bytes_list"`,
        `"float_list"` or `"int64_list"`, by flat name.
      expected_rows: rows the shard will have if the loader keeps its word; None if it gave none.
      attributes: facts about the whole shard (dataset, version, split).
      column_attributes: facts about each column (feature, layout, class names).
    """

    columns: Sequence[Column]
    lists: Mapping[str, str]
    attributes: JsonMapping
    column_attributes: Mapping[str, JsonMapping]
    expected_rows: int | None = None


class ShardWriter(Protocol):
    """Writes one shard. Nothing it is given is kept: the loader may reuse its memory."""

    def append(self, columns: Columns) -> None:
        """Adds the rows of a batch: stored columns by flat name, each (rows, *shape), or `Ragged`."""

    def finish(self) -> Geometry:
        """Hands the last bytes to the sink and says where the columns lie."""


class Format(Protocol):
    """A format: how stored columns are encoded, and the writer of a shard.

    Attributes:
      stored: what its files are, which readers know too: their names, whether there is an index.
    """

    stored: StoredFormat

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """The columns as this format stores them (encoding and width may differ).

        Raises:
          SchemaError: it cannot store one of them.
        """

    def open(self, data: Sink, index: Sink | None, context: ShardContext, hands: Hands) -> ShardWriter:
        """A writer of one shard; `index` is given where `stored.needs_index` says so, and `hands` may help with its bytes."""
