"""What reads a version holds it: shared among readers, for as long as they live, and never in the way of reading."""

import errno
import os
import weakref

import consumer_kit as kit
import pytest

from tfds_builder.contract import holds
from tfds_builder.contract.directory import Directory
from tfds_builder.table.table import Segment, Table

pytestmark = pytest.mark.once
fcntl = pytest.importorskip("fcntl")


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    """What other tests have left open is not counted."""
    monkeypatch.setattr(holds, "_held", weakref.WeakValueDictionary())


@pytest.fixture
def version(tmp_path):
    return Directory.at(kit.write_table(tmp_path, "numbers", {"train": kit.numbers(6)}))


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_readers_share_a_hold(version):
    """Readers of a process cost one open file together, which is closed with the last of them."""
    before = open_files()
    first, second = holds.hold(version), holds.hold(version)
    assert first is second
    assert open_files() == before + 1
    with pytest.raises(BlockingIOError, match="is being read"):
        with holds.refusing_readers(version):
            pass
    del first
    with pytest.raises(BlockingIOError):
        with holds.refusing_readers(version):
            pass
    del second
    assert open_files() == before
    with holds.refusing_readers(version):
        assert holds.hold(version) is None  # and whoever reads now does so without


def test_many_versions(tmp_path, monkeypatch):
    """However many versions a process reads, it has no more files open for that than so many."""
    monkeypatch.setattr(holds, "_MOST", 2)
    versions = [Directory.at(kit.write_table(tmp_path, f"set{i}", {"train": kit.numbers(2)})) for i in range(4)]
    held = [holds.hold(version) for version in versions]
    assert [one is not None for one in held] == [True, True, False, False]


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "no locks"), OSError(errno.EBADF, "for writing alone")])
def test_a_file_system_without_locks(error, version, monkeypatch):
    """Where nothing can be locked, versions are read and removed as before."""

    def flock(*_):
        raise error

    monkeypatch.setattr(fcntl, "flock", flock)
    assert holds.hold(version) is not None
    with holds.refusing_readers(version):
        pass


def test_a_table_holds(version):
    """A table holds its version from the first row that is read until it is gone, without a garbage collection."""
    from tfds_builder.catalog.read import read_manifest

    manifest = read_manifest(version.path)
    table = Table(version, manifest, [Segment(shard, 0, shard.rows) for shard in manifest.splits["train"].shards])
    table.read(slice(0, 2))
    with pytest.raises(BlockingIOError):
        with holds.refusing_readers(version):
            pass
    del table
    with holds.refusing_readers(version):
        pass


def test_nothing_to_hold(tmp_path):
    """A directory without a manifest is not held, which is told where it is read."""
    assert holds.hold(Directory.at(tmp_path)) is None
