"""Table -> `tf.data`: a block of rows at a time, never an example at a time.

A dataset of row ranges is mapped through `Table.read`, then rebatched (or unbatched). Features
that are stored as their very value need nothing more; for the others (images stored as PNG,
custom decoders) the stored form is decoded by TFDS, example by example.
"""

from __future__ import annotations

import dataclasses
import os
import weakref
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

_CALL_BYTES = 16 * 1024 * 1024
_CALL_ROWS = 4096
"""One call of Python reads at most this many bytes and rows of batches, or one batch if that is larger: enough to
leave the cost of a call behind (0.2 ms), little enough to be there soon."""
_SINGLE_BYTES = 4 * 1024 * 1024
_SINGLE_ROWS = 1024
"""The same for single examples, which are copied once more while they are in the cache."""
_BLOCK_BYTES = 256 * 1024
_BLOCK_ROWS = 256
"""Neighbouring rows that stay together in a shuffle by the block, at most: few enough to mix well, enough for a disk to
read them at the speed it reads anything."""
_SHUFFLED_BLOCKS = 64
"""A split is cut into at least this many blocks to be shuffled, if it has the rows."""
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
        count, number = context.num_input_pipelines, context.input_pipeline_id
        if not 0 <= number < count:
            raise ValueError(f"input_context.input_pipeline_id must be between 0 and {count - 1} (got {number})")
        if count > 1 and len(instructions) < count:
            raise ValueError(
                f"input_context asks for {count} pipelines and the split has {len(instructions)} shards, so some would "
                "read nothing; use tfds.even_splits or the subsplit API instead"
            )
        instructions = instructions[number::count]
    return list(instructions)


def make_dataset(table: Table, manifest: Manifest, request: Request) -> tf.data.Dataset:
    """The `tf.data.Dataset` of a request: examples, or batches of `request.batch_size`.

    Raises:
      MissingFileError, DamagedFileError: a shard is not what the manifest says.
      UnsupportedReadError: `ReadConfig.file_format` is a format the dataset is not stored in.
    """
    config, rows = request.read_config, len(table)
    if config.file_format is not None and config.file_format.value != manifest.format:
        raise UnsupportedReadError(
            f"ReadConfig.file_format is {config.file_format.value!r}, and {manifest.name} {manifest.version} is stored as "
            f"{manifest.format!r}; leave file_format out"
        )
    table.check_files()
    reader = _BlockReader(table, manifest, request)
    ds = _Order(rows, reader.cut, request).calls()
    if config.repeat_filenames:
        ds = ds.repeat()
    decodes, keys = reader.decoder.decodes, request.supervised_keys
    ds = ds.map(
        reader.read if decodes or keys is None else lambda rows: pick(reader.read(rows), keys),
        num_parallel_calls=config.num_parallel_calls_for_decode,
        deterministic=True,  # also where options say otherwise: the short batch must come last
    )
    # TensorFlow keeps the function of a numpy_function for ever, and with it the table; its files only as long as the dataset
    weakref.finalize(ds, table.close).atexit = False
    ds = _decode_and_batch(ds, reader, request)
    if config.assert_cardinality and not config.repeat_filenames and config.input_context is None:
        count = rows if request.batch_size is None else -(-rows // request.batch_size)
        ds = ds.apply(tf.data.experimental.assert_cardinality(count))
    elif config.repeat_filenames:
        ds = ds.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    ds = ds.with_options(config.options)
    single = request.batch_size is None and not decodes  # prefetched by the call, not one by one
    return ds if config.skip_prefetch or single else ds.prefetch(tf.data.AUTOTUNE)


def _decode_and_batch(ds: tf.data.Dataset, reader: _BlockReader, request: Request) -> tf.data.Dataset:
    """Stored columns, a call at a time, to what was asked for."""
    batch, config = request.batch_size, request.read_config
    if reader.decoder.decodes:
        ds = unbatch(ds).map(
            lambda example: pick(reader.decoder.decode(example), request.supervised_keys),
            num_parallel_calls=config.num_parallel_calls_for_decode,
        )
        return ds if batch is None else ds.padded_batch(batch)
    if batch is None:
        return unbatch(ds if config.skip_prefetch else ds.prefetch(tf.data.AUTOTUNE))
    if config.repeat_filenames:  # then a batch may begin in one epoch and end in the next
        return ds.rebatch(batch)
    return ds if reader.cut.call == batch else ds.flat_map(lambda *rows: _split(rows[0] if len(rows) == 1 else rows, batch))


def _split(rows: Any, batch: int) -> tf.data.Dataset:
    """The rows of a call as batches, the last one short if need be, without copying them."""
    count = tf.shape(tf.nest.flatten(rows)[0], tf.int64)[0]
    whole = count // batch

    def shape(column: tf.Tensor) -> tf.Tensor:
        sizes = tf.concat([[whole, batch], tf.shape(column, tf.int64)[1:]], 0)
        return tf.ensure_shape(tf.reshape(column[: whole * batch], sizes), [None, None, *column.shape[1:]])

    rest = tf.data.Dataset.from_tensors(tf.nest.map_structure(lambda column: column[whole * batch :], rows))
    batches = tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(shape, rows))
    return batches.concatenate(rest.take(tf.cast(count > whole * batch, tf.int64)))


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


@dataclasses.dataclass(frozen=True)
class _Cut:
    """How a split is cut: rows that one call reads, and rows that stay together in a shuffle (a divisor of it)."""

    call: int
    block: int


def _cut(row_bytes: int, rows: int, request: Request) -> _Cut:
    """A call is a whole number of batches, if batches are asked for; a block a whole number or a divisor of one."""
    batch = request.batch_size or 1
    small = max(1, min(_SINGLE_ROWS, _SINGLE_BYTES // max(1, row_bytes)))
    large = max(1, min(_CALL_ROWS, _CALL_BYTES // max(1, row_bytes)))
    call = small if request.batch_size is None else batch * max(1, large // batch)
    if not shuffles_blocks(request):
        return _Cut(call, call)
    largest = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, row_bytes), rows // _SHUFFLED_BLOCKS))
    if largest >= batch:
        block = largest // batch * batch
        return _Cut(max(1, call // block) * block, block)
    return _Cut(call, max(size for size in range(1, largest + 1) if batch % size == 0))


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
        self.cut = _cut(sum(widths[name] for name in self.decoder.names), len(table), request)
        self._ids = _IdMaker(table) if request.read_config.add_tfds_id else None
        self._specs = dict(self.decoder.specs)
        if self._ids is not None:
            self._specs["tfds_id"] = tf.TensorSpec((), tf.string)

    def read(self, rows: tf.Tensor) -> dict[str, Any]:
        """The rows of those numbers, int64 of shape (n,), or of a call's number of rows from a scalar on; each
        tensor has a leading row axis."""
        specs = self._specs
        values = tf.numpy_function(self._read, [rows], [spec.dtype for spec in specs.values()], stateful=False)
        for value, spec in zip(values, specs.values(), strict=True):
            value.set_shape([None, *spec.shape])
        return metadata.nest(dict(zip(specs, values, strict=True)))

    def _read(self, rows: Array) -> list[Array]:
        names = self.decoder.names
        run = slice(int(rows), int(rows) + self.cut.call) if not rows.ndim else None
        columns = self._table.read(rows if run is None else run, names)
        values = [self.decoder.serialize(name, columns[name]) for name in names]
        return (
            values if self._ids is None else [*values, self._ids.make(rows if run is None else np.arange(len(self._table))[run])]
        )


class _Order:
    """Which rows each call reads, in which order.

    A shuffle is a pseudo-random permutation computed number by number
    (`tf.random.experimental.index_shuffle`), of the blocks or of the rows of the whole split: no
    buffer, whatever the size of the split; its seed is drawn anew at each epoch. The rows that are
    left when a split is cut into blocks come last; where they are cut out is drawn too.
    """

    def __init__(self, rows: int, cut: _Cut, request: Request) -> None:
        self._rows, self._cut, self._count = rows, cut, -(-rows // cut.call)
        self._config, self._shuffle = request.read_config, request.shuffle
        self._by_row = shuffles_rows(request)

    def calls(self) -> tf.data.Dataset:
        """A dataset of row numbers: int64 of shape (rows of the call,), or scalar, the first of a run (an operation
        in the graph costs every iterator milliseconds)."""
        if not self._shuffle:
            return tf.data.Dataset.range(0, self._rows, self._cut.call)
        numbers = tf.data.Dataset.range(self._count)
        again, seed = self._config.shuffle_reshuffle_each_iteration is not False, self._config.shuffle_seed
        if seed is None and not again:  # without a seed, Dataset.random is another one at each iteration all the same
            with tf.init_scope():
                seed = int(tf.random.uniform([], maxval=2**31 - 1, dtype=tf.int32))
        seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=again)
        shuffled = self._shuffled_rows if self._by_row else self._shuffled_blocks
        return seeds.batch(2, drop_remainder=True).take(1).flat_map(lambda seed: numbers.map(lambda n: shuffled(n, seed)))

    def _shuffled_rows(self, number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        places = tf.range(number * self._cut.call, tf.minimum((number + 1) * self._cut.call, self._rows))
        return tf.random.experimental.index_shuffle(places, seed, self._rows - 1)

    def _shuffled_blocks(self, number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        block, (blocks, left) = self._cut.block, divmod(self._rows, self._cut.block)
        cut = tf.random.stateless_uniform([], seed, 0, blocks + 1, tf.int64)  # the block before which `left` rows are cut out
        per_call = self._cut.call // block
        first, last = number * per_call, tf.minimum((number + 1) * per_call, tf.constant(blocks, tf.int64))
        numbers = tf.minimum(tf.range(first, tf.maximum(last, first + 1)), blocks - 1)  # index_shuffle takes no empty range
        drawn = tf.random.experimental.index_shuffle(numbers, seed, blocks - 1)[: last - first]
        starts = drawn * block + tf.where(drawn >= cut, tf.constant(left, tf.int64), 0)
        rows = tf.reshape(starts[:, None] + tf.range(block, dtype=tf.int64), [-1])
        rest = cut * block + tf.range(tf.where(last < (number + 1) * per_call, tf.constant(left, tf.int64), 0))
        return tf.concat([rows, rest], 0)


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
    """Decoders by flat feature name; None is no decoder, as it is to TFDS.

    Raises:
      ValueError: a decoder for a feature that is not there, or no dict of decoders.
      UnsupportedReadError: something that is no `tfds.decode.Decoder`.
    """
    if decoders is not None and not isinstance(decoders, Mapping):
        raise ValueError(f"decoders must be a dict of feature name to tfds.decode.Decoder (got {type(decoders).__name__})")
    flat = {name: decoder for name, decoder in _flatten_nested(decoders or {}) if decoder is not None}
    known = dict(metadata.flatten_features(features))
    for name, decoder in flat.items():
        if name not in known:
            raise ValueError(f"decoders has {name!r}, which is no feature of the dataset; features: {sorted(known)}")
        if not isinstance(decoder, tfds.decode.Decoder):
            raise UnsupportedReadError(f"decoders[{name!r}] must be a tfds.decode.Decoder (got {type(decoder).__name__})")
    return flat
