"""The statistics of a published version, as plain values that go to JSON and come back.

Every group of numbers says of itself whether it is of all rows (`is_sample` False) or of some, and of how many: whoever
shows one of them has that beside it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from tfds_builder.aliases import Json, JsonObject
from tfds_builder.contract.untrusted import expect, parse_json
from tfds_builder.errors import ManifestError

STATISTICS_VERSION = 1
"""Of the JSON; another one is not read."""
_MAX_VALUES = 5_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What a group of numbers is of.

    Attributes:
      rows: of so many examples.
      is_sample: whether those are only some of the examples of the split, evenly spaced; the numbers are then estimates.
    """

    rows: int
    is_sample: bool = False


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How often values lie between bounds.

    Attributes:
      edges: one more than there are bins, rising. A value is in the last bin whose lower edge it reaches; nothing lies beyond
        the last edge.
      counts: of the values in each bin.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers(Measured):
    """What finite numbers are like; NaN and infinities are counted in `NotFinite` and are left out here.

    Attributes:
      count: how many finite values there are.
      minimum, maximum: None if there is no value.
      mean, std: in the feature's own scale (an image of uint8: 0 to 255); of the population, that is divided by `count`. None if
        there is no value, or if they are too large for a float64.
      histogram: None if there is no value, or if they are those of one of many channels.
    """

    count: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    histogram: Histogram | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class NotFinite(Measured):
    """How many floats are NaN, and how many are infinite. Never of a sample."""

    nan: int
    infinite: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classes(Measured):
    """How often each class occurs. Never of a sample.

    Attributes:
      num_classes: how many there are; None if the feature does not say.
      counts: by the number of the class; classes that never occur are left out, and so is -1.
      unlabelled: how often the label is -1, which TFDS has for "no label".
      names: of all classes, in order; none if they have none.
    """

    num_classes: int | None
    counts: Mapping[int, int]
    unlabelled: int
    names: tuple[str, ...] = ()

    def name(self, number: int) -> str:
        """The name of a class, or its number where it has none."""
        return self.names[number] if 0 <= number < len(self.names) else str(number)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lengths(Measured):
    """How long rows are that differ in length. Never of a sample.

    Attributes:
      unit: what is counted: `"items"`, or `"bytes"` of strings and of images that are stored as files.
      minimum, maximum, mean: None if there are no rows.
      histogram: None if there are no rows.
    """

    unit: str
    minimum: int | None
    maximum: int | None
    mean: float | None
    histogram: Histogram | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strings(Measured):
    """Which strings there are. Never of a sample.

    Attributes:
      distinct: how many different ones; None if they are more than `limit`, and then nothing is known of the most common.
      limit: so many different ones are told apart at most.
      most_common: the most common and how often each occurs, the most frequent first; long ones are cut, and end with "...".
    """

    distinct: int | None
    limit: int
    most_common: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shapes(Measured):
    """The smallest and the largest size along each axis, of arrays that differ in shape."""

    smallest: tuple[int, ...]
    largest: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureStatistics:
    """One feature in one split.

    Attributes:
      name: flat, `objects/bbox`.
      kind: `"label"`, `"image"`, `"text"`, `"number"`, `"array"`, `"box"`, `"sound"`, `"video"` or `"other"`.
      dtype, shape: as `tfds.load` gives it; None for a size that differs.
      classes: of a label.
      lengths: of rows that differ in length, and of strings.
      values: of numbers, all channels together.
      channels: the same by channel, that is along the last axis; empty if there is none, or if it is too long.
      not_finite: of floats.
      strings: of strings.
      shapes: of arrays whose shape differs.
      absent: examples that have no value, of an optional feature.
      note: what was not measured, and why; or "".
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int | None, ...]
    classes: Classes | None = None
    lengths: Lengths | None = None
    values: Numbers | None = None
    channels: tuple[Numbers, ...] = ()
    not_finite: NotFinite | None = None
    strings: Strings | None = None
    shapes: Shapes | None = None
    absent: int = 0
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitStatistics:
    """One split: how many examples, how many bytes of files, and its features by flat name."""

    examples: int
    bytes: int
    features: Mapping[str, FeatureStatistics]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statistics:
    """What is in a published version.

    Attributes:
      digest: SHA-256 that the manifest has of itself, which tells the version and its content.
      name: as `tfds.load` takes it, `digits:1.0.0`.
      is_exact: whether nothing in it is of a sample.
      sample: at most so many examples of a split were looked at where not all were.
      splits: by name, in the order they were exported.
    """

    digest: str
    name: str
    is_exact: bool
    sample: int
    splits: Mapping[str, SplitStatistics]

    def to_json(self) -> JsonObject:
        """As what `json.dumps` takes; no NaN, no infinity."""
        return {"statistics_version": STATISTICS_VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, content: Json) -> Statistics:
        """Statistics of what `to_json` gave, or of JSON as text.

        Raises:
          ManifestError: it is of another version, or it is none.
        """
        if isinstance(content, bytes):
            content = parse_json(content, _MAX_VALUES, "statistics")
        content = expect(content, dict, "statistics")
        if content.get("statistics_version") != STATISTICS_VERSION:
            raise ManifestError(f"statistics are of version {content.get('statistics_version')!r:.80}, not {STATISTICS_VERSION}")
        try:
            splits = {name: _split(split) for name, split in content["splits"].items()}
            return cls(**{key: content[key] for key in ("digest", "name", "is_exact", "sample")}, splits=splits)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ManifestError(f"statistics are damaged: {error!s:.200}") from error


def to_text(statistics: Statistics) -> bytes:
    """Statistics as the bytes of a JSON file."""
    return (json.dumps(statistics.to_json(), indent=1, allow_nan=False) + "\n").encode()


def _split(content: Json) -> SplitStatistics:
    features = {name: _feature(feature) for name, feature in content["features"].items()}
    return SplitStatistics(examples=content["examples"], bytes=content["bytes"], features=features)


def _feature(content: Json) -> FeatureStatistics:
    parts: dict[str, Any] = {key: kind(content[key]) for key, kind in _PARTS.items() if content[key] is not None}
    plain = {key: content[key] for key in ("name", "kind", "dtype", "absent", "note")}
    channels = tuple(_numbers(channel) for channel in content["channels"])
    return FeatureStatistics(**plain, **parts, shape=tuple(content["shape"]), channels=channels)


def _histogram(content: Json) -> Histogram | None:
    return None if content is None else Histogram(tuple(content["edges"]), tuple(content["counts"]))


def _numbers(content: Json) -> Numbers:
    return Numbers(**{**content, "histogram": _histogram(content["histogram"])})


def _classes(content: Json) -> Classes:
    counts = {int(number): count for number, count in content["counts"].items()}
    return Classes(**{**content, "counts": counts, "names": tuple(content["names"])})


def _lengths(content: Json) -> Lengths:
    return Lengths(**{**content, "histogram": _histogram(content["histogram"])})


def _strings(content: Json) -> Strings:
    return Strings(**{**content, "most_common": tuple((text, count) for text, count in content["most_common"])})


def _shapes(content: Json) -> Shapes:
    return Shapes(**{**content, "smallest": tuple(content["smallest"]), "largest": tuple(content["largest"])})


_PARTS: Mapping[str, Callable[[Json], Any]] = {
    "classes": _classes,
    "lengths": _lengths,
    "values": _numbers,
    "not_finite": lambda content: NotFinite(**content),
    "strings": _strings,
    "shapes": _shapes,
}
