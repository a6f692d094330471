"""Rows that are tuples, as `collate_fn=list` leaves them, are what PyTorch's own collate makes of them."""

from __future__ import annotations

import collections
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import exporters
from exporters import ExportError
from tfds_builder.table.table import Table

VALUES = {
    "int": st.integers(-(2**31), 2**31),
    "float": st.floats(allow_nan=False, width=32),
    "bool": st.booleans(),
    "str": st.text(st.characters(codec="utf-8"), max_size=3),
    "bytes": st.binary(max_size=3),
}
KINDS = st.lists(st.sampled_from(sorted(VALUES)), min_size=2, max_size=4).filter(lambda kinds: len(set(kinds)) > 1)


class Pair(NamedTuple):
    label: object
    score: object


def export(rows, data_dir, collate_fn=list, batch_size=2):
    loader = DataLoader(rows, batch_size=batch_size, collate_fn=collate_fn)
    result = exporters.export(loader, data_dir, name="ds", progress=False, on_hazard="ignore")
    columns = Table.of_split(result.path, "train").read(slice(None))
    return result.decisions, {name: (values.dtype, values.tolist()) for name, values in columns.items()}


@given(data=st.data())
def test_tuples_of_different_kinds_are_parts(data, tmp_path_factory):
    """A tuple of values of different kinds is a feature a value, with the dtypes and values of PyTorch's own collate; also where
    the values of a later batch are all of one kind."""
    kinds = data.draw(KINDS)
    rows = [tuple(data.draw(VALUES[kind]) for kind in kinds) for _ in range(4)]
    listed, collated = (export(rows, tmp_path_factory.mktemp("data"), collate) for collate in (list, None))
    assert listed == collated


@given(names=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=3, unique=True), data=st.data())
def test_the_fields_of_a_namedtuple_are_features(names, data, tmp_path_factory):
    """Of a namedtuple each field is a feature of its name, whatever the kinds of its values."""
    kind = data.draw(st.sampled_from(["int", "float", "str"]))
    row = collections.namedtuple("Row", names)
    rows = [row(*(data.draw(VALUES[kind]) for _ in names)) for _ in range(4)]
    decisions, columns = export(rows, tmp_path_factory.mktemp("data"))
    assert sorted(columns) == sorted(names)
    for name in names:
        wanted = [getattr(item, name) for item in rows]
        assert columns[name][1] == [value.encode() if isinstance(value, str) else value for value in wanted]
    assert (decisions, columns) == export(rows, tmp_path_factory.mktemp("data"), None)


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        ([(1, 2), (3, 4), (5, 6)], (2,)),
        ([(0.5, 1.5), (2.5, 0.0), (1.0, 1.0)], (2,)),
        ([(0, 1.5), (2.5, 0), (1, 0.5)], (2,)),  # ints and floats at both places are floats
    ],
)
def test_tuples_of_one_kind_are_one_array(rows, shape, tmp_path):
    """A tuple of numbers of one kind is one array, in all batches."""
    _, columns = export(rows, tmp_path)
    assert list(columns) == ["features"]
    assert np.array(columns["features"][1]).shape == (3, *shape)


def test_tuples_within_dicts(tmp_path):
    """The same holds at any depth: a namedtuple and a tuple of different kinds in a dict of an example."""
    rows = [{"pair": Pair(i, i / 2), "both": (i, str(i)), "xy": (i, i + 1)} for i in range(4)]
    _, columns = export(rows, tmp_path)
    assert sorted(columns) == ["both/0", "both/1", "pair/label", "pair/score", "xy"]
    assert columns["pair/score"][1] == [0.0, 0.5, 1.0, 1.5]
    assert columns["both/1"][1] == [b"0", b"1", b"2", b"3"]


def test_a_later_tuple_that_does_not_fit(tmp_path):
    """A tuple of another length in a later batch is an error, with its place."""
    with pytest.raises(ExportError, match="batch 1"):
        export([(1, "a"), (2, "b"), (3, "c", 4), (5, "d")], tmp_path / "data")
