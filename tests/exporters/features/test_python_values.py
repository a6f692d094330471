"""Python's own values under a declared feature, and None: taken where they fit, told with their place where not."""

from __future__ import annotations

import re

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from exporters import SchemaError

F = tfds.features


def export(rows, data_dir, format="tfrecord", features=None, batch_size=2):
    loader = DataLoader([{"x": row} for row in rows], batch_size=batch_size, collate_fn=list)
    return exporters.export(loader, data_dir, name="ds", format=format, features=features, progress=False, on_hazard="ignore")


def read(result):
    return [example["x"] for example in tfds_builder.builder_from_directory(result.path).as_data_source("train")]


@given(data=st.data())
def test_nested_lists_are_the_declared_array(data, tmp_path_factory):
    """Lists of lists, or of tensors, under a Tensor of any dtype, shape and encoding come back as arrays of that shape."""
    shape = tuple(data.draw(st.lists(st.sampled_from([2, 5, 6]), min_size=2, max_size=3)))
    dtype = data.draw(st.sampled_from([np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64]))
    arrays = [np.nan_to_num(data.draw(hnp.arrays(dtype, shape))) for _ in range(3)]
    declared = data.draw(st.sampled_from([shape, (None, *shape[1:])]))
    encoding = data.draw(st.sampled_from(["bytes", "zlib"]))
    nest = data.draw(st.sampled_from([np.ndarray.tolist, lambda array: [torch.from_numpy(part.copy()) for part in array]]))
    feature = F.Tensor(shape=declared, dtype=dtype, encoding=encoding)
    result = export([nest(array) for array in arrays], tmp_path_factory.mktemp("data"), features={"x": feature})
    for got, array in zip(read(result), arrays, strict=True):
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize(
    ("feature", "row", "words"),
    [
        (F.Tensor(shape=(2, 2), dtype=np.int32), [[1, 2], [3, 4.5]], "4.5"),
        (F.Tensor(shape=(2, 2), dtype=np.uint8), [[1, 2], [3, 300]], "300"),
        (F.Tensor(shape=(2, 2), dtype=np.float32), [[1, 2], [3]], "no one array"),
        (F.Tensor(shape=(None, 2), dtype=np.int64), [[1, 2], [3, "a"]], "row 1"),
    ],
)
def test_lists_that_do_not_fit_are_refused(feature, row, words, format, tmp_path):
    """A value that the declared dtype would not hold, or lists of different lengths, are told with their row."""
    good = [[1, 2], [3, 4]]
    with pytest.raises(SchemaError, match=r"feature 'x', row 1") as caught:
        export([good, row], tmp_path / "data", format, {"x": feature})
    assert words in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_labels_by_name(format, tmp_path):
    """Names of classes are taken for a ClassLabel and for a sequence of them; a name that is none is told with its row."""
    label = F.ClassLabel(names=["cat", "dog"])
    assert [int(value) for value in read(export(["dog", b"cat", "dog"], tmp_path / "a", format, {"x": label}, 1))] == [1, 0, 1]
    result = export([["dog", "cat"], [], ["cat"]], tmp_path / "b", format, {"x": F.Sequence(label)})
    assert [list(map(int, value)) for value in read(result)] == [[1, 0], [], [0]]
    with pytest.raises(
        SchemaError, match=r"split 'train', batch 1, feature 'x', row 0: 'cow' is none of the 2 classes \('cat', 'dog'\)"
    ):
        export(["dog", "cat", "cow"], tmp_path / "c", format, {"x": label})


MISSING = {
    "int": [1, 2, 3, None],
    "float32": [*torch.ones(3), None],
    "text": ["a", "b", None, "d"],
    "tensors": [torch.ones(3)] * 5 + [None],
    "first": [None, torch.ones(3)] * 2,
    "bools": [torch.tensor([True, False])] * 3 + [None],
    "unknown_size": [torch.ones(1), torch.ones(2), torch.ones(3), None],
    "float64": [0.5, 1.5, 2.5, None],
}


@pytest.mark.parametrize("name", MISSING)
def test_none_is_told_and_the_line_works(name, format, tmp_path):
    """A None, in whichever batch, is told with its row, and the line that the error gives mends it."""
    rows = MISSING[name]
    with pytest.raises(SchemaError, match=r"split 'train', (batch \d|first batch).*feature 'x', row \d: is None") as caught:
        export(rows, tmp_path / "refused", format)
    line = re.search(r"features=(\{.*\})$", str(caught.value))
    if name in ("unknown_size", "float64"):  # TFDS has no value that stands for None there
        assert line is None
        return
    assert line is not None, str(caught.value)
    result = export(rows, tmp_path / "data", format, eval(line[1]))
    for got, row in zip(read(result), rows, strict=True):
        assert (got is None) == (row is None)
        if row is not None:
            assert got == row.encode() if isinstance(row, str) else np.array_equal(got, np.asarray(row))


OPTIONAL = {
    "zero": (np.int64, [0, None, np.iinfo(np.int64).min, 7]),
    "false": (np.bool_, [False, None, True, False]),
    "empty_text": (np.object_, ["", None, "a", ""]),
}


@pytest.mark.parametrize("name", OPTIONAL)
def test_none_is_told_from_the_default_value(name, format, tmp_path):
    """An optional feature gives None where there was None and nowhere else, also if TFDS's default value itself was given."""
    dtype, rows = OPTIONAL[name]
    result = export(rows, tmp_path, format, {"x": F.Scalar(dtype=dtype, optional=True)})
    expected = [row.encode() if isinstance(row, str) else row for row in rows]
    assert read(result) == expected
    source = tfds_builder.builder_from_directory(result.path).as_data_source("train")
    assert [example["x"] for example in source.__getitems__([3, 1, 0, 2] * 4)] == [expected[row] for row in [3, 1, 0, 2] * 4]
    dataset = tfds_builder.as_torch(result.path, "train")
    assert [example["x"] is None for example in dataset.__getitems__(range(4))] == [row is None for row in rows]
    assert dataset[1]["x"] is None
    assert tfds_builder.verify(result.path, deep=True).problems == []


@pytest.mark.needs_tensorflow
def test_none_in_tf_data_is_the_default_value(format, tmp_path):
    """`tfds.load` gives TFDS's default value for None, as stock TFDS does."""
    result = export([1, None], tmp_path, format, {"x": F.Scalar(dtype=np.int32, optional=True)})
    ds = tfds_builder.builder_from_directory(result.path).as_dataset(split="train")
    assert [int(example["x"]) for example in ds] == [1, np.iinfo(np.int32).min]
    if format == "tfrecord":
        stock = tfds.builder_from_directory(result.path).as_dataset(split="train")
        assert [int(example["x"]) for example in stock] == [1, np.iinfo(np.int32).min]


def test_two_columns_of_one_name(tmp_path):
    """What says that an optional value is there has a column; a feature of that name is refused, with the line that renames."""
    loader = DataLoader([{"x": 1, "x.is_present": 2}, {"x": None, "x.is_present": 2}], batch_size=2, collate_fn=list)
    with pytest.raises(SchemaError, match=r"both be stored as 'x.is_present'; rename one: names="):
        exporters.export(loader, tmp_path / "data", name="ds", features={"x": F.Scalar(dtype=np.int64, optional=True)})
    assert not (tmp_path / "data").exists()


@pytest.mark.once
def test_bad_input_is_refused_without_assertions(run_python):
    """No check of input is an `assert`: with `python -O` the same errors come."""
    run_python(
        """
        import sys

        assert_runs = False
        assert (assert_runs := True) or True
        if assert_runs:  # assertions do run: run once more without them
            import subprocess
            sys.exit(subprocess.run([sys.executable, "-O", __file__]).returncode)
        import tempfile, torch, exporters
        from torch.utils.data import DataLoader

        for rows in ([1, 2, 3, None], ["a", "b", None, "d"], [torch.ones(3)] * 3 + [None], [1, 2, 3, "a"], [1, 2, [3], 4],
                     [torch.ones(2), torch.ones(2), torch.ones(3)], [{"a": 1}, {"a": 2}, {"b": 1}]):
            try:
                exporters.export(DataLoader([{"x": row} for row in rows], batch_size=2, collate_fn=list), tempfile.mkdtemp(),
                                 name="ds", progress=False)
            except exporters.ExportError as error:
                if "batch 1" not in str(error):
                    sys.exit(f"no place: {error}")
            else:
                sys.exit(f"published: {rows}")
        """
    )
