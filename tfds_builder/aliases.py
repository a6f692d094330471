"""Names for what has no type that a checker knows (TFDS's classes, JSON), or a long one (NumPy's arrays).

Nothing heavy is imported here: NumPy's types are for type checkers only.
`Feature` in a signature says what is meant where `Any` would say nothing; for a type checker most of them are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    """A NumPy array of any dtype and any shape."""

    DType: TypeAlias = np.dtype[Any]
    """A NumPy dtype, whichever one it is."""
else:
    Array = DType = Any

Feature: TypeAlias = Any
"""A `tfds.features.FeatureConnector`: what one name of a dataset holds, and how it is encoded and decoded."""

Features: TypeAlias = Any
"""A `tfds.features.FeaturesDict` of a whole dataset; a `Feature` too."""

TensorInfo: TypeAlias = Any
"""A `tfds.features.TensorInfo`: the shape and the dtype of one tensor that TFDS stores or gives."""

Decoder: TypeAlias = Any
"""A `tfds.decode.Decoder`, as `tfds.decode.SkipDecoding()` is one: what takes the place of a feature's own decoding."""

Decoders: TypeAlias = Any
"""What a caller gives as `decoders=`: a mapping of names to decoders, nested as the features are, or a `PartialDecoding`."""

FeatureValue: TypeAlias = Any
"""The value of one feature in one example, as the feature takes it or gives it: an array, a string, or a list or dict of them."""

Example: TypeAlias = Any
"""One example of a dataset: a dict of values by name; a tuple of two or three of them where it is supervised."""

StoredValue: TypeAlias = Any
"""What a column holds of one row or of several: an array, a `Ragged`, or a tensor of TensorFlow's that stands for it."""

Json: TypeAlias = Any
"""What `json.loads` may give: a dict, a list, a string, a number, a bool or None."""

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object that is made here, to be written."""

JsonMapping: TypeAlias = Mapping[str, Any]
"""A JSON object that is only read."""

Builder: TypeAlias = Any
"""A `tfds.core.DatasetBuilder`; TFDS has no types for it."""

BuilderClass: TypeAlias = type[Any]
"""The class of a `Builder`."""

SplitArgument: TypeAlias = Any
"""What a caller gives as `split=`: a string such as `"train[:10%]"`, a `tfds.core.ReadInstruction`, a list or dict of these."""

ReadConfigArgument: TypeAlias = Any
"""What a caller gives as `read_config=`: a `tfds.ReadConfig` or a `tfds_builder.ReadConfig`."""

LoadedDataset: TypeAlias = Any
"""What `tfds.load` gives: a `tf.data.Dataset`, or a list or dict of them where several splits are asked for."""

LoadedSource: TypeAlias = Any
"""What `tfds.data_source` gives: a sequence of examples, or a list or dict of them where several splits are asked for."""

SupervisedKeys: TypeAlias = Any
"""Which features are input, target and weight: a tuple of two or three names, each of which may be nested; None for neither."""

Leaf: TypeAlias = Any
"""Whatever there is one of for each feature: a value, a decoder, a spec."""

Nested: TypeAlias = dict[str, Any]
"""A dict of leaves by name, with dicts in it where features are nested."""

Package: TypeAlias = Any
"""A package that need not be installed, as the module it is: torch, TensorFlow, Pillow."""

Buffer: TypeAlias = Any
"""What `memoryview` takes: bytes, or an array whose bytes lie in one piece."""

DatasetInfo: TypeAlias = Any
"""A `tfds.core.DatasetInfo`."""
