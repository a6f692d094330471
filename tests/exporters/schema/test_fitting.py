"""What `features=` declares decides, whatever the first batch happens to look like."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader

import tfds_builder
from exporters.errors import SchemaError

F = tfds.features


def loader_of_rows(rows, batch_size=2):
    return DataLoader(rows, batch_size=batch_size, collate_fn=list)


def image(number):
    return np.full((5, 7, 3), number, np.uint8)


def images(count):
    return [image(number) for number in range(count)]


def tensor():
    return F.Tensor(shape=(5, 7, 3), dtype=np.uint8)


EQUAL = {
    "a dict of lists": (lambda n: {"i": images(n)}, lambda: {"i": tensor()}, lambda x: x["i"]),
    "and numbers": (lambda n: {"i": images(n), "n": list(range(n))}, lambda: {"i": tensor(), "n": np.int64}, lambda x: x["i"]),
    "dicts in it": (lambda n: {"o": {"i": images(n)}}, lambda: {"o": {"i": tensor()}}, lambda x: x["o"]["i"]),
    "lists of dicts": (lambda n: [{"i": item} for item in images(n)], lambda: {"i": tensor()}, lambda x: x["i"]),
    "tuples of dicts": (lambda n: tuple({"i": item} for item in images(n)), lambda: {"i": tensor()}, lambda x: x["i"]),
    "arrays": (images, tensor, lambda x: x),
    "a tuple of arrays": (lambda n: tuple(images(n)), tensor, lambda x: x),
}


@pytest.mark.parametrize("kind", [F.Sequence, F.Dataset])
@pytest.mark.parametrize("lengths", [(2, 2, 3, 0), (3, 3, 3, 3), (2, 3, 2, 2), (1, 1, 2, 1)])
@pytest.mark.parametrize("case", EQUAL)
def test_lengths_that_are_equal_in_the_first_batch(case, lengths, kind, publish):
    """A declared sequence is one, whether the lists of the first batch have one length or several."""
    make, feature, pick = EQUAL[case]
    rows = [{"x": make(length)} for length in lengths]
    result = publish(loader_of_rows(rows), features={"x": kind(feature())}, on_hazard="ignore")
    dataset = tfds_builder.as_torch(result.path, as_supervised=False)
    for example, length in zip(dataset, lengths, strict=True):
        found = pick(example["x"])
        assert [np.asarray(item).tolist() for item in found] == [item.tolist() for item in images(length)]


SHAPES = {
    "unknown in the middle": ((3, None, 2), [(3, 4, 2), (3, 5, 2)]),
    "unknown in the middle, equal at first": ((3, None, 2), [(3, 4, 2), (3, 4, 2), (3, 1, 2)]),
    "two that look like channels": ((3, 5, 3), [(3, 5, 3)] * 2),
    "channels first": ((3, 5, 7), [(3, 5, 7)] * 2),
    "five axes": ((3, 4, 5, 7), [(3, 4, 5, 7)] * 2),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_are_declared(case, format, publish):
    """A tensor whose declared shape is that of the data needs no layout, and nothing moves."""
    shape, given = SHAPES[case]
    rows = [{"x": torch.arange(np.prod(sizes)).reshape(sizes).float()} for sizes in given]
    feature = F.Tensor(shape=shape, dtype=np.float32, encoding="bytes")
    result = publish(loader_of_rows(rows), format, features={"x": feature}, on_hazard="ignore")
    source = tfds_builder.builder_from_directory(result.path).as_data_source("train")
    assert all(np.array_equal(example["x"], row["x"]) for example, row in zip(source, rows, strict=True))
    assert all(torch.equal(example["x"], row["x"]) for example, row in zip(tfds_builder.as_torch(result.path), rows, strict=True))


@pytest.mark.parametrize(
    ("shape", "given", "order"),
    [
        ((5, 7, 3), (3, 5, 7), (1, 2, 0)),
        ((5, 7, 13), (13, 5, 7), (1, 2, 0)),
        ((None, 4, 5, 3), (3, 6, 4, 5), (1, 2, 3, 0)),
        ((6, 4, 5, 3), (6, 3, 4, 5), (0, 2, 3, 1)),
    ],
)
def test_shapes_that_only_a_permutation_fits(shape, given, order, publish):
    """Where only channels that come first fit the declared shape, they are moved."""
    rows = [{"x": torch.arange(np.prod(given)).reshape(given) + number} for number in range(2)]
    feature = F.Tensor(shape=shape, dtype=np.int64, encoding="bytes")
    result = publish(loader_of_rows(rows), features={"x": feature}, on_hazard="ignore")
    source = tfds_builder.builder_from_directory(result.path).as_data_source("train")
    assert all(np.array_equal(example["x"], row["x"].permute(order)) for example, row in zip(source, rows, strict=True))
    assert all(torch.equal(example["x"], row["x"]) for example, row in zip(tfds_builder.as_torch(result.path), rows, strict=True))


NUMBERS = {
    "int32": ([5, -(2**31)], F.Scalar(dtype=np.int32), 2**31),
    "uint8": ([0, 255], F.Scalar(dtype=np.uint8), -1),
    "float32": ([0.5, -2.25], F.Scalar(dtype=np.float32), 0.1),
    "float32 of ints": ([5, 2**24], F.Scalar(dtype=np.float32), 2**24 + 1),
    "lists": ([[1, 2], [3, 4]], F.Tensor(shape=(2,), dtype=np.int16), [5, 2**15]),
    "lists of any length": ([[1], [3, 4]], F.Sequence(np.int32), [2**31]),
    "floats of any length": ([[1.5], [], [3.0, -4.0]], F.Tensor(shape=(None,), dtype=np.float32, encoding="bytes"), [0.1]),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_of_python(case, format, publish, refuses):
    """Python's own numbers are stored in the declared dtype if it holds them, in whichever batch, else refused with their row;
    those of an array have a dtype, which must be the declared one."""
    values, feature, inexact = NUMBERS[case]
    rows = [{"x": value} for value in values]
    result = publish(loader_of_rows(rows * 2, 3), format, features={"x": feature}, on_hazard="ignore")
    source = tfds_builder.builder_from_directory(result.path).as_data_source("train")
    assert [np.asarray(example["x"]).tolist() for example in source] == values * 2
    for place in range(2):
        odd = [{"x": inexact} if number == place else rows[0] for number in range(2)]
        shown = repr(np.ravel(inexact).tolist()[-1])
        words = ("'x'", f"row {place}", "would not hold", shown)
        refuses(loader_of_rows(odd), SchemaError, *words, format=format, features={"x": feature})
    arrays = loader_of_rows([{"x": np.asarray(row["x"])} for row in rows if row["x"] != []], 3)
    refuses(arrays, SchemaError, "'x'", "dtype", format=format, features={"x": feature})
