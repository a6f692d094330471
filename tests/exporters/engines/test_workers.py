"""Encodings run in the DataLoader's workers, and nothing but the process that does them differs."""

from __future__ import annotations

import os
import zlib
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from exporters import LoaderError, SchemaError
from exporters.batches.flatten import PartlyEncoded
from exporters.engines import workers
from exporters.features import encoders as encoding
from exporters.options.features import Options
from exporters.schema import schema as schema_lib
from exporters.schema.class_names import Classes
from exporters.tensors.arrays import AsIntegers

F = tfds.features
BATCH = 3
FEATURES = {
    "image": F.Image(shape=(6, 5, 3)),
    "meta": {
        "depth": F.Image(shape=(6, 5, 1), dtype=np.uint16),
        "mask": F.Tensor(shape=(2, 7), dtype=np.float64, encoding="zlib"),
    },
}
OPTIONS = {"features": FEATURES, "layouts": {"image": "NCHW", "meta/depth": "NHWC"}, "shard_bytes": 2000}


def example(number):
    """A row of a dataset with columns of every kind: encoded in a worker, direct, text."""
    random = np.random.RandomState(number)
    meta = {"depth": random.randint(0, 2**16, (6, 5, 1)).astype(np.uint16), "mask": random.rand(2, 7), "id": number}
    image = torch.from_numpy(random.randint(0, 256, (3, 6, 5)).astype(np.uint8))
    return {"image": image, "meta": meta, "text": "x" * number, "vector": random.rand(4).astype(np.float32)}


class Examples(Dataset):
    """Examples by number; `odd` maps a number to what stands in for that example, or to an exception."""

    def __init__(self, rows=32, odd=None):
        self.rows, self.odd = rows, odd or {}

    def __len__(self):
        return self.rows

    def __getitem__(self, number):
        row = self.odd.get(number, example)
        if isinstance(row, Exception):
            raise row
        return row(number)


class Batches(IterableDataset):
    """The same rows as whole batches; several workers share them so that the loader's order stays the same."""

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        for number in range(first, 11, step):
            yield torch.utils.data.default_collate([example(i) for i in range(number * BATCH, number * BATCH + BATCH)])


def untouched(batch):
    return batch


def handed_on(items):
    return items[0]


def by_index(count, **options):
    return DataLoader(Examples(), batch_size=BATCH, num_workers=count, **options)


def by_stream(count, **options):
    return DataLoader(Batches(), batch_size=1, num_workers=count, collate_fn=handed_on, **options)


@pytest.fixture
def failure_of(publish):
    """`failure_of(loader)`: the exception that its export raises, as type and text.

    Not with `pytest.raises`: it makes a cycle of the traceback, and a DataLoader's iterator that dies in one waits
    five seconds for each worker.
    """

    def run(loader):
        try:
            publish(loader, **OPTIONS)
        except Exception as error:
            return type(error), str(error)
        raise AssertionError("it was exported")

    return run


@pytest.fixture
def pids(tmp_path, monkeypatch):
    """`pids()`: the process of every row that was encoded since the last call (PNG and zlib alike), in forked workers too."""
    path = tmp_path / "pids"

    def recording(encode):
        def run(*args, **options):
            with open(path, "a") as file:
                file.write(f"{os.getpid()}\n")
            return encode(*args, **options)

        return run

    monkeypatch.setattr(zlib, "compress", recording(zlib.compress))
    monkeypatch.setattr(encoding, "_save", recording(encoding._save))

    def take():
        found = path.read_text().split()
        path.unlink()
        return [int(pid) for pid in found]

    return take


@pytest.mark.parametrize("make", [by_index, by_stream])
def test_the_same_bytes(make, format, publish, tree):
    """Every file is the same with 0, 1 and 2 workers, for a structure with encoded, direct and text features."""
    trees = [tree(publish(make(count), format, **OPTIONS).path) for count in (0, 1, 2)]
    assert len(trees[0]) > 6
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}, {"collate_fn": list}])
def test_workers_encode(options, publish, pids):
    """All but the first batch of each worker is encoded in a worker; both workers do their part. The main process encodes those
    two, and the first of them once more to see that all of it can be stored, and once to decode it again."""
    publish(by_index(2, **options), **OPTIONS)
    found = pids()
    encoders = sum(map(encoding.runs_in_worker, schema_lib.flatten_overrides(FEATURES).values()))
    assert encoders == 3
    assert found.count(os.getpid()) == encoders * BATCH * 4
    assert len(found) - found.count(os.getpid()) >= encoders * (len(Examples()) - BATCH * 2)
    assert len(set(found)) == 3


SPAWNED = """
    import os, pathlib, sys, zlib
    import numpy as np, torch, tensorflow_datasets as tfds
    import exporters
    from torch.utils.data import DataLoader

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 20
        def __getitem__(self, i):
            image = torch.from_numpy(np.random.RandomState(i).randint(0, 256, (3, 6, 5)).astype(np.uint8))
            return {"image": image, "mask": np.full(7, i / 3), "n": {"text": "x" * i}}

    class Local:
        '''A loader's option that cannot be pickled.'''
        def __reduce__(self):
            raise TypeError("not to be pickled")
        def items(self):
            return FEATURES.items()

    def record(worker):
        compress = zlib.compress
        def recording(data):
            (pathlib.Path(sys.argv[1]) / f"pid{os.getpid()}").touch()
            return compress(data)
        zlib.compress = recording

    FEATURES = {"image": tfds.features.Image(shape=(6, 5, 3)),
                "mask": tfds.features.Tensor(shape=(7,), dtype=np.float64, encoding="zlib")}

    if __name__ == "__main__":
        for name, count, features in (("none", 0, FEATURES), ("some", 2, FEATURES), ("local", 2, Local())):
            options = dict(num_workers=count, multiprocessing_context="spawn", worker_init_fn=record) if count else {}
            loader = DataLoader(Rows(), batch_size=2, **options)
            exporters.export(loader, f"{sys.argv[1]}/{name}", name="ds", format=sys.argv[2], features=features, progress=False,
                             layouts={"image": "NCHW"})
            print(len(list(pathlib.Path(sys.argv[1]).glob("pid*"))))
"""


def test_spawned_workers(format, run_python, tmp_path, tree):
    """Spawned workers encode too; where the options cannot reach them the main process does, and the bytes are the same."""
    assert run_python(SPAWNED, tmp_path, format).stdout.split() == ["0", "2", "2"]
    trees = [tree(tmp_path / name) for name in ("none", "some", "local")]
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (None, ""),
        (RuntimeError("broken file"), "broken file"),
        (lambda number: example(number) | {"image": torch.zeros(3, 6, 6, dtype=torch.uint8)}, "stack expects"),
        (lambda number: example(number) | {"vector": np.zeros(4)}, "expected dtype float32, got float64"),
    ],
)
def test_the_loader_is_left_alone(odd, words, publish, failure_of):
    """After a success, and after a failure in a worker or in the main process, the loader is as it was and works as before."""
    loader = by_index(2)
    before = dict(vars(loader))
    loader.dataset.odd = {} if odd is None else dict.fromkeys(range(18, 21), odd) if "expected" in words else {20: odd}
    if odd is None:
        publish(loader, **OPTIONS)
    else:
        assert words in failure_of(loader)[1]
    assert vars(loader) == before
    loader.dataset.odd = {}
    assert [sorted(batch) for batch in loader] == [["image", "meta", "text", "vector"]] * 11


def whole_batch(change):
    """Every example of batch 7 changed alike, so that only the schema can object."""
    return {number: lambda number: change(example(number)) for number in range(21, 24)}


ODD = {
    "shape of an encoded one": lambda row: row | {"image": torch.zeros(3, 6, 6, dtype=torch.uint8)},
    "dtype of an encoded one": lambda row: row | {"image": torch.zeros(3, 6, 5)},
    "shape of a direct one": lambda row: row | {"vector": np.zeros(5, np.float32)},
    "a feature missing": lambda row: {name: value for name, value in row.items() if name != "image"},
    "a feature more": lambda row: row | {"more": 1},
    "a key with a slash": lambda row: row | {"a/b": 1},
    "text that is no Unicode": lambda row: row | {"text": "\ud800"},
}


@pytest.mark.parametrize("odd", ODD)
def test_the_same_errors(odd, failure_of):
    """What a batch contradicts is said in the same words, batch and feature included, as without workers."""
    dataset = Examples(odd=whole_batch(ODD[odd]))
    said = [failure_of(DataLoader(dataset, batch_size=BATCH, num_workers=count)) for count in (0, 2)]
    assert said[0] == said[1]
    assert said[0][0] is (LoaderError if odd == "a key with a slash" else SchemaError)
    assert "split 'train', batch 7" in said[0][1]


def test_a_batch_that_no_encoder_takes(failure_of, monkeypatch):
    """Where an encoder fails in a worker, the main process says at which row of which batch."""

    compress = zlib.compress

    def refuse(data):
        if np.frombuffer(data)[0] == example(22)["meta"]["mask"].ravel()[0]:
            raise ValueError("no such luck")
        return compress(data)

    monkeypatch.setattr(zlib, "compress", refuse)
    expected = "split 'train', batch 7, feature 'meta/mask', row 1: TFDS cannot encode it: no such luck"
    assert failure_of(by_index(2)) == (SchemaError, expected)


def test_users_exceptions_pass_through(failure_of):
    """What the dataset raises in a worker reaches the caller with its own type."""
    kind, text = failure_of(DataLoader(Examples(odd={20: ZeroDivisionError("mine")}), batch_size=BATCH, num_workers=2))
    assert kind is ZeroDivisionError
    assert "mine" in text


class OwnWay(DataLoader):
    """A loader that iterates in its own way."""

    def __iter__(self):
        return map(untouched, super().__iter__())


class Traced(F.Image):
    """An image feature whose encoder may do anything, so also call TensorFlow."""

    def encode_example(self, image):
        return os.getpid().to_bytes(8, "little")


def test_where_the_main_process_encodes(publish, read_back, pids):
    """No worker, live persistent workers, an own `__iter__` and an unknown encoder leave the work in the main process."""
    persistent = by_index(2, persistent_workers=True)
    assert len(list(persistent)) == 11
    for loader in (by_index(0), persistent, OwnWay(Examples(), batch_size=BATCH, num_workers=2)):
        publish(loader, **OPTIONS)
        assert set(pids()) == {os.getpid()}
    traced = read_back(publish(by_index(2), features={"image": Traced(shape=(6, 5, 3))}, layouts=OPTIONS["layouts"]))["image"]
    assert {int.from_bytes(value, "little") for value in traced} == {os.getpid()}
    assert workers.encoding_loader(persistent, None, Options(features={"meta/id": F.Scalar(np.int64)})) is persistent


@pytest.mark.needs_tensorflow
def test_after_tensorflow_has_run(run_python, tmp_path):
    """A process that has used TensorFlow exports images through forked workers, and does not hang."""
    source = """
        import sys, torch, exporters, tensorflow_datasets as tfds
        from torch.utils.data import DataLoader, TensorDataset
        data = TensorDataset(torch.randint(0, 256, (40, 3, 8, 9), dtype=torch.uint8), torch.arange(40))
        features = {"image": tfds.features.Image(shape=(8, 9, 3))}
        print(len(list(exporters.in_memory(DataLoader(data, batch_size=5), features=features))))
        for count in (0, 2):
            exporters.export(DataLoader(data, batch_size=5, num_workers=count), f"{sys.argv[1]}/{count}", name="ds",
                             features=features, progress=False)
    """
    run_python(source, tmp_path)
    with mock.patch.object(encoding, "_pillow", return_value=None):
        assert not encoding.runs_in_worker(FEATURES["image"])


def floats(number):
    """An image of floats, k/255."""
    return {"image": torch.full((3, 4, 5), number / 255), "label": number}


def test_workers_make_integers_of_floats():
    """A worker gives the first batch raw, and of the others integers, a quarter of the bytes, as tensors in shared memory."""
    loader = DataLoader([floats(number) for number in range(12)], BATCH, num_workers=1)
    options = Options(integers={"image": (0, 1)})
    first, *others = workers.encoding_loader(loader, Classes(), options)
    assert first["image"].dtype == torch.float32
    assert len(others) == 3
    for start, raw in zip((3, 6, 9), others, strict=True):
        assert isinstance(raw, PartlyEncoded)
        (image,) = [leaf for path, _, leaf in raw.leaves if path == "image"]
        assert isinstance(image, AsIntegers)
        assert image.values.is_shared()
        assert image.values.dtype == torch.uint8
        assert image.values[:, 0, 0, 0].tolist() == [start, start + 1, start + 2]
        assert image.table.rule == "x/255"


def test_workers_that_cannot_tell():
    """A worker whose batches do not show which integers they were gives them as they are, and stops trying."""
    loader = DataLoader([floats(number) for number in range(30)], BATCH, num_workers=1)
    batches = list(workers.encoding_loader(loader, Classes(), Options(integers=["image"])))
    assert all(raw["image"].dtype == torch.float32 for raw in batches)
