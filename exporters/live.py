"""The live conversions: a DataLoader straight into `tf.data`, with nothing on disk.

Both give single examples with the same schema, layout and element_spec as `tfds.load` after an
export, so they serve as a preview of one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exporters.errors import MissingDependencyError

if TYPE_CHECKING:
    from exporters.arrays import Columns
    from exporters.schema import Schema


def in_memory(
    loader: Any,
    *,
    names: Sequence[str] | Mapping[str, str] | None = None,
    features: Mapping[str, Any] | None = None,
    layouts: Mapping[str, str] | None = None,
    as_supervised: bool = False,
) -> Any:
    """Drains a DataLoader once into NumPy arrays and slices them: `from_tensor_slices`.

    >>> ds = exporters.in_memory(loader)                             # doctest: +SKIP
    >>> ds.element_spec["image"].shape                               # doctest: +SKIP
    TensorShape([8, 8, 1])

    For data that fits into memory. The order is that of this one drain, at every epoch.

    Args:
      loader: a `torch.utils.data.DataLoader`.
      names, features, layouts: as for `exporters.export`.
      as_supervised: yield (input, target) pairs instead of dicts.

    Returns:
      A `tf.data.Dataset` of single examples, of known cardinality.

    Raises:
      ExportError: as `exporters.export` does.
    """
    from exporters import loader as loader_lib

    tf = _tensorflow()
    loader_lib.check_loader(loader, "train")
    first, raws = loader_lib.peek(iter(loader), "train")
    source = _Source(loader, first, names, features, layouts, as_supervised)
    columns = source.concatenate(source.encode(raws))
    return source.finish(tf.data.Dataset.from_tensor_slices(source.nest(columns)))


def stream(
    loader: Any,
    *,
    names: Sequence[str] | Mapping[str, str] | None = None,
    features: Mapping[str, Any] | None = None,
    layouts: Mapping[str, str] | None = None,
    as_supervised: bool = False,
) -> Any:
    """Iterates a DataLoader anew at every epoch: `from_generator` with a derived output_signature.

    >>> for example in exporters.stream(loader).batch(32):           # doctest: +SKIP
    ...     ...

    For data that does not fit into memory. Each epoch has the loader's order of that moment (a
    shuffling loader shuffles again) and pays for the conversion again; `export` pays once.

    Args, Returns and Raises as for `in_memory`; the cardinality is unknown.
    """
    from exporters import loader as loader_lib

    tf = _tensorflow()
    from tfds_builder.reading import unbatch

    loader_lib.check_loader(loader, "train")
    first, opened = loader_lib.sample(loader, "train")
    source = _Source(loader, first, names, features, layouts, as_supervised)
    waiting, lock = [opened] if opened is not None else [], threading.Lock()

    def epoch() -> Iterator[dict[str, Any]]:
        with lock:
            raws = waiting.pop() if waiting else iter(loader)
        for columns in source.encode(raws):
            yield source.nest(columns)

    signature = source.nest({name: tf.TensorSpec([None, *spec.shape], spec.dtype) for name, spec in source.decoder.specs.items()})
    return source.finish(unbatch(tf.data.Dataset.from_generator(epoch, output_signature=signature)))


class _Source:
    """A loader with its schema: batches as the columns that `tf.data` is to see."""

    def __init__(self, loader: Any, first: Any, names: Any, features: Any, layouts: Any, as_supervised: bool) -> None:
        from exporters import batches as batches_lib
        from exporters import loader as loader_lib
        from exporters import schema as schema_lib
        from exporters.errors import ArgumentError
        from exporters.names import Options
        from tfds_builder.reading import FeatureDecoder

        options = Options(names, features, layouts)
        self._row_lists = batches_lib.row_lists_of(first, loader)
        batch = batches_lib.to_batch(first, "train", 0, self._row_lists)
        batches_lib.check_first(batch, "train")
        positions, classes = batches_lib.position_names(first, self._row_lists), loader_lib.class_names(loader)
        self.schema: Schema = schema_lib.infer(batch, positions, classes, options)
        self.decoder = FeatureDecoder(self.schema.features)
        if as_supervised and self.schema.supervised_keys is None:
            raise ArgumentError("as_supervised=True needs batches that are pairs (input, target)")
        self._keys = self.schema.supervised_keys if as_supervised else None

    def encode(self, raws: Iterator[Any]) -> Iterator[Columns]:
        """Raw batches as contiguous stored columns."""
        import numpy as np

        from exporters.batches import to_batch
        from tfds_builder.table import to_numpy_dtype

        dtypes = {column.name: to_numpy_dtype(column.dtype) for column in self.schema.columns}
        for number, raw in enumerate(raws):
            columns = self.schema.encode(to_batch(raw, "train", number, self._row_lists), "train")
            yield {name: np.array(array, dtypes[name], order="C") for name, array in columns.items()}

    def concatenate(self, batches: Iterator[Columns]) -> Columns:
        """All batches as one, column by column; each column's parts are dropped as it is done."""
        import numpy as np

        parts: dict[str, list[Any]] = {name: [] for name in self.decoder.names}
        for columns in batches:
            for name, array in columns.items():
                parts[name].append(array)
        return {name: np.concatenate(parts.pop(name)) for name in self.decoder.names}

    def nest(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        from tfds_builder.metadata import nest

        return nest(columns)

    def finish(self, ds: Any) -> Any:
        """Decodes what TFDS still has to decode, and picks input and target."""
        from tfds_builder.reading import pick

        if not self.decoder.decodes and self._keys is None:
            return ds
        return ds.map(lambda example: pick(self.decoder.decode(example), self._keys))


def _tensorflow() -> Any:
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError('live conversions need TensorFlow: pip install "torch2tfds[tensorflow]"') from error
    return tf
