"""The structure of a batch: the parts of any form have the same names, and the same fault raises the same class."""

import collections
import dataclasses
import operator

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import exporters
from exporters import LoaderError, SchemaError
from exporters.batches.flatten import is_empty, to_batch
from exporters.batches.row_lists import Lists, find_growing, has_lists
from exporters.batches.structure import Form, form_of, leaves_with_shapes, walk

Pair = collections.namedtuple("Pair", ["x", "y"])
Nothing = collections.namedtuple("Nothing", [])


@dataclasses.dataclass
class Both:
    x: object
    y: object


@dataclasses.dataclass(slots=True)
class Slots:
    x: object
    y: object


@dataclasses.dataclass
class Bare:
    pass


RECORDS = {
    "a dict": lambda x, y: {"x": x, "y": y},
    "a namedtuple": Pair,
    "a dataclass": Both,
    "a dataclass with slots": Slots,
}
Y = torch.arange(3)

PARTS = {
    **RECORDS,
    "a tuple": lambda x, y: (x, y),
    "a list": lambda x, y: [x, y],
    "a dict in a dict": lambda x, y: {"in": {"x": x}, "y": y},
    "a namedtuple in a dict": lambda x, y: {"in": Pair(x, y), "y": y},
    "a dataclass in a tuple": lambda x, y: (Both(x, y), y),
}
"""Batches with a part that is `x`."""

ROWS = {
    **{name: lambda rows, make=make: [make(x, y) for y, x in enumerate(rows)] for name, make in RECORDS.items()},
    "a tuple": lambda rows: [(x, y) for y, x in enumerate(rows)],
    "a dict in a dict": lambda rows: [{"in": {"x": x}, "y": y} for y, x in enumerate(rows)],
    **{
        f"{name} in a list": lambda rows, make=make: [{"in": [make(x, 1)] * (1 + y), "y": y} for y, x in enumerate(rows)]
        for name, make in RECORDS.items()
    },
}
"""Examples that have a value of `rows` each."""

COLLATES = {
    "list": list,
    "zip": lambda rows: tuple(zip(*rows, strict=True)),
    "a dict of lists": lambda rows: {key: [row[key] for row in rows] for key in rows[0]},
}


def of_parts(value):
    """Loaders that give one batch, of each form, with that value as a part."""
    return {name: DataLoader([make(value(), Y)], collate_fn=operator.itemgetter(0)) for name, make in PARTS.items()}


def of_rows(rows):
    """Loaders that make one batch of examples of each form; and of dicts and tuples in other ways than a list of them."""
    loaders = {f"rows, {name}": DataLoader(make(rows()), batch_size=3, collate_fn=list) for name, make in ROWS.items()}
    for name, form in (("zip", "a tuple"), ("a dict of lists", "a dict")):
        loaders[name] = DataLoader(ROWS[form](rows()), batch_size=3, collate_fn=COLLATES[name])
    return loaders


FLAT, WIDE = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.float64)
OF_PARTS = {
    "None": (lambda: None, LoaderError),
    "a number": (lambda: 3, LoaderError),
    "a NumPy number": (lambda: np.float32(3), LoaderError),
    "a text": (lambda: "text", LoaderError),
    "a tensor without axes": (lambda: torch.tensor(3), LoaderError),
    "an array without axes": (lambda: np.array(3), LoaderError),
    "texts and None in an array": (lambda: np.array(["a", None, "b"], object), SchemaError),
    "texts and numbers in an array": (lambda: np.array(["a", 1, "b"], object), SchemaError),
    "no rows in a list": (list, SchemaError),
    "no rows in a tuple": (tuple, SchemaError),
    "too few rows in a list": (lambda: [1, 2], SchemaError),
}
OF_ROWS = {
    "dtypes of tensors": (lambda: [FLAT, WIDE, FLAT], SchemaError),
    "dtypes of arrays": (lambda: [FLAT.numpy(), WIDE.numpy(), FLAT.numpy()], SchemaError),
    "dtypes of an array and tensors": (lambda: [FLAT, WIDE.numpy(), FLAT], SchemaError),
    "dtypes of a list and tensors": (lambda: [[1.0, 2.0], FLAT, FLAT], SchemaError),
    "numbers of axes": (lambda: [FLAT, FLAT[None], FLAT], SchemaError),
    "numbers in tensors": (lambda: [torch.tensor(1), torch.tensor(True), torch.tensor(3)], SchemaError),
    "a number and tensors": (lambda: [1, FLAT, FLAT], SchemaError),
    "a text and tensors": (lambda: ["a", FLAT, FLAT], SchemaError),
    "a tensor that is missing": (lambda: [FLAT, None, FLAT], SchemaError),
    "values that are all missing": (lambda: [None, None, None], SchemaError),
    "different keys": (lambda: [{"a": 1, "b": 1}, {"a": 1}, {"a": 1, "b": 1}], SchemaError),
    "lists of nothing": (lambda: [[], [], []], SchemaError),
}
OF_BOTH = {
    "bools and ints": (lambda: [1, True, 3], lambda: [1, True, 3], SchemaError),
    "texts and ints": (lambda: ["a", 1, "b"], lambda: ["a", 1, "b"], SchemaError),
    "texts and bytes": (lambda: ["a", b"a", "b"], lambda: ["a", b"a", "b"], SchemaError),
    "None among ints": (lambda: [1, None, 2], lambda: [1, None, 2], SchemaError),
    "None before texts": (lambda: [None, "a", "b"], lambda: [None, "a", "b"], SchemaError),
    "a key with a slash": (lambda: {"a/b": Y}, lambda: [{"a/b": y} for y in range(3)], LoaderError),
    "a key that is no str": (lambda: {1: Y}, lambda: [{1: y} for y in range(3)], LoaderError),
    "an empty dict": (dict, lambda: [{}, {}, {}], LoaderError),
    "an empty namedtuple": (Nothing, lambda: [Nothing()] * 3, LoaderError),
    "an empty dataclass": (Bare, lambda: [Bare()] * 3, LoaderError),
    "an object": (object, lambda: [object()] * 3, LoaderError),
    "a set": (lambda: {1, 2}, lambda: [{1, 2}] * 3, LoaderError),
    "a masked array": (lambda: np.ma.masked_array([1, 2, 3], [0, 1, 0]), lambda: [np.ma.masked_array([1], [1])] * 3, LoaderError),
    "a sparse tensor": (lambda: torch.eye(3).to_sparse(), lambda: [torch.eye(3).to_sparse()] * 3, LoaderError),
    "dates": (lambda: np.array(["2020-01-01"] * 3, "M8[D]"), lambda: [np.datetime64("2020-01-01")] * 3, LoaderError),
}
FAULTS = {
    **{f"part: {name}": (lambda value=value: of_parts(value), error) for name, (value, error) in OF_PARTS.items()},
    **{f"rows: {name}": (lambda rows=rows: of_rows(rows), error) for name, (rows, error) in OF_ROWS.items()},
    **{
        name: (lambda value=value, rows=rows: of_parts(value) | of_rows(rows), error)
        for name, (value, rows, error) in OF_BOTH.items()
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_one_class(fault, tmp_path):
    """A fault raises the class that it raises in any other form of batch, and says in which split."""
    make, expected = FAULTS[fault]
    raised = {}
    for form, loader in make().items():
        with pytest.raises(exporters.ExportError, match="split 'train'") as caught:
            exporters.export(loader, tmp_path, name="ds", progress=False)
        raised[form] = type(caught.value)
    assert raised == dict.fromkeys(raised, expected)


@pytest.mark.parametrize("form", RECORDS)
def test_names_of_parts(form):
    """Whatever a record is, its parts have the same names, and so have theirs; what has parts comes before its parts."""
    batch = RECORDS[form]([Y, (1, 2.5)], {"a": None, "b": RECORDS[form]("text", object())})
    expected = {
        "": Form.RECORD, "x": Form.LIST, "x/0": Form.ARRAY, "x/1": Form.VALUES, "y": Form.RECORD, "y/a": Form.NONE,
        "y/b": Form.RECORD, "y/b/x": Form.VALUE, "y/b/y": Form.OTHER,
    }  # fmt: skip
    assert list({path: form for path, _, form in walk(batch)}.items()) == list(expected.items())
    shapes = {"x/0": (3,), "x/1": (2,), "y/a": (), "y/b/x": (), "y/b/y": ()}
    assert dict(leaves_with_shapes(batch)) == shapes


def test_closed_lists():
    """A list whose name is added while its batch is walked is not walked into; a record of that name is."""
    batch, closed = {"x": [[Y], [Y]], "y": {"a": [Y, Y]}}, {"y"}
    found = []
    for path, _, form in walk(batch, closed):
        found.append(path)
        if form is Form.LIST:
            closed.add(path)
    assert found == ["", "x", "y", "y/a"]


@pytest.mark.parametrize("form", PARTS)
def test_batches_of_no_rows(form):
    """A batch of no rows is one in any form, and any emptiness is none."""
    unclear = form in ("a tuple", "a list", "a dataclass in a tuple")  # they might be lists of rows
    for nothing in ([], (), {}, torch.zeros(0, 2), np.zeros(0), Nothing(), Bare()):
        batch = PARTS[form](nothing, nothing)
        assert is_empty(batch, Lists()), type(nothing)
        assert is_empty(batch) != unclear
        assert to_batch(batch, "train", 0).rows == 0
    for something in (Y, [1], "text", torch.tensor(1), object(), [[]]):
        assert not is_empty(PARTS[form]([], something))


@pytest.mark.parametrize("form", RECORDS)
def test_growing_lists(form):
    """What grows with the batch is found in any form of record, and a list that grows is not looked into."""
    few, many = (RECORDS[form]([[Y] * rows] * rows, torch.zeros(rows, 2)) for rows in (5, 7))
    assert find_growing(few, many) == {"x"}
    assert find_growing(RECORDS[form](1, 2), RECORDS[form](1, 2)) is None
    assert find_growing(few, RECORDS[form](Y, None)) is None


def test_rows_that_contradict_each_other_may_be_rows():
    """A list whose items could be no features is asked for, though its items are not alike; a pair of features is not."""
    assert has_lists({"x": [1, FLAT, 2]}, 3)
    assert has_lists([([1.0], 0), (FLAT, 1)], 2)
    assert not has_lists((torch.zeros(3, 2), Y), 3)
    assert not has_lists({"x": [1, 2, 3]}, 3)


def test_a_list_that_holds_itself(loader_of, refuses):
    """A structure without an end is refused as one that is nested too deep."""
    endless = {"x": Y, "y": [Y]}
    endless["y"].append(endless["y"])
    refuses(loader_of(endless), LoaderError, "split 'train', batch 0", "nested more than 20 deep")


def test_records_in_lists(round_trip):
    """Dataclasses and namedtuples in lists of rows are stored as the dicts of the same parts are."""
    found = {}
    for form, make in RECORDS.items():
        rows = [{"in": [make(float(x), np.arange(x)) for x in range(1, count)]} for count in (3, 2, 4)]
        stored = round_trip(rows)
        found[form] = {name: (column.values.tolist(), column.row_splits.tolist()) for name, column in stored.items()}
    assert found["a dict"]
    assert all(columns == found["a dict"] for columns in found.values())


@pytest.mark.parametrize("value", [{"x": 1}, Pair(1, 2), Both(1, 2), Slots(1, 2)])
def test_forms_of_records(value):
    """A class is no record though its instances are; a namedtuple is one though it is a tuple."""
    assert form_of(value) is Form.RECORD
    assert form_of(type(value)) is Form.OTHER
