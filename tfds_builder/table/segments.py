"""Which rows of which shards a split is: TFDS's file instructions against the manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfds_builder.contract.manifest import Manifest
from tfds_builder.errors import DatasetError
from tfds_builder.table.table import Segment

if TYPE_CHECKING:
    from tensorflow_datasets.core.utils import shard_utils


def segments_of(manifest: Manifest, instructions: Sequence[shard_utils.FileInstruction]) -> list[Segment]:
    """TFDS's file instructions (file, skip, take) as runs of rows of shards.

    Raises:
      DatasetError: the manifest has no such rows.
      ValueError: a slice such as `train[5:3]`.
    """
    shards = {shard.data.file: shard for split in manifest.splits.values() for shard in split.shards}
    segments = []
    for instruction in instructions:
        name = os.path.basename(instruction.filename)
        if name not in shards:
            raise DatasetError(f"dataset_info.json names {name}, which the manifest of {manifest.name} does not list")
        stop = instruction.skip + instruction.take
        if instruction.take < 0:
            raise ValueError(
                f"the split ends before it begins: rows {instruction.skip} to {stop} of {name}; turn the slice round"
            )
        if stop > shards[name].rows:
            raise DatasetError(
                f"dataset_info.json promises {stop} rows of {name}, which the manifest says has {shards[name].rows}"
            )
        segments.append(Segment(shards[name], instruction.skip, stop))
    return segments
