"""`tfds_builder.contract.directory`: what is in a directory of datasets, and another store in its place."""

import concurrent.futures
import dataclasses
import doctest
import errno
import io
import os

import consumer_kit as kit
import numpy as np
import pytest

from tfds_builder.catalog import metadata_files
from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.listing import list_configs
from tfds_builder.contract import directory as directory_lib
from tfds_builder.contract.directory import MANIFEST, Directory
from tfds_builder.errors import DamagedFileError, ManifestError, MissingFileError, OverwrittenError
from tfds_builder.table.table import Table

pytestmark = pytest.mark.once


@pytest.fixture
def place(tmp_path):
    """A directory with a file, a directory, a FIFO, and links to each."""
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "folder", "gone"):
        (tmp_path / f"link_to_{name}").symlink_to(name)
    return Directory.at(tmp_path)


def test_examples():
    """Those in the docstrings."""
    assert doctest.testmod(directory_lib).failed == 0


def test_what_is_opened(place):
    """Regular files are opened, measured, read whole and in part; links and others are refused, and none is waited for."""
    with place.open("file") as stream:
        assert stream.read() == place.read("file", 10) == b"0123456789"
    assert (place.size("file"), place.view("file", 2, 5), place.view("file", 8, 12)) == (10, b"234", b"89")
    room = bytearray(4)
    assert (place.read_into("file", 7, memoryview(room)), bytes(room)) == (3, b"789\0")
    assert place.map("file", 10)[:] == b"0123456789"
    with pytest.raises(ManifestError, match="10 bytes; more than 9"):
        place.read("file", 9)
    with pytest.raises(DamagedFileError, match="changed its size"):
        place.map("file", 9)
    for use in (place.open, place.size, lambda name: place.read(name, 10), lambda name: place.map(name, 10), place.sha256):
        for name in ("folder", "pipe", "link_to_file", "link_to_folder", "link_to_gone"):
            with pytest.raises(DamagedFileError, match="must be a regular file"):
                use(name)
        with pytest.raises(MissingFileError):
            use("gone")


def test_what_is_listed(place, tmp_path):
    """Names; directories without the links to them; and these."""
    assert sorted(place.names()) == sorted(os.listdir(tmp_path))
    assert (place.directories(), place.linked_directories()) == (["folder"], ["link_to_folder"])
    assert {name for name in place.names() if place.has(name)} == {"file", "link_to_file"}
    for name in ("gone", "file"):
        with pytest.raises(MissingFileError):
            place.below(name).names()
    link = place.below("link_to_gone")
    assert (link.is_taken(), link.exists(), link.is_link()) == (True, False, True)


def test_a_stamp(place, tmp_path):
    """It is another one once a file was written to or replaced, and that of an open file is of what was opened."""
    first = place.stamp("file")
    with place.open("file") as stream:
        place.replace("file", b"9876543210")
        assert place.stamp("file", stream) == first != place.stamp("file")
    (tmp_path / "file").write_bytes(b"")
    assert place.stamp("file") != first
    assert place.stamp("gone") is None


def test_one_creates(place):
    """Of many who create a file, one does, and what it wrote stays."""

    def create(number):
        try:
            place.create("made", str(number).encode())
        except FileExistsError:
            return None
        return number

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        made = [number for number in threads.map(create, range(32)) if number is not None]
    assert len(made) == 1
    assert place.read("made", 10) == str(made[0]).encode()
    with pytest.raises(FileExistsError):
        place.create("link_to_gone", b"")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_cannot_be_written(call, place, monkeypatch):
    """What was there is there still, and nothing else is."""
    before = sorted(place.names())

    def fail(*_):
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="no"):
        place.replace("file", b"other")
    assert (sorted(place.names()), place.read("file", 10)) == (before, b"0123456789")


def test_what_is_made_and_removed(place):
    """A directory is removed only when nothing is in it."""
    below = place.below("new")
    below.make()
    below.make()
    below.create("one", b"")
    below.remove_if_empty()
    assert below.exists()
    below.remove("one")
    below.remove("one")
    below.remove_if_empty()
    below.remove_if_empty()
    assert not below.is_taken()


def test_a_version(place):
    """Nothing is opened of another version, and where there is no manifest at all."""
    place.create(MANIFEST, b"of this one, and more")
    version = place.of_version(b"of this one")
    assert version.view("file", 0, 1) == b"0"
    place.replace(MANIFEST, b"of another one")
    for use in (version.check_version, lambda: version.open("file"), lambda: version.map("file", 10)):
        with pytest.raises(OverwrittenError, match="load the dataset again"):
            use()
    assert place.view("file", 0, 1) == b"0"
    place.remove(MANIFEST)
    with pytest.raises(MissingFileError):
        version.open("file")


@dataclasses.dataclass(frozen=True)
class Objects(Directory):
    """A store without directories, of which nothing can be mapped: whole files by their paths."""

    content: dict[str, bytes] = dataclasses.field(default_factory=dict, kw_only=True, hash=False)

    def _bytes(self, name):
        try:
            return self.content[self.path_of(name)]
        except KeyError:
            raise MissingFileError(f"{self.path_of(name)} is missing") from None

    def open(self, name, buffering=-1):
        self.check_version()
        return io.BytesIO(self._bytes(name))

    def check_version(self):
        if not self._bytes(MANIFEST).startswith(self.head):
            raise OverwrittenError(f"{self} was overwritten")

    def is_link(self):
        return False

    def has(self, name, *, if_hidden=False):
        return self.path_of(name) in self.content

    def names(self):
        paths = (os.path.relpath(path, self.path).split(os.sep) for path in self.content if path.startswith(f"{self}/"))
        return list({names[0] for names in paths})

    def directories(self):
        return [name for name in self.names() if not self.has(name)]

    def size(self, name):
        return len(self._bytes(name))

    def stamp(self, name, stream=None):
        return None

    def map(self, name, size):
        raise OSError(errno.ENODEV, "nothing is mapped")

    def read_into(self, name, start, room):
        found = self.view(name, start, start + len(room))
        room[: len(found)] = found
        return len(found)

    def view(self, name, start, stop):
        return self.open(name).read()[start:stop]


@pytest.mark.parametrize("name", ["text_tfrecord", "kinds_hdf5"])
def test_another_store(name):
    """What is listed, checked and read of a directory is the same of a store of another kind, and an overwrite is seen there."""
    local = Directory.at(kit.GOLDEN / name)
    paths = [path for path in (kit.GOLDEN / name).rglob("*") if path.is_file()]
    store = Objects(local.path, content={os.fspath(path): path.read_bytes() for path in paths})
    assert list_configs(store) == list_configs(local)
    version = store.below("1.0.0")
    manifest = read_lib.read_manifest(version)
    assert manifest == read_lib.read_manifest(local.below("1.0.0"))
    assert list(metadata_files.check(version, manifest)) == []
    for split, rows in ((split, found.examples) for split, found in manifest.splits.items()):
        for asked in (slice(None), np.arange(rows)[::-2]):
            table = Table.of_split(version, split, verify=True)
            found, expected = table.read(asked), Table.of_split(local.below("1.0.0"), split).read(asked)
            for column in expected:
                np.testing.assert_equal(as_lists(found[column]), as_lists(expected[column]))
    store.content[version.path_of(MANIFEST)] = b"{}"
    with pytest.raises(OverwrittenError):
        table.read(slice(None))


def as_lists(column):
    """A column as lists."""
    return [np.asarray(row).tolist() for row in column]
