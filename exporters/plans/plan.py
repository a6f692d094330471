"""What will be written, before it is written: pure data, JSON.

How shards are cut is in it too (`plans.cut`): their size, and where batches can be drawn by number the rule of each split.
"""

from __future__ import annotations

import dataclasses
import json

from tfds_builder.aliases import JsonObject


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that shapes the bytes of an export, apart from the data.

    Attributes:
      name, version, format: of the dataset.
      shard_bytes: target size of a shard, bytes.
      splits: split names, in order.
      features: the features as TFDS's JSON.
      columns: the stored columns as the manifest's JSON.
      labels: class names by flat feature name.
      supervised_keys, card, decisions: as in the manifest.
      sources: what each split's loader draws from.
      codecs: versions of the libraries that decide the bytes of encoded values (`features.codecs`).
      seed: what generators are seeded from before each batch; None if they are not.
      cuts: by split whose batches can be drawn by number, how they are cut into shards (`cut.bounds_of`).
      producer: version of this package.
      config_name, config_description, release_notes: as in the manifest.
      lanes: by split that is a stream read in several lanes, how many they are, and from what they are seeded (`draws.lanes`);
        its shards follow each other lane by lane.
      integers: the floats that integers stand for, of each feature that has them, as JSON with all of them.
      row_lists, sequences: what the lists of a batch are (`row_lists.Lists`).
    """

    name: str
    version: str
    format: str
    shard_bytes: int
    splits: tuple[str, ...]
    features: JsonObject
    columns: tuple[JsonObject, ...]
    labels: dict[str, list[str]]
    supervised_keys: tuple[str, ...] | None
    card: dict[str, str]
    decisions: tuple[str, ...]
    sources: dict[str, JsonObject]
    producer: str
    codecs: dict[str, str] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    cuts: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    lanes: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    config_name: str = ""
    config_description: str = ""
    release_notes: dict[str, str] = dataclasses.field(default_factory=dict)
    integers: tuple[JsonObject, ...] = ()
    row_lists: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Canonical JSON: the same plan gives the same bytes."""
        return (json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> Plan:
        """The plan that `to_json` wrote."""
        content = json.loads(text)
        for name in ("splits", "columns", "decisions", "integers", "row_lists", "sequences"):
            content[name] = tuple(content[name])
        if content["supervised_keys"] is not None:
            content["supervised_keys"] = tuple(content["supervised_keys"])
        return cls(**content)
