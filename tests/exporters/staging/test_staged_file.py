"""A file that is hashed and written by threads of its own."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import threading
import time

import numpy as np
import pytest

from exporters.errors import DataDirError
from exporters.staging import staged_file
from exporters.staging.staged_file import StagedFile

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen


def test_staged_file_that_cannot_grow(tmp_path):
    """A write that fails in the file's own thread is raised where the next write or the close is."""
    file = StagedFile(tmp_path / "f", 4)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        file.write(b"x" * 10)
        with pytest.raises(OSError, match="File too large"):
            file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.abort()


def test_staged_file_describes_its_bytes(tmp_path):
    """A staged file has the bytes it was given, in order, and knows their size and SHA-256."""
    file = StagedFile(tmp_path / "f", 4)
    parts = [np.full((3, k), k, np.uint16) for k in range(50)]
    for part in parts:
        file.write(part)
    file.write(b"")
    content = b"".join(part.tobytes() for part in parts)
    done = file.close()
    assert (tmp_path / "f").read_bytes() == content
    assert (done.file, done.bytes, done.sha256) == ("f", len(content), hashlib.sha256(content).hexdigest())


class Held:
    """Something in a thread of a file that waits until it is let go."""

    def __init__(self, monkeypatch, owner, name):
        self.may_go, self.has_come, self.function = threading.Event(), threading.Event(), getattr(owner, name)
        monkeypatch.setattr(owner, name, self)

    def __get__(self, instance, owner):
        return lambda *arguments: self(instance, *arguments)

    def __call__(self, *arguments):
        self.has_come.set()
        assert self.may_go.wait(30)
        return self.function(*arguments)


@pytest.mark.parametrize("step", ["_hash", "_write", "fsync"])
def test_the_rest_goes_on_by_itself(step, tmp_path, monkeypatch):
    """Once a file has ended, nobody waits for its hash, its bytes or its fsync but who closes it."""
    held = Held(monkeypatch, *((os, step) if step == "fsync" else (StagedFile, step)))
    file = StagedFile(tmp_path / "f", 4)
    file.write(b"abc")
    file.end()
    assert held.has_come.wait(30)
    assert not file.is_ready
    held.may_go.set()
    assert file.close().sha256 == hashlib.sha256(b"abc").hexdigest()
    assert file.is_ready


@pytest.mark.parametrize(("ahead", "size"), [(9, 1000), (1000, 10)])
@pytest.mark.parametrize("step", ["_hash", "_write"])
def test_what_waits_is_bounded(step, ahead, size, tmp_path, monkeypatch):
    """However slow hashing or writing is, no more than so many buffers and bytes wait; one is free once both are done with it."""
    monkeypatch.setattr(staged_file, "_QUEUE_BYTES", size * 2**20)
    held = Held(monkeypatch, StagedFile, step)
    file, given, released = StagedFile(tmp_path / "f", ahead), [], []

    def write():
        for number in range(30):
            file.write(bytes([number]) * 2**20, lambda number=number: released.append(number))
            given.append(number)

    writing = threading.Thread(target=write)
    writing.start()
    assert held.has_come.wait(30)
    deadline = time.monotonic() + 30
    while len(given) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(given) == 10
    assert not released
    held.may_go.set()
    writing.join(30)
    content = b"".join(bytes([number]) * 2**20 for number in range(30))
    assert file.close().sha256 == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "f").read_bytes() == content
    assert released == list(range(30))


def test_a_large_buffer_is_written_alone(tmp_path, monkeypatch):
    """One that is as large as all that may wait is gone before anything else is made."""
    monkeypatch.setattr(staged_file, "_QUEUE_BYTES", 2**20)
    file, released = StagedFile(tmp_path / "f", 4), []
    file.write(bytes(2**20), lambda: released.append(True))
    assert released
    file.abort()


def test_an_fsync_that_fails(tmp_path, monkeypatch):
    """What the disk says at the end is raised by `close`, naming the file."""

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = StagedFile(tmp_path / "f", 4)
    file.write(b"abc")
    monkeypatch.setattr(os, "fsync", fail)
    file.end()
    with pytest.raises(DataDirError, match=f"cannot write {tmp_path}/f") as caught:
        file.close()
    assert caught.value.errno == errno.EIO
    file.abort()


def test_a_process_forked_meanwhile(tmp_path, monkeypatch):
    """One that is forked while files are written has files of its own: nothing of theirs is locked in it."""
    held = Held(monkeypatch, StagedFile, "_hash")
    file = StagedFile(tmp_path / "f", 4)
    file.write(b"abc")
    assert held.has_come.wait(30)
    child = os.fork()
    if not child:
        held.may_go.set()
        own = StagedFile(tmp_path / "own", 4)
        own.write(b"def")
        os._exit(own.close().sha256 != hashlib.sha256(b"def").hexdigest())
    assert os.waitpid(child, 0)[1] == 0
    held.may_go.set()
    assert file.close().sha256 == hashlib.sha256(b"abc").hexdigest()
