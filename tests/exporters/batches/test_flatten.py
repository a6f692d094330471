"""Every batch a DataLoader can give becomes columns, or is refused with the batch and the part of it named."""

from __future__ import annotations

import collections
import dataclasses
import decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
)

from exporters import LoaderError, SchemaError
from exporters.batches import flatten as batches


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass
class Sample:
    left: Any
    right: Any


X = torch.arange(7 * 6, dtype=torch.float32).reshape(7, 2, 3)
Y = torch.arange(7) * 11
TEXTS = ["", "a", "é\0b", "日本語", "x" * 300, "f", "g"]
RAWS = [text.encode()[::-1] for text in TEXTS]

STRUCTURES = {
    "tensor": (lambda i: X[i], {"features": X}),
    "tuple": (lambda i: (X[i], Y[i]), {"features": X, "label": Y}),
    "list": (lambda i: [X[i], Y[i]], {"features": X, "label": Y}),
    "triple": (lambda i: (X[i], Y[i], Y[i] + 1), {"item_0": X, "item_1": Y, "item_2": Y + 1}),
    "namedtuple": (lambda i: Pair(X[i], Y[i]), {"left": X, "right": Y}),
    "dict": (lambda i: {"b": X[i], "a": Y[i]}, {"a": Y, "b": X}),
    "mapping": (lambda i: collections.UserDict(b=X[i], a=Y[i]), {"a": Y, "b": X}),
    "dataclass": (lambda i: Sample(X[i], Y[i]), {"left": X, "right": Y}),
    "nested": (
        lambda i: {"a": {"b": (X[i], Pair(Y[i], Y[i] + 1))}, "c": [{"d": Y[i]}, X[i] + 1]},
        {"a/b/0": X, "a/b/1/left": Y, "a/b/1/right": Y + 1, "c/0/d": Y, "c/1": X + 1},
    ),
    "pair of dict and tensor": (
        lambda i: ({"l": X[i], "r": Sample(Y[i], X[i])}, Y[i]),
        {"features/l": X, "features/r/left": Y, "features/r/right": X, "label": Y},
    ),
    "list of str": (lambda i: {"t": [TEXTS[k] for k in i]}, {"t": TEXTS}),
    "list of bytes": (lambda i: {"t": [RAWS[k] for k in i]}, {"t": RAWS}),
    "list of int": (lambda i: {"n": [k - 3 for k in i]}, {"n": np.arange(-3, 4)}),
    "list of float": (lambda i: {"n": [k / 3 for k in i]}, {"n": np.arange(7) / 3}),
    "list of int and float": (lambda i: {"n": [k if k % 2 else k / 4 for k in i]}, {"n": np.array([0, 1, 0.5, 3, 1, 5, 1.5])}),
    "list of bool": (lambda i: {"n": [k % 2 == 0 for k in i]}, {"n": np.arange(7) % 2 == 0}),
    "list of complex": (lambda i: {"n": [complex(k, -k) for k in i]}, {"n": np.arange(7) * (1 - 1j)}),
    "tuple of NumPy scalars": (lambda i: {"n": tuple(np.float32(k) for k in i)}, {"n": np.arange(7, dtype=np.float32)}),
    "numpy": (lambda i: {"x": X[i].numpy()}, {"x": X}),
    "numpy, big-endian": (lambda i: {"x": X[i].numpy().astype(">f4")}, {"x": X}),
    "numpy, read-only": (lambda i: {"x": np.broadcast_to(np.int16(3), (len(i), 2))}, {"x": np.full((7, 2), 3, np.int16)}),
    "numpy of str": (lambda i: {"t": np.array(["", "b", "é"])[np.array(i) % 3]}, {"t": ["", "b", "é", "", "b", "é", ""]}),
    "numpy of objects": (lambda i: {"t": np.array([RAWS[k] for k in i], object)}, {"t": RAWS}),
    "not contiguous": (lambda i: {"x": X.repeat(1, 2, 2)[i][:, ::2, ::2]}, {"x": X.repeat(1, 2, 2)[:, ::2, ::2]}),
    "expanded": (lambda i: {"x": torch.tensor([[5]]).expand(len(i), 4)}, {"x": torch.full((7, 4), 5)}),
    "requires_grad": (lambda i: {"x": X[i].clone().requires_grad_(), "p": torch.nn.Parameter(X[i])}, {"x": X, "p": X}),
}


class Indices(Dataset):
    """A map-style dataset whose items are their own indices: collate_fn makes the batch."""

    def __len__(self):
        return len(Y)

    def __getitem__(self, index):
        return index


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("case", STRUCTURES)
def test_structures(case, workers, publish, read_back, assert_same):
    """Every structure a collate_fn can return comes back as the columns it is made of, with and without workers."""
    collate, expected = STRUCTURES[case]
    data = DataLoader(Indices(), batch_size=3, collate_fn=collate, num_workers=workers)
    assert_same(read_back(publish(data)), expected)


class OneBuffer(DataLoader):
    """A loader that fills the same tensors again for each batch."""

    def __iter__(self):
        x, y = torch.empty(2, 2, 3), torch.empty(2, dtype=torch.int64)
        for start in range(0, 6, 2):
            x.copy_(X[start : start + 2])
            y.copy_(Y[start : start + 2])
            yield {"x": x, "y": y, "x_again": x.numpy(), "y_u32": y.numpy().view(np.uint32)[::2]}


def test_one_buffer_for_all_batches(format, publish, read_back, assert_same):
    """A loader may overwrite a batch as soon as it gives the next: nothing of it is kept by reference."""
    expected = {"x": X[:6], "y": Y[:6], "x_again": X[:6], "y_u32": Y[:6].numpy().astype(np.uint32)}
    assert_same(read_back(publish(OneBuffer([0]), format)), expected)


GOOD = {"x": X[:2], "y": Y[:2]}
SPARSE = "sparse_coo"
BAD = {
    "None": (lambda: None, "None"),
    "list of None": (lambda: [None, None], "None"),
    "an object": (lambda: object(), "object"),
    "a list of objects": (lambda: [object(), object()], "object"),
    "a set": (lambda: {1, 2}, "set"),
    "a generator": (lambda: (i for i in range(2)), "generator"),
    "decimals": (lambda: [decimal.Decimal(1)] * 2, "Decimal"),
    "an int that no int64 holds": (lambda: [2**63, 0], "int64"),
    "object array of ints": (lambda: np.array([1, 2], object), "int"),
    "sparse": (lambda: X[:2].to_sparse(), SPARSE),
    "csr": (lambda: torch.eye(2).to_sparse_csr(), "sparse_csr"),
    "quantized": (lambda: torch.quantize_per_tensor(X[:2], 0.1, 0, torch.quint8), "quantized"),
    "meta": (lambda: torch.empty(2, 3, device="meta"), "meta"),
    "float8_e4m3fn": (lambda: X[:2].to(torch.float8_e4m3fn), "float8_e4m3fn"),
    "float8_e5m2": (lambda: X[:2].to(torch.float8_e5m2), "float8_e5m2"),
    "complex32": (lambda: X[:2].to(torch.complex32), "complex32"),
    "datetime64": (lambda: np.array(["2020-01-01"] * 2, "datetime64[D]"), "datetime64"),
    "longdouble": (lambda: np.zeros(2, np.longdouble), "float128"),
    "record array": (lambda: np.zeros(2, "i4,f4"), "('f0', '<i4')"),
    "masked array": (lambda: np.ma.masked_array([1, 2], [True, False]), "masked"),
    "empty dict": (dict, "empty dict"),
    "a key that is no str": (lambda: {1: X[:2]}, "key 1"),
    "an int": (lambda: 3, "int"),
    "a str": (lambda: "text", "str"),
    "a scalar tensor": (lambda: torch.tensor(3), "batch axis"),
    "a scalar array": (lambda: np.array(3.0), "batch axis"),
    "a scalar object array": (lambda: np.array(object()), "batch axis"),
}
CONTRADICTORY = {
    "None among numbers": (lambda: [1, None], "NoneType"),
    "None among strings": (lambda: ["a", None], "NoneType"),
    "str and bytes": (lambda: ["a", b"a"], "bytes, str"),
    "str and int": (lambda: ["a", 1], "int, str"),
    "bool and int": (lambda: [True, 2], "bool"),
    "empty list": (list, "empty list"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", [*BAD, *CONTRADICTORY])
def test_bad_parts(case, loader_of, refuses):
    """A part no column can be made of is refused, first batch or later, and the message names split, batch and feature."""
    make, word = (BAD | CONTRADICTORY)[case]
    kind = LoaderError if case in BAD else SchemaError
    batch = {"x": X[:2], "y": make()}
    error = refuses({"test": loader_of(GOOD, GOOD, batch)}, kind, "split 'test'", "batch 2", "'y", word)
    assert str(error).count("\n") == 0
    with pytest.raises(kind, match="split 'test', batch 0: 'y"):
        batches.to_batch(batch, "test", 0)


@pytest.mark.parametrize("empty", [(), [], {}, None])
def test_batches_without_parts(empty, loader_of, refuses):
    """A split whose batches have nothing in them is refused."""
    refuses(loader_of(empty, empty), SchemaError, "split 'train'", "gives no example")


@pytest.mark.parametrize("short", [X[:1], ["a"], np.zeros((3, 2)), [[1, 2], [3]]])
def test_ragged_batch(short, loader_of, refuses):
    """A batch whose parts have different numbers of rows is refused with the size of each."""
    refuses(loader_of(GOOD, {"x": X[:2], "y": short}), SchemaError, "split 'train', batch 1", "'x': 2", "'y")


def test_key_with_a_slash(loader_of, refuses):
    """A feature name with `/` is refused: it could not be told from a nested one."""
    refuses(loader_of({"a/b": X}), LoaderError, "a/b")
