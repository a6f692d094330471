"""The features of a dataset by flat name, and what TFDS serializes each to: the columns it is stored in and read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds

from tfds_builder.aliases import Feature, Features, StoredValue, TensorInfo
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import nest


def flatten_features(features: Features, prefix: str = "") -> Iterator[tuple[str, TensorInfo]]:
    """The leaves of a FeaturesDict as (flat name, feature), sorted by name at each level.

    >>> list(flatten_features(tfds.features.FeaturesDict({"b": {"c": np.int64}})))  # doctest: +SKIP
    [('b/c', int64)]
    """
    for name, feature in sorted(features.items()):
        if kind_of(feature).is_structure:
            yield from flatten_features(feature, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", feature


def flat_info(name: str, feature: Feature) -> dict[str, TensorInfo]:
    """The tensors that a feature is serialized to, by flat name; `name` is the flat name of the feature itself."""
    return dict(_flatten_info(name, feature.get_serialized_info()))


def _flatten_info(name: str, info: TensorInfo) -> Iterator[tuple[str, TensorInfo]]:
    if isinstance(info, Mapping):
        for key, item in info.items():
            yield from _flatten_info(f"{name}/{key}", item)
    else:
        yield name, info


def serialized_specs(name: str, feature: Feature) -> dict[str, TensorInfo]:
    """The tensors that a feature is serialized to, as an Example has them: there, nested sequences are one list of values, and
    one list of lengths for each level
    (`example_serializer._add_ragged_fields`)."""
    specs: dict[str, TensorInfo] = {}
    for key, info in flat_info(name, feature).items():
        if info.sequence_rank < 2:
            specs[key] = info
            continue
        lengths = tfds.features.TensorInfo(shape=(None,), dtype=np.int64)
        specs |= {f"{key}/ragged_row_lengths_{level}": lengths for level in range(info.sequence_rank - 1)}
        inner = tuple(info.shape[info.sequence_rank :])
        specs[f"{key}/ragged_flat_values"] = tfds.features.TensorInfo(shape=(None, *inner), dtype=info.np_dtype)
    return specs


def read_specs(name: str, feature: Feature, *, as_it_is: bool) -> dict[str, TensorInfo]:
    """What is read of a feature, by the names of its columns.

    Args:
      name, feature: the feature and its flat name.
      as_it_is: whether what is stored is the value (`Kind.is_direct`), and nothing is to be decoded.
    """
    return {name: feature.get_tensor_info()} if as_it_is else serialized_specs(name, feature)


def put_together(name: str, feature: Feature, find: Callable[[str, TensorInfo], StoredValue]) -> StoredValue:
    """One row's serialized values as TFDS's own parser hands them to a decoder.

    Args:
      name, feature: the feature and its flat name.
      find: gives the value that has a flat name, which is its first argument; its second is the TensorInfo of the value.
    """
    parts = {key[len(name) + 1 :]: find(key, info) for key, info in flat_info(name, feature).items()}
    return parts[""] if "" in parts else nest(parts)


def is_item(feature: Feature) -> bool:
    """Whether TFDS gives the stored number of a feature as Python's own: one that it keeps without an encoding."""
    info = feature.get_serialized_info()
    return isinstance(info, tfds.features.TensorInfo) and info.shape == () and info.np_dtype != np.object_
