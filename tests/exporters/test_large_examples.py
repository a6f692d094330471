"""Examples of hundreds of megabytes: writing or reading one takes a few times its size, however many there are."""

import pytest
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from tfds_builder.table.table import Table

pytestmark = pytest.mark.once

SOURCE = """
    import numpy as np, tensorflow_datasets as tfds, torch
    import exporters
    from torch.utils.data import DataLoader, Dataset

    size = 64 * 2**20

    class Data(Dataset):
        def __init__(self, kind): self.kind = kind
        def __len__(self): return 3
        def __getitem__(self, i):
            if self.kind == "bytes": return bytes([i + 1]) * size
            return torch.full((size // 4 + (i if self.kind == "ragged" else 0),), float(i + 2))

    def peak(): return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
    options = {"progress": False, "on_hazard": "warn", "shard_bytes": 2**20}
    small = DataLoader([{"x": torch.arange(40.0) + i} for i in range(3)], batch_size=2)
    for format in ("tfrecord", "hdf5"):
        exporters.export(small, "data", name=f"warm_{format}", format=format, **options)
    before = peak()
    for kind in ("fixed", "ragged", "bytes"):
        own = None if kind == "fixed" else lambda rows: {"x": rows}
        if kind == "ragged":
            options["features"] = {"x": tfds.features.Tensor(shape=(None,), dtype=np.float32, encoding="bytes")}
        else:
            options.pop("features", None)
        for format in ("tfrecord", "hdf5"):
            loader = DataLoader(Data(kind), batch_size=1, collate_fn=own)
            exporters.export(loader, "data", name=f"{kind}_{format}", format=format, **options)
            print(kind, format, (peak() - before) / size)
"""


@pytest.fixture(scope="module")
def written(run_python_in, tmp_path_factory):
    """Where examples of 64 MiB of each kind are, in each format, and how many times their size writing them took, one after
    the other in one process: the most so far."""
    place = tmp_path_factory.mktemp("large")
    return place, [line.split() for line in run_python_in(place, SOURCE).stdout.splitlines()]


def test_writing_takes_three_times_an_example(written):
    """At most three times its size, what the loader itself holds included, with every hazard looked for."""
    peaks = written[1]
    assert len(peaks) == 6
    assert all(float(peak) < 3.3 for *_, peak in peaks), peaks


READ = """
    import sys
    import tensorflow, torch
    import tfds_builder
    from torch.utils.data import DataLoader

    def read(path):
        builder = tfds_builder.builder_from_directory(path)
        read_config = tfds_builder.ReadConfig(try_autocache=False, verify=True)
        makers = {
            "examples": lambda: builder.as_dataset(split="train"),
            "batches": lambda: builder.as_dataset(split="train", batch_size=1, shuffle_files=True),
            "numpy": lambda: builder.as_dataset(split="train", shuffle_files=True).as_numpy_iterator(),
            "checked": lambda: builder.as_dataset(split="train", read_config=read_config),
            "source": lambda: builder.as_data_source("train"),
            "torch": lambda: tfds_builder.as_torch(path),
            "loader": lambda: DataLoader(tfds_builder.as_torch(path), batch_size=1, collate_fn=list),
        }
        for name, make in makers.items():
            count = sum(1 for _ in make())
            yield name, count, int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

    for format in ("tfrecord", "hdf5"):
        *_, (_, _, before) = read(f"{sys.argv[1]}/warm_{format}/1.0.0")
    for name in ("fixed", "ragged", "bytes"):
        for format in ("tfrecord", "hdf5"):
            for how, count, peak in read(f"{sys.argv[1]}/{name}_{format}/1.0.0"):
                print(name, format, how, count, (peak - before) / 2**20)
"""


@pytest.mark.needs_tensorflow
def test_reading_takes_three_times_an_example(written, run_python):
    """At most three times its size, the one before it that the loop still holds included, by every reader; of the memory of
    mapped files too."""
    peaks = [line.split() for line in run_python(READ, written[0] / "data").stdout.splitlines()]
    assert len(peaks) == 6 * 7
    assert {count for *_, count, _ in peaks} == {"3"}
    assert all(float(peak) < 3.3 * 64 for *_, peak in peaks), peaks


@pytest.mark.needs_tensorflow
def test_rows_that_differ_in_length_are_read_few_together(format, tmp_path, monkeypatch):
    """How many rows are read together goes by their size, not by what such rows usually have: of 100 of 256 KiB, never more
    than 16 MiB for a dataset, and 1 MiB for a data source, whose examples share what is read together."""
    rows = [{"x": bytes([number]) * 2**18} for number in range(100)]
    made = exporters.export(DataLoader(rows, batch_size=10, collate_fn=list), tmp_path, name="ds", format=format, progress=False)
    builder, read, counts = tfds_builder.builder_from_directory(made.path), Table.read, []

    def counted(table, rows, columns=None):
        counts.append(len(range(*rows.indices(len(table)))))
        return read(table, rows, columns)

    monkeypatch.setattr(Table, "read", counted)
    for make, most in ((builder.as_dataset, 64), (builder.as_data_source, 4)):
        assert sum(1 for _ in make(split="train")) == 100
        assert sum(counts) == 100
        assert max(counts) <= most
        counts.clear()
