"""Helpers of the producer's tests: real DataLoaders in, published directories out, read back with NumPy alone. What is no
fixture is in `producer_kit.py`, which this makes importable."""

from __future__ import annotations

import importlib.util
import operator
import os
import pathlib
import shutil
import sys

import numpy as np
import pytest

from tfds_builder.install import how_to_install

if missing := [module for module in ("torch", "h5py") if importlib.util.find_spec(module) is None]:
    told = how_to_install("test", "torch", "hdf5")
    pytest.exit(f"the tests of exporters need {', '.join(missing)}, not installed here: {told}", returncode=4)

import torch
from torch.utils.data import DataLoader

import exporters
from tfds_builder.catalog import read as read_lib
from tfds_builder.table.table import Table

sys.path.insert(0, str(pathlib.Path(__file__).parent))

FORMATS = ("tfrecord", "hdf5")


@pytest.fixture(params=FORMATS)
def format(request):
    """Both formats, one after the other."""
    return request.param


@pytest.fixture(scope="session")
def loader_of():
    """`loader_of(*batches)`: a real DataLoader that gives exactly these batches, untouched."""
    return lambda *batches, **options: DataLoader(list(batches), **{"collate_fn": operator.itemgetter(0), **options})


@pytest.fixture(scope="session")
def publish(tmp_path_factory):
    """`publish(loaders, format, **options)`: exports into a fresh data_dir; the result of `export`."""

    def run(loaders, format="tfrecord", **options):
        data_dir = options.pop("data_dir", None) or tmp_path_factory.mktemp("data")
        return exporters.export(loaders, data_dir, **{"name": "ds", "format": format, "progress": False, **options})

    return run


@pytest.fixture(scope="session")
def read_back():
    """`read_back(result, split)`: every column of a published split, through the byte table."""
    return lambda result, split="train": Table.of_split(result.path, split).read(slice(None))


@pytest.fixture(scope="session")
def round_trip(publish, loader_of, read_back):
    """`round_trip(*batches)`: the columns that come back after these batches were exported."""
    return lambda *batches, format="tfrecord", **options: read_back(publish(loader_of(*batches), format, **options))


@pytest.fixture(scope="session")
def manifest_of():
    return lambda result: read_lib.read_manifest(result.path)


@pytest.fixture
def refuses(tmp_path):
    """`refuses(loaders, error, *words)`: the export raises that error with these words, and publishes nothing; unless
    a shard was finished, it leaves nothing behind."""

    def run(loaders, error, *words, **options):
        data_dir = tmp_path / "refused"
        with pytest.raises(error) as caught:
            exporters.export(loaders, data_dir, **{"name": "ds", "progress": False, **options})
        for word in words:
            assert word in str(caught.value)
        if data_dir.exists():
            assert sorted(os.listdir(data_dir / "ds")) == ["1.0.0.incomplete", "1.0.0.resume"]
            assert list((data_dir / "ds" / "1.0.0.resume").glob("*.shard.json"))
            shutil.rmtree(data_dir)
        return caught.value

    return run


def tree(directory):
    """Relative path -> content of every file below a directory."""
    paths = [pathlib.Path(root, name) for root, _, names in os.walk(directory) for name in names]
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(paths)}


@pytest.fixture(scope="session", name="tree")
def tree_fixture():
    """`tree(directory)`: relative path -> content of every file below it."""
    return tree


@pytest.fixture
def goes_on(tmp_path):
    """`goes_on(run, switch)`: `run(data_dir)` exports what raises "stopped" half way while `switch.stops`. Run once more after
    that it publishes the same bytes as in one go; the result is that of this run."""

    def check(run, switch):
        switch.stops = False
        whole = run(tmp_path / "whole").path
        switch.stops = True
        with pytest.raises(RuntimeError, match="stopped"):
            run(tmp_path / "data")
        switch.stops = False
        result = run(tmp_path / "data")
        assert tree(result.path) == tree(whole)
        return result

    return check


def as_array(values):
    """A tensor, array or list as NumPy array, bfloat16 included."""
    if isinstance(values, torch.Tensor):
        values = values.detach().resolve_conj().resolve_neg()
        if values.dtype == torch.bfloat16:
            import ml_dtypes

            return values.contiguous().view(torch.uint8).numpy().view(ml_dtypes.bfloat16)
        return values.numpy()
    if isinstance(values, list) and isinstance(values[0], str | bytes):
        return np.array([value.encode() if isinstance(value, str) else value for value in values] + [None], object)[:-1]
    return np.asarray(values)


@pytest.fixture(scope="session")
def assert_same():
    """`assert_same(got, expected)`: the same columns, each with the same dtype, shape and bits."""

    def check(got, expected):
        assert sorted(got) == sorted(expected)
        for name, values in expected.items():
            want, have = as_array(values), got[name]
            assert (have.dtype, have.shape) == (want.dtype, want.shape), name
            same = have.tolist() == want.tolist() if want.dtype == object else have.tobytes() == want.tobytes()
            assert same, f"{name}: {have!r:.400} is not {want!r:.400}"

    return check
