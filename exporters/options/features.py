"""What the caller of `export` says about the features."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from exporters import wording
from exporters.errors import ArgumentError
from exporters.options.integers import Given, parse_integers
from tfds_builder.aliases import Feature
from tfds_builder.contract.integers import Integers


@dataclasses.dataclass(frozen=True)
class Options:
    """What the caller of `export` says about the features; see there.

    Attributes:
      source_dtypes: by column, what a stopped export found them to be, for batches that do not tell.
      source_layouts: by feature, what it found there, None for no layout: a batch alone might be read in another way.
      tables: by feature, the floats that it found; see `integers`.
      scales: mean and std of the transforms of the datasets (`integers.transforms.known_scales`).

    Raises:
      ArgumentError: `features`, `layouts` or `unpad` is no mapping, or `integers` makes no sense.
    """

    names: Sequence[str] | Mapping[str, str] | None = None
    features: Mapping[str, Feature] | None = None
    layouts: Mapping[str, str] | None = None
    supervised_keys: Sequence[str] | None = None
    unpad: Mapping[str, str] | None = None
    integers: Sequence[str] | Mapping[str, object] | None = None
    source_dtypes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source_layouts: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Integers] = dataclasses.field(default_factory=dict)
    scales: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        for key in ("features", "layouts", "unpad"):
            value = getattr(self, key)
            if value is not None and not hasattr(value, "items"):
                raise ArgumentError(
                    f'{wording.argument(key)} must be a mapping of feature names, {{"image": ...}} (got {value!r:.80})'
                )
        _ = self.given_integers  # what is wrong with it is told at once

    @functools.cached_property
    def given_integers(self) -> Mapping[str, Given]:
        """What is said of the features whose floats are to be stored as integers, by flat name."""
        return parse_integers(self.integers)
