"""`readers.tf_data`: what `as_dataset` gives of every kind of feature, beside stock TFDS of the same TFRecord files; and what
stock TFDS has not. The forms of its arguments are in the grid of test_conformance.py."""

import gc
import os

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.errors import DatasetError, MissingFileError

KINDS = list(kit.make.DATASETS)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def stock(golden):
    return lambda kind: tfds.builder_from_directory(golden / f"{kind}_tfrecord" / "1.0.0")


@pytest.fixture(scope="module")
def ours(golden):
    return lambda kind, format="tfrecord": tfds_builder.builder_from_directory(golden / f"{kind}_{format}" / "1.0.0")


def in_order(**fields):
    """A ReadConfig with which stock TFDS reads file after file, as we always do."""
    return tfds.ReadConfig(interleave_cycle_length=1, **fields)


@pytest.fixture
def agree(ours, stock):
    """Asserts that stock TFDS and we return the same for the same arguments: specs, cardinality and values, bit for bit."""

    def check(kind, formats=kit.FORMATS, config=in_order, **arguments):
        expected = kit.outcome(stock(kind).as_dataset(read_config=config(), **arguments))
        for format in formats:
            assert kit.outcome(ours(kind, format).as_dataset(read_config=config(), **arguments)) == expected
        return expected

    return check


@pytest.fixture
def both_fail(ours, stock):
    """Asserts that we raise where stock TFDS raises, something that the same `except` catches."""

    def check(kind, config=in_order, **arguments):
        with pytest.raises(Exception) as expected:
            kit.outcome(stock(kind).as_dataset(read_config=config(), **arguments))
        for format in kit.FORMATS:
            with pytest.raises(expected.type):
                kit.outcome(ours(kind, format).as_dataset(read_config=config(), **arguments))

    return check


# --- values ----------------------------------------------------------------------------------------


@every_kind
@kit.both_formats
def test_values_are_those_exported(kind, format, ours):
    """Every example of every split comes back bit for bit as it was exported, in order, with its dtype and nested name."""
    for split, columns in kit.make.truth(kind).items():
        _, cardinality, found = kit.outcome(ours(kind, format).as_dataset(split=split))
        assert found == kit.examples(columns)
        assert cardinality == len(found)


@every_kind
@pytest.mark.parametrize("batch_size", [None, 1, 7, 256, -1])
def test_batches(kind, batch_size, agree):
    """Batches of any size, and the whole split at once, are what stock TFDS makes of the same files."""
    agree(kind, split="train", batch_size=batch_size)


@pytest.mark.parametrize("kind", ["pairs", "text"])
@pytest.mark.parametrize("batch_size", [None, 4, -1])
def test_as_supervised(kind, batch_size, agree):
    """`as_supervised` gives the pairs stock TFDS gives."""
    agree(kind, split="test", batch_size=batch_size, as_supervised=True)


# --- arguments (their every form is in the grid of test_conformance.py) ----------------------------


@pytest.mark.parametrize("kind", ["kinds", "coded"])
def test_no_supervised_keys(kind, both_fail):
    """`as_supervised` of a dataset without supervised keys is stock TFDS's ValueError."""
    both_fail(kind, split="train", as_supervised=True)


@kit.both_formats
@pytest.mark.parametrize("batch_size", [-2, -7])
def test_bad_batch_size(format, batch_size, ours):
    """A batch size below -1 is a ValueError that shows it."""
    with pytest.raises(ValueError, match=str(batch_size)):
        ours("pairs", format).as_dataset(split="train", batch_size=batch_size)


# --- decoders --------------------------------------------------------------------------------------


@tfds.decode.make_decoder()
def mirrored(serialized, feature):
    return feature.decode_example(serialized)[::-1]


def doubled():
    import tensorflow as tf

    @tfds.decode.make_decoder(output_dtype=tf.float32)
    def decode(serialized, feature, factor):
        return tf.cast(feature.decode_example(serialized), tf.float32) * factor

    return decode(2.0)


Skip, Partial = tfds.decode.SkipDecoding, tfds.decode.PartialDecoding
DECODERS = {
    "feature": ("pairs", lambda: Partial({"label": tfds.features.ClassLabel(num_classes=5)})),
    "nested": ("kinds", lambda: Partial({"scalar": {"uint8": True, "bfloat16": True}, "array": {"deep": ["complex64"]}})),
    "nested whole": ("kinds", lambda: Partial({"scalar": True, "label": True})),
    "nested dtype": ("kinds", lambda: Partial({"scalar": {"int16": np.int16}})),
    "features dict": ("text", lambda: Partial(tfds.features.FeaturesDict({"caption": tfds.features.Text()}))),
    "strings": ("text", lambda: Partial({"meta": {"words": True}})),
    "partial and skip": ("coded", lambda: Partial({"png": True}, decoders={"png": Skip()})),
    "partial without the coded": ("coded", lambda: Partial({"zipped": True})),
    "skip an image": ("coded", lambda: {"png": Skip()}),
    "skip zlib": ("coded", lambda: {"zipped": Skip()}),
    "skip strings": ("text", lambda: {"caption": Skip(), "meta": {"words": Skip()}}),
    "skip nested": ("kinds", lambda: {"scalar": {"float16": Skip(), "uint32": Skip()}, "array": {"deep": {"int8": Skip()}}}),
    "callable of an image": ("coded", lambda: {"png": mirrored()}),
    "callable with a dtype": ("coded", lambda: {"png": doubled()}),
}


BATCHED = ("nested", "strings", "skip strings", "partial and skip", "callable with a dtype")


@pytest.mark.parametrize(
    ("case", "batch_size"), [(case, None) for case in DECODERS] + [(case, size) for case in BATCHED for size in (4, -1)]
)
def test_decoders(case, batch_size, agree):
    """Every kind of decoder and of partial decoding gives what stock TFDS gives, batched or not."""
    kind, decoders = DECODERS[case]
    agree(kind, split="train", decoders=decoders(), batch_size=batch_size)


# --- ReadConfig ------------------------------------------------------------------------------------


def test_tfds_id_of_hdf5(ours):
    """`add_tfds_id` names the HDF5 file and the row in it."""
    ds = ours("pairs", "hdf5").as_dataset(split="train[20:23]", read_config=tfds.ReadConfig(add_tfds_id=True))
    shard = "pairs_hdf5-train-0000{}-of-00003.h5__{}"
    assert [e["tfds_id"].decode() for e in ds.as_numpy_iterator()] == [shard.format(*at) for at in ((0, 20), (1, 0), (1, 1))]


@kit.both_formats
def test_options(format, ours):
    """The options of ReadConfig are those of the dataset."""
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = 3
    options.deterministic = True
    ds = ours("pairs", format).as_dataset(split="train", read_config=tfds.ReadConfig(options=options))
    assert ds.options().threading.private_threadpool_size == 3
    assert ds.options().deterministic is True


def test_wrong_read_config_leaves_nothing_behind(ours):
    """The options given are not changed by reading."""
    config = in_order()
    before = repr(config)
    kit.outcome(ours("pairs").as_dataset(split="train", batch_size=4, read_config=config, shuffle_files=True))
    assert repr(config) == before


# --- shuffling -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A dataset of many blocks, in shards that no block or batch divides."""
    directory = kit.write_table(tmp_path_factory.mktemp("large"), "large", {"train": kit.numbers(9001)}, rows_per_shard=2222)
    return tfds_builder.builder_from_directory(directory)


def by_row(**fields):
    return tfds_builder.ReadConfig(shuffle_unit="row", **fields)


def rows_of(ds):
    ds = ds if ds.element_spec["row"].shape.rank else ds.batch(1000)
    return [int(row) for element in ds.as_numpy_iterator() for row in element["row"]]


@pytest.mark.parametrize("batch_size", [None, 7, 256, 3000, 20_000, -1])
@pytest.mark.parametrize("split", ["train", "train[1:8000]"])
def test_large_in_order(batch_size, split, large):
    """Without shuffling, rows of many blocks come in order whatever the batch size, and every batch but the last is full."""
    ds = large.as_dataset(split=split, batch_size=batch_size)
    expected = list(range(9001)) if split == "train" else list(range(1, 8000))
    if batch_size == -1:
        assert ds["row"].numpy().tolist() == expected
        return
    assert rows_of(ds) == expected
    if batch_size:
        sizes = [len(element["row"]) for element in ds.as_numpy_iterator()]
        assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
        assert int(ds.cardinality()) == len(sizes)


by_unit = pytest.mark.parametrize("config", [tfds.ReadConfig, tfds_builder.ReadConfig, by_row], ids=["tfds", "block", "row"])


@pytest.mark.parametrize("batch_size", [None, 7, 3000])
@by_unit
def test_shuffle(config, batch_size, large):
    """A shuffled read has every row once, in another order, with its own values, in full batches but for the last."""
    ds = large.as_dataset(split="train", shuffle_files=True, batch_size=batch_size, read_config=config())
    orders = [rows_of(ds) for _ in range(3)]
    assert all(sorted(rows) == list(range(9001)) for rows in orders)
    assert any(rows != sorted(rows) for rows in orders)
    columns = kit.numbers(9001)
    for element in ds.take(3).as_numpy_iterator():
        assert kit.bits(element["grid"]) == kit.bits(columns["grid"][element["row"]])
    if batch_size:
        sizes = [len(element["row"]) for element in ds.as_numpy_iterator()]
        assert sizes == [batch_size] * (9001 // batch_size) + [9001 % batch_size] * (9001 % batch_size > 0)
        assert int(ds.cardinality()) == len(sizes)


@every_kind
@kit.both_formats
def test_shuffle_keeps_every_example(kind, format, ours):
    """A shuffled read of every kind of feature has the same examples as one in order."""
    builder = ours(kind, format)
    _, count, shuffled = kit.outcome(builder.as_dataset(split="train+test", shuffle_files=True))
    plain = kit.outcome(builder.as_dataset(split="train+test"))[2]
    assert count == len(plain)
    assert sorted(map(repr, shuffled)) == sorted(map(repr, plain))


@kit.both_formats
def test_shuffle_of_a_small_split(format, ours):
    """`shuffle_files` changes the order of a split of several files, however small (stock TFDS shuffles them)."""
    builder = ours("pairs", format)
    ds = builder.as_dataset(split="train", shuffle_files=True, read_config=tfds.ReadConfig(shuffle_seed=1))
    plain = kit.outcome(builder.as_dataset(split="train"))[2]
    assert any(kit.outcome(ds)[2] != plain for _ in range(8))


def test_shuffle_by_row(large):
    """With `shuffle_unit="row"` neighbours are torn apart, and `tfds_id` still names each row as its own."""
    config = by_row(shuffle_seed=1, add_tfds_id=True)
    whole = large.as_dataset(split="train", shuffle_files=True, read_config=config, batch_size=9001).get_single_element()
    rows = whole["row"].numpy()
    assert (np.diff(rows) == 1).sum() < 50
    assert np.abs(np.diff(rows)).mean() > 2000
    shard = "large-train-0000{}-of-00005.h5__{}"
    assert [name.decode() for name in whole["tfds_id"].numpy()] == [shard.format(row // 2222, row % 2222) for row in rows]


@pytest.mark.parametrize("batch_size", [None, 256])
@by_unit
def test_shuffle_seed(config, batch_size, large):
    """The same `shuffle_seed` gives the same order, another seed another."""

    def order(seed):
        read = {"read_config": config(shuffle_seed=seed), "batch_size": batch_size}
        return rows_of(large.as_dataset(split="train", shuffle_files=True, **read))

    assert order(1) == order(1) != order(2)


@pytest.mark.parametrize(("reshuffle", "seed"), [(True, 5), (False, 5), (None, 5), (False, None)])
@by_unit
def test_reshuffle(config, reshuffle, seed, large):
    """Each iteration is shuffled anew, unless `shuffle_reshuffle_each_iteration` is False."""
    read_config = config(shuffle_seed=seed, shuffle_reshuffle_each_iteration=reshuffle)
    read_config.options.deterministic = True  # or unseeded blocks may come as they are ready, as stock TFDS's files
    ds = large.as_dataset(split="train", shuffle_files=True, read_config=read_config)
    orders = {tuple(rows_of(ds)) for _ in range(3)}
    assert len(orders) == (1 if reshuffle is False else 3)


def test_unseeded_shuffle(large):
    """Without a seed, two datasets are in different orders."""
    orders = {tuple(rows_of(large.as_dataset(split="train", shuffle_files=True))) for _ in range(3)}
    assert len(orders) > 1


@by_unit
def test_shuffle_and_repeat(config, large):
    """With `repeat_filenames`, a shuffled read has every row once a round, each round in another order."""
    read_config = config(repeat_filenames=True, shuffle_seed=1)
    ds = large.as_dataset(split="train", shuffle_files=True, read_config=read_config)
    rows = rows_of(ds.take(2 * 9001))
    assert sorted(rows[:9001]) == sorted(rows[9001:]) == list(range(9001))
    assert rows[:9001] != rows[9001:]


@pytest.mark.parametrize("batch_size", [7, 3000, 20_000])
def test_batches_across_repetitions(batch_size, large):
    """With `repeat_filenames` every batch is full, as in stock TFDS: where the rows end in its middle they begin again."""
    ds = large.as_dataset(split="train", batch_size=batch_size, read_config=tfds.ReadConfig(repeat_filenames=True))
    batches = [batch["row"].tolist() for batch in ds.take(2 * 9001 // batch_size + 2).as_numpy_iterator()]
    assert {len(batch) for batch in batches} == {batch_size}
    found = [row for batch in batches for row in batch]
    assert found == [place % 9001 for place in range(len(found))]


@by_unit
@pytest.mark.parametrize("taken", [91 + 2, 2 * 91 - 1])
def test_checkpoint_of_a_shuffle(taken, config, large, tmp_path):
    """An iterator restored in the midst or at the very end of its second epoch goes on with the same rows to the end of it; the
    third epoch has every row, in an order that need not be that of the run that was saved."""
    import tensorflow as tf

    def begin():
        ds = large.as_dataset(split="train", shuffle_files=True, batch_size=100, read_config=config(shuffle_seed=1))
        return iter(ds.repeat(3))

    def rest(iterator):
        return [row for batch in iterator for row in batch["row"].numpy().tolist()]

    iterator = begin()
    for _ in range(taken):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "checkpoint"))
    expected, again = rest(iterator), begin()
    tf.train.Checkpoint(iterator=again).restore(path)
    found = rest(again)
    assert found[:-9001] == expected[:-9001]
    assert sorted(found[-9001:]) == sorted(expected[-9001:]) == list(range(9001))


@pytest.fixture(scope="module")
def sorted_classes(tmp_path_factory):
    """Makes a dataset of classes one after the other, and returns its version directory."""
    exporters = pytest.importorskip("exporters")
    torch = pytest.importorskip("torch")
    directory = tmp_path_factory.mktemp("sorted")

    def export(rows, classes, width, shard_bytes):
        labels = torch.arange(rows) * classes // rows
        data = torch.utils.data.TensorDataset(torch.zeros(rows, width, dtype=torch.uint8), labels)
        name = f"of_{rows}_{classes}_{width}_{shard_bytes}"
        loader = torch.utils.data.DataLoader(data, 100)
        result = exporters.export(
            {"train": loader}, directory, name=name, shard_bytes=shard_bytes, progress=False, on_hazard="ignore"
        )
        return result.path

    return export


def classes_in_batches(ds, size=128):
    """How many classes there are in a batch, on average, of an epoch of single examples or of batches."""
    name = next(name for name, spec in ds.element_spec.items() if spec.dtype == "int64")
    ds = ds if ds.element_spec[name].shape.rank else ds.batch(1000)
    labels = np.concatenate([batch[name] for batch in ds.as_numpy_iterator()])
    return np.mean([len(set(labels[start : start + size].tolist())) for start in range(0, len(labels) - size + 1, size)])


@pytest.mark.once
@pytest.mark.parametrize(
    ("rows", "classes", "width", "shard_bytes"),
    [
        (10_000, 10, 3072, 256 << 20), (10_000, 10, 3072, 4 << 20), (10_000, 10, 3072, 1 << 20),
        (10_000, 100, 3072, 4 << 20), (10_000, 10, 40, 1 << 20), (600, 10, 50_000, 1 << 20),
    ],
    ids=["images, 256 MiB", "images, 4 MiB", "images, 1 MiB", "classes", "small", "large"],
)  # fmt: skip
def test_sorted_classes_are_mixed(rows, classes, width, shard_bytes, sorted_classes):
    """Of classes that were written one after the other, a batch of a shuffled read has as many as chance gives it (most, if there
    are more than places that are read together), and as many as stock TFDS's shuffled files with a buffer of 1,000 examples on
    top, whatever the shards and the rows are; single examples too."""
    path = sorted_classes(rows, classes, width, shard_bytes)
    ours, stock = tfds_builder.builder_from_directory(path), tfds.builder_from_directory(path)
    config = tfds.ReadConfig(shuffle_seed=1, try_autocache=False)
    read = {"split": "train", "shuffle_files": True, "read_config": config}
    expected = classes * (1 - (1 - 1 / classes) ** 128)
    beside = classes_in_batches(stock.as_dataset(**read).shuffle(1000, seed=1))
    for batch_size in (None, 100, 128):
        found = classes_in_batches(ours.as_dataset(batch_size=batch_size, **read))
        assert found >= max(expected * (0.99 if classes < 64 else 0.75), beside - 0.1)


# --- what is left behind ---------------------------------------------------------------------------


def mapped(directory):
    """How many files of a directory this process has mapped."""
    with open("/proc/self/maps") as maps:
        return sum(str(directory) in line for line in maps)


@pytest.mark.once
@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="no /proc")
def test_dropped_datasets_leave_no_file_open(large):
    """A dataset keeps its files while it or an iterator of it is there, and none when they are gone, so that reading anew for
    each epoch does not use up files and memory; what was captured by a graph goes on reading."""
    import tensorflow as tf

    def read():
        return large.as_dataset(split="train", batch_size=1000)

    expected = list(range(9001))
    gc.collect()
    before = mapped(large.data_path)
    for _ in range(3):
        ds = read()
        iterator = iter(ds.map(lambda row: row["row"]))
        assert [row for batch in iterator for row in batch.numpy().tolist()] == expected
        assert mapped(large.data_path) > before
        del ds, iterator
        gc.collect()
        assert mapped(large.data_path) == before

    datasets = [read()]

    @tf.function
    def total():
        return datasets[0].reduce(tf.constant(0, tf.int64), lambda sum_, batch: sum_ + tf.reduce_sum(batch["row"]))

    assert int(total()) == sum(expected)
    datasets.clear()
    gc.collect()
    assert int(total()) == sum(expected)


# --- what is wrong with the files ------------------------------------------------------------------


@kit.both_formats
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_damaged_shard(damage, format, tmp_path):
    """A shard that is missing or cut off is a DatasetError that names it before the first example."""
    directory = kit.copy_golden(f"pairs_{format}", tmp_path)
    builder = tfds_builder.builder_from_directory(directory)
    shard = directory / builder.manifest.splits["train"].shards[2].data.file
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(MissingFileError if damage == "missing" else DatasetError, match=shard.name):
        builder.as_dataset(split="train")
    assert len(kit.outcome(builder.as_dataset(split="train[:5]"))[2]) == 5
    assert len(kit.outcome(builder.as_dataset(split="test"))[2]) == 12
