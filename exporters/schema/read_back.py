"""Whether a declared feature comes back from the JSON that TFDS keeps of it, asked before anything is written."""

from __future__ import annotations

import json

import numpy as np
import tensorflow_datasets as tfds

from exporters.errors import SchemaError
from exporters.features.leaves import leaves_of
from tfds_builder.aliases import Feature, TensorInfo
from tfds_builder.features.feature_json import features_to_json
from tfds_builder.features.names import join


def check_json(name: str, feature: Feature) -> None:
    """Makes a feature again from its own JSON, as every reader of the dataset will.

    TFDS's own classes are not asked. A class of the caller's passes if its `from_json_content` takes what its
    `to_json_content` gives: by default that is called as `cls(doc=None, **content)`.

    >>> check_json("mask", tfds.features.Tensor(shape=(3,), dtype=np.bool_))        # doctest: +SKIP

    Args:
      name: flat feature name.
      feature: what `features=` declares, of any shape and dtype.

    Raises:
      SchemaError: it cannot be made again, or another feature comes back; names the feature of which that is so.
    """
    parts = {name: feature} | {join(name, leaf.path): leaf.feature for leaf in leaves_of(feature)}
    for place, part in parts.items():
        if not type(part).__module__.startswith("tensorflow_datasets.") and (told := _differs(part)):
            raise _unreadable(place, type(part).__name__, told)


def _unreadable(name: str, kind: str, told: str) -> SchemaError:
    return SchemaError(
        f"feature {name!r}: {kind} cannot be read back: {told}; let {kind}.to_json_content() return a dict of what "
        f"{kind}.__init__ takes, beside doc=None, or let {kind}.from_json_content(value, doc=None) make the same feature of it"
    )


def _differs(feature: Feature) -> str:
    """What is wrong with the feature that is made of the JSON of another; empty if nothing is."""
    try:
        content = features_to_json(feature)
    except Exception as error:  # a class of the caller's raises what it will
        return f"it gives no JSON ({type(error).__name__}: {error!s:.200})"
    try:
        again = tfds.features.FeatureConnector.from_json(content)
    except Exception as error:
        return f"its JSON makes no feature ({type(error).__name__}: {error!s:.200})"
    if type(again) is not type(feature):
        return f"its JSON makes a {type(again).__module__}.{type(again).__qualname__} that is another class"
    for what, ask in _FACTS.items():
        try:
            old, new = (json.dumps(ask(item), sort_keys=True, default=_show) for item in (feature, again))
        except Exception as error:
            return f"what its JSON makes gives no {what} ({type(error).__name__}: {error!s:.200})"
        if old != new:
            return f"what its JSON makes has another {what}, {new:.120}, not {old:.120}"
    return ""


def _show(info: TensorInfo) -> str:
    """The shape and dtype of a TensorInfo; whether it is optional is left out, which no JSON of TFDS's says of `Text`."""
    return f"{tuple(info.shape)} {np.dtype(info.np_dtype)}" if isinstance(info, tfds.features.TensorInfo) else repr(info)


_FACTS = {
    "shape or dtype": lambda feature: feature.get_tensor_info(),
    "stored form": lambda feature: feature.get_serialized_info(),
    "JSON": features_to_json,
}
"""What must be the same of a feature and of what its JSON makes."""
