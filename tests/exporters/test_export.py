"""The whole export: every value bit for bit, the same bytes again, none of them of the machine; and packages that are missing."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib

import ml_dtypes
import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import exporters
import tfds_builder
from exporters import SchemaError
from tfds_builder.features.names import nest

FORMATS = ("tfrecord", "hdf5")

DTYPES = [
    np.dtype(name)
    for name in (
        "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64",
        "complex64", "complex128", ml_dtypes.bfloat16,
    )
]  # fmt: skip

EXTREMES = bytes.fromhex(
    "00000000 00000080 0000807f 000080ff 0100c07f ffffbfff 01000000 ffff7f7f ffffff7f 00000100"
    "0000000000000080 000000000000f07f 010000000000f87f ffffffffffffffff 0100000000000000 000000000000f8ff"  # f64
    "0080 007c 017e 0100 ff7b fffc 807f 80ff c17f 0180"  # f16, bf16
)
"""Bit patterns at which a conversion by value would show."""


def make_array(dtype, shape, seed):
    """An array of arbitrary bits, extreme values among them."""
    size = math.prod(shape) * dtype.itemsize
    data = np.random.default_rng(seed).bytes(size) if seed else (EXTREMES * (size // len(EXTREMES) + 1))[:size]
    raw = np.frombuffer(data, np.uint8)
    return (raw % 2 if dtype.kind == "b" else raw).copy().view(dtype).reshape(shape)


def make_tensor(array):
    """The same values as a torch tensor."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


@dataclasses.dataclass(frozen=True)
class Part:
    """One feature of a random dataset."""

    dtype: np.dtype | type
    shape: tuple[int, ...]
    seed: int
    layout: str
    as_tensor: bool

    def make(self, rows, number):
        """(what the loader gives, what should come back) for one batch."""
        shape = (rows, *self.shape)
        if self.dtype in (str, bytes):
            pool = ["", "a", "é\0", "日本", "x" * 200] if self.dtype is str else [b"", b"\0", b"\xff\xfe", b"y" * 130]
            picks = np.random.default_rng([self.seed, number]).integers(0, len(pool), math.prod(shape))
            given_values = np.array([pool[pick] for pick in picks] + [None], object)[:-1].reshape(shape)
            stored = np.array([v.encode() if isinstance(v, str) else v for v in given_values.flat] + [None], object)[:-1]
            stored = stored.reshape(shape)
        else:
            given_values = stored = make_array(self.dtype, shape, self.seed and self.seed + number)
            given_values = make_tensor(stored) if self.as_tensor else stored
        return given_values, np.moveaxis(stored, self.layout.index("C"), -1) if "C" in self.layout else stored


def layouts_of(shape):
    letters = "NCHWDT"[: len(shape) + 1]
    return st.permutations(letters[1:]).map(lambda order: "N" + "".join(order)) | st.just("NTHWDX"[: len(shape) + 1])


def parts(kinds):
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return shapes.flatmap(
        lambda shape: st.builds(Part, st.sampled_from(kinds), st.just(shape), st.integers(0, 5), layouts_of(shape), st.booleans())
    )


NAMES = st.lists(st.sampled_from(["a", "b/c", "b/d", "é e", "f/g/h"]), min_size=1, max_size=5, unique=True)
STRING_PARTS = st.builds(
    Part, st.sampled_from([str, bytes]), st.sampled_from([(), (1,), (2, 1)]), st.integers(0, 5), st.just("N"), st.just(False)
)
ROWS = st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(0, 5)).map(list)
SCALARS = {f"f{i:02}": Part(dtype, (), 0, "N", True) for i, dtype in enumerate(DTYPES)}
IMAGES = {f"f{i:02}": Part(dtype, (3, 2, 5), 0, "NCHW", i % 2 == 0) for i, dtype in enumerate(DTYPES)}


@pytest.mark.parametrize("format", FORMATS)
@given(
    dataset=NAMES.flatmap(lambda names: st.fixed_dictionaries({name: parts(DTYPES) | STRING_PARTS for name in names})),
    rows=ROWS,
    shard_bytes=st.sampled_from([1, 200, 10**6]),
)
@example(dataset=SCALARS, rows=[3, 2, 7], shard_bytes=200)
@example(dataset=IMAGES, rows=[3, 2], shard_bytes=10**6)
@example(
    dataset={"a": Part(bytes, (), 1, "N", False), "b": Part(np.dtype("f8"), (1, 0, 1), 1, "NCHW", True)},
    rows=[2, 0, 2],
    shard_bytes=1,
)
def test_round_trip(dataset, rows, shard_bytes, format, publish, loader_of, read_back, assert_same):
    """Random batches of every dtype, shape, layout, nesting and bit pattern come back bit for bit, and verify is content."""
    made = [{name: part.make(count, number) for name, part in dataset.items()} for number, count in enumerate(rows) if count]
    batches = [nest({name: values for name, (values, _) in batch.items()}) for batch in made]
    expected = {name: np.concatenate([batch[name][1] for batch in made]) for name in dataset}
    layouts = {name: part.layout for name, part in dataset.items() if part.dtype not in (str, bytes)}
    result = publish(loader_of(*batches), format, layouts=layouts, shard_bytes=shard_bytes, on_hazard="ignore")
    assert_same(read_back(result), expected)
    assert result.examples == {"train": sum(rows)}
    assert tfds_builder.verify(result.path).problems == []


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_extreme_values(dtype, format, round_trip, assert_same):
    """Infinities, NaN payloads, minus zero, subnormals and the ends of integers keep every bit, from torch and from NumPy."""
    array = make_array(dtype, (9, 7), 0)
    batch = {"t": make_tensor(array), "n": array}
    assert_same(round_trip(batch, format=format, on_hazard={"not_finite": "ignore"}), {"t": array, "n": array})


X, Y = torch.arange(60).reshape(12, 5), torch.arange(12) % 3


def test_splits(format, publish, loader_of, read_back, manifest_of, assert_same):
    """Several splits keep their order, their examples and their own shards."""
    loaders = {"test": loader_of((X[:3], Y[:3])), "train": loader_of((X, Y), (X + 1, Y)), "val-2": loader_of((X[:1], Y[:1]))}
    result = publish(loaders, format, shard_bytes=100)
    assert list(manifest_of(result).splits) == ["test", "train", "val-2"]
    assert (result.examples, result.shards) == ({"test": 3, "train": 24, "val-2": 1}, {"test": 1, "train": 2, "val-2": 1})
    assert_same(read_back(result, "test"), {"features": X[:3], "label": Y[:3]})
    assert_same(read_back(result, "train"), {"features": torch.cat([X, X + 1]), "label": torch.cat([Y, Y])})


@pytest.mark.parametrize("empty", [[], [torch.empty(0, 5, dtype=torch.int64)]], ids=["no batch", "no rows"])
def test_empty_splits(empty, format, loader_of, refuses):
    """A loader without an example is refused, alone or beside others; the split is named."""
    refuses(loader_of(*empty), SchemaError, "split 'train'", format=format)
    refuses({"train": loader_of(X), "test": loader_of(*empty)}, SchemaError, "split 'test'", format=format)
    refuses({"train": loader_of(*empty), "test": loader_of(X)}, SchemaError, "split 'train'", format=format)
    dropped = DataLoader(TensorDataset(X), batch_size=100, drop_last=True)
    refuses(dropped, SchemaError, "split 'train'", format=format, on_hazard={"drop_last": "ignore"})


def test_batches_without_rows(format, round_trip, assert_same):
    """A batch without rows between others is passed over, of whatever kind its features are."""
    full = {"n": np.arange(2), "t": np.array(["a", "b"], object), "image": np.zeros((2, 3, 5, 6))}
    empty = {name: values[:0] for name, values in full.items()}
    expected = {"n": [0, 1, 0, 1], "t": ["a", "b"] * 2, "image": np.zeros((4, 5, 6, 3))}
    assert_same(round_trip(full, empty, full, empty, format=format, on_hazard={"duplicates": "ignore"}), expected)


class Endless(IterableDataset):
    """A stream of unknown length that knows when it has given enough."""

    def __iter__(self):
        count = 0
        while count < 1000:
            yield torch.tensor([count, -count])
            count += 1


def test_an_iterable_of_unknown_length(format, publish, read_back, assert_same):
    """A stream that tells no length is drained to its end."""
    expected = torch.stack([torch.arange(1000), -torch.arange(1000)], 1)
    result = publish(DataLoader(Endless(), batch_size=7), format, shard_bytes=500)
    assert_same(read_back(result), {"features": expected})


def test_what_is_returned(format, publish, tmp_path):
    """The result tells path, module, counts, size and decisions, as they are on disk."""
    card = exporters.Card(description="d", homepage="https://h", citation="c", license="CC0")
    data = DataLoader(TensorDataset(X, Y), batch_size=5)
    result = publish({"a": data}, format, data_dir=str(tmp_path), name="my_ds", version="2.10.0", card=card, shard_bytes=100)
    path = tmp_path / "my_ds" / "2.10.0"
    assert (result.path, result.name, result.version, result.format) == (str(path), "my_ds", "2.10.0", format)
    assert result.module == str(tmp_path / "my_ds" / "my_ds_dataset_builder.py")
    assert pathlib.Path(result.module).is_file()
    assert (result.examples, result.shards) == ({"a": 12}, {"a": 3})
    assert result.bytes == sum(p.stat().st_size for p in path.iterdir() if p.name != "manifest.json")
    assert result.decisions == ("features: Tensor int64 (5,)", "label: Tensor int64")


def test_what_tfds_is_told(format, publish, manifest_of):
    """TFDS's own metadata has splits, shard lengths, true sizes, class names and card, read without TensorFlow."""
    dataset = TensorDataset(X, Y)
    dataset.classes = ["a", "b", "c"]
    card = exporters.Card(description="Numbers.", homepage="https://h", citation="@misc{x}", license="CC0")
    result = publish({"a": DataLoader(dataset, batch_size=5)}, format, card=card, shard_bytes=100)
    info = tfds_builder.builder_from_directory(result.path).info
    shards = manifest_of(result).splits["a"].shards
    sizes = [(pathlib.Path(result.path) / shard.data.file).stat().st_size for shard in shards]
    assert (info.splits["a"].num_examples, info.splits["a"].shard_lengths) == (12, [5, 5, 2])
    assert (info.splits["a"].num_bytes, info.dataset_size) == (sum(sizes), sum(sizes))
    assert info.features["label"].names == ["a", "b", "c"]
    assert info.supervised_keys == ("features", "label")
    assert (info.description, info.homepage, info.citation) == ("Numbers.", "https://h", "@misc{x}")
    assert info.as_proto.redistribution_info.license == "CC0"
    written = json.loads((pathlib.Path(result.path) / "dataset_info.json").read_text())
    assert [split["name"] for split in written["splits"]] == ["a"]
    has_features = (pathlib.Path(result.path) / "features.json").is_file()
    assert has_features == (format == "tfrecord")
    if has_features:
        assert tfds.features.FeaturesDict.from_config(result.path).keys() == {"features", "label"}


EXPORT = """
    import sys, time, torch, exporters
    from torch.utils.data import DataLoader
    time.time = lambda: float(sys.argv[3])
    rows = [{"image": torch.full((3, 8, 8), i), "t": f"row {i}", "n": {"f": i / 7}} for i in range(20)]
    exporters.export({"train": DataLoader(rows, batch_size=4), "test": DataLoader(rows, batch_size=7)}, sys.argv[1], name="ds",
                     format=sys.argv[2], shard_bytes=9000, progress=False, card=exporters.Card(license="CC0"))
    print([m for m in ("tensorflow", "h5py") if m in sys.modules])
"""


@pytest.mark.once
def test_the_same_plan_gives_the_same_bytes(format, run_python, tmp_path, tree):
    """Two processes, places and times give the same files byte for byte, and none of them holds where it was made.

    TensorFlow is not loaded meanwhile, h5py only where it is needed.
    """
    places = [tmp_path / "first", tmp_path / "an" / "other place"]
    for place, clock in zip(places, (10**9, 2 * 10**9), strict=True):
        loaded = run_python(EXPORT, place, format, clock).stdout
        assert loaded == ("['h5py']\n" if format == "hdf5" else "[]\n")
    first, second = map(tree, places)
    assert len(first) > 6
    assert first == second
    for name, content in first.items():
        assert str(tmp_path).encode() not in content, name


def test_workers_do_not_change_the_bytes(format, publish, tree):
    """The same loader with and without workers gives the same files."""
    trees = [tree(publish(DataLoader(TensorDataset(X, Y), batch_size=5, num_workers=n), format).path) for n in (0, 2)]
    assert trees[0] == trees[1]


MEMORY = """
    import operator, sys, torch, exporters
    from torch.utils.data import DataLoader, IterableDataset
    class Stream(IterableDataset):
        def __init__(self, mib):
            self.mib = mib
        def __iter__(self):
            for i in range(self.mib):
                yield {"x": torch.full((1024, 1024), i % 251, dtype=torch.uint8), "t": [str(i)] * 1024}
    def peak(mib):
        exporters.export(DataLoader(Stream(mib), collate_fn=operator.itemgetter(0)), sys.argv[1], name="ds", format=sys.argv[2],
                         shard_bytes=4 * 2**20, progress=False, overwrite=True)
        return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
    print(peak(20), peak(140))
"""


@pytest.mark.once
def test_memory_does_not_grow_with_the_dataset(format, run_python, tmp_path):
    """An export of 140 MiB takes no more memory than one of 20 MiB, give or take 40 MiB."""
    small, large = map(int, run_python(MEMORY, tmp_path / "data", format).stdout.split())
    assert large - small < 40


@pytest.mark.parametrize(("module", "extra", "format"), [("torch", "torch", "tfrecord"), ("h5py", "hdf5", "hdf5")])
def test_a_missing_package(module, extra, format, run_python, tmp_path):
    """Where a package is missing the error names the extra that brings it, and nothing is left behind."""
    source = f"""
        import sys
        sys.modules[{module!r}] = None
        import exporters
        try:
            from torch.utils.data import DataLoader
            data = DataLoader([1])
        except ImportError:
            data = [1]
        try:
            exporters.export(data, sys.argv[1], name="ds", format={format!r}, progress=False)
        except exporters.MissingDependencyError as error:
            print(error)
    """
    assert f'in a clone of torch2tfds, pip install ".[{extra}]"' in run_python(source, tmp_path / "data").stdout
    assert not (tmp_path / "data").exists()
