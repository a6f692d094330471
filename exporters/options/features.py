"""What the caller of `export` says about the features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from exporters import wording
from exporters.errors import ArgumentError
from tfds_builder.aliases import Feature


@dataclasses.dataclass(frozen=True)
class Options:
    """What the caller of `export` says about the features; see there.

    Attributes:
      source_dtypes: by column, what a stopped export found them to be, for batches that do not tell.
      source_layouts: by feature, what it found there, None for no layout: a batch alone might be read in another way.

    Raises:
      ArgumentError: `features`, `layouts` or `unpad` is no mapping.
    """

    names: Sequence[str] | Mapping[str, str] | None = None
    features: Mapping[str, Feature] | None = None
    layouts: Mapping[str, str] | None = None
    supervised_keys: Sequence[str] | None = None
    unpad: Mapping[str, str] | None = None
    source_dtypes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source_layouts: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("features", "layouts", "unpad"):
            value = getattr(self, key)
            if value is not None and not hasattr(value, "items"):
                raise ArgumentError(
                    f'{wording.argument(key)} must be a mapping of feature names, {{"image": ...}} (got {value!r:.80})'
                )
