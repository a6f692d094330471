"""Table -> `tf.data`: a block of rows at a time, never an example at a time.

A dataset of row ranges is mapped through `Table.read`, then rebatched (or unbatched). Features
that are stored as their very value need nothing more; for the others (images stored as PNG,
custom decoders) the stored form is decoded by TFDS, example by example.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_datasets.core.utils import shard_utils

from tfds_builder.aliases import Array, Decoder, Example, Features, FeatureValue, ReadConfigArgument, StoredValue, SupervisedKeys
from tfds_builder.contract.manifest import Manifest
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import UnsupportedReadError
from tfds_builder.features.names import nest
from tfds_builder.readers.decode_graph import FeatureDecoder, unbatch
from tfds_builder.readers.row_order import InOrder, Shuffled
from tfds_builder.table.mapped_files import LARGE_BYTES
from tfds_builder.table.table import Table

_CALL_BYTES = 16 * 1024 * 1024
_CALL_ROWS = 4096
"""One call of Python reads at most this many bytes and rows of batches, or one batch if that is larger: enough to
leave the cost of a call behind (0.2 ms), little enough to be there soon."""
_SINGLE_BYTES = 4 * 1024 * 1024
_SINGLE_ROWS = 1024
"""The same for single examples, which are copied once more while they are in the cache."""
_WINDOW_BYTES = 4 * 1024 * 1024
"""Rows of at least so many bytes are mixed with each other, and at least those of a call."""
_BLOCKS = 128
_BLOCK_BYTES = 256 * 1024
"""They come from so many places all over the split, or from more: of neighbouring rows, no more bytes are drawn together."""
_VARYING = 4
"""And a call reads at most so many times as much as it should, where rows differ in length and are longer than that."""
_ITEMS = 32
"""Values (or strings, divided by 8) that a row of unknown length is taken to have, when a block is measured."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What one `as_dataset` call asks for, on one split.

    Attributes:
      features: the FeaturesDict to yield (already cut down by a PartialDecoding).
      decoders: nested dict of `tfds.decode.Decoder`, or None.
      batch_size: rows a batch, or None for single examples.
      shuffle: whether to shuffle the rows.
      supervised_keys: structure of feature names to yield instead of the dict, or None.
      read_config: `tfds.ReadConfig`.
    """

    features: Features
    decoders: Mapping[str, Decoder] | None
    batch_size: int | None
    shuffle: bool
    supervised_keys: SupervisedKeys
    read_config: ReadConfigArgument


def select_instructions(
    instructions: Sequence[shard_utils.FileInstruction], read_config: ReadConfigArgument
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
    ds = _calls(reader.order.calls, request)
    if config.repeat_filenames:
        ds = ds.repeat()
    by_example, keys = reader.by_example, request.supervised_keys
    calls = config.num_parallel_calls_for_decode
    if reader.is_large:
        ds, calls = ds.with_options(_one_by_one()), None if calls == tf.data.AUTOTUNE else calls
    ds = ds.map(
        lambda *call: pick(reader.read(*call), None if by_example else keys),
        num_parallel_calls=calls,
        deterministic=None if calls is None else True,  # True also where options say otherwise: the short batch must come last
    )
    # TensorFlow keeps the function of a numpy_function for ever, and with it the table; its files only as long as the dataset
    weakref.finalize(ds, table.close).atexit = False
    ds = _decode_and_batch(ds, reader, request, calls)
    if config.assert_cardinality and not config.repeat_filenames and config.input_context is None:
        count = rows if request.batch_size is None else -(-rows // request.batch_size)
        ds = ds.apply(tf.data.experimental.assert_cardinality(count))
    elif config.repeat_filenames:
        ds = ds.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    ds = ds.with_options(config.options)
    single = request.batch_size is None and not by_example  # prefetched by the call, not one by one
    return ds if config.skip_prefetch or single or reader.is_large else ds.prefetch(tf.data.AUTOTUNE)


def _one_by_one() -> tf.data.Options:
    """Options that keep TensorFlow from making maps parallel, and from prefetching, by itself."""
    options = tf.data.Options()
    options.experimental_optimization.map_parallelization = False
    options.experimental_optimization.inject_prefetch = False
    return options


def _decode_and_batch(ds: tf.data.Dataset, reader: _BlockReader, request: Request, calls: int | None) -> tf.data.Dataset:
    """Stored columns, a call at a time, to what was asked for; `calls` of whatever is mapped are made at once."""
    batch, config = request.batch_size, request.read_config
    if reader.by_example:
        ds = ds if reader.takes_rows else reader.decoder.split(ds)
        ds = ds.map(lambda columns: pick(reader.decode(columns), request.supervised_keys), num_parallel_calls=calls)
        return ds if batch is None else ds.padded_batch(batch)
    if reader.takes_rows:
        return ds
    if batch is None:
        return unbatch(ds if config.skip_prefetch else ds.prefetch(tf.data.AUTOTUNE))
    is_whole = reader.order.call == batch and not config.repeat_filenames  # or a batch may begin in one epoch, end in the next
    return ds if is_whole else ds.rebatch(batch)


def pick(example: Mapping[str, FeatureValue], supervised_keys: SupervisedKeys) -> Example:
    """An example as it is, or, if there are `supervised_keys`, the features that these name, in the structure that they have."""
    if supervised_keys is None:
        return example
    return tf.nest.map_structure(lambda key: example[key], supervised_keys)


def _order(row_bytes: int, rows: int, request: Request, *, pads: bool) -> InOrder | Shuffled:
    """Which rows each call reads: a whole number of batches, if batches are asked for (one, if each is padded to its own
    longest row), or else many rows."""
    batch = request.batch_size or 1
    small = max(1, min(_SINGLE_ROWS, _SINGLE_BYTES // max(1, row_bytes)))
    large = max(1, min(_CALL_ROWS, _CALL_BYTES // max(1, row_bytes)))
    call = small if request.batch_size is None else batch if pads else batch * max(1, large // batch)
    if not request.shuffle:
        return InOrder(rows, call)
    if getattr(request.read_config, "shuffle_unit", "block") == "row":
        return Shuffled(rows, batch, call, 1, call)
    window = max(call, _WINDOW_BYTES // max(1, row_bytes))
    block = max(1, min(window // _BLOCKS, _BLOCK_BYTES // max(1, row_bytes)))
    return Shuffled(rows, batch, window, block, None if window < 2 * call and not pads else call)


def _calls(count: int, request: Request) -> tf.data.Dataset:
    """A dataset of what `_BlockReader.read` takes: numbers of calls and, if rows are shuffled, the seed of the epoch. Short:
    an operation in a graph costs every iterator, a nested dataset milliseconds."""
    numbers = tf.data.Dataset.range(count)
    if not request.shuffle:
        return numbers
    config = request.read_config
    again, seed = config.shuffle_reshuffle_each_iteration is not False, config.shuffle_seed
    if seed is None and not again:  # without a seed, Dataset.random is another one at each iteration all the same
        with tf.init_scope():
            seed = int(tf.random.uniform([], maxval=2**31 - 1, dtype=tf.int32))
    drawn = tf.data.Dataset.random(seed, rerandomize_each_iteration=again).batch(2, drop_remainder=True).take(1)
    return tf.data.Dataset.zip((numbers, drawn.flat_map(lambda seed: tf.data.Dataset.from_tensors(seed).repeat())))


class _BlockReader:
    """Reads a block of rows inside the graph.

    Attributes:
      order: which rows each call reads.
      by_example: whether rows must be taken one by one, as flat columns: something is to be decoded, or rows differ in
        length and batches, each padded to its own longest row, cannot be read whole.
      is_large: whether rows are so large that there must never be more of them than needed: calls are made one after another,
        and nothing is read ahead.
      takes_rows: whether each call then reads a single row, without a row axis.
    """

    def __init__(self, table: Table, manifest: Manifest, request: Request) -> None:
        self._table, self.decoder = table, FeatureDecoder(request.features, request.decoders)
        is_ragged = bool(self.decoder.ragged)
        self.by_example = self.decoder.decodes or (
            is_ragged and (request.batch_size is None or request.read_config.repeat_filenames)
        )
        widths = {column.name: column.values * _ITEMS * 8 if column.is_variable else column.width for column in manifest.columns}
        most = table.row_bytes(self.decoder.names)
        self.is_large = most >= LARGE_BYTES
        self.takes_rows = self.is_large and (self.by_example or request.batch_size is None)
        row_bytes = max(sum(widths[name] for name in self.decoder.names), most // _VARYING)
        asked = request
        if self.takes_rows:
            row_bytes, asked = max(row_bytes, _CALL_BYTES), dataclasses.replace(request, batch_size=None)
        self.order = _order(row_bytes, len(table), asked, pads=is_ragged and not self.by_example)
        self._ids = _IdMaker(table) if request.read_config.add_tfds_id else None
        self._specs = dict(self.decoder.specs) if self.takes_rows else self.decoder.signature(pairs=self.by_example)
        if self._ids is not None:
            self._specs["tfds_id"] = tf.TensorSpec(() if self.takes_rows else (None,), tf.string)

    def read(self, number: tf.Tensor, *seed: tf.Tensor) -> dict[str, FeatureValue]:
        """The rows that a call reads, by its number and the seed of the epoch, if there is one. They are a nested dict of tensors
        with a leading row axis, or flat columns if rows are to be taken one by one. If each call reads a single row, there is no
        row axis."""
        flat = tf.nest.flatten(self._specs)
        values = tf.numpy_function(self._read, [number, *seed], [spec.dtype for spec in flat], stateful=False)
        for value, spec in zip(values, flat, strict=True):
            value.set_shape(spec.shape)
        columns: dict[str, StoredValue] = tf.nest.pack_sequence_as(self._specs, values)
        return columns if self.by_example else nest(columns)

    def decode(self, columns: Mapping[str, StoredValue]) -> dict[str, FeatureValue]:
        """One row's flat columns to a nested example."""
        example = self.decoder.decode(columns)
        return example if self._ids is None else {**example, "tfds_id": columns["tfds_id"]}

    def _read(self, number: Array, *seed: Array) -> list[Array]:
        rows = self.order.rows(int(number), *seed)
        found = self._table.read(rows, self.decoder.names)
        columns = {name: self.decoder.serialize(name, found[name]) for name in self.decoder.names}
        if not (self.by_example or self.takes_rows):
            empty = self._table.files.buffers.empty
            columns = {name: value.to_padded(empty) if isinstance(value, Ragged) else value for name, value in columns.items()}
        if self._ids is not None:
            columns["tfds_id"] = self._ids.make(np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)
        if self.takes_rows:
            columns = {name: value[0] for name, value in columns.items()}
        pairs = {name: (v.values, v.row_splits) if isinstance(v, Ragged) else v for name, v in columns.items()}
        values: list[Array] = tf.nest.flatten(pairs)
        return values


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
