"""The way back for features whose floats are stored as integers: for `ds.map`, and for data sources.

>>> ds = tfds.load("photos", split="train").map(tfds_builder.restore("photos"))         # doctest: +SKIP
>>> ds.element_spec["image"].dtype                                                      # doctest: +SKIP
tf.float32
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np

from tfds_builder.aliases import Builder, Example, FeatureValue
from tfds_builder.builder import find_builder
from tfds_builder.catalog.location import read_given
from tfds_builder.catalog.read import read_tables
from tfds_builder.contract.integers import Integers
from tfds_builder.features.names import join


def restore(name_or_builder: str | os.PathLike[str] | Builder) -> Callable[..., Example]:
    """A function of examples that gives back the floats that features were before they were stored as integers.

    >>> ds = tfds.load("photos", split="train", batch_size=64)                          # doctest: +SKIP
    >>> ds = ds.map(tfds_builder.restore("photos"), num_parallel_calls=tf.data.AUTOTUNE)    # doctest: +SKIP

    They are the loader's, bit for bit and of its dtype, in the layout of `tfds.load` (channels last, `(64, 32, 32, 3)`). In
    TensorFlow it is one gather from a table in the graph; of NumPy's arrays, as `tfds.data_source` gives them, NumPy takes
    them. Examples and batches are taken alike; what else is in them stays as it is, and of a dataset without such features
    everything does.

    Args:
      name_or_builder: a registered name, `"photos"`, `"photos:1.0.0"` or `"vision:photos"`, a version directory, or a builder,
        stock TFDS's too.

    Returns:
      A function of a dict, as `tfds.load` gives it, or of input and target (`as_supervised=True`), as one tuple or, as `ds.map`
      calls it, one by one.

    Raises:
      MissingFileError: nothing of that name is registered, and it is no version directory.
      ManifestError, DamagedFileError: what is there cannot be read.
    """
    builder = name_or_builder if hasattr(name_or_builder, "data_path") else find_builder(name_or_builder)
    manifest = read_given(os.fspath(builder.data_path))
    return _Restorer(read_tables(manifest, os.fspath(builder.data_path)), tuple(manifest.supervised_keys or ()))


class _Restorer:
    """What `restore` returns.

    Args:
      tables: by flat name of a feature.
      keys: names of what the tuples of `as_supervised=True` hold.
    """

    def __init__(self, tables: Mapping[str, Integers], keys: tuple[str, ...]) -> None:
        self._tables, self._keys = tables, keys

    def __call__(self, *example: Example) -> Example:
        """The example with floats.

        Raises:
          TypeError: a value is not of the dtype that is stored: it is restored already, was cast, or is still encoded.
          ValueError: there are more or fewer values than supervised keys.
        """
        if len(example) == 1 and isinstance(example[0], Mapping):
            return self._walk(example[0], "")
        values = example[0] if len(example) == 1 and isinstance(example[0], tuple | list) else example
        if len(values) != len(self._keys):
            raise ValueError(
                f"restore takes the dicts that tfds.load gives, or, with as_supervised=True, {self._keys or 'nothing'} (got "
                f"{len(values)} values)"
            )
        return tuple(self._walk(value, key) for value, key in zip(values, self._keys, strict=True))

    def _walk(self, value: FeatureValue, name: str) -> FeatureValue:
        table = self._tables.get(name)
        if isinstance(value, Mapping) and table is None:
            return {key: self._walk(item, join(name, key)) for key, item in value.items()}
        if table is None:
            return value
        if isinstance(value, list):
            return [self._walk(item, name) for item in value]
        dtype = getattr(value.dtype, "name", str(value.dtype))
        if dtype != table.stored_dtype:
            raise TypeError(
                f"feature {name!r}: expected the {table.stored_dtype} that tfds.load gives, got {dtype}; restore it first"
            )
        if isinstance(value, np.ndarray | np.generic):
            return table.restore(np.asarray(value))
        from tfds_builder.readers.restore_graph import make_gather

        return make_gather(table)(value)
