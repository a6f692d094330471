"""The cases of the grid that are `as_dataset` calls. The text of a row is the code that is run."""

from __future__ import annotations

from typing import Any

from conformance_kit import Case, Side, in_order


def _names() -> dict[str, Any]:
    """What the code of a case may name."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

    @tfds.decode.make_decoder()
    def mirrored(serialized: Any, feature: Any) -> Any:
        return feature.decode_example(serialized)[::-1]

    @tfds.decode.make_decoder(output_dtype=tf.float32)
    def scaled(serialized: Any, feature: Any, factor: float) -> Any:
        return tf.cast(feature.decode_example(serialized), tf.float32) * factor

    return {
        "np": np, "tf": tf, "tfds": tfds, "mirrored": mirrored, "scaled": scaled,
        "Skip": tfds.decode.SkipDecoding, "Partial": tfds.decode.PartialDecoding,
        "ReadInstruction": tfds.core.ReadInstruction, "even_splits": tfds.even_splits,
        "split_for_jax_process": tfds.split_for_jax_process, "InputContext": tf.distribute.InputContext,
    }  # fmt: skip


def evaluate(code: str) -> Any:
    """The value of an expression of a case, new each time: decoders remember the feature they were used for."""
    return eval(code, _names())


def read(section: str, code: str, dataset: str = "plain", **fields: Any) -> Case:
    """A case that calls `as_dataset(<code>)`."""
    what = f"`{code}`" + (" of `rich`" if dataset == "rich" else "")
    return Case(section, what, lambda side: side.read(dataset, **evaluate(f"dict({code})")), **fields)


def configured(code: str, with_: str = "", take: int | None = None, default: bool = False, **fields: Any) -> Case:
    """A case that reads with `ReadConfig(<code>)`, in the order of the files unless `default`."""

    def ask(side: Side) -> Any:
        made = evaluate(f"tfds.ReadConfig({code})") if default else in_order(**evaluate(f"dict({code})"))
        ds = side.read(read_config=made, **evaluate(f"dict({with_})"))
        return ds if take is None else [ds.take(take), f"cardinality {int(ds.cardinality())}"]

    what = (f"`{code}`" if code else "`ReadConfig()`") + (f" with `{with_}`" if with_ else "")
    return Case("ReadConfig", what, ask, **fields)


SPLITS = [
    "split='train'", "split=tfds.Split.TRAIN", "split='test'", "split='all'", "split=None", "split='train[10%:]'",
    "split='train[:33%]'", "split='train[3:17]'", "split='train[-5:]'", "split='train[-20%:]'", "split='train[:1]'",
    "split='train[:3]+test'", "split='train[40:]+test[:2]+train[:3]+few'", "split='test+test'",
    "split='train[:1shard]'", "split='train[1shard:]'", "split='train[-1shard:]'",
    "split=['train[:20]', 'test']", "split={'a': 'train[:50%]', 'b': ('test', ['few', 'train[50%:]'])}",
    "split=ReadInstruction('train', from_=1, to=7, unit='abs')",
    "split=ReadInstruction('train', to=33, unit='%', rounding='closest')",
    "split=ReadInstruction('train', from_=50, unit='%', rounding='pct1_dropremainder')",
    "split=ReadInstruction('train', from_=1, to=2, unit='shard')",
    "split=ReadInstruction('few') + ReadInstruction('test', to=-1, unit='abs')",
    "split=even_splits('train', n=4)", "split=even_splits('train[5:]+test', n=3, drop_remainder=True)",
    "split=even_splits('train', n=4)[1] + 'test'",
    "split=split_for_jax_process('train', process_index=1, process_count=3)",
    "split=[]",
]  # fmt: skip
BAD_SPLITS = [
    "split='nope'", "split='train+nope'", "split=''", "split='train['", "split='train[0:10'", "split='train[5:5]'",
    "split='few[:10%]'", "split='train[:200]'", "split='train[:101%]'", "split='train[9shard:]'", "split=3",
    "split=['train', None]", "split=ReadInstruction('train', to=1, unit='pages')",
    "split=ReadInstruction('test', to=5, unit='%', rounding='pct1_dropremainder')",
]  # fmt: skip
BATCHES = [
    "batch_size=None", "batch_size=0", "batch_size=1", "batch_size=7", "batch_size=256", "batch_size=-1",
    "batch_size=7, split='train[15:50]+test'", "batch_size=-1, split=None", "batch_size=7, as_supervised=True",
    "as_supervised=True", "batch_size=-1, as_supervised=True", "batch_size='7'", "batch_size=2.5",
]  # fmt: skip
DECODERS = [
    ("decoders={'image': Skip()}", "plain"), ("decoders={'label': Skip()}", "plain"),
    ("decoders={'meta': {'box': Skip()}}", "plain"), ("decoders={'image': None}", "plain"), ("decoders={}", "plain"),
    ("decoders={'photo': Skip(), 'meta': {'caption': Skip()}}", "rich"),
    ("decoders={'image': mirrored()}", "plain"), ("decoders={'photo': mirrored()}, batch_size=7", "rich"),
    ("decoders={'photo': scaled(2.0)}", "rich"), ("decoders={'label': scaled(2.0)}, as_supervised=True", "plain"),
    ("decoders=Partial({'image': True})", "plain"), ("decoders=Partial(['label', 'meta'])", "plain"),
    ("decoders=Partial({'image', 'label'}), as_supervised=True, batch_size=7", "plain"),
    ("decoders=Partial({'meta': {'id'}})", "rich"), ("decoders=Partial({'meta': {'id': True, 'caption': False}})", "rich"),
    ("decoders=Partial({'meta': {'id': np.int64, 'caption': tfds.features.Text()}})", "rich"),
    ("decoders=Partial({'image': tfds.features.Tensor(shape=(None, 5, 3), dtype=np.uint8)})", "plain"),
    ("decoders=Partial({'photo': True}, decoders={'photo': Skip()}), batch_size=-1", "rich"),
    ("decoders=Partial({'nope': True})", "plain"), ("decoders=Partial({'image': tfds.features.Text()})", "plain"),
    ("decoders=Partial({'meta': {'id': np.int8}})", "plain"), ("decoders=Partial({'image': lambda feature: True})", "plain"),
    ("decoders=Partial({})", "plain"), ("decoders=Partial({'image': True}), as_supervised=True", "plain"),
    ("decoders=Partial({'image': True}, decoders={'label': Skip()})", "plain"),
    ("decoders={'nope': Skip()}", "plain"), ("decoders={'meta': Skip()}", "plain"), ("decoders=[Skip()]", "plain"),
]  # fmt: skip

_ORDER = frozenset({"order"})
_ERROR = frozenset({"error"})
_LOADER = "the order of the DataLoader, whatever the shards: nothing is interleaved"
_SHUFFLE = "stock shuffles the files, torch2tfds the whole split"
_NO_INTERLEAVE = "no meaning: files are read by their rows, not interleaved, so what TensorFlow would refuse is not looked at"

CASES = [
    *[read("Splits", code) for code in SPLITS],
    *[read("Bad splits", code) for code in BAD_SPLITS],
    read("Bad splits", "split='train[5:3]'", differs=_ERROR, note="refused before TensorFlow sees it"),
    *[read("Batches and as_supervised", code) for code in BATCHES],
    read(
        "Batches and as_supervised", "batch_size=-2", differs=_ERROR,
        note="refused before TensorFlow sees it; the message says what may be passed",
    ),
    read("Batches and as_supervised", "batch_size=7", "rich"),
    read("Batches and as_supervised", "batch_size=-1", "rich"),
    *[read("Decoders", code, dataset) for code, dataset in DECODERS],
    read(
        "Decoders", "decoders={'image': lambda value: value}", differs=_ERROR,
        note="no `tfds.decode.Decoder`; the message names the feature",
    ),
    read(
        "Decoders", "decoders={'image': {'deep': Skip()}}", differs=_ERROR,
        note="stock stumbles over it; the message names `image/deep`",
    ),
    read("Shuffling", "shuffle_files=True", differs=_ORDER, note=_SHUFFLE),
    read("Shuffling", "shuffle_files=True, read_config=tfds.ReadConfig(shuffle_seed=1)", differs=_ORDER, note=_SHUFFLE),
    read("Shuffling", "shuffle_files=True, split='train[5:60]+test'", "rich", differs=_ORDER, note=_SHUFFLE),
    read("Shuffling", "shuffle_files=True, split='few'"),
    read("Shuffling", "shuffle_files=False, read_config=tfds.ReadConfig(shuffle_seed=1)", differs=_ORDER, note=_LOADER),
]  # fmt: skip

READ_CONFIGS = [
    configured("", default=True, differs=_ORDER, note=_LOADER),
    configured("interleave_cycle_length=1"),
    configured("interleave_cycle_length=2, interleave_block_length=3", default=True, differs=_ORDER, note=_LOADER),
    configured("interleave_cycle_length=0", differs=_ERROR, note=_NO_INTERLEAVE),
    configured("interleave_block_length=3"),
    configured("interleave_block_length=0", differs=_ERROR, note=_NO_INTERLEAVE),
    configured("num_parallel_calls_for_interleave_files=1", note="no meaning: no files are interleaved"),
    configured("num_parallel_calls_for_interleave_files=0", differs=_ERROR, note=_NO_INTERLEAVE),
    configured("num_parallel_calls_for_decode=1", note="how many blocks are read, and examples decoded, at once"),
    configured("num_parallel_calls_for_decode=0"),
    configured("add_tfds_id=True", hdf5=False),
    configured("add_tfds_id=True", "split='train[15:50]+test', batch_size=7", hdf5=False),
    configured("add_tfds_id=True", "as_supervised=True"),
    configured("add_tfds_id=True", "decoders=Partial(['label'])", hdf5=False),
    configured("assert_cardinality=False"),
    configured("assert_cardinality=False", "batch_size=7"),
    configured("input_context=InputContext(2, 1)", note="by files"),
    configured("input_context=InputContext(3, 0)", "split='train[10:]+test', batch_size=7"),
    configured("input_context=InputContext(2, 1)", "batch_size=-1"),
    configured("input_context=InputContext(5, 0)"),
    configured("input_context=InputContext(2, 2)", differs=_ERROR, note="refused before TensorFlow sees it"),
    configured("options=tf.data.Options()"),
    configured("experimental_interleave_sort_fn=lambda files: files[::-1]", "batch_size=7"),
    configured("experimental_interleave_sort_fn=lambda files: files[1:2]", "split='train[5:]'"),
    configured("experimental_interleave_sort_fn=lambda files: []", differs=_ERROR, note="stock stumbles over it"),
    configured("try_autocache=False", note="no meaning: the page cache holds the files already, nothing is cached twice"),
    configured("skip_prefetch=True"),
    configured("override_buffer_size=100", note="no meaning: files are mapped, not read through a buffer"),
    configured("enable_ordering_guard=False", note="no meaning: no export is marked as ordered"),
    configured("repeat_filenames=True, assert_cardinality=False", take=150),
    configured("repeat_filenames=True, assert_cardinality=False", "batch_size=10", take=15),
    configured(
        "repeat_filenames=True", take=150, differs=_ERROR,
        note="stock ends in an error at the second round: its cardinality is that of one",
    ),
    configured("file_format='tfrecord'", hdf5=False, note="an HDF5 export refuses it with a `NotImplementedError`"),
    configured("file_format='array_record'"),
    configured("file_format='hdf5'"),
    configured("shuffle_seed=1", note="only with `shuffle_files=True`"),
    configured("shuffle_reshuffle_each_iteration=False", note="only with `shuffle_files=True`"),
]  # fmt: skip
CASES += READ_CONFIGS
