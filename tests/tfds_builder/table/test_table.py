"""`tfds_builder.table`: rows out of bytes, compared with NumPy."""

import concurrent.futures
import errno
import os
import pathlib
import pickle

import consumer_kit as kit
import numpy as np
import pytest

from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import DamagedFileError, MissingFileError
from tfds_builder.table import mapped_files as mapping
from tfds_builder.table.table import Segment, Table

PLAIN = [f"{kind}_{format}" for kind in ("pairs", "kinds", "text") for format in kit.FORMATS]
"""Golden datasets whose columns hold the very values."""
every_plain = pytest.mark.parametrize("name", PLAIN)
SLICES = [
    slice(*ends) for ends in (
        (None, None), (0, 0), (3, 3), (0, 1), (1, 6), (4, 7), (6, 7), (2, None), (-3, None), (None, -2), (5, 2), (0, 10**6),
        (10**6, None), (None, None, 2), (6, 1, -1), (None, None, -3),
    )
]  # fmt: skip
INDICES = [[], [0], [6], [6, 0, 3], [3, 3, 3, 0, 3], list(range(7)), list(range(6, -1, -1)), [1, 6, 2, 5, 0, 0, 6]]


@pytest.fixture
def table_of(golden):
    return lambda name, split="train": Table.of_split(golden / name / "1.0.0", split)


def assert_rows(read, columns, rows):
    assert set(read) == set(columns)
    for name, values in columns.items():
        expected = values[rows]
        assert kit.bits(read[name]) == kit.bits(expected), name
        assert read[name].dtype == expected.dtype


@every_plain
def test_slices(name, table_of):
    """Every slice, across shard borders, empty, past the end or with a step, gives the rows NumPy gives."""
    for split, columns in kit.make.truth(name).items():
        table = table_of(name, split)
        assert len(table) == len(next(iter(columns.values())))
        for rows in SLICES:
            assert_rows(table.read(rows), columns, rows)


@pytest.mark.parametrize("run", [1, 3, 16, 64])
@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("start", [0, 7])
def test_runs_of_neighbours_in_any_order(run, mapped, start, tmp_path, monkeypatch):
    """Rows that are runs of neighbours, of narrow and of wide columns, in any order, across shards, some of them twice, are the
    rows NumPy gives, whether files can be mapped or not."""
    if not mapped:
        monkeypatch.setattr(mapping, "_Mapping", lambda *_: (_ for _ in ()).throw(OSError(errno.ENODEV, "no")))
    random = np.random.default_rng(run)
    columns = {"wide": random.integers(0, 255, (1500, 3000), np.uint8), "narrow": np.arange(1500), "none": np.zeros((1500, 0))}
    directory = kit.write_table(tmp_path, "runs", {"train": columns}, rows_per_shard=400)
    starts = start + run * random.permutation((1500 - start) // run)[: max(1, 600 // run)]
    rows = (starts[:, None] + np.arange(run)).ravel()
    table = Table.of_split(directory, "train")
    for asked in (rows, random.permutation(rows), random.permutation(np.concatenate([rows, rows[:run], rows[:1]]))):
        assert_rows(table.read(asked), columns, asked)


@every_plain
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_indices(name, dtype, table_of):
    """Every array of row numbers, in any order, repeated, empty, of any integer dtype, gives the rows NumPy gives."""
    columns, table = kit.make.truth(name)["train"], table_of(name)
    whole = np.random.RandomState(0).permutation(len(table))
    for rows in [*INDICES, whole, np.concatenate([whole, whole[::-2]])]:
        rows = np.array(rows, dtype)
        assert_rows(table.read(rows), columns, rows)
    assert_rows(table.read([2, 0]), columns, [2, 0])


@every_plain
def test_more_than_one_shard(name, golden):
    """The golden train splits cross shard borders, and their shards differ in length (so the tests above mean something)."""
    shards = read_lib.read_manifest(golden / name / "1.0.0").splits["train"].shards
    assert len({shard.rows for shard in shards}) > 1


@every_plain
@pytest.mark.parametrize("bad", [[7**3], [-1], [0, -7], [0, 10**12], [2**62]])
def test_out_of_range(name, bad, table_of):
    """A row number below 0 or past the end is an IndexError that says what there is."""
    table = table_of(name)
    with pytest.raises(IndexError, match=f"between 0 and {len(table) - 1}"):
        table.read(np.array(bad))


def test_column_subset(table_of, tmp_path):
    """Only the columns asked for are read, in the order asked for; one that is not there is a KeyError."""
    table, columns = table_of("kinds_tfrecord"), kit.make.truth("kinds")["train"]
    read = table.read(slice(1, 6), ["scalar/int8", "label"])
    assert list(read) == ["scalar/int8", "label"]
    assert_rows(read, {name: columns[name] for name in read}, slice(1, 6))
    assert table.read(slice(0, 3), []) == {}
    with pytest.raises(KeyError, match="nope"):
        table.read(slice(0, 3), ["nope"])


@every_plain
def test_copies(name, table_of):
    """What is read is the reader's own: changing it changes no later read."""
    table, columns = table_of(name), kit.make.truth(name)["train"]
    for rows in (slice(0, 5), np.array([0, 1, 2, 3, 4])):
        for values in table.read(rows).values():
            values[...] = values[::-1].copy()
        assert_rows(table.read(rows), columns, rows)


@every_plain
def test_pickle(name, table_of):
    """A pickled table reads the same rows, takes no data along and no open file."""
    table = table_of(name)
    table.read(slice(0, 3))
    pickled = pickle.dumps(table)
    assert len(pickled) < 20_000
    assert_rows(pickle.loads(pickled).read(slice(None)), kit.make.truth(name)["train"], slice(None))


@every_plain
def test_threads(name, table_of):
    """Many threads reading one table at once each get their own rows."""
    table, columns = table_of(name), kit.make.truth(name)["train"]
    orders = [np.random.RandomState(seed).randint(0, len(table), 50) for seed in range(64)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for rows, read in zip(orders, pool.map(table.read, orders), strict=True):
            assert_rows(read, columns, rows)


def test_more_shards_than_open_files(tmp_path):
    """A table of more shards than may be open at once reads them all, in any order, from many threads, with few files open."""
    count = 700
    columns = kit.numbers(count * 2 - 1)
    table = Table.of_split(kit.write_table(tmp_path, "many", {"train": columns}, rows_per_shard=2), "train")
    assert_rows(table.read(slice(None)), columns, slice(None))
    orders = [np.random.RandomState(seed).permutation(len(table)) for seed in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for rows, read in zip(orders, pool.map(table.read, orders), strict=True):
            assert_rows(read, columns, rows)
    maps = pathlib.Path("/proc/self/maps")
    assert not maps.exists() or maps.read_text().count(str(tmp_path)) <= 260


@kit.both_formats
def test_missing_shard(format, tmp_path):
    """A missing shard, or index of one, is a MissingFileError that names it; rows of other shards can still be read."""
    name = f"text_{format}"
    directory = kit.copy_golden(name, tmp_path)
    shard = read_lib.read_manifest(directory).splits["train"].shards[1]
    first = read_lib.read_manifest(directory).splits["train"].shards[0].rows
    for file in shard.files:
        (directory / file.file).rename(directory / "aside")
        table = Table.of_split(directory, "train")
        for attempt in (table.check_files, lambda t=table: t.read(slice(0, first + 1))):
            with pytest.raises(MissingFileError, match=file.file):
                attempt()
        assert_rows(table.read(slice(0, first)), kit.make.truth(name)["train"], slice(0, first))
        (directory / "aside").rename(directory / file.file)


@kit.both_formats
@pytest.mark.parametrize("change", [-1, -200, 1])
def test_truncated_shard(format, change, tmp_path):
    """A shard, or index of one, with another size is a DamagedFileError that names it and both sizes."""
    directory = kit.copy_golden(f"text_{format}", tmp_path)
    for file in read_lib.read_manifest(directory).splits["train"].shards[-1].files:
        whole = (directory / file.file).read_bytes()
        size = max(0, len(whole) + change)
        os.truncate(directory / file.file, size)
        table = Table.of_split(directory, "train")
        for attempt in (table.check_files, lambda t=table: t.read(slice(-1, None))):
            with pytest.raises(DamagedFileError, match=f"{file.file} has {size} bytes.*{file.bytes}"):
                attempt()
        (directory / file.file).write_bytes(whole)


@pytest.mark.parametrize("kind", kit.make.DATASETS)
def test_formats_agree(kind, table_of):
    """Both formats of a dataset give the same columns (those TFDS encoded included)."""
    for split in kit.make.truth(kind):
        read, other = (table_of(f"{kind}_{format}", split).read(slice(None)) for format in kit.FORMATS)
        assert kit.bits(read) == kit.bits(other)


@every_plain
def test_segments(name, golden):
    """A table of parts of shards, in any order and of several splits, numbers its rows through."""
    manifest, truth = read_lib.read_manifest(golden / name / "1.0.0"), kit.make.truth(name)
    shards, test = manifest.splits["train"].shards, manifest.splits["test"].shards[0]
    table = Table(golden / name / "1.0.0", manifest, [
        Segment(shards[1], 1, shards[1].rows), Segment(shards[0], 0, 0), Segment(test, 1, 2), Segment(shards[0], 1, 3),
    ])  # fmt: skip
    rows = np.array([*range(shards[0].rows + 1, shards[0].rows + shards[1].rows), -1, 1, 2])
    columns = {
        column: np.concatenate([values[rows[:-3]], truth["test"][column][1:2], values[1:3]])
        for column, values in truth["train"].items()
    }
    assert len(table) == len(rows)
    assert_rows(table.read(slice(None)), columns, slice(None))
    for shuffled in (np.arange(len(rows))[::-1], np.array([len(rows) - 1, 0, len(rows) - 3])):
        assert_rows(table.read(shuffled), columns, shuffled)
