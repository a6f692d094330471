"""`tfds_builder.table.mapped_files`: shard files as memory, and memory that is used again."""

import errno
import mmap
import os
import pathlib
import subprocess
import sys
import threading

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow as tf

import tfds_builder
from tfds_builder.contract.manifest import File
from tfds_builder.errors import DamagedFileError
from tfds_builder.table import mapped_files as mapping
from tfds_builder.table import memory as buffers_lib
from tfds_builder.table.mapped_files import Files

pytestmark = pytest.mark.once

ROWS, WIDTH = 1024, 4096
"""A split of 4 MiB: large enough for memory that is used again."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A split of one shard: (version directory, the column)."""
    values = np.random.default_rng(0).integers(1, 255, (ROWS, WIDTH), np.uint8)
    directory = kit.write_table(tmp_path_factory.mktemp("wide"), "wide", {"train": {"x": values}}, rows_per_shard=ROWS)
    return directory, values


@pytest.fixture
def file(tmp_path):
    """A file of three pages and a bit, as the manifest lists it."""
    content = bytes(range(256)) * 50
    (tmp_path / "shard").write_bytes(content)
    return File(file="shard", bytes=len(content), sha256="0" * 64)


@pytest.mark.parametrize(("start", "stop"), [(0, 12800), (1, 2), (4096, 8192), (4095, 4097), (12799, 12800), (64, 12736)])
def test_bytes(start, stop, file, tmp_path):
    """A view of any run of bytes holds the file's bytes."""
    content = (tmp_path / "shard").read_bytes()
    assert Files(tmp_path).view(file, start, stop).tobytes() == content[start:stop]


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.ENODEV])
def test_a_file_that_cannot_be_mapped(code, file, tmp_path, monkeypatch):
    """Where the system refuses to map a file, its bytes are read instead."""

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(mmap, "mmap", refuse)
    files = Files(tmp_path)
    assert files.view(file, 100, 9000).tobytes() == (tmp_path / "shard").read_bytes()[100:9000]
    assert files.map(file) is None


def test_file_cut_off_while_it_is_mapped(tmp_path):
    """A file that is cut off after it was opened is a DamagedFileError that names it, not the end of the process."""
    size = 64 * mmap.PAGESIZE
    (tmp_path / "shard").write_bytes(bytes(size))
    file, files = File(file="shard", bytes=size, sha256="0" * 64), Files(tmp_path)
    files.map(file)
    os.truncate(tmp_path / "shard", mmap.PAGESIZE)
    with pytest.raises(DamagedFileError, match="shard"):
        files.view(file, 0, size)


def test_mapped_files_are_bounded(tmp_path, monkeypatch):
    """No more bytes are kept mapped than the limit; a file that was let go is mapped again."""
    monkeypatch.setattr(mapping, "_BYTES", 3 * mmap.PAGESIZE)
    files = Files(tmp_path)
    listed = [File(file=f"shard{i}", bytes=mmap.PAGESIZE, sha256="0" * 64) for i in range(9)]
    for number, file in enumerate(listed):
        (tmp_path / file.file).write_bytes(bytes([number]) * mmap.PAGESIZE)
    for _ in range(2):
        for number, file in enumerate(listed):
            assert set(files.view(file, 0, mmap.PAGESIZE).tolist()) == {number}
            assert len([line for line in pathlib.Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]) <= 3


@pytest.mark.parametrize("limited", [False, True])
def test_files_read_at_random_stay_mapped(limited, tmp_path, monkeypatch):
    """Files read at random stay mapped beyond the limit of those read in order, but not where the address space is limited."""
    monkeypatch.setattr(mapping, "_BYTES", 3 * mmap.PAGESIZE)
    monkeypatch.setattr(mapping, "_RANDOM_BYTES", 6 * mmap.PAGESIZE)
    if limited:
        monkeypatch.setattr(mapping.resource, "getrlimit", lambda _: (2**40, mapping.resource.RLIM_INFINITY))
    files, made = Files(tmp_path), []
    listed = [File(file=f"shard{i}", bytes=mmap.PAGESIZE, sha256="0" * 64) for i in range(9)]
    for number, file in enumerate(listed):
        (tmp_path / file.file).write_bytes(bytes([number]) * mmap.PAGESIZE)
    for number in [*range(9), *range(8, -1, -1)]:
        assert files.made(listed[number], "sum", lambda data: made.append(int(data[0])) or data.sum()) == number * mmap.PAGESIZE
        assert files.map(listed[number])[-1] == number
    kept = len([line for line in pathlib.Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line])
    assert kept == (3 if limited else 6)
    assert made == [*range(9), *range(8 - kept, -1, -1)]  # made again for those that had been let go, and no others


def test_forked_while_another_thread_reads(file, tmp_path):
    """A child forked while another thread of the parent is opening a file reads on: it does not wait for that thread."""
    files, held, done = Files(tmp_path), threading.Event(), threading.Event()

    def hold():
        with files._lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert kit.in_fork(lambda: files.view(file, 1, 9).tobytes() == (tmp_path / "shard").read_bytes()[1:9])
    finally:
        done.set()
        thread.join()


def negate(x):
    return 255 - x


@pytest.mark.parametrize(
    "pipeline",
    [
        lambda ds: ds.map(lambda e: negate(e["x"])),
        lambda ds: ds.unbatch().map(lambda e: negate(e["x"])),
        lambda ds: ds.flat_map(tf.data.Dataset.from_tensor_slices).shuffle(100, seed=1).map(lambda e: negate(e["x"])),
        lambda ds: ds.flat_map(tf.data.Dataset.from_tensor_slices).prefetch(50).map(lambda e: negate(e["x"])),
        lambda ds: ds.rebatch(64).map(lambda e: negate(e["x"])),
        lambda ds: ds.map(lambda e: negate(negate(e["x"])[0])),
    ],
    ids=["map", "unbatch", "slices_shuffled", "slices_prefetched", "rebatch", "slice"],
)
@pytest.mark.parametrize("batch_size", [None, 256, ROWS])
def test_no_operation_changes_what_is_read_next(pipeline, batch_size, wide):
    """TensorFlow may put the result of an operation where its input was: a later epoch reads the file's values all the same."""
    directory, values = wide
    ds = tfds_builder.builder_from_directory(directory).as_dataset(split="train", batch_size=batch_size)
    used = pipeline(ds if batch_size else ds.batch(128))
    for _ in range(2):
        for _ in used:
            pass
        read = np.concatenate([e["x"].reshape(-1, WIDTH) for e in ds.as_numpy_iterator()])
        assert np.array_equal(read, values)


def test_split_larger_than_the_address_space_left(tmp_path):
    """A split larger than the memory a process may use is read to its end, in order and shuffled."""
    values = np.arange(48 * 1024 * 1024 // 8, dtype=np.int64).reshape(-1, 4096)
    directory = kit.write_table(tmp_path, "big", {"train": {"x": values}}, rows_per_shard=96)
    script = f"""
import resource, sys
import numpy as np
from tfds_builder import Table
table = Table.of_split({str(directory)!r}, "train")
table.read(np.array([0, len(table) - 1]))  # NumPy loads parts of itself when they are first used
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 1024**2,) * 2)
order = np.random.default_rng(0).permutation(len(table))
for rows in [slice(i, i + 64) for i in range(0, len(table), 64)] + [order[i:i + 64] for i in range(0, len(table), 64)]:
    read = table.read(rows)["x"]
    assert (read[:, 0] // 4096 == np.arange(len(table))[rows]).all()
print("whole")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "whole\n", done.stderr


def test_memory_that_mapped_files_leave_no_room_for(file, tmp_path, monkeypatch):
    """Where there is no memory for what is read because other threads have files mapped, it is asked for again until they are
    done; and nothing is mapped from then on."""
    files, waits, make = Files(tmp_path), [], buffers_lib._anonymous
    held = files.view(file, 0, 100)  # what another thread is reading

    def scarce(size):
        if len(waits) < 3:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return make(size)

    monkeypatch.setattr(buffers_lib, "_anonymous", scarce)
    monkeypatch.setattr(buffers_lib.time, "sleep", waits.append)
    assert files.buffers.empty(1024, 1024).shape == (1024, 1024)
    assert len(waits) == 3
    assert held.tobytes() == bytes(range(100))
    assert files.view(file, 64, 12736).tobytes() == (tmp_path / "shard").read_bytes()[64:12736]
    assert files.map(file) is None
    waits.clear()
    monkeypatch.setattr(buffers_lib, "_TRIES", 2)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        files.buffers.empty(1024, 2048)


AT_EXIT = """
import atexit, sys, threading, types
import numpy as np, tensorflow as tf, tensorflow_datasets as tfds
import tfds_builder
directory = {directory!r}
builder = tfds_builder.builder_from_directory(directory)
module = sys.modules["kept"] = types.ModuleType("kept")
config = tfds_builder.ReadConfig(verify=True)
datasets = [builder.as_dataset(split="train", batch_size=size, shuffle_files=shuffle, read_config=config)
            for size in (None, 256) for shuffle in (False, True)]
iterators = [iter(ds) for ds in datasets]
tensors = module.tensors = [next(iterator) for iterator in iterators]
tf_numpy = module.arrays = next(datasets[2].as_numpy_iterator())
source = builder.as_data_source("train", verify=True)
rows = module.rows = source.__getitems__(range(200)), source[0]
table = tfds_builder.Table.of_split(directory, "train")
whole = tfds_builder.__dict__["whole"] = table.read(slice(0, None))
np.kept = table.read(slice(0, 512))  # goes when NumPy does
builtins = __import__("builtins"); builtins.kept = table.read(slice(0, 700))
atexit.register(lambda: (next(iterators[0]), source[1], table.read(slice(3, 400))))
atexit.register(lambda held=table.read(slice(0, 600)): held)
try:
    import torch
    dataset = module.dataset = tfds_builder.as_torch(directory, verify=True)
    batch = module.batch = dataset.__getitems__(range(300)), dataset[5]
    torch.kept = dataset.__getitems__(range(300))
except ImportError:
    pass

class Cycle:
    def __init__(self):
        self.me, self.array = self, table.read(slice(0, 512))

    def __del__(self):
        self.array = None

cycle = Cycle()
stop = threading.Event()

def work():
    held = table.read(slice(0, 512))
    while not stop.wait(0.001):
        held = {{**table.read(slice(5, 517)), "before": held["x"][:1]}}

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
del cycle
print("from here on", file=sys.stderr, flush=True)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="no /proc")
@pytest.mark.parametrize("ending", ["", "stop.set()"])
def test_nothing_is_said_at_exit(ending, wide, tmp_path):
    """Whatever is kept of a reader to the very end (in globals, in modules, in cycles, in other threads, for atexit), a process
    ends with 0 and without a word."""
    script = tmp_path / "ends.py"
    script.write_text(AT_EXIT.format(directory=str(wide[0])) + ending)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=environment)
    assert done.stderr.partition("from here on\n")[1:] == ("from here on\n", "")
    assert done.returncode == 0
