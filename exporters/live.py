"""The live conversions: a DataLoader straight into `tf.data`, with nothing on disk.

Both give single examples with the same schema, layout and element_spec as `tfds.load` after an
export, so they serve as a preview of one.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exporters import wording
from exporters.aliases import Loader, NumberedBatches
from exporters.errors import BrokenInstallError, MissingDependencyError
from tfds_builder.aliases import Feature, Package, StoredValue
from tfds_builder.install import check_tfds, how_to_install

if TYPE_CHECKING:
    import tensorflow as tf

    from exporters.loaders.first_batch import First
    from exporters.options.features import Options
    from exporters.schema.schema import Schema
    from exporters.tensors.arrays import Columns


def in_memory(
    loader: Loader,
    *,
    names: Sequence[str] | Mapping[str, str] | None = None,
    features: Mapping[str, Feature] | None = None,
    layouts: Mapping[str, str] | None = None,
    supervised_keys: Sequence[str] | None = None,
    unpad: Mapping[str, str] | None = None,
    integers: Sequence[str] | Mapping[str, object] | None = None,
    as_supervised: bool = False,
) -> tf.data.Dataset[Any]:
    """Drains a DataLoader once into NumPy arrays and slices them: `from_tensor_slices`.

    >>> ds = exporters.in_memory(loader)                             # doctest: +SKIP
    >>> ds.element_spec["image"].shape                               # doctest: +SKIP
    TensorShape([8, 8, 1])

    For data that fits into memory. The order is that of this one drain, at every epoch.

    Args:
      loader: a `torch.utils.data.DataLoader`.
      names, features, layouts, supervised_keys, unpad, integers: as for `exporters.export`.
      as_supervised: yield (input, target) pairs instead of dicts.

    Returns:
      A `tf.data.Dataset` of single examples, of known cardinality.

    Raises:
      ExportError: as `exporters.export` does.
    """
    from exporters.loaders import items
    from exporters.loaders.first_batch import first_batch
    from exporters.options.features import Options

    tf = _tensorflow()
    options = Options(names, features, layouts, supervised_keys, unpad, integers)
    loader = items.settle(loader, "train")
    raws = enumerate(iter(loader))
    first = first_batch(raws, loader, "train")
    source = _Source(loader, first, options, as_supervised)
    columns = _concatenate(source.encode(itertools.chain([(first.number, first.raw)], raws)))
    if not source.decoder.ragged:
        return source.finish(tf.data.Dataset.from_tensor_slices(columns))
    rows = source.decoder.split(tf.data.Dataset.from_tensors(source.pair(columns)))
    return source.finish(rows.apply(tf.data.experimental.assert_cardinality(len(next(iter(columns.values()))))))


def stream(
    loader: Loader,
    *,
    names: Sequence[str] | Mapping[str, str] | None = None,
    features: Mapping[str, Feature] | None = None,
    layouts: Mapping[str, str] | None = None,
    supervised_keys: Sequence[str] | None = None,
    unpad: Mapping[str, str] | None = None,
    integers: Sequence[str] | Mapping[str, object] | None = None,
    as_supervised: bool = False,
) -> tf.data.Dataset[Any]:
    """Iterates a DataLoader anew at every epoch: `from_generator` with a derived output_signature.

    >>> for example in exporters.stream(loader).batch(32):           # doctest: +SKIP
    ...     ...

    For data that does not fit into memory. Each epoch has the loader's order of that moment (a
    shuffling loader shuffles again) and pays for the conversion again; `export` pays once.

    Args, Returns and Raises as for `in_memory`; the cardinality is unknown.
    """
    from exporters.loaders import facts as loader_lib
    from exporters.loaders import items
    from exporters.loaders.first_batch import first_batch
    from exporters.loaders.random_state import random_state_kept
    from exporters.options.features import Options

    tf = _tensorflow()
    options = Options(names, features, layouts, supervised_keys, unpad, integers)
    loader = items.settle(loader, "train")
    with random_state_kept(loader) as put_back:
        batches, is_opened = loader_lib.sample(loader)
        if is_opened:  # then this is the first epoch
            put_back.clear()
        sampled = enumerate(batches)
        first = first_batch(sampled, loader, "train")
    source = _Source(loader, first, options, as_supervised)
    waiting, lock = [itertools.chain([(first.number, first.raw)], sampled)] if is_opened else [], threading.Lock()

    def epoch() -> Iterator[Mapping[str, StoredValue]]:
        with lock:
            raws = waiting.pop() if waiting else enumerate(loader)
        yield from map(source.pair, source.encode(raws))

    ds = tf.data.Dataset.from_generator(epoch, output_signature=source.decoder.signature(pairs=True))
    return source.finish(source.decoder.split(ds))


class _Source:
    """A loader with its schema: batches as the columns that `tf.data` is to see."""

    def __init__(self, loader: Loader, first: First, options: Options, as_supervised: bool) -> None:
        from exporters.batches.flatten import to_batch
        from exporters.errors import ArgumentError
        from exporters.integers.transforms import with_scales
        from exporters.schema import class_names as classes
        from exporters.schema import schema as schema_lib
        from tfds_builder.readers.decode_graph import FeatureDecoder

        names = classes.of_splits({"train": loader})
        options = with_scales(options, [loader])
        settled = schema_lib.settle(first.raw, "train", first.lists, names, options, first.number)
        self.schema: Schema = settled[0]
        self._lists = settled[1]
        self.schema.check_round_trip(to_batch(first.raw, "train", first.number, self._lists), "train")
        self.decoder = FeatureDecoder(self.schema.features)
        if as_supervised and self.schema.supervised_keys is None:
            raise ArgumentError(
                f"as_supervised=True needs batches that are pairs (input, target), or {wording.argument('supervised_keys')}"
            )
        self._keys = self.schema.supervised_keys if as_supervised else None

    def encode(self, raws: NumberedBatches) -> Iterator[Columns]:
        """Raw batches, with their numbers, as contiguous columns, in the form TFDS decodes."""
        import numpy as np

        from exporters.batches.flatten import to_batch
        from tfds_builder.contract.decode import to_numpy_dtype
        from tfds_builder.contract.ragged import Ragged

        dtypes = {column.name: to_numpy_dtype(column.dtype) for column in self.schema.columns}
        for number, raw in raws:
            columns = self.schema.encode(to_batch(raw, "train", number, self._lists), "train")
            if not columns:
                continue
            copies: Columns = {}
            for name, column in columns.items():
                values = np.array(column.values if isinstance(column, Ragged) else column, dtypes[name], order="C")
                copies[name] = Ragged(values, column.row_splits) if isinstance(column, Ragged) else values
            yield {name: self.decoder.serialize(name, copies[name]) for name in self.decoder.names}

    def pair(self, columns: Columns) -> dict[str, StoredValue]:
        """Columns as `FeatureDecoder.split` takes them."""
        from tfds_builder.contract.ragged import Ragged

        return {name: (c.values, c.row_splits) if isinstance(c, Ragged) else c for name, c in columns.items()}

    def finish(self, ds: tf.data.Dataset[Any]) -> tf.data.Dataset:
        """Decodes what TFDS still has to decode, and picks input and target."""
        from tfds_builder.readers.tf_data import pick

        return ds.map(lambda example: pick(self.decoder.decode(example), self._keys))


def _concatenate(batches: Iterator[Columns]) -> Columns:
    """All batches as one, column by column; each column's parts are dropped as it is done."""
    import numpy as np

    from tfds_builder.contract.ragged import Ragged

    parts: dict[str, list[StoredValue]] = {}
    for columns in batches:
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
    out: Columns = {}
    for name in list(parts):
        found = parts.pop(name)
        if not isinstance(found[0], Ragged):
            out[name] = np.concatenate(found)
            continue
        lengths = np.concatenate([np.diff(column.row_splits) for column in found])
        out[name] = Ragged(np.concatenate([column.values for column in found]), np.concatenate([[0], np.cumsum(lengths)]))
    return out


def _tensorflow() -> Package:
    check_tfds(BrokenInstallError)
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError(f"live conversions need TensorFlow: {how_to_install('tensorflow')}") from error
    return tf
