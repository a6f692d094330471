"""What an export tells when it is done: what was published, the hazards that were found, the examples that were counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from exporters import wording

Format = Literal["tfrecord", "hdf5"]
EngineName = Literal["local", "processes", "ray", "beam"]
Action = Literal["error", "warn", "ignore"]
HazardName = Literal[
    "drop_last",
    "sampler_repeats",
    "sampler_shorter",
    "random_transform",
    "float_images",
    "one_hot",
    "wide_mask",
    "layout_doubtful",
    "padding",
    "more_examples",
    "not_finite",
    "workers_repeat",
    "examples_missing",
    "single_class",
    "duplicates",
    "shared_examples",
]
"""The keys of `exporters.hazards.registry.HAZARDS`, in the order in which they are told where one moment shows several."""


@dataclasses.dataclass(frozen=True)
class Hazard:
    """A hazard that was found.

    Attributes:
      name: which one: docs/hazards.md has them all.
      split: where.
      count: how many examples (`not_finite`: values) it touches; None where that cannot be told.
      message: what was found and what would mend it, in one line.
    """

    name: HazardName
    split: str
    count: int | None
    message: str


@dataclasses.dataclass(frozen=True)
class Counts:
    """Examples of a split: promised by the loader (None: it cannot tell), given by it, written to disk."""

    expected: int | None
    read: int
    written: int

    def __str__(self) -> str:
        unknown = "an unknown number of examples"
        expected = unknown if self.expected is None else wording.plural(self.expected, "example")
        return f"{expected} expected, {self.read:,} read, {self.written:,} written"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """What was published.

    Attributes:
      path: the version directory, `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.
      module: the generated builder module beside it; "" if it could not be written.
      name, config, version, format: as asked for; `config` is the name of the config, or "".
      examples: number of examples by split.
      shards: number of shards by split.
      bytes: size of all published files.
      decisions: what was decided about each feature, in words.
      hazards: what the loaders do to the data, those ignored left out; docs/hazards.md has them all.
      counts: examples expected, read and written, by split.
    """

    path: str
    module: str
    name: str
    config: str
    version: str
    format: Format
    examples: Mapping[str, int]
    shards: Mapping[str, int]
    bytes: int
    decisions: Sequence[str]
    hazards: Sequence[Hazard]
    counts: Mapping[str, Counts]
