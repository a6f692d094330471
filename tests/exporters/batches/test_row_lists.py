"""Rows that are lists of lists, or lists of tensors: `Sequence`s, inferred and exact."""

import io
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.checks import values as deep
from tfds_builder.features.feature_json import features_of

F = tfds.features


def loader_of_rows(rows, batch_size=3):
    return DataLoader(rows, batch_size=batch_size, collate_fn=list)


def to_lists(value):
    """A nested value as lists of Python's own values, whatever held it."""
    if isinstance(value, torch.Tensor):
        value = value.to(torch.float32).numpy() if value.dtype == torch.bfloat16 else value.detach().resolve_conj().numpy()
    if hasattr(value, "to_list"):  # tf.RaggedTensor
        return to_lists(value.to_list())
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [to_lists(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def vectors(dtype, *lengths):
    return [torch.arange(length).to(dtype) for length in lengths]


NESTED = {
    "ints": ([[[1, 2], [3]], [[-(2**63)]], [], [[]], [[5], [], [2**63 - 1]]], (None, None), "int64"),
    "floats": ([[[0.1, 2], [3]], [[5e-324]], [], [[]]], (None, None), "float64"),
    "bools": ([[[True], [False, True]], [[]], []], (None, None), "bool"),
    "text": ([[["é\0", ""], ["x"]], [[]], [["\U0001f600"] * 3]], (None, None), "str"),
    "three levels": ([[[[1], []], [[2, 3]]], [], [[], [[]]]], (None, None, None), "int64"),
    "tensors of different lengths": ([vectors(torch.float32, 2, 1), [], vectors(torch.float32, 0, 3)], (None, None), "float32"),
    "bfloat16": ([vectors(torch.bfloat16, 2, 1), [], vectors(torch.bfloat16, 3)], (None, None), "bfloat16"),
    "matrices": ([[torch.ones(2, 3), torch.zeros(1, 3)], [], [torch.ones(1, 3)]], (None, None, None), "float32"),
    "any number of one shape": ([[torch.ones(2, 3)] * 2, [], [torch.zeros(2, 3)]], (None, 2, 3), "float32"),
    "uint64 of one shape": ([[torch.full((2,), 2**64 - 1, dtype=torch.uint64)] * n for n in (2, 0, 1)], (None, 2), "uint64"),
    "complex": ([[torch.full((2,), 1 + 2j)] * n for n in (1, 3)], (None, 2), "complex64"),
    "lists of lists of one shape": ([[[np.array([1, 2])], []], [[np.array([3, 4])] * 2], []], (None, None, 2), "int64"),
    "of matrices": ([[[np.ones((2, 3), np.float32)], []], [[]]], (None, None, 2, 3), "float32"),
    "big-endian": ([[np.array([1, 2.5], ">f4"), np.array([7], ">f4")], [], [np.array([], ">f4")]], (None, None), "float32"),
    "with gradients": ([[torch.ones(2, requires_grad=True), torch.ones(1)], []], (None, None), "float32"),
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", NESTED)
def test_nested_rows_come_back(case, format, publish):
    """Nested lists become nested sequences without a word from the caller, which stock TFDS reads as well."""
    rows, shape, dtype = NESTED[case]
    result = publish(loader_of_rows([{"x": row, "y": number} for number, row in enumerate(rows)]), format, on_hazard="ignore")
    assert tfds_builder.verify(result.path, deep=True).problems == []
    builders = [tfds_builder.builder_from_directory(result.path)]
    builders += [tfds.builder_from_directory(result.path)] if format == "tfrecord" else []
    for builder in builders:
        ds = builder.as_dataset(split="train")
        spec = ds.element_spec["x"]
        assert tuple(spec.shape) == shape
        assert spec.dtype.name == ("string" if dtype == "str" else dtype)
        assert [to_lists(example["x"]) for example in tfds.as_numpy(ds)] == [to_lists(row) for row in rows]


@pytest.mark.parametrize("case", NESTED)
def test_nested_rows_come_back_to_pytorch(case, format, publish):
    """Nested lists are exported and come back to PyTorch, one by one and by the batch, on a machine without TensorFlow."""
    rows = NESTED[case][0]
    result = publish(loader_of_rows([{"x": row, "y": number} for number, row in enumerate(rows)]), format, on_hazard="ignore")
    dataset = tfds_builder.as_torch(result.path)
    for got in ([dataset[number]["x"] for number in range(len(rows))], [e["x"] for e in dataset.__getitems__(range(len(rows)))]):
        assert [to_lists(value) for value in got] == [to_lists(row) for row in rows]
        assert not any(isinstance(leaf, bytes) for value in got for leaf in leaves(value))


def leaves(value):
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def test_text_in_sequences_of_dicts_comes_back_as_str(format, publish):
    """`as_torch` gives the texts of a sequence of dicts as str, the numbers beside them as tensors."""
    rows = [{"x": {"name": ["é"] * n, "id": torch.arange(n)}} for n in (2, 0, 1)]
    features = {"x": F.Sequence({"name": F.Text(), "id": np.int64})}
    result = publish(loader_of_rows(rows), format, features=features, on_hazard="ignore")
    dataset = tfds_builder.as_torch(result.path)
    for number, row in enumerate(rows):
        assert dataset[number]["x"]["name"] == row["x"]["name"]
        assert torch.equal(dataset[number]["x"]["id"], row["x"]["id"])


def annotations(index):
    """What `torchvision.datasets.CocoDetection` gives: an image, and a list of dicts."""
    found = [
        {"bbox": [0.5, 1, 2, 3], "category_id": k, "name": "é" * k, "segmentation": [[0.5, 1.0]] * k}
        for k in range(index % 3 + 1)
    ]
    return torch.full((3, 4 + index % 2, 8), index, dtype=torch.uint8), found


COLLATES = {
    "zip": lambda rows: tuple(zip(*rows, strict=True)),
    "list": list,
    "dict of lists": lambda rows: {"image": [row[0] for row in rows], "label": [row[1] for row in rows]},
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("collate", COLLATES)
@pytest.mark.parametrize("batch_size", [2, 3])
def test_lists_of_annotations(collate, batch_size, format, publish):
    """Each example's list of dicts becomes a sequence of dicts, also where a batch has as many rows as features."""
    loader = DataLoader([annotations(index) for index in range(7)], batch_size=batch_size, collate_fn=COLLATES[collate])
    result = publish(loader, format, on_hazard="ignore")
    ds = tfds_builder.builder_from_directory(result.path).as_dataset(split="train")
    for index, example in enumerate(tfds.as_numpy(ds)):
        image, found = annotations(index)
        assert np.array_equal(example["image"], image.permute(1, 2, 0).numpy())
        for key, values in example["label"].items():
            assert to_lists(values) == [annotation[key] for annotation in found], key
    image, label = tfds_builder.as_torch(result.path, as_supervised=True)[5] if collate != "dict of lists" else (None, None)
    if label is not None:
        assert torch.equal(image, annotations(5)[0])
        assert label["name"] == ["", "é", "éé"]
        assert torch.equal(label["category_id"], torch.arange(3))


@pytest.mark.parametrize("batch_size", [2, 3])
def test_a_tuple_of_tuples_is_a_feature_each(batch_size, publish, read_back):
    """What `zip(*rows)` makes of pairs that are alike is two features, also where a batch has two rows."""
    rows = [(torch.full((3, 5 + n, 8), n, dtype=torch.uint8), torch.full((3, 5 + n, 8), 9, dtype=torch.uint8)) for n in range(4)]
    loader = DataLoader(rows, batch_size=batch_size, collate_fn=COLLATES["zip"])
    result = publish(loader, on_hazard="ignore", layouts={"label": "NCHW"})
    found = read_back(result)
    assert sorted(name.split("/")[0] for name in found) == ["image", "label"]
    assert set(np.unique(np.asarray(found["label"].values))) == {9}


PARTS = {
    "big-endian": (np.array([1, 2.5], ">f8"), torch.tensor([1, 2.5], dtype=torch.float64)),
    "bfloat16": (torch.tensor([1, 2.5], dtype=torch.bfloat16),) * 2,
    "with gradients": (torch.tensor([1, 2.5], requires_grad=True), torch.tensor([1, 2.5])),
    "conjugated": (torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])),
    "negative view": (torch.tensor([1 + 2j]).conj().imag, torch.tensor([-2.0])),
    "uint64": (np.array([2**64 - 1], np.uint64), torch.tensor([2**64 - 1], dtype=torch.uint64)),
}


@pytest.mark.parametrize("case", PARTS)
def test_arrays_in_lists_of_dicts(case, format, publish):
    """Arrays and tensors inside lists of dicts are taken as those beside them are: bit for bit."""
    given, wanted = PARTS[case]
    rows = [{"x": [{"a": given}] * n, "y": {"a": given}} for n in (2, 1, 0)]
    dataset = tfds_builder.as_torch(publish(loader_of_rows(rows), format, on_hazard="ignore").path)
    for number, n in enumerate((2, 1, 0)):
        assert torch.equal(dataset[number]["y"]["a"], wanted)
        assert torch.equal(dataset[number]["x"]["a"], torch.stack([wanted] * n) if n else wanted.new_empty((0, *wanted.shape)))


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (np.datetime64("2020-01-01"), "datetime64"),
        (np.array(["2020-01-01"], "M8[D]"), "datetime64"),
        (np.ma.array([1, 2], mask=[False, True]), "masked"),
        (torch.zeros(2).to_sparse(), "sparse"),
        ("\ud800", "Unicode"),
    ],
)
def test_what_cannot_be_stored_in_lists_of_dicts(value, word, refuses):
    """What is refused beside lists is refused within them."""
    rows = [{"x": [{"a": value}]}, {"x": []}]
    refuses(loader_of_rows(rows), exporters.ExportError, "split 'train'", "'x", word)


T = torch.tensor
SETTLED = {
    "one row left": ([[T([1, 2]), T([3])], [T([4])], [T([5])]], None),
    "as many in all rows left": ([[T([1, 2]), T([3])], [T([4])], [T([5]), T([6])], [T([7]), T([8, 9])]], None),
    "declared": ([[T([1, 2]), T([3])], [T([4]), T([5])], [T([6])]], F.Sequence(F.Sequence(np.int64))),
    "empty first": ([[], [T([1])], [T([4])], [T([5])]], None),
    "tuples": ([(T([1, 2]), T([3])), (T([4]),), (T([5]),)], None),
}


@pytest.mark.parametrize("collate", ["list", "zip"])
@pytest.mark.parametrize("case", SETTLED)
def test_what_a_list_is_holds_for_all_batches(case, collate, format, publish):
    """Lists that the first batch, or `features=`, showed to have any length stay sequences where all rows have one length."""
    rows, feature = SETTLED[case]
    collate = {"list": lambda batch: [{"x": row} for row in batch], "zip": lambda batch: {"x": tuple(batch)}}[collate]
    loader = DataLoader(rows, batch_size=2, collate_fn=collate)
    result = publish(loader, format, features={"x": feature} if feature else None, on_hazard="ignore")
    dataset = tfds_builder.as_torch(result.path)
    assert [to_lists(dataset[number]["x"]) for number in range(len(rows))] == [to_lists(row) for row in rows]


def test_a_structure_that_was_a_list(refuses):
    """Lists that had one length in the first batch and have another later are refused, with the line that declares them."""
    rows = [{"x": [T([1]), T([2])]}] * 2 + [{"x": [T([3])]}]
    refuses(loader_of_rows(rows, 2), exporters.SchemaError, "'x/1'", 'features={"x": tfds.features.Sequence(...)}')


UNCLEAR = {
    "only empty lists": [[[]], []],
    "values at two depths": [[[1], 2]],
    "two dtypes": [[[1], ["a"]]],
    "tensors of two dtypes": [[torch.ones(1), torch.ones(2).half()], []],
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_unclear_nesting(case, refuses):
    """Nested lists that could be this or that are refused, with the line that says which."""
    refuses(loader_of_rows([{"x": row} for row in UNCLEAR[case]]), exporters.SchemaError, "'x", "features=", "Sequence")


INEXACT = {
    "a float in integers": (lambda: F.Sequence(F.Sequence(np.int64)), [[1.5]]),
    "a float64 in float32": (lambda: F.Sequence(F.Sequence(np.float32)), [[0.1]]),
    "a large integer in a float": (lambda: F.Sequence(F.Sequence(np.float32)), [[2**24 + 1]]),
    "text in integers": (lambda: F.Sequence(F.Sequence(np.int64)), [["5"]]),
    "a number in text": (lambda: F.Sequence(F.Sequence(F.Text())), [[2]]),
    "300 in uint8": (lambda: F.Sequence({"a": np.uint8}), {"a": torch.tensor([300])}),
    "an optional float in integers": (lambda: F.Scalar(np.int32, optional=True), 1.5),
    "an optional float64 in float32": (lambda: F.Scalar(np.float32, optional=True), 0.1),
    "a class below none": (lambda: F.Sequence(F.Sequence(F.ClassLabel(num_classes=3))), [[0, -2]]),
    "a class too many in a dict": (lambda: F.Sequence({"a": F.ClassLabel(num_classes=3)}), {"a": torch.tensor([0, 3])}),
    "a class below none, any length": (lambda: F.Sequence(F.ClassLabel(num_classes=3), length=2), torch.tensor([0, -2])),
    "floats in sound": (lambda: F.Audio(), torch.tensor([0.5, -0.9])),
    "bytes in text": (lambda: F.Sequence(F.Sequence(F.Text())), [[b"\xff"]]),
    "a class of none": (lambda: F.Sequence({"a": F.ClassLabel()}), {"a": torch.tensor([0])}),
    "half a class": (lambda: F.Sequence(F.Sequence(F.ClassLabel(num_classes=3))), [[1.5]]),
}


@pytest.mark.parametrize("case", INEXACT)
def test_values_a_feature_cannot_hold(case, refuses):
    """A value that TFDS's encoders would quietly change is refused, with its row and feature."""
    if case == "floats in sound":
        pytest.importorskip("tensorflow")  # which the feature is made of
    feature, value = INEXACT[case]
    rows = [{"x": value}] if "optional" not in case else [{"x": value}, {"x": None}]
    refuses(loader_of_rows(rows), exporters.SchemaError, "'x'", "row 0", features={"x": feature()})


class Stops(torch.utils.data.Dataset):
    """Rows, told by `make(index)`, of which the fifth stops the export while `stops`; notes what is read after that."""

    def __init__(self, make, length):
        self.make, self.length, self.stops, self.reads = make, length, False, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.stops and index == 4:
            self.reads.clear()
            raise RuntimeError("stopped")
        self.reads.append(index)
        return self.make(index)


def test_a_stopped_export_of_nested_rows_goes_on(format, publish, goes_on):
    """What the first batch showed of nested rows holds when the export goes on with a batch that shows less."""
    rows = [{"x": row} for row in ([[1, 2], [3]], [[4]], [], [[]], [[]], [])]
    stops, options = Stops(rows.__getitem__, len(rows)), {"shard_bytes": 1, "on_hazard": "ignore"}
    result = goes_on(lambda data_dir: publish(loader_of_rows(stops, 2), format, data_dir=data_dir, **options), stops)
    assert stops.reads == [0, 1, 2, 3, 4, 5]  # what is finished is compared, and then come the others
    dataset = tfds_builder.as_torch(result.path)
    assert [to_lists(dataset[number]["x"]) for number in range(len(rows))] == [row["x"] for row in rows]


@pytest.mark.parametrize("label", [3, -2])
@pytest.mark.parametrize("nested", [False, True])
def test_labels_in_sequences_are_checked_by_the_deep_check(label, nested, publish):
    """A label of no class in a file is found in sequences, and in sequences of sequences."""
    h5py = pytest.importorskip("h5py")
    feature, row = F.Sequence(F.ClassLabel(num_classes=3)), [2, 1]
    rows = [{"x": [row] if nested else row}, {"x": []}]
    features = {"x": F.Sequence(feature) if nested else feature}
    path = pathlib.Path(publish(loader_of_rows(rows), "hdf5", features=features, on_hazard="ignore").path)
    manifest = read_lib.read_manifest(path)
    shard = manifest.splits["train"].shards[0]
    checker = deep._ShardChecker(path, manifest, shard, features_of(manifest))
    checker.check()
    with h5py.File(path / shard.data.file, "r+") as file:
        file["x/ragged_flat_values/values" if nested else "x/values"][1] = label
    with pytest.raises(tfds_builder.DatasetError, match=r"record 0: .*not one of its 3 classes"):
        deep._ShardChecker(path, manifest, shard, features_of(manifest)).check()


def test_empty_lists_beside_arrays(publish, read_back):
    """An empty list among arrays has no rows of the arrays' own shape and dtype."""
    rows = [{"x": []}, {"x": np.ones((2, 4), np.float32)}, {"x": []}]
    found = read_back(publish(loader_of_rows(rows, batch_size=2), on_hazard="ignore"))["x"]
    assert (found.values.shape, found.values.dtype, found.row_splits.tolist()) == ((2, 4), np.float32, [0, 0, 2, 2])


@pytest.mark.parametrize("collate", [list, lambda rows: {key: [row[key] for row in rows] for key in ("x", "y")}])
def test_empty_batches_in_between(collate, publish, read_back):
    """A batch of which `collate_fn` left nothing is passed over."""
    rows = [{"x": "é" * number, "y": number} for number in range(6)]
    loader = DataLoader(rows, batch_size=2, collate_fn=lambda batch: collate([row for row in batch if row["y"] not in (2, 3)]))
    assert read_back(publish(loader, on_hazard="ignore"))["y"].tolist() == [0, 1, 4, 5]


EMPTY_FIRST = {
    "labels": (F.Sequence(F.ClassLabel(names=["a", "b"])), [[], [1], [0, 1]]),
    "tensors of one value": (F.Sequence(np.float32), [[], [torch.tensor(1.0), torch.tensor(2.0)], [torch.tensor(1.0)]]),
    "tensors": (F.Sequence(F.Tensor(shape=(2,), dtype=np.int64)), [[], [torch.tensor([1, 2])], []]),
    "compressed": (F.Tensor(shape=(None,), dtype=np.int64, encoding="zlib"), [[], [1], [], [2, 3], []]),
    "dicts": (F.Sequence({"a": np.int64}), [[], [{"a": 1}], []]),
}


@pytest.mark.parametrize("case", EMPTY_FIRST)
def test_declared_features_of_empty_lists(case, format, publish):
    """What is declared need not be shown by the first batch, nor by any other."""
    feature, rows = EMPTY_FIRST[case]
    loader = loader_of_rows([{"x": row} for row in rows], 1)
    dataset = tfds_builder.as_torch(publish(loader, format, features={"x": feature}, on_hazard="ignore").path)
    for number, row in enumerate(rows):
        found = dataset[number]["x"]
        assert to_lists(found["a"] if case == "dicts" else found) == to_lists(
            [item["a"] for item in row] if case == "dicts" else row
        )


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_images_without_objects(batch_size, format, publish):
    """Detection batches in which no image has an object are like any others."""
    rows = [
        {"image": torch.zeros(3, 8, 10, dtype=torch.uint8), "o": [{"box": [1.0, 2.0, 5.0, 6.0]}] * (n in (0, 3))}
        for n in range(4)
    ]
    features = {"o": F.Sequence({"box": F.BBoxFeature()})}
    path = publish(
        loader_of_rows(rows, batch_size), format, features=features, layouts={"image": "NCHW"}, on_hazard="ignore"
    ).path
    assert [len(example["o"]["box"]) for example in tfds_builder.as_torch(path)] == [1, 0, 0, 1]


FRAMES = {
    "video": lambda: F.Video(shape=(None, 4, 6, 3)),  # which needs TensorFlow to be made
    "images": lambda: F.Sequence(F.Image(shape=(4, 6, 3))),
    "images of any size": lambda: F.Sequence(F.Image(shape=(None, None, 3))),
    "dataset": lambda: F.Dataset(F.Image(shape=(4, 6, 3))),
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", FRAMES)
def test_frames_come_back_channels_first(case, format, publish):
    """`as_torch` gives the frames of a video, or of a sequence of images, in the layout that the loader gave."""
    rows = [{"v": torch.from_numpy(np.random.default_rng(n).integers(0, 256, (2 + n % 3, 3, 4, 6), np.uint8))} for n in range(4)]
    loader = loader_of_rows(rows, 2)
    path = publish(loader, format, features={"v": FRAMES[case]()}, layouts={"v": "NTCHW"}, on_hazard="ignore").path
    dataset = tfds_builder.as_torch(path)
    for found in (list(dataset), dataset.__getitems__(range(4))):
        assert all(torch.equal(torch.stack(list(example["v"])), row["v"]) for example, row in zip(found, rows, strict=True))


def test_tensors_of_no_values_in_sequences(format, publish):
    """Tensors of shape (0,) in a sequence come back as many as there were."""
    rows = [{"x": [{"a": torch.zeros(0, dtype=torch.bfloat16)}] * n} for n in (1, 2, 0)]
    dataset = tfds_builder.as_torch(publish(loader_of_rows(rows), format, on_hazard="ignore").path)
    assert [tuple(dataset[number]["x"]["a"].shape) for number in range(3)] == [(1, 0), (2, 0), (0, 0)]


WRONG = {
    "a list in a dict without items": ([{"x": [{"a": 1, "l": []}]}], 'features={"x": '),
    "a key that is no str": ([{1: torch.ones(1), "1": torch.ones(1)}], "the key 1"),
    "a key with a slash": ([{"a/b": torch.ones(1)}], "'a/b'"),
    "a large integer beside a float": ([{"x": np.int64(2**53 + 1)}, {"x": 1.5}], "cannot hold exactly"),
    "a uint64 beside an int": ([{"x": np.uint64(2**63 + 1)}, {"x": 1}], "int64"),
    "a very large integer beside a float": ([{"x": 2**1100}, {"x": 1.0}], "float64"),
    "bytes after str": ([{"x": ["a"]}, {"x": ["b", "c"]}, {"x": [b"d"]}], "expected str, got bytes"),
    "an empty array of another dtype": ([{"x": np.array([])}, {"x": np.ones((2, 4), np.float32)}], "mix"),
    "an empty array of another rank": ([{"x": np.array([])}, {"x": np.ones((2, 4))}], "mix"),
    "an empty list beside a number": ([{"x": torch.tensor(5)}, {"x": []}], "empty lists"),
    "an empty list later": ([{"x": [1]}, {"x": [2]}, {"x": []}, {"x": []}], "shape=(None,)"),
    "nothing but empty lists": ([{"x": []}, {"x": []}], "nothing but empty lists"),
    "an unknown key in a list of dicts": ([{"x": [{"a": 1}]}, {"x": []}, {"x": [{"a": 1, "m": 2}]}], "'m'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_rows_that_would_lose_something(case, refuses):
    """Rows that could only be stored by changing or dropping something are refused, with the split and the reason."""
    rows, word = WRONG[case]
    refuses(loader_of_rows(rows, batch_size=2), exporters.ExportError, "split 'train'", word)


@pytest.mark.parametrize("encoding", ["zlib", "bytes"])
@pytest.mark.parametrize("make", [lambda **options: F.Tensor(shape=(None,), dtype=np.int64, **options), lambda **o: F.Audio(**o)])
@pytest.mark.needs_tensorflow
def test_one_unknown_size_encoded(make, encoding, format, publish):
    """Tensors and sound of one unknown size may be compressed, though TFDS forgets the encoding of sound."""
    rows = [{"x": np.arange(n)} for n in (3, 0, 2)]
    result = publish(loader_of_rows(rows), format, features={"x": make(encoding=encoding)}, on_hazard="ignore")
    builders = [tfds_builder.builder_from_directory(result.path)]
    builders += [tfds.builder_from_directory(result.path)] if format == "tfrecord" else []
    for builder in builders:
        found = [example["x"].tolist() for example in tfds.as_numpy(builder.as_dataset(split="train"))]
        assert found == [row["x"].tolist() for row in rows]


@pytest.mark.parametrize("options", [{"shape": (None,)}, {"shape": (2,), "encoding": "bytes"}])
def test_optional_tensors_without_a_default(options, refuses):
    """An optional tensor for whose None TFDS has no value is refused."""
    rows = [{"x": torch.ones(2)}, {"x": None}]
    feature = F.Tensor(dtype=np.float32, optional=True, **options)
    refuses(loader_of_rows(rows), exporters.SchemaError, "'x'", "stands for None", features={"x": feature})


def encoded(height, width, kind="JPEG"):
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image.fromarray(np.zeros((height, width, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: encoded(40, 50)[:-50], "without its end"),
        (lambda: encoded(40, 50, "PNG")[:-20], "without its end"),
        (lambda: encoded(5, 4), "5 x 4 pixels"),
        (lambda: b"\x89PNG\r\n\x1a\n, then nothing known, IEND", "cannot be opened"),
    ],
)
def test_encoded_images_that_do_not_decode(make, word, refuses):
    """Files of images that are cut off, or of another size than declared, are refused, with the row."""
    rows = [{"x": encoded(4, 5)}, {"x": make()}]
    refuses(loader_of_rows(rows), exporters.SchemaError, "'x'", "row 1", word, features={"x": F.Image(shape=(4, 5, 3))})


def test_encoded_images_come_back_to_pytorch_as_files(format, publish):
    """`as_torch` gives the bytes of images that were given as bytes."""
    rows = [{"x": encoded(4, 5)}, {"x": encoded(7, 5, "PNG")}]
    dataset = tfds_builder.as_torch(publish(loader_of_rows(rows), format, features={"x": F.Image()}, on_hazard="ignore").path)
    assert [dataset[number] for number in range(2)] == rows
    assert dataset.__getitems__([1, 0]) == rows[::-1]


def test_optional_text_comes_back_as_str(format, publish):
    """Text of which some is None comes back to PyTorch as str, and None as None."""
    features = {"x": F.Tensor(shape=(), dtype=np.object_, optional=True)}
    rows = [{"x": "é"}, {"x": None}]
    dataset = tfds_builder.as_torch(publish(loader_of_rows(rows), format, features=features, on_hazard="ignore").path)
    assert [dataset[0]["x"], dataset[1]["x"]] == [example["x"] for example in dataset.__getitems__([0, 1])] == ["é", None]


def test_stopped_where_the_next_batch_tells_nothing(format, publish, goes_on):
    """An export goes on with a batch of empty lists, or with images of one size, though they do not tell what the first did."""
    rows = [[1], [2, 3], [], [], [4], []]

    def make(index):
        row, image = rows[index], np.full((4 + (index == 0), 5, 3), index, np.uint8)
        return {"n": row, "s": [str(item) for item in row], "b": [item > 2 for item in row], "image": image}

    stops, options = Stops(make, len(rows)), {"shard_bytes": 1, "on_hazard": "ignore", "layouts": {"image": "NHWC"}}
    options["features"] = {"image": F.Image(shape=(None, None, 3))}
    goes_on(lambda data_dir: publish(loader_of_rows(stops, 2), format, data_dir=data_dir, **options), stops)
    assert stops.reads == [0, 1, 2, 3, 4, 5]  # what is finished is compared, and then come the others


SEQUENCES = {
    "integers": (lambda: F.Sequence(np.int64), [[1, 2], [], [3]]),
    "bools": (lambda: F.Sequence(np.bool_), [[True], [], [False, True]]),
    "labels": (lambda: F.Sequence(F.ClassLabel(num_classes=4)), [[1, 2], [], [3]]),
    "text": (lambda: F.Sequence(F.Text()), [["a", "é"], [], [""]]),
    "tensors": (lambda: F.Sequence(F.Tensor(shape=(2,), dtype=np.float32)), [np.ones((n, 2), np.float32) for n in (2, 0, 1)]),
    "a fixed length": (lambda: F.Sequence(np.int64, length=2), [[1, 2], [3, 4], [5, 6]]),
    "sequences of integers": (lambda: F.Sequence(F.Sequence(np.int64)), [[[1, 2], []], [], [[3]]]),
    "sequences of tensors": (
        lambda: F.Sequence(F.Sequence(F.Tensor(shape=(2,), dtype=np.int64))),
        [[[np.array([1, 2])], []], [], [[np.array([3, 4])] * 2, [np.array([5, 6])]]],
    ),
    "three levels of matrices": (
        lambda: F.Sequence(F.Sequence(F.Sequence(F.Tensor(shape=(2, 3), dtype=np.float32)))),
        [[[np.ones((2, 2, 3), np.float32), np.zeros((0, 2, 3), np.float32)], []], [], [[]]],
    ),
}


def types_of(value):
    """The Python types of a nested value, of arrays the dtype and shape too."""
    if isinstance(value, list):
        return [types_of(item) for item in value]
    return (type(value), value.dtype, value.shape) if isinstance(value, np.ndarray) else type(value)


@pytest.mark.parametrize("case", SEQUENCES)
def test_sequences_of_a_data_source(case, publish):
    """A data source gives sequences as the Python type and the items that TFDS makes of the same record."""
    feature, rows = SEQUENCES[case]
    features = F.FeaturesDict({"x": feature()})
    results = {
        f: publish(loader_of_rows([{"x": row} for row in rows]), f, features=features, on_hazard="ignore")
        for f in ("tfrecord", "hdf5")
    }
    builders = {f: tfds_builder.builder_from_directory(result.path) for f, result in results.items()}
    records = builders["tfrecord"].as_data_source("train", deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    for format, builder in builders.items():
        source = builder.as_data_source("train")
        for number, found in enumerate([*source, *source.__getitems__(range(3))]):
            want, got = features.deserialize_example_np(records[number % 3])["x"], found["x"]
            assert types_of(got) == types_of(want), format
            assert to_lists(got) == to_lists(want)
