"""Copies of examples: all of what they are, and nothing of the storage that they are views of."""

from __future__ import annotations

import collections
import copy
import dataclasses

import numpy as np
import pytest
import torch

from exporters.tensors.copies import copy_example

pytestmark = pytest.mark.once

Pair = collections.namedtuple("Pair", ["x", "y"])


@dataclasses.dataclass
class Item:
    row: torch.Tensor
    name: str


@dataclasses.dataclass(frozen=True)
class Frozen:
    row: torch.Tensor


class Plain:
    def __init__(self, row):
        self.rows = [row]


class Slotted:
    __slots__ = ("row",)

    def __init__(self, row):
        self.row = row


class Guarded(Plain):
    """Copies itself, in a way of its own."""

    def __deepcopy__(self, memo):
        return "of its own"


NESTS = {
    "tensor": (lambda row: row, lambda value: value),
    "list": (lambda row: [1, [row]], lambda value: value[1][0]),
    "tuple": (lambda row: (row, "a"), lambda value: value[0]),
    "namedtuple": (lambda row: Pair(row, 2), lambda value: value.x),
    "dict": (lambda row: {"a": {"b": row}}, lambda value: value["a"]["b"]),
    "dataclass": (lambda row: Item(row, "a"), lambda value: value.row),
    "frozen dataclass": (Frozen, lambda value: value.row),
    "object": (Plain, lambda value: value.rows[0]),
}


@pytest.mark.parametrize("case", NESTS)
@pytest.mark.parametrize("view", ["slice", "transposed", "bfloat16", "gradient"])
def test_only_the_view_is_copied(case, view):
    """A view of a large storage is copied at its own size, wherever it lies, with its values, dtype, kind and gradient."""
    pool = torch.arange(100_000, dtype=torch.bfloat16 if view == "bfloat16" else torch.float32)
    row = pool[10:22].reshape(3, 4)
    row = row.T if view == "transposed" else row.detach().requires_grad_(view == "gradient")
    make, take = NESTS[case]
    value = make(row)
    twin = copy_example(value)
    copied = take(twin)
    assert type(twin) is type(value)
    assert copied is not row
    assert (copied.dtype, copied.shape, copied.requires_grad) == (row.dtype, row.shape, row.requires_grad)
    assert torch.equal(copied, row)
    assert copied.untyped_storage().nbytes() == row.nbytes
    with torch.no_grad():
        copied.zero_()
        assert row[0, 0] == 10


def test_what_is_one_object_stays_one():
    """The same object twice is the same copy twice, also where it holds itself."""
    row = torch.zeros(1000)[:2]
    rows = [row, {"again": row}]
    rows.append(rows)
    first, nested, itself = copy_example(rows)
    assert first is nested["again"]
    assert itself[0] is first
    assert itself is itself[2]
    assert copy_example([rows] * 3)[0] is not rows


@pytest.mark.parametrize(
    "value",
    [
        {"text": "a", "number": 3, "none": None, "bytes": b"b", "type": int, "call": len},
        np.arange(10)[2:5],
        [np.float32(2.5), {1, 2}, collections.OrderedDict(a=[1]), 1 + 2j],
        torch.eye(3).to_sparse(),
        torch.arange(6).reshape(2, 3).expand(2, 2, 3),
    ],
    ids=["values", "array", "others", "sparse", "expanded"],
)
def test_everything_else_is_copied_as_ever(value):
    """What is no view of a large storage equals its `copy.deepcopy`."""
    assert repr(copy_example(value)) == repr(copy.deepcopy(value))
    assert type(copy_example(value)) is type(value)


def test_objects_that_copy_themselves():
    """A `__deepcopy__` is obeyed, and objects with slots are copied."""
    assert copy_example([Guarded(torch.zeros(2))]) == ["of its own"]
    row = torch.zeros(2)
    twin = copy_example(Slotted(row))
    assert torch.equal(twin.row, row)
    assert twin.row is not row


def test_an_array_that_is_a_view():
    """A NumPy view is copied without what it is a view of."""
    pool = np.zeros(1_000_000)
    twin = copy_example([pool[5:9]])[0]
    assert twin.base is None
    assert twin.nbytes == 32


def test_memory_of_an_export_is_a_few_batches(run_python):
    """Rows out of a pool of 400 MB, taken by a list collate: exporting them takes 100 MB at most beside it."""
    source = """
        import numpy as np, torch
        import exporters
        from torch.utils.data import DataLoader, Dataset, IterableDataset

        pool = torch.ones(100_000_000)
        def row(i):
            x = pool[i * 100 : i * 100 + 20 + i % 50]
            return {"x": x, "y": i} if kind == "dict" else (x, i)
        class Data(Dataset):
            def __len__(self): return 1000
            def __getitem__(self, i): return row(i)
        class Stream(IterableDataset):
            def __iter__(self): return map(row, range(1000))
        def peak(): return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
        small = DataLoader([(torch.ones(i + 1), i) for i in range(9)], batch_size=3, collate_fn=lambda b: tuple(zip(*b)))
        exporters.export(small, "warm", name="m", names=["x", "y"], progress=False, on_hazard="ignore")
        before = peak()
        for kind in ("torch", "dict", "stream", "numpy"):
            pool = pool.numpy() if kind == "numpy" else pool
            collate = list if kind == "dict" else lambda b: tuple(zip(*b))
            loader = DataLoader(Stream() if kind == "stream" else Data(), batch_size=100, collate_fn=collate)
            names = None if kind == "dict" else ["x", "y"]
            result = exporters.export(loader, kind, name="m", names=names, progress=False, on_hazard="ignore")
            print(kind, peak() - before, result.examples["train"])
    """
    lines = [line.split() for line in run_python(source).stdout.splitlines()]
    assert [kind for kind, _, _ in lines] == ["torch", "dict", "stream", "numpy"]
    for kind, more, examples in lines:
        assert (int(more) < 100, examples) == (True, "1000"), kind
