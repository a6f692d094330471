"""The `decoders=` of the caller, by the features they are for."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow_datasets as tfds

from tfds_builder.aliases import Decoder, Features
from tfds_builder.errors import UnsupportedReadError
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import flatten_nested, nest
from tfds_builder.features.specs import flatten_features


def flatten_decoders(features: Features, decoders: Mapping[str, Decoder] | None) -> dict[str, Decoder]:
    """Decoders by flat feature name, those inside a sequence as a nested dict; None is no decoder, as it is to TFDS.

    Raises:
      ValueError: a decoder for a feature that is not there, or no dict of decoders.
      UnsupportedReadError: something that is no `tfds.decode.Decoder`.
    """
    if decoders and not isinstance(decoders, Mapping):  # TFDS takes any that is empty for none
        raise ValueError(f"decoders must be a dict of feature name to tfds.decode.Decoder (got {type(decoders).__name__})")
    known = dict(flatten_features(features))
    trees = [name for name, feature in known.items() if kind_of(feature).is_tree]
    found: dict[str, Decoder] = {}
    inner: dict[str, dict[str, Decoder]] = {}
    for name, decoder in flatten_nested(decoders or {}):
        if decoder is None:
            continue
        owner = next((leaf for leaf in (name, *trees) if name == leaf in known or name.startswith(f"{leaf}/")), None)
        if owner is None:
            raise ValueError(f"decoders has {name!r}, which is no feature of the dataset; features: {sorted(known)}")
        if not isinstance(decoder, tfds.decode.Decoder):
            raise UnsupportedReadError(f"decoders[{name!r}] must be a tfds.decode.Decoder (got {type(decoder).__name__})")
        if owner == name:
            found[name] = decoder
        else:
            inner.setdefault(owner, {})[name[len(owner) + 1 :]] = decoder
    return found | {name: nest(parts) for name, parts in inner.items()}
