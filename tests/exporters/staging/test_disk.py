"""Disks that fail: the export says what and where, and run again it goes on to the same bytes."""

from __future__ import annotations

import builtins
import collections
import errno
import io
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import types

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import exporters
import tfds_builder
from exporters.staging import disk
from exporters.staging import disk as disk_lib
from tfds_builder.catalog.builder_module import generate

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen

ROWS = 40


class Images(Dataset):
    """Images, labels and text; something happens when one of them is asked for."""

    def __init__(self, at=None, action=None):
        self.at, self.action = at, action

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        if index == self.at:
            self.action()
        return {"image": torch.full((3, 5, 6), index, dtype=torch.uint8), "text": f"number {index}"}


def run(data_dir, format="tfrecord", dataset=None, **options):
    return exporters.export(
        DataLoader(dataset or Images(), batch_size=4),
        data_dir,
        **{"name": "ds", "format": format, "shard_bytes": 1000, "progress": False, "on_hazard": "ignore", **options},
    )


class FaultyDisk:
    """Counts what reaches the operating system below a directory; from one of these calls on it fails.

    Args:
      at: number of the first call that fails.
      code: the error.
      lasting: whether all calls after it fail too, that write or make something.
    """

    CALLS = ("fsync", "rename", "mkdir", "open")

    def __init__(self, monkeypatch, root, at, code, lasting):
        self.root, self.at, self.code, self.lasting, self.count = os.fspath(root), at, code, lasting, 0
        self.lock = threading.Lock()  # shards are written and fsynced by threads of their own
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name), name))
        self.real_open = builtins.open
        monkeypatch.setattr(builtins, "open", self.open)
        monkeypatch.setattr(io, "open", self.open)

    @property
    def happened(self):
        return self.count > self.at

    def tick(self, path=None):
        with self.lock:
            number, self.count = self.count, self.count + 1
        if number == self.at or (self.lasting and self.happened):
            raise OSError(self.code, os.strerror(self.code), path)

    def wrap(self, function, name):
        def call(*args, **options):
            path = args[0] if name != "fsync" else None
            inside = isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.root)
            if name == "fsync" or inside or options.get("dir_fd") is not None:
                self.tick(path)
            return function(*args, **options)

        return call

    def open(self, file, mode="r", buffering=-1, *args, **options):
        if not isinstance(file, str | os.PathLike) or not os.fspath(file).startswith(self.root) or mode in ("r", "rb"):
            return self.real_open(file, mode, buffering, *args, **options)
        self.tick(os.fspath(file))
        raw = FaultyFile(self, file, mode.replace("b", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, options.get("encoding") or "utf-8")


class FaultyFile(io.FileIO):
    """A file whose writes can fail, having written a part."""

    def __init__(self, disk, path, mode):
        super().__init__(path, mode)
        self._disk = disk

    def write(self, data):
        half = len(data) // 2
        if half and self._disk.count == self._disk.at:
            super().write(memoryview(data)[:half])  # as a disk with little room left: the first part, then the error
        self._disk.tick()
        return super().write(data)


CODES = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
WHOLE = pytest.param("whole", marks=[pytest.mark.endurance, pytest.mark.timeout(7200)])


@pytest.mark.parametrize("amount", ["sample", WHOLE])
def test_a_disk_that_fails(amount, tmp_path, tree, endurance):
    """Whichever open, write, fsync, rename or mkdir fails, once or from then on, the export ends in an OSError that names
    the file; nobody sees a part of a dataset; run again it goes on to the bytes of one that nothing happened to."""
    steps = {"sample": 17, "whole": 1}[amount]
    codes, outcomes, lost = collections.Counter(), collections.Counter(), []
    for format in ("tfrecord", "hdf5"):
        whole = tmp_path / f"whole_{format}"
        run(whole, format)
        for lasting in (False, True):
            for at in range(0, 10_000, steps):
                code = CODES[at // steps % len(CODES)]
                data_dir = tmp_path / f"{format}_{lasting}_{at}"
                outcome = fail(data_dir, format, at, code, lasting)
                if outcome == "nothing failed":
                    assert at > 50
                    break
                if not (outcome and go_on(data_dir, whole, format, tree)):
                    lost.append((format, lasting, at, outcome))
                codes[errno.errorcode[code]] += 1
                outcomes[outcome] += 1
                shutil.rmtree(data_dir)
    count, kinds = sum(codes.values()), ", ".join(f"{count:,} {name}" for name, count in codes.most_common())
    spared = outcomes["published all the same"]
    text = f"an `OSError` that names the file ({spared} times only a note could not be removed, and no error), "
    text += f"nothing or all of the dataset to see, the same bytes when run again: {kinds}"
    endurance(amount, "a disk that fails", count, len(lost), text)
    assert not lost


def fail(data_dir, format, at, code, lasting):
    """Exports onto a disk that fails; what came of it, or "" if it was not told as it should be."""
    data_dir.mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = FaultyDisk(monkeypatch, data_dir, at, code, lasting)
        try:
            run(data_dir, format)
        except (OSError, UserWarning) as error:  # the warning: published, but not the module beside it
            is_told = os.strerror(code) in str(error) and str(data_dir) in str(error)
            return "an error" if is_told and getattr(error, "errno", code) == code else ""
    if not disk.happened:
        return "nothing failed"
    return "published all the same" if (data_dir / "ds" / "1.0.0").exists() else ""  # notes may be left behind, say


def go_on(data_dir, whole, format, tree):
    """Whether what is left is nothing or the whole version, and running again makes it whole."""
    version, expected = data_dir / "ds" / "1.0.0", tree(whole / "ds" / "1.0.0")
    if tfds_builder.register(data_dir) != (["ds"] if version.exists() else []):
        return False
    if version.exists():
        if tree(version) != expected:
            return False
        generate(version)
        with pytest.raises(exporters.AlreadyPublishedError):
            run(data_dir, format)
        run(data_dir, format, overwrite=True)  # leaves nothing beside it
    else:
        run(data_dir, format)
    return tree(data_dir) == tree(whole)


def test_finished_shards_survive_a_full_disk(tmp_path, tree):
    """What was finished when the disk was full is not asked for again, and the error says that it is kept."""
    run(tmp_path / "whole")
    asked = []

    class Counting(Images):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = FaultyDisk(monkeypatch, tmp_path / "data", 10_000, errno.ENOSPC, lasting=True)
        with pytest.raises(OSError) as caught:
            run(tmp_path / "data", dataset=Images(30, lambda: setattr(disk, "at", disk.count)))
    assert re.search(r"finished shards? (are|is) kept", caught.value.__notes__[-1])
    run(tmp_path / "data", dataset=Counting())
    assert 0 < len(asked) < ROWS
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_shard_that_cannot_be_finished_behind_the_next(code, tmp_path, tree):
    """What the disk says of a shard while the next one is drained ends the export, as what it is; the shard is not noted, and run
    again the export goes on to the same bytes."""
    run(tmp_path / "whole")
    fsync, data = os.fsync, tmp_path / "data"

    def fail(file):
        if os.readlink(f"/proc/self/fd/{file}").endswith("-00001.data"):
            raise OSError(code, os.strerror(code))
        fsync(file)

    class Waiting(Images):
        def __getitem__(self, index):
            assert not list(data.rglob("*-00003.data"))
            return super().__getitem__(index)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"cannot write .*-00001\.data") as caught:
            run(data, dataset=Waiting())
    assert caught.value.errno == code
    assert tfds_builder.register(data) == []
    assert len(list(data.rglob("*.shard.json"))) == 1
    run(data)
    assert tree(data) == tree(tmp_path / "whole")


REAL_DISK = """
    import hashlib, os, pathlib, subprocess, sys, torch, exporters, tfds_builder
    from torch.utils.data import DataLoader
    def mount(*arguments):
        subprocess.run(["mount", *arguments], check=True)
    def run(data_dir, format):
        examples = [{"x": torch.full((3, 40, 40), i, dtype=torch.uint8), "text": "t" * i} for i in range(60)]
        return exporters.export(DataLoader(examples, batch_size=4), data_dir, name="ds", format=format, shard_bytes=30_000,
                                progress=False, on_hazard="ignore")
    def tree(path):
        return {str(file.relative_to(path)): file.read_bytes() for file in pathlib.Path(path).rglob("*") if file.is_file()}
    os.mkdir("disk")
    for format in ("tfrecord", "hdf5"):
        run(f"whole_{format}", format)
        for size in ("8k", "60k", "100k", "180k", "270k", "300k", "nr_inodes=9", "ro"):
            option = size if size[-1] != "k" else f"size={size}"
            mount("-t", "tmpfs", "-o", option, "none", "disk")
            try:
                run("disk", format)
                raise AssertionError(f"it fitted into {size}")
            except OSError as error:
                expected = "Read-only file system" if size == "ro" else "No space left on device"
                assert expected in str(error) and os.path.abspath("disk") in str(error), error
                notes = " ".join([str(error), *getattr(error, "__notes__", [])])
                assert (" of which every file needs one" in notes) == (size == "nr_inodes=9"), notes
                kept = len(list(pathlib.Path("disk").rglob("*.shard.json")))
                assert bool(kept) == (" kept in " in " ".join(getattr(error, "__notes__", []))), error.__notes__
            assert tfds_builder.register("disk") == []
            mount("-o", "remount,rw,size=10m,nr_inodes=0", "disk")
            run("disk", format)
            assert tree("disk") == tree(f"whole_{format}")
            subprocess.run(["umount", "disk"], check=True)
            print(format, size, kept)
"""


def can_mount():
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return sys.platform == "linux" and shutil.which("unshare") and not subprocess.run(command, capture_output=True).returncode


def test_a_real_disk_that_is_full(tmp_path):
    """On a real file system without room, without inodes or mounted read-only an export says so and by which file; with
    room it goes on to the same bytes."""
    if not can_mount():
        pytest.skip("file systems cannot be mounted here")
    (tmp_path / "script.py").write_text(textwrap.dedent(REAL_DISK))
    command = ["unshare", "-rm", sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    kept = [int(line.split()[2]) for line in done.stdout.splitlines()]
    assert len(kept) == 16
    assert max(kept) > 4


@pytest.mark.parametrize("what", ["data_dir", "stage", "stage and another in its place", "notes"])
def test_a_directory_that_vanishes(what, tmp_path, tree):
    """A data_dir, stage or directory of notes that someone removes is an OSError that names it, and the next export is whole;
    where shards are finished that are not in the other directory, it says so first."""
    run(tmp_path / "whole")
    data_dir = tmp_path / "data"
    stage = data_dir / "ds" / "1.0.0.incomplete"
    doomed = {"data_dir": data_dir, "notes": data_dir / "ds" / "1.0.0.resume"}.get(what, stage)

    def vanish():
        shutil.rmtree(doomed)
        if "another" in what:
            stage.mkdir()

    try:
        run(data_dir, dataset=Images(30, vanish))
    except OSError as error:
        assert str(doomed) in str(error)  # noqa: PT017
        notes = " ".join(getattr(error, "__notes__", []))
        assert ("are kept" in notes) == (what == "stage and another in its place")
    else:
        pytest.fail("nobody noticed")
    assert not data_dir.exists() or tfds_builder.register(data_dir) == []
    if "another" in what:  # which holds what came later, and not what was finished
        with pytest.raises(exporters.ResumeError, match=r"is gone.*overwrite=True"):
            run(data_dir)
    run(data_dir, overwrite="another" in what)
    assert tree(data_dir) == tree(tmp_path / "whole")


@pytest.mark.filterwarnings("ignore:nothing of its card")  # of the version before, which cannot be listed either
def test_too_many_open_files(format, tmp_path, tree):
    """Without a file descriptor to be had an export says so and by which file, and with some it goes on to the same bytes."""
    run(tmp_path / "whole", format)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(21)]  # other tests may have left some open in between
    for descriptor in free:
        os.close(descriptor)
    failed = 0
    for more in range(20):
        data_dir = tmp_path / f"with_{more}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[more], hard))
        try:
            run(data_dir, format)
            break
        except OSError as error:
            assert error.errno == errno.EMFILE  # noqa: PT017
            assert str(data_dir) in str(error)  # noqa: PT017
            failed += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        run(data_dir, format)
        assert tree(data_dir) == tree(tmp_path / "whole")
    assert 1 < failed < 20


@pytest.mark.parametrize("change", ["gone", "cut short", "all gone"])
def test_a_finished_shard_that_is_not_there(change, format, tmp_path, tree):
    """Where a finished shard is gone from the stage, or has another size, the export says so and touches nothing;
    `overwrite=True` begins anew. Where nothing at all is left, nothing can be lost, and it begins anew by itself."""
    run(tmp_path / "whole", format)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "data", format, Images(30, lambda: 1 / 0))
    stage = tmp_path / "data" / "ds" / "1.0.0.incomplete"
    for shard in stage.iterdir() if change == "all gone" else [stage / "train-00001.data"]:
        os.truncate(shard, 100) if change == "cut short" else shard.unlink()
    if change != "all gone":
        before = tree(stage)
        with pytest.raises(exporters.ResumeError, match=r"train-00001\.data .*overwrite=True"):
            run(tmp_path / "data", format)
        assert tree(stage) == before
    run(tmp_path / "data", format, overwrite=change != "all gone")
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


@pytest.mark.parametrize("has_renameat2", [True, False])
def test_exchange(has_renameat2, tmp_path, monkeypatch):
    """Two directories change places, with the kernel's help or without; if that fails both are where they were."""
    if not has_renameat2:
        monkeypatch.setattr(disk, "_LIBC", object())
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    disk.exchange(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert [os.listdir(tmp_path / name) for name in "ab"] == [["b"], ["a"]]
    with pytest.raises(OSError):
        disk.exchange(tmp_path / "missing", tmp_path / "b", tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert os.listdir(tmp_path / "b") == ["a"]


@pytest.mark.parametrize(("inodes", "free"), [(0, 0), (10_000, 9_000), (10_000, 0)])
def test_a_disk_without_inodes(inodes, free, tmp_path, monkeypatch):
    """A disk that has bytes and no inodes is told as that, whether a shard or the stage itself could not be made; not one that
    counts none, or has enough."""
    status = types.SimpleNamespace(f_flag=0, f_bavail=1000, f_frsize=4096, f_files=inodes, f_favail=free)
    monkeypatch.setattr("exporters.staging.space.os.statvfs", lambda path: status)
    with monkeypatch.context() as patch:
        FaultyDisk(patch, tmp_path / "data", 60, errno.ENOSPC, lasting=True)
        with pytest.raises(OSError) as caught:
            run(tmp_path / "data", dataset=[torch.full((3, 5, 6), index, dtype=torch.uint8) for index in range(ROWS)])
    told = next(note for note in caught.value.__notes__ if "4,096,000 bytes are free at" in note)
    assert ("0 inodes, of which every file needs one, and" in told) == (inodes > 0 and not free)
    text = str(disk_lib.explain(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "stage"))
    assert "4,096,000 bytes are free at" in text
    assert ("0 inodes" in text) == (inodes > 0 and not free)


def test_a_full_disk_in_bytes(tmp_path, monkeypatch):
    """The error of a full disk says how much is free, and about how much is still to be written."""
    data = [torch.full((3, 5, 6), index, dtype=torch.uint8) for index in range(ROWS)]
    with monkeypatch.context() as patch:
        FaultyDisk(patch, tmp_path / "data", 60, errno.ENOSPC, lasting=True)
        with pytest.raises(OSError) as caught:
            run(tmp_path / "data", dataset=data)
    assert any("bytes are free at" in note and "are still to be written" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_lock_that_outlives_its_holder(is_there, tmp_path):
    """A process that a killed export had forked an instant before may hold the lock still: it is waited for, and nobody else."""
    (tmp_path / "stage").mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    holder = tmp_path / "holder"
    pid = os.getpid() if is_there else ended.pid
    holder.write_text(json.dumps({"pid": pid, "host": socket.gethostname(), "since": "now"}))
    parent = os.open(tmp_path, os.O_RDONLY)
    held = disk.lock_directory(tmp_path / "stage", holder, parent)
    timer = threading.Timer(0.3, disk.unlock, [held])
    timer.start()
    if is_there:
        with pytest.raises(exporters.DataDirError, match="another export"):
            disk.lock_directory(tmp_path / "stage", holder, parent)
    else:
        disk.unlock(disk.lock_directory(tmp_path / "stage", holder, parent))
    timer.join()
    os.close(parent)
