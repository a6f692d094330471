"""The live conversions give what `tfds.load` gives after an export: same element_spec, same values."""

from __future__ import annotations

import dataclasses
import inspect
import pathlib

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import exporters
from exporters import ArgumentError, LoaderError, SchemaError
from exporters.options.features import Options

pytestmark = pytest.mark.needs_tensorflow

IMAGES = torch.arange(20 * 3 * 4 * 5, dtype=torch.int32).reshape(20, 3, 4, 5)
LABELS = torch.arange(20) % 3


def mixed_rows():
    """Rows of many kinds, nested."""
    kinds = [torch.bool, torch.uint8, torch.float16, torch.bfloat16, torch.float64, torch.complex64]
    return [
        {
            "image": IMAGES[i],
            "text": f"é {i}" * i,
            "raw": bytes([i]) * i,
            "n": {str(kind)[6:]: torch.full((2, 1), i, dtype=kind) for kind in kinds} | {"u32": np.uint32(2**32 - 1 - i)},
        }
        for i in range(20)
    ]


def pairs(**options):
    dataset = TensorDataset(IMAGES, LABELS)
    dataset.classes = ["a", "b", "c"]
    return DataLoader(dataset, batch_size=6, **options)


def texts(**options):
    """Token rows padded to the longest of their batch, as Hugging Face's collators give them."""

    def collate(rows):
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return {"ids": ids, "mask": (ids > 0).long(), "first": ids[:, 0]}

    return DataLoader([torch.arange(1, 2 + i * 5 % 11) + 20 * i for i in range(20)], batch_size=4, collate_fn=collate, **options)


def lists(**options):
    rows = [(IMAGES[i, :, : 2 + i % 3], i, torch.arange(i % 4)) for i in range(20)]
    return DataLoader(rows, batch_size=6, collate_fn=lambda b: tuple(zip(*b, strict=True)), **options)


def floats():
    """Images as `ToTensor` makes them of integers."""
    images = torch.arange(20 * 3 * 8 * 9, dtype=torch.float32).reshape(20, 3, 8, 9) % 256 / 255
    return DataLoader(TensorDataset(images, LABELS), batch_size=6)


LOADERS = {
    "pair": (pairs, {}),
    "integers": (floats, {"integers": ["image"]}),
    "mixed": (lambda: DataLoader(mixed_rows(), batch_size=6), {}),
    "workers": (lambda: DataLoader(mixed_rows(), batch_size=6, num_workers=2), {}),
    "renamed": (pairs, {"names": ["x", "y"], "layouts": {"x": "NTHW"}}),
    "padded": (texts, {"names": {"ids": "tokens"}, "unpad": {"tokens": "mask"}}),
    "keys": (lambda: DataLoader(mixed_rows(), batch_size=6), {"supervised_keys": ["image", "text"]}),
    "padded, keys": (texts, {"unpad": {"ids": "mask"}, "supervised_keys": ["ids", "first"]}),
    "lists": (lists, {"names": ["x", "n", "t"], "layouts": {"x": "NCHW"}, "supervised_keys": ("x", "t")}),
    "lone": (lambda: DataLoader(LABELS, batch_size=6), {}),
}


@pytest.fixture(params=["in_memory", "stream"])
def live(request):
    """Both live conversions, one after the other."""
    return getattr(exporters, request.param)


def loaded(result, **options):
    """What `tfds.load` gives of an export, and nothing it has registered stays."""
    import tfds_builder

    return tfds_builder.builder_from_directory(result.path).as_dataset(split="train", **options)


def assert_same_examples(first, second):
    import tensorflow as tf

    first, second = list(first.as_numpy_iterator()), list(second.as_numpy_iterator())
    assert len(first) == len(second) > 0
    for ours, theirs in zip(first, second, strict=True):
        tf.nest.assert_same_structure(ours, theirs)
        for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes() if not isinstance(a, bytes) else a == b


@pytest.mark.parametrize("case", LOADERS)
def test_same_as_after_an_export(case, live, format, publish):
    """Element_spec and every example equal those of the exported dataset, in the loader's order."""
    make, options = LOADERS[case]
    ds, exported = live(make(), **options), loaded(publish(make(), format, **options))
    assert ds.element_spec == exported.element_spec
    assert_same_examples(ds, exported)


@pytest.mark.parametrize("case", [case for case in LOADERS if LOADERS[case][1].get("supervised_keys")])
def test_supervised_keys(case, live, publish):
    """`supervised_keys=` picks the same parts of an example live and after an export."""
    make, options = LOADERS[case]
    ds, exported = live(make(), as_supervised=True, **options), loaded(publish(make(), **options), as_supervised=True)
    assert isinstance(ds.element_spec, tuple)
    assert ds.element_spec == exported.element_spec
    assert_same_examples(ds, exported)


def test_every_option_is_taken_by_all_three():
    """Whatever the caller of `export` can say about the features can be said to both previews, and is None by default."""
    internal = {"scales", "source_dtypes", "source_layouts", "tables"}  # what a stopped export, or the dataset, has told
    said = {field.name for field in dataclasses.fields(Options)} - internal
    for function in (exporters.export, exporters.in_memory, exporters.stream):
        parameters = inspect.signature(function).parameters
        assert said <= parameters.keys(), function.__name__
        assert all(parameters[name].default is None for name in said)
    used = {name for _, options in LOADERS.values() for name in options}
    assert used >= said - {"features"}, "the cases say each of them; test_features_that_tfds_encodes says features="


def test_same_as_the_stock_reader(live, publish):
    """A TFRecord export read by TFDS's own reader has that element_spec and those examples too."""
    import tensorflow_datasets as tfds

    data_dir = pathlib.Path(publish(DataLoader(mixed_rows(), batch_size=6)).path).parent.parent
    stock = tfds.load("ds:1.0.0", split="train", data_dir=data_dir)
    ds = live(DataLoader(mixed_rows(), batch_size=6))
    assert ds.element_spec == stock.element_spec
    assert_same_examples(ds, stock)


def test_as_supervised(live, publish):
    """`as_supervised=True` gives the pairs that `tfds.load` gives; without a pair it is refused."""
    ds, exported = live(pairs(), as_supervised=True), loaded(publish(pairs()), as_supervised=True)
    assert isinstance(ds.element_spec, tuple)
    assert ds.element_spec == exported.element_spec
    assert_same_examples(ds, exported)
    with pytest.raises(ArgumentError, match="as_supervised"):
        live(DataLoader(mixed_rows()), as_supervised=True)


def test_features_that_tfds_encodes(live, format, publish):
    """A feature with an encoder of TFDS's own is decoded as after an export."""
    import tensorflow_datasets as tfds

    def make():
        return DataLoader(TensorDataset(IMAGES.to(torch.uint8), LABELS), batch_size=6)

    features = {
        "image": tfds.features.Image(shape=(4, 5, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(num_classes=3),
    }
    ds, exported = live(make(), features=features), loaded(publish(make(), format, features=features))
    assert ds.element_spec == exported.element_spec
    assert_same_examples(ds, exported)


def test_features_without_values(run_python):
    """A feature that holds no value (shape (0,)) is given like any other, live and after an export, and crashes nothing."""
    source = """
        import exporters, tfds_builder, torch
        from torch.utils.data import DataLoader
        data = DataLoader([{"x": torch.empty(0), "y": i} for i in range(5)], batch_size=2)
        for make in (exporters.in_memory, exporters.stream):
            print([(e["x"].shape, int(e["y"])) for e in make(data).as_numpy_iterator()], flush=True)
        builder = tfds_builder.builder_from_directory(exporters.export(data, "data", name="ds", progress=False).path)
        print([(e["x"].shape, int(e["y"])) for e in builder.as_dataset(split="train").as_numpy_iterator()], flush=True)
    """
    assert run_python(source).stdout == f"{[((0,), i) for i in range(5)]}\n" * 3


@pytest.mark.parametrize("workers", [0, 2])
def test_stream_has_the_order_of_the_loader(workers):
    """Epoch for epoch a stream gives the order the seeded loader alone would give, and shuffles anew at each."""

    def make():
        return DataLoader(
            LABELS * 7 + torch.arange(20),
            batch_size=6,
            shuffle=True,
            num_workers=workers,
            generator=torch.Generator().manual_seed(5),
        )

    alone, ds = make(), exporters.stream(make())
    epochs = []
    for _ in range(3):
        expected = torch.cat(list(alone)).tolist()
        assert [int(example["features"]) for example in ds] == expected
        epochs.append(expected)
    assert epochs[0] != epochs[1] != epochs[2]


def test_stream_leaves_the_global_generators_alone():
    """Making a stream draws no random number that the loader would have drawn."""

    def order(wrap):
        torch.manual_seed(11)
        ds = wrap(DataLoader(torch.arange(50), batch_size=6, shuffle=True))
        return [int(value) for batch in ds for value in np.array(batch).ravel()]

    plain = order(lambda loader: loader)
    assert order(lambda loader: exporters.stream(loader).map(lambda example: example["features"])) == plain


class Once(IterableDataset):
    """A source that can be read once; later it is at its end."""

    def __init__(self):
        self.rows = iter(range(10))

    def __iter__(self):
        return self.rows


def test_stream_of_a_source_that_is_read_once(live):
    """The batch that settles the schema is not lost to the first epoch of an iterable dataset."""
    ds = live(DataLoader(Once(), batch_size=3))
    assert [int(example["features"]) for example in ds] == list(range(10))


def test_stream_of_an_iterable_at_each_epoch():
    """An iterable dataset that can be read again is, at every epoch."""

    class Stream(IterableDataset):
        epoch = 0

        def __iter__(self):
            self.epoch += 1
            return iter([self.epoch * 10 + i for i in range(4)])

    ds = exporters.stream(DataLoader(Stream(), batch_size=3))
    assert [[int(example["features"]) for example in ds] for _ in range(2)] == [[10, 11, 12, 13], [20, 21, 22, 23]]


class Wrapping(DataLoader):
    """A loader whose own `__iter__` changes what its dataset gives."""

    def __iter__(self):
        for batch in super().__iter__():
            yield {"doubled": batch * 2.0}


def test_a_loader_with_an_iter_of_its_own(live):
    """What counts is what iterating the loader gives, also for the schema."""
    ds = live(Wrapping(torch.arange(5), batch_size=2))
    assert list(ds.element_spec) == ["doubled"]
    assert [float(example["doubled"]) for example in ds] == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_one_buffer_for_all_batches(live):
    """A loader that fills the same tensor again for each batch is copied from in time."""

    class OneBuffer(DataLoader):
        def __iter__(self):
            buffer = torch.empty(2, dtype=torch.int64)
            for start in range(0, 8, 2):
                yield buffer.copy_(torch.arange(start, start + 2))

    assert [int(example["features"]) for example in live(OneBuffer(torch.arange(8), batch_size=2))] == list(range(8))


def test_cardinality():
    """In memory the number of examples is known; of a stream it is not."""
    import tensorflow as tf

    assert exporters.in_memory(pairs()).cardinality() == 20
    assert exporters.stream(pairs()).cardinality() == tf.data.UNKNOWN_CARDINALITY


def test_in_memory_drains_once():
    """In memory every epoch has the order of the one drain."""
    ds = exporters.in_memory(DataLoader(torch.arange(30), batch_size=6, shuffle=True))
    first, second = ([int(example["features"]) for example in ds] for _ in range(2))
    assert first == second
    assert sorted(first) == list(range(30))


def test_bad_loaders(live):
    """What an export refuses the live conversions refuse, with the same errors."""
    with pytest.raises(LoaderError, match="DataLoader"):
        live(TensorDataset(IMAGES))
    with pytest.raises(SchemaError, match="split 'train'"):
        live(DataLoader([], sampler=[]))
    with pytest.raises(SchemaError, match="are None"):
        live(DataLoader([None], batch_size=1, collate_fn=lambda rows: rows))
    with pytest.raises(ArgumentError, match="'nope'"):
        live(pairs(), layouts={"nope": "NCHW"})


def test_a_change_in_mid_stream_reaches_the_reader(loader_of):
    """A batch that contradicts the first stops the stream with the batch and the feature named."""
    ds = exporters.stream(loader_of(torch.zeros(2, 3), torch.zeros(2, 4)))
    with pytest.raises(Exception, match=r"batch 1, feature 'features'"):
        list(ds)
    with pytest.raises(SchemaError, match=r"batch 1, feature 'features'"):
        exporters.in_memory(loader_of(torch.zeros(2, 3), torch.zeros(2, 4)))
