"""The one rename: the version is the old one, the new one or absent, and never half of one."""

from __future__ import annotations

import os
import pathlib
import threading

import pytest
from producer_kit import ITEMS as X
from producer_kit import Failing, MyError, raise_my_error
from torch.utils.data import DataLoader

import exporters
from exporters import AlreadyPublishedError, DataDirError
from exporters.staging import stage as staging

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen


def test_everything_is_on_disk_before_it_is_visible(format, publish, loader_of, tmp_path, monkeypatch):
    """Every file is fsynced at its full size, and so is its directory, before the one rename; the parent is after it."""
    events, fsync, rename = [], os.fsync, os.rename

    def spy_fsync(descriptor):
        fsync(descriptor)
        events.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    def spy_rename(source, target, **options):
        rename(source, target, **options)
        events.append(pathlib.Path(target))

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    loaders = {split: loader_of(*[{"x": X, "t": ["a"] * 8}] * 2) for split in ("train", "test")}
    version = pathlib.Path(publish(loaders, format, data_dir=tmp_path, shard_bytes=400).path)
    visible = events.index(version)
    before, after = events[:visible], events[visible:]
    for path in version.iterdir():
        assert (path.stat().st_ino, path.stat().st_size) in before, path.name
    assert version.stat().st_ino in [event[0] for event in before if isinstance(event, tuple)]
    assert version.parent.stat().st_ino in [event[0] for event in after if isinstance(event, tuple)]


def test_overwrite_swaps(format, publish, loader_of, tmp_path, tree):
    """`overwrite=True` leaves the new version alone in its place, byte for byte as if it had been the first."""
    publish({"train": loader_of(X), "old": loader_of(X)}, data_dir=tmp_path / "a")
    publish(loader_of(X * 2), format, data_dir=tmp_path / "a", overwrite=True)
    publish(loader_of(X * 2), format, data_dir=tmp_path / "b", overwrite=True)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert sorted(os.listdir(tmp_path / "a" / "ds")) == ["1.0.0", "ds_dataset_builder.py"]


def test_a_failed_overwrite_keeps_the_old(format, publish, loader_of, tmp_path, tree):
    """An export that fails leaves the version it was to replace, and other versions, untouched."""
    publish(loader_of(X), format, data_dir=tmp_path)
    publish(loader_of(X), format, data_dir=tmp_path, version="0.9.0")
    before = tree(tmp_path)
    with pytest.raises(MyError):
        publish(DataLoader(Failing(raise_my_error)), format, data_dir=tmp_path, overwrite=True)
    assert tree(tmp_path) == before


def test_an_overwrite_never_leaves_neither(publish, loader_of, tmp_path):
    """Someone who looks all the time finds a whole manifest under the final name while versions are swapped."""
    path = pathlib.Path(publish(loader_of(X), data_dir=tmp_path).path) / "manifest.json"
    missing, done = [], threading.Event()

    def look():
        while not done.is_set():
            if not path.is_file():
                missing.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(20):
        publish(loader_of(X + number), data_dir=tmp_path, overwrite=True)
    done.set()
    watcher.join()
    assert not missing


def test_published_meanwhile(loader_of, tmp_path):
    """If the version appears while an export runs, it stays and the export is refused."""
    target = tmp_path / "data" / "ds" / "1.0.0"

    def appear():
        target.mkdir()
        (target / "theirs").touch()
        return X[0]

    with pytest.raises(AlreadyPublishedError, match="published meanwhile"):
        exporters.export(DataLoader(Failing(appear)), tmp_path / "data", name="ds", progress=False)
    assert sorted(os.listdir(target.parent)) == ["1.0.0", "1.0.0.incomplete", "1.0.0.resume"]  # what was done is kept
    assert os.listdir(target) == ["theirs"]


def test_a_stage_without_a_manifest_is_not_published(tmp_path):
    """`publish` refuses a stage that holds no manifest."""
    with staging.Stage(tmp_path, "ds", "1.0.0", overwrite=False) as stage:
        stage.files.write("train-00000.data", b"x")
        with pytest.raises(DataDirError, match="no manifest"):
            stage.publish()
    assert not (tmp_path / "ds").exists()
