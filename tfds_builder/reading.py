"""Table -> `tf.data`: a block of rows at a time, never an example at a time.

A dataset of row ranges is mapped through `Table.read`, then rebatched (or unbatched). Features
that are stored as their very value need nothing more; for the others (images stored as PNG,
custom decoders) the stored form is decoded by TFDS, example by example.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import shard_utils

from tfds_builder import metadata
from tfds_builder.errors import DatasetError, UnsupportedReadError
from tfds_builder.manifest import Manifest
from tfds_builder.table import Array, Segment, Table

_BLOCK_BYTES = 4 * 1024 * 1024
_BLOCK_ROWS = 1024
"""A block is at most this many bytes and rows when no batch size asks for another: large enough
to leave the cost of a call behind, small enough to stay in the cache."""
_SHUFFLE_BLOCKS = 64
"""A split is cut into at least this many blocks to be shuffled by the block, if it has the rows."""
_STRING_BYTES = 256
"""What a string of unknown length counts for in the size of a block."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What one `as_dataset` call asks for, on one split.

    Attributes:
      features: the FeaturesDict to yield (already cut down by a PartialDecoding).
      decoders: nested dict of `tfds.decode.Decoder`, or None.
      batch_size: rows a batch, or None for single examples.
      shuffle: whether to shuffle the blocks.
      supervised_keys: structure of feature names to yield instead of the dict, or None.
      read_config: `tfds.ReadConfig`.
    """

    features: Any
    decoders: Mapping[str, Any] | None
    batch_size: int | None
    shuffle: bool
    supervised_keys: Any
    read_config: Any


def segments_of(manifest: Manifest, instructions: Sequence[shard_utils.FileInstruction]) -> list[Segment]:
    """TFDS's file instructions (file, skip, take) as runs of rows of shards."""
    shards = {shard.data.file: shard for split in manifest.splits.values() for shard in split.shards}
    segments = []
    for instruction in instructions:
        name = os.path.basename(instruction.filename)
        if name not in shards:
            raise DatasetError(f"dataset_info.json names {name}, which the manifest of {manifest.name} does not list")
        stop = instruction.skip + instruction.take
        if stop > shards[name].rows:
            raise DatasetError(
                f"dataset_info.json promises {stop} rows of {name}, which the manifest says has {shards[name].rows}"
            )
        segments.append(Segment(shards[name], instruction.skip, stop))
    return segments


def select_instructions(
    instructions: Sequence[shard_utils.FileInstruction], read_config: Any
) -> list[shard_utils.FileInstruction]:
    """Applies the ReadConfig fields that choose or order files, as TFDS's own reader does."""
    if read_config.experimental_interleave_sort_fn is not None:
        instructions = read_config.experimental_interleave_sort_fn(instructions)
    context = read_config.input_context
    if context is not None:
        count = context.num_input_pipelines
        if count > 1 and len(instructions) < count:
            raise ValueError(
                f"input_context asks for {count} pipelines and the split has {len(instructions)} shards, so some would "
                "read nothing; use tfds.even_splits or the subsplit API instead"
            )
        instructions = instructions[context.input_pipeline_id :: count]
    return list(instructions)


def make_dataset(table: Table, manifest: Manifest, request: Request) -> tf.data.Dataset:
    """The `tf.data.Dataset` of a request: examples, or batches of `request.batch_size`.

    Raises:
      MissingFileError, DamagedFileError: a shard is not what the manifest says.
    """
    table.check_files()
    reader = _BlockReader(table, manifest, request)
    config, rows = request.read_config, len(table)
    block = _block_rows(reader.row_bytes, rows, request)
    ds = _Order(rows, block, request).blocks()
    if config.repeat_filenames:
        ds = ds.repeat()
    decodes, keys = reader.decoder.decodes, request.supervised_keys
    ds = ds.map(
        reader.read if decodes or keys is None else lambda rows: pick(reader.read(rows), keys),
        num_parallel_calls=config.num_parallel_calls_for_decode,
        deterministic=not request.shuffle or config.shuffle_seed is not None or config.options.deterministic is not None,
    )
    ds = _decode_and_batch(ds, reader, request, block, exact=rows % block == 0 or not request.shuffle)
    if config.assert_cardinality and not config.repeat_filenames and config.input_context is None:
        count = rows if request.batch_size is None else -(-rows // request.batch_size)
        ds = ds.apply(tf.data.experimental.assert_cardinality(count))
    elif config.repeat_filenames:
        ds = ds.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    ds = ds.with_options(config.options)
    single = request.batch_size is None and not decodes  # prefetched by the block, not one by one
    return ds if config.skip_prefetch or single else ds.prefetch(tf.data.AUTOTUNE)


def _decode_and_batch(ds: tf.data.Dataset, reader: _BlockReader, request: Request, block: int, *, exact: bool) -> tf.data.Dataset:
    """Blocks of stored columns to what was asked for. `exact`: only the last block may be short."""
    batch, config = request.batch_size, request.read_config
    if reader.decoder.decodes:
        ds = unbatch(ds).map(
            lambda example: pick(reader.decoder.decode(example), request.supervised_keys),
            num_parallel_calls=config.num_parallel_calls_for_decode,
        )
        return ds if batch is None else ds.padded_batch(batch)
    if batch is None:
        return unbatch(ds if config.skip_prefetch else ds.prefetch(tf.data.AUTOTUNE))
    return ds if exact and block == batch and not config.repeat_filenames else ds.rebatch(batch)


def unbatch(ds: tf.data.Dataset) -> tf.data.Dataset:
    """`ds.unbatch()`, which in TensorFlow 2.21 kills the process on a tensor without elements."""
    if all(spec.shape[1:].num_elements() != 0 for spec in tf.nest.flatten(ds.element_spec)):
        return ds.unbatch()
    return ds.flat_map(tf.data.Dataset.from_tensor_slices)


def pick(example: Mapping[str, Any], supervised_keys: Any) -> Any:
    """An example, or the structure of its features that `supervised_keys` asks for."""
    if supervised_keys is None:
        return example
    return tf.nest.map_structure(lambda key: example[key], supervised_keys)


def _block_rows(row_bytes: int, rows: int, request: Request) -> int:
    """Rows of a block: those of a batch, or of several small ones; few enough of them to shuffle well."""
    target = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, row_bytes)))
    batch = request.batch_size
    block = target if batch is None else batch * max(1, target // batch) if batch < target // 2 else batch
    return min(block, max(1, rows // _SHUFFLE_BLOCKS)) if shuffles_blocks(request) else block


def shuffles_blocks(request: Request) -> bool:
    """Whether blocks are shuffled, as they are unless single rows are asked for."""
    return request.shuffle and not shuffles_rows(request)


def shuffles_rows(request: Request) -> bool:
    """Whether every single row is shuffled, which a `tfds_builder.ReadConfig` asks for."""
    return request.shuffle and getattr(request.read_config, "shuffle_unit", "block") == "row"


class FeatureDecoder:
    """From stored columns to what the features say: which still need decoding, and how.

    Args:
      features: the FeaturesDict to yield.
      decoders: nested dict of `tfds.decode.Decoder`, or None.

    Attributes:
      names: flat names of the features, sorted.
      specs: `tf.TensorSpec` of one stored row, by flat name.
      decodes: whether some feature is stored in TFDS's serialized form, to be decoded example by example.
    """

    def __init__(self, features: Any, decoders: Mapping[str, Any] | None = None) -> None:
        self.features = dict(metadata.flatten_features(features))
        self._decoders = _flatten_decoders(features, decoders)
        self._serialized = {
            name for name, feature in self.features.items() if name in self._decoders or not metadata.is_direct(feature)
        }
        self.names = list(self.features)
        self.specs = {name: self._spec(name) for name in self.names}

    @property
    def decodes(self) -> bool:
        return bool(self._serialized)

    def _spec(self, name: str) -> tf.TensorSpec:
        feature = self.features[name]
        info = feature.get_serialized_info() if name in self._serialized else feature.get_tensor_info()
        return tf.TensorSpec(info.shape, info.tf_dtype)

    def serialize(self, name: str, values: Array) -> Array:
        """A column as TFDS's parser would hand it to a decoder: bytes where TFDS stores bytes."""
        feature = self.features[name]
        is_bytes = feature.get_serialized_info().np_dtype == np.object_ and values.dtype != np.object_
        if name not in self._serialized or not is_bytes:
            return values
        out = np.empty(len(values), object)
        out[:] = [row.tobytes() for row in values]
        return out

    def decode(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """Decodes the serialized features of one example; the others pass."""
        flat = dict(_flatten_nested(example))
        for name in self._serialized:
            feature, decoder = self.features[name], self._decoders.get(name)
            if decoder is not None:
                decoder.setup(feature=feature)
            flat[name] = (decoder or feature).decode_example(flat[name])
        return metadata.nest(flat)


class _BlockReader:
    """Reads a block of rows inside the graph, as a nested dict of tensors."""

    def __init__(self, table: Table, manifest: Manifest, request: Request) -> None:
        self._table, self.decoder = table, FeatureDecoder(request.features, request.decoders)
        widths = {column.name: column.width or _STRING_BYTES for column in manifest.columns}
        self.row_bytes = sum(widths[name] for name in self.decoder.names)
        self._ids = _IdMaker(table) if request.read_config.add_tfds_id else None
        self._specs = dict(self.decoder.specs)
        if self._ids is not None:
            self._specs["tfds_id"] = tf.TensorSpec((), tf.string)

    def read(self, rows: tf.Tensor) -> dict[str, Any]:
        """The rows of those numbers, int64 of shape (n,); each tensor has a leading row axis."""
        specs = self._specs
        values = tf.numpy_function(self._read, [rows], [spec.dtype for spec in specs.values()], stateful=False)
        for value, spec in zip(values, specs.values(), strict=True):
            value.set_shape([None, *spec.shape])
        return metadata.nest(dict(zip(specs, values, strict=True)))

    def _read(self, rows: Array) -> list[Array]:
        names = self.decoder.names
        columns = self._table.read(as_slice(rows), names)
        values = [self.decoder.serialize(name, columns[name]) for name in names]
        return values if self._ids is None else [*values, self._ids.make(rows)]


def as_slice(rows: Array) -> slice | Array:
    """Row numbers as a slice if they follow one another: then a column is one strided copy."""
    if not len(rows):
        return slice(0, 0)
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first == len(rows) - 1 and bool(np.all(np.diff(rows) == 1)) else rows


class _Order:
    """Which rows each block takes, in which order the blocks come.

    A shuffle is a pseudo-random permutation computed number by number
    (`tf.random.experimental.index_shuffle`), of the blocks or of the rows of the whole split: no
    buffer, whatever the size of the split; its seed is drawn anew at each epoch.
    """

    def __init__(self, rows: int, block: int, request: Request) -> None:
        self._rows, self._block, self._count = rows, block, -(-rows // block)
        self._config, self._shuffle = request.read_config, request.shuffle
        self._by_row = shuffles_rows(request)

    def blocks(self) -> tf.data.Dataset:
        """A dataset of row numbers, int64 of shape (rows of the block,)."""
        numbers = tf.data.Dataset.range(self._count)
        if not self._shuffle:
            return numbers.map(self._rows_of)
        again, seed = self._config.shuffle_reshuffle_each_iteration is not False, self._config.shuffle_seed
        if seed is None and not again:  # without a seed, Dataset.random is another one at each iteration all the same
            with tf.init_scope():
                seed = int(tf.random.uniform([], maxval=2**31 - 1, dtype=tf.int32))
        seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=again)
        return seeds.batch(2, drop_remainder=True).take(1).flat_map(lambda seed: numbers.map(lambda n: self._shuffled(n, seed)))

    def _rows_of(self, number: tf.Tensor) -> tf.Tensor:
        return tf.range(number * self._block, tf.minimum((number + 1) * self._block, self._rows))

    def _shuffled(self, number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        permute = tf.random.experimental.index_shuffle
        if self._by_row:
            return permute(self._rows_of(number), seed, self._rows - 1)
        return self._rows_of(permute(number, seed, self._count - 1))


class _IdMaker:
    """`tfds_id` of rows, as TFDS makes it: file name, two underscores, row in the file."""

    def __init__(self, table: Table) -> None:
        self._segments = table.segments
        self._ends = np.cumsum([segment.stop - segment.start for segment in table.segments])

    def make(self, rows: Array) -> Array:
        numbers = np.searchsorted(self._ends, rows, side="right")
        ids = [
            f"{self._segments[number].shard.data.file}__{self._segments[number].stop - int(self._ends[number]) + row}"
            for number, row in zip(numbers.tolist(), rows.tolist(), strict=True)
        ]
        return np.array([name.encode() for name in ids], object)


def _flatten_nested(example: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in example.items():
        flat += _flatten_nested(value, f"{prefix}{name}/") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return flat


def _flatten_decoders(features: Any, decoders: Mapping[str, Any] | None) -> dict[str, Any]:
    """Decoders by flat feature name.

    Raises:
      ValueError: a decoder for a feature that is not there.
      UnsupportedReadError: something that is no `tfds.decode.Decoder`.
    """
    flat = dict(_flatten_nested(decoders or {}))
    known = dict(metadata.flatten_features(features))
    for name, decoder in flat.items():
        if name not in known:
            raise ValueError(f"decoders has {name!r}, which is no feature of the dataset; features: {sorted(known)}")
        if not isinstance(decoder, tfds.decode.Decoder):
            raise UnsupportedReadError(f"decoders[{name!r}] must be a tfds.decode.Decoder (got {type(decoder).__name__})")
    return flat
