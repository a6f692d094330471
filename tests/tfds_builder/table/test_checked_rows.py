"""`verify=True`: a reader that checks what it reads."""

import concurrent.futures
import errno
import hashlib
import os
import pickle
import signal
import types

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

import tfds_builder
from tfds_builder.errors import DamagedFileError
from tfds_builder.table import checked_rows as checking
from tfds_builder.table import mapped_files as mapping
from tfds_builder.table.table import Table

pytestmark = pytest.mark.once

CHECKED = tfds_builder.ReadConfig(verify=True)


def read_dataset(directory, **options):
    builder = tfds_builder.builder_from_directory(directory)
    read_config = tfds_builder.ReadConfig(verify=True, shuffle_unit=options.pop("unit", "block"))
    return list(builder.as_dataset(split="train", read_config=read_config, **options))


def read_torch(directory):
    pytest.importorskip("torch")
    dataset = tfds_builder.as_torch(directory, "train", verify=True)
    return [dataset[row] for row in range(len(dataset))], dataset.__getitems__(range(len(dataset)))


def source_of(directory, **options):
    return tfds_builder.builder_from_directory(directory).as_data_source("train", verify=True, **options)


READERS = {
    "single examples": read_dataset,
    "batches": lambda directory: read_dataset(directory, batch_size=7),
    "shuffled": lambda directory: read_dataset(directory, batch_size=7, shuffle_files=True),
    "shuffled rows": lambda directory: read_dataset(directory, shuffle_files=True, unit="row"),
    "source, one by one": lambda directory: [source[row] for source in [source_of(directory)] for row in range(len(source))],
    "source, in blocks": lambda directory: list(source_of(directory)),
    "source, by rows": lambda directory: [source.__getitems__(range(len(source))[::-1]) for source in [source_of(directory)]],
    "torch": read_torch,
    "builder": lambda directory: list(tfds_builder.builder_from_directory(directory, verify=True).as_dataset(split="train")),
}


def flip(path, position, bit=0):
    """Changes one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def shard_of(directory, number=0):
    split = tfds_builder.builder_from_directory(directory).manifest.splits["train"]
    return split.shards[number]


@pytest.mark.parametrize("reader", READERS)
@kit.both_formats
@pytest.mark.parametrize("kind", ["pairs", "text"])
def test_a_flipped_bit_is_found_by_every_reader(kind, format, reader, tmp_path):
    """With `verify`, one flipped bit in a value is an error of every reader, which names the file and, in TFRecord, the record;
    what is whole is read as without."""
    directory = kit.copy_golden(f"{kind}_{format}", tmp_path)
    READERS[reader](directory)
    shard = shard_of(directory)
    flip(directory / shard.data.file, shard.data.bytes - 20, 5)
    with pytest.raises(Exception, match=rf"{shard.data.file} is damaged") as error:
        READERS[reader](directory)
    assert isinstance(error.value, DamagedFileError) or "DamagedFileError" in str(error.value)
    if format == "tfrecord":
        assert f"record {shard.rows - 1} (byte" in str(error.value)
    assert f"torch2tfds verify {directory}" in str(error.value)


@pytest.fixture(scope="module")
def tables(golden):
    """Golden datasets, each with its table of checked rows, and its files' bytes."""

    def open_(name):
        directory = golden / name / "1.0.0"
        return directory, shard_of(directory)

    return {name: open_(name) for name in kit.make.names()}


@pytest.mark.parametrize("mapped", [True, False])
@kit.every_golden
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_of_a_shard_or_its_index(name, mapped, tables, tmp_path_factory, data):
    """Any flipped bit in the records that are read, or in the index that says where they are, is a DamagedFileError that names
    the file; a bit in other records of a TFRecord shard is none. Whether the file can be mapped or not."""
    directory, shard = tables[name]
    copy = tmp_path_factory.getbasetemp() / f"flip_{name}_{mapped}"
    if not copy.exists():
        kit.copy_golden(name, copy)
    copy = copy / name / "1.0.0"
    file = data.draw(st.sampled_from(shard.files))
    position = data.draw(st.integers(0, file.bytes - 1))
    original = (copy / file.file).read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        if not mapped:
            patch.setattr(mapping, "_Mapping", refuse)
        flip(copy / file.file, position, data.draw(st.integers(0, 7)))
        try:
            table = Table.of_split(copy, "train", verify=True)
            with pytest.raises(DamagedFileError, match=file.file):
                table.read(slice(0, shard.rows))
            if ".tfrecord-" in file.file:
                records = list(kit.records(directory / shard.data.file))
                ends = np.cumsum([len(record) + 16 for record in records])
                struck = int(np.searchsorted(ends, position, side="right"))
                others = np.delete(np.arange(shard.rows), struck)
                assert len(table.read(others)) > 0
                with pytest.raises(DamagedFileError, match=rf"record {struck} \(byte"):
                    table.read(np.array([struck]))
                with pytest.raises(DamagedFileError, match=rf"record {struck} \(byte"):
                    table.check_row(struck)
                table.check_row(int(others[0]))
        finally:
            (copy / file.file).write_bytes(original)
    assert len(Table.of_split(copy, "train", verify=True).read(slice(0, 3))) > 0


def refuse(*_):
    raise OSError(errno.ENODEV, "cannot be mapped")


@kit.both_formats
def test_what_is_whole_is_read(format, golden):
    """With `verify`, every kind of feature is read as without."""
    for kind in kit.make.DATASETS:
        builder = tfds_builder.builder_from_directory(golden / f"{kind}_{format}" / "1.0.0")
        expected = kit.outcome(builder.as_dataset(split="train"))
        assert kit.outcome(builder.as_dataset(split="train", read_config=CHECKED)) == expected


@pytest.fixture
def hashed(monkeypatch):
    """The files whose SHA-256 has been taken, in turn."""
    found = []

    def file_digest(stream, name):
        found.append(name)
        return hashlib.file_digest(stream, name)

    monkeypatch.setattr(checking, "hashlib", types.SimpleNamespace(file_digest=file_digest))
    return found


def test_a_file_is_hashed_once(hashed, tmp_path):
    """A file without CRCs is hashed once in a process, however many readers and threads there are, and again when it changes."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: Table.of_split(directory, "train", verify=True).read(slice(0, 60)), range(16)))
    shards = tfds_builder.builder_from_directory(directory).manifest.splits["train"].shards
    assert len(hashed) == len(shards)
    changed = directory / shards[1].data.file
    flip(changed, 0)
    os.utime(changed, ns=(1, 1))
    table = Table.of_split(directory, "train", verify=True)
    table.read(slice(0, shards[0].rows))
    for _ in range(2):
        with pytest.raises(DamagedFileError, match=changed.name):
            table.read(slice(0, 60))
    assert len(hashed) == len(shards) + 2


def test_a_child_forked_while_a_file_is_hashed(tmp_path):
    """A child that is forked while another thread holds a file's lock does not wait for that thread."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    table = Table.of_split(directory, "train", verify=True)
    shard = shard_of(directory)
    lock = checking._locks.setdefault((directory / shard.data.file, shard.data.sha256), checking.threading.Lock())
    with lock:
        child = os.fork()
        if not child:
            signal.alarm(20)
            os._exit(0 if len(table.read(slice(0, 5))["label"]) == 5 else 1)
    assert os.waitpid(child, 0)[1] == 0


@kit.both_formats
def test_how_tfds_is_told(format, tmp_path):
    """`tfds.load` and `tfds.data_source` take `builder_kwargs={"verify": True}`; what is pickled checks on."""
    directory = kit.copy_golden(f"pairs_{format}", tmp_path)
    tfds_builder.register(tmp_path)
    name, options = f"pairs_{format}", {"split": "train", "builder_kwargs": {"verify": True}, "data_dir": tmp_path}
    source = tfds.data_source(name, **options)
    again = pickle.loads(pickle.dumps(source))
    builder = pickle.loads(pickle.dumps(tfds_builder.builder_from_directory(directory, verify=True)))
    flip(directory / shard_of(directory).data.file, -20)
    os.utime(directory / shard_of(directory).data.file, ns=(1, 1))
    for read in (source, again, builder.as_data_source("train")):
        with pytest.raises(DamagedFileError, match=shard_of(directory).data.file):
            list(read)
    with pytest.raises(Exception, match="DamagedFileError"):
        list(tfds.load(name, **options))
    assert len(list(builder.as_data_source("test"))) == 12


def test_verify_is_checked():
    """A `verify` that is neither True nor False is a ValueError that shows it."""
    with pytest.raises(ValueError, match="'crc'"):
        tfds_builder.ReadConfig(verify="crc")
