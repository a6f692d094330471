"""Rows that are lists of lists, or lists of tensors: `Sequence`s, inferred and exact."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader

import exporters
import tfds_builder

F = tfds.features


def loader_of_rows(rows, batch_size=3):
    return DataLoader(rows, batch_size=batch_size, collate_fn=list)


def to_lists(value):
    """A nested value as lists of Python's own values, whatever held it."""
    if isinstance(value, torch.Tensor):
        value = value.to(torch.float32).numpy() if value.dtype == torch.bfloat16 else value.numpy()
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
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", NESTED)
def test_nested_rows_come_back(case, format, publish):
    """Nested lists become nested sequences without a word from the caller, which stock TFDS reads, and come back to PyTorch."""
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
    "half a class": (lambda: F.Sequence(F.Sequence(F.ClassLabel(num_classes=3))), [[1.5]]),
}


@pytest.mark.parametrize("case", INEXACT)
def test_values_a_feature_cannot_hold(case, refuses):
    """A value that TFDS's encoders would quietly change is refused, with its row and feature."""
    feature, value = INEXACT[case]
    rows = [{"x": value}] if "optional" not in case else [{"x": value}, {"x": None}]
    refuses(loader_of_rows(rows), exporters.SchemaError, "'x'", "row 0", "convert", features={"x": feature()})


def test_a_stopped_export_of_nested_rows_goes_on(format, publish):
    """What the first batch showed of nested rows holds when the export goes on with a batch that shows less."""
    rows = [{"x": row} for row in ([[1, 2], [3]], [[4]], [], [[]], [[]], [])]

    class Stops(torch.utils.data.Dataset):
        stops = True

        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            if self.stops and index == 3:
                raise RuntimeError("stopped")
            return rows[index]

    with pytest.raises(RuntimeError, match="stopped"):
        publish(loader_of_rows(Stops()), format, shard_bytes=1, name="stopped", on_hazard="ignore")
    Stops.stops = False
    result = publish(loader_of_rows(Stops()), format, shard_bytes=1, name="stopped", on_hazard="ignore")
    dataset = tfds_builder.as_torch(result.path)
    assert [to_lists(dataset[number]["x"]) for number in range(len(rows))] == [row["x"] for row in rows]
