"""What the first batch settles for all of an export: the features, how they are stored, what a shard says about itself."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from exporters.aliases import RawBatch
from exporters.batches.flatten import Batch, to_batch
from exporters.batches.row_lists import Lists
from exporters.formats import ShardContext
from exporters.plans.plan import Plan
from exporters.plans.shard import stored_bytes, stored_rows
from exporters.schema import no_label
from exporters.schema.schema import Schema
from exporters.tensors.arrays import Columns
from tfds_builder.aliases import JsonObject
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.manifest import Column


@dataclasses.dataclass(frozen=True)
class Settled:
    """Settled by the first batch of an export that has rows, or by any later one under what the first had settled.

    Attributes:
      schema: the features, and how a batch becomes their columns.
      lists: what the lists of a batch are.
      columns: what is stored, as the format has it.
    """

    schema: Schema
    lists: Lists
    columns: tuple[Column, ...]

    @functools.cached_property
    def row_bytes(self) -> int | None:
        """Bytes of every row on disk; None where rows differ."""
        return None if any(column.is_variable for column in self.columns) else sum(column.width for column in self.columns)

    def to_batch(self, raw: RawBatch, split: str, number: int) -> Batch:
        """A raw batch of a split, by its number, as columns of the loader."""
        return to_batch(raw, split, number, self.lists)

    def encode(self, batch: Batch, split: str) -> Columns:
        """The stored columns of a batch; none if it has no rows.

        Raises:
          SchemaError: the batch contradicts the schema.
        """
        columns = self.schema.encode(batch, split)
        if batch.rows:
            no_label.check(columns, self.columns, f"split {split!r}, batch {batch.number}")
        return columns

    def size(self, columns: Columns) -> int:
        """Bytes of a batch's columns on disk, record framing aside."""
        if self.row_bytes is not None:
            return stored_rows(columns) * self.row_bytes
        return stored_bytes(columns, self.columns)

    def context(self, plan: Plan, split: str, places: Mapping[str, int], expected_rows: int | None) -> ShardContext:
        """What a shard says about itself (HDF5 keeps it in attributes).

        Args:
          plan: of the export.
          split: of the shard.
          places: which shard of its split it is, `{"shard": 3}`, or of its lane.
          expected_rows: rows it will have, if the loader keeps its word; None if it gave none.
        """
        facts: dict[str, JsonObject] = {}
        for field in self.schema.fields:
            for column in field.columns:
                facts[column.name] = {"feature": type(field.feature).__name__, "dtype": column.dtype}
                if column.source_layout:
                    layout = Layout.of(column.source_layout)
                    facts[column.name] |= {"layout": layout.stored, "source_layout": layout.source}
                for table in self.schema.tables:
                    if f"{column.name}/".startswith(f"{table.name}/"):
                        facts[column.name]["integers"] = table.described
                if column.name in plan.labels:
                    facts[column.name]["class_names"] = plan.labels[column.name]
        return ShardContext(
            columns=self.columns,
            lists=self.schema.lists,
            attributes={
                "dataset": plan.name,
                "version": plan.version,
                **({"config": plan.config_name} if plan.config_name else {}),
                "split": split,
                **places,
                "features": plan.features,
                "producer": plan.producer,
            },
            column_attributes=facts,
            expected_rows=expected_rows,
        )
