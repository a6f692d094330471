"""One shard: what is staged of it, what is noted of it, and how large its batches are."""

import dataclasses
import errno
import hashlib
import json
import os
import threading

import numpy as np
import pytest

from exporters import formats
from exporters.errors import DataDirError
from exporters.formats import ShardContext
from exporters.plans.shard import ShardResult, stored_bytes, stored_rows, write_shard
from tfds_builder.contract.manifest import RAW, STRINGS, Column
from tfds_builder.contract.ragged import Ragged

X = Column(name="x", dtype="int32", shape=(2,), encoding=RAW, width=8)
CONTEXT = ShardContext(columns=[X], lists={"x": "bytes_list"}, attributes={}, column_attributes={"x": {}})


def batches(*numbers):
    for number in numbers:
        yield number, {"x": np.full((3, 2), number, np.int32)}


def test_what_is_written_is_noted(format, tmp_path):
    """A shard has the rows and the numbers of the batches it was made of, and the files that were written; a note of it says
    the same."""
    result = write_shard(formats.find(format), CONTEXT, tmp_path, "stem", batches(4, 5, 6)).close()
    assert (result.rows, result.start, result.stop) == (9, 4, 7)
    data = (tmp_path / "stem.data").read_bytes()
    assert (result.data.bytes, result.data.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert ShardResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_threads_make_the_same_bytes(format, tmp_path):
    """A shard has the same bytes, however many threads have made them."""
    images = np.random.default_rng(0).integers(0, 256, (65, 3, 224, 224), np.uint8).transpose(0, 2, 3, 1)
    column = Column(name="x", dtype="uint8", shape=(224, 224, 3), encoding=RAW, width=224 * 224 * 3)
    context = dataclasses.replace(CONTEXT, columns=[column], expected_rows=129)
    found = set()
    for threads in (1, 2, 4):
        numbered = ((number, {"x": images[number:]}) for number in range(2))
        shard = write_shard(formats.find(format), context, tmp_path, f"by_{threads}", numbered, threads).close()
        found.add((shard.data.sha256, (tmp_path / f"by_{threads}.data").read_bytes().count(images[7].tobytes())))
    assert [count for _, count in found] == [2]


def test_drained_and_not_yet_on_disk(format, tmp_path, monkeypatch):
    """Who drains a shard does not wait for the disk; who closes it does, and every file of it is fsynced then."""
    may_go, fsync = threading.Event(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: fsync(file) if may_go.wait(30) else None)
    shard = write_shard(formats.find(format), CONTEXT, tmp_path, "stem", batches(0, 1))
    assert (shard.rows, shard.start, shard.stop, shard.is_ready) == (6, 0, 2, False)
    may_go.set()
    assert shard.close().data.bytes == (tmp_path / "stem.data").stat().st_size
    assert shard.is_ready


def test_a_disk_that_fails_at_the_end(format, tmp_path, monkeypatch):
    """What goes wrong once a shard is drained is raised by whoever closes it, and no file stays open."""

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    opened = set(os.listdir("/proc/self/fd"))
    shard = write_shard(formats.find(format), CONTEXT, tmp_path, "stem", batches(0, 1))
    with pytest.raises(DataDirError, match=f"cannot write {tmp_path}/stem.data"):
        shard.close()
    assert set(os.listdir("/proc/self/fd")) == opened


def test_what_batches_raise(format, tmp_path):
    """An error of the batches passes through, and no file stays open."""

    def broken():
        yield from batches(0)
        raise RuntimeError("of the loader")

    with pytest.raises(RuntimeError, match="of the loader"):
        write_shard(formats.find(format), CONTEXT, tmp_path, "stem", broken())


def test_sizes():
    """Bytes are those of the values: of each string its own, of rows that differ in length those that are there."""
    text = np.array([b"ab", b"", b"cde"], object)
    strings = Column(name="t", dtype="string", shape=(), encoding=STRINGS, width=0)
    ragged = Column(name="r", dtype="int32", shape=(None, 2), encoding=RAW, width=8)
    columns = {
        "x": np.zeros((3, 2), np.int32),
        "t": text,
        "r": Ragged(np.zeros((5, 2), np.int32), np.array([0, 1, 1, 5])),
    }
    assert stored_rows(columns) == 3
    assert stored_bytes(columns, [X, strings, ragged]) == 3 * 8 + 5 + 5 * 8
