"""Expensive encodings in the DataLoader's own workers, so that they scale with `num_workers`.

    worker:  dataset -> collate_fn -> encode what is not direct -> main process:  check -> shard

The first batch of each worker that has rows comes raw, and so do those before it: the main process tells the features
from the first of them, as without workers, and the worker tells them from its own. Both do the same with the same options,
and the main process checks that they agree. Where a worker cannot encode a batch, it comes raw as well, and the main
process finds the same fault again, which it alone can place.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler

from exporters.aliases import Collate, Examples, Loader, RawBatch
from exporters.batches import flatten as batches_lib
from exporters.batches.row_lists import Lists
from exporters.batches.rows import Rows
from exporters.features import encoders as encoding
from exporters.features.fields import Field, RaggedField
from exporters.integers.conversion import Conversion
from exporters.loaders import facts as loader_lib
from exporters.loaders.first_batch import lists_of_batch
from exporters.options.features import Options
from exporters.schema import schema as schema_lib
from exporters.schema.class_names import Classes
from exporters.schema.schema import Schema
from exporters.tensors.arrays import AsIntegers, Encoded
from exporters.tensors.pytorch import integers_to_tensor
from tfds_builder.aliases import Array

_TRIES = 4
"""Batches that a worker tries to tell the features from: which integers floats were, not every batch shows."""


def encoding_loader(loader: Loader, classes: Classes, options: Options) -> Loader:
    """A loader that gives the same batches, some of them encoded already by its workers where that is possible.

    Args:
      loader: a DataLoader; it is not changed.
      classes: names of classes that the dataset brings along.
      options: what the caller of `export` said.

    Returns:
      The loader itself where there is nothing to encode, no worker, or no safe way to make its workers do it:
      then the main process encodes.

    Raises:
      ArgumentError: `features=` holds something that is no feature.
    """
    encoded = map(encoding.runs_in_worker, schema_lib.flatten_overrides(options.features).values())
    if not loader.num_workers or not (options.given_integers or any(encoded)):
        return loader
    if not _reaches_workers((classes, options), loader.multiprocessing_context):
        return loader
    twin = loader_lib.with_collate(loader, lambda collate: _Collate(collate, classes, options, _Size(loader)))
    return loader if twin is None else twin


def _reaches_workers(value: object, context: BaseContext | None) -> bool:
    """Whether a value can be given to worker processes: forked ones have it, others must unpickle it."""
    if (context or multiprocessing).get_start_method() == "fork":
        return True
    try:
        ForkingPickler.dumps(value)
    except Exception:  # classes raise whatever they like when they are pickled
        return False
    return True


class _Size:
    """What `lists_of_batch` asks a loader for. The loader itself cannot be sent to its workers."""

    def __init__(self, loader: Loader) -> None:
        total = loader_lib.expected_examples(loader)
        self.batch_size = loader.batch_size if None in (loader.batch_size, total) else min(loader.batch_size, total or 0)
        self.dataset, self.collate_fn = loader.dataset, loader.collate_fn
        self.batch_sampler = None if loader.batch_sampler is None else "there is one"
        self.sampler = loader.sampler if isinstance(loader.sampler, Sequence) else None
        self.num_workers = 0  # a worker has none


class _Collate:
    """A `collate_fn` that encodes what the user's own one gave; each worker has one of its own."""

    def __init__(self, collate: Collate, classes: Classes, options: Options, size: _Size) -> None:
        self._collate, self._classes, self._options, self._size = collate, classes, options, size
        self._encoders: Mapping[str, Callable[[Array | Rows], Encoded | AsIntegers]] | None = None
        self._lists, self._tries = Lists(), _TRIES

    def __call__(self, examples: Examples) -> RawBatch:
        raw = self._collate(examples)
        try:
            if self._encoders is not None:
                return batches_lib.encode_parts(raw, self._encoders, self._lists)
            if batches_lib.is_empty(raw) or not self._tries:
                return raw
            lists = lists_of_batch(raw, self._size, "")
            if not batches_lib.to_batch(raw, "", 0, lists).rows:
                return raw
            self._tries -= 1
            schema, self._lists = schema_lib.settle(raw, "", lists, self._classes, self._options)
            self._encoders = _encoders(schema)
        except Exception:  # the main process will meet it again, and can say in which batch
            return raw
        return raw


def _encoders(schema: Schema) -> dict[str, Callable[[Array | Rows], Encoded | AsIntegers]]:
    """What a worker does to columns, by structural name: encodes what is dear to encode, and makes integers of floats."""
    fields = {field.source: field for field in schema.fields if isinstance(field, Field)}
    dear = {source: field for source, field in fields.items() if encoding.runs_in_worker(field.feature)}
    ragged = {source for field in schema.fields if isinstance(field, RaggedField) for source in field.sources}
    return {
        source: _encoder(dear.get(source), schema.integers.get(source), schema.names[source])
        for source in dear.keys() | schema.integers.keys() - ragged
    }


def _encoder(field: Field | None, conversion: Conversion | None, name: str) -> Callable[[Array | Rows], Encoded | AsIntegers]:
    def encode(array: Array | Rows) -> Encoded | AsIntegers:
        table = None
        if conversion is not None:
            array, table = conversion.to_integers(array, name, ""), conversion.table
        if field is not None:
            return Encoded(field.encode_array(array, ""), field.column, array.dtype, array.shape, table)
        assert table is not None
        assert not isinstance(array, Rows)
        return AsIntegers(integers_to_tensor(array), table)

    return encode
