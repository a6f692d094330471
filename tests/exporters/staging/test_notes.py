"""Notes of what is finished: damaged or missing ones lose no finished shard without a word."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest
from producer_kit import ROWS, Images, run, stop
from torch.utils.data import DataLoader, IterableDataset

import exporters
import tfds_builder
from exporters import ResumeError
from exporters.staging.notes import Notes
from tfds_builder.contract.directory import Directory

pytestmark = pytest.mark.once


@pytest.fixture
def whole(tmp_path_factory, tree):
    """The files of an export that nothing happened to."""
    return tree(pathlib.Path(run(tmp_path_factory.mktemp("whole")).path))


def notes_of(directory):
    return sorted(path.name for path in (directory / "1.0.0.resume").iterdir() if path.name != "holder")


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-8]),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "gone": lambda path: path.unlink(),
    "a list": lambda path: path.write_bytes(b"[]"),
    "of another release": lambda path: path.write_bytes(b'{"version": 0}'),
    "a number": lambda path: path.write_bytes(b"1234567"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_notes(damage, tmp_path, tree, whole):
    """Whichever note is damaged, cut short, missing or of another release: the export goes on to the same bytes, or it is a
    ResumeError after which every shard is still there; and `overwrite=True` begins anew."""
    template = tmp_path / "template"
    stop(template)
    assert set(notes_of(template / "ds")) >= {"plan.json", "stage", "train-00000.shard.json", "train.order"}
    for note in notes_of(template / "ds"):
        data_dir = tmp_path / f"{note} {damage}"
        shutil.copytree(template, data_dir)
        DAMAGES[damage](data_dir / "ds" / "1.0.0.resume" / note)
        before = tree(data_dir / "ds" / "1.0.0.incomplete")
        try:
            result = run(data_dir)
        except ResumeError as error:
            assert "overwrite=True" in str(error)  # noqa: PT017
            assert tree(data_dir / "ds" / "1.0.0.incomplete") == before
            result = run(data_dir, overwrite=True)
        else:
            is_written_again = note.endswith(".shard.json") and damage == "gone"
            assert note.endswith(".digests") or is_written_again, f"nobody noticed that {note} is {damage}"
        assert tree(result.path) == whole
        assert sorted(os.listdir(data_dir / "ds")) == ["1.0.0", "ds_dataset_builder.py"]
        shutil.rmtree(data_dir)


@pytest.mark.parametrize("left", [(), ("holder",), ("stage", "plan.json", "train-00000.shard.json", "train.order")])
def test_notes_that_are_missing(left, tmp_path, tree, whole):
    """Without the notes, or with only the first of them, no finished shard is removed without a word."""
    directory = stop(tmp_path / "data")
    for name in set(os.listdir(directory / "1.0.0.resume")) - set(left):
        (directory / "1.0.0.resume" / name).unlink()
    if not left:
        (directory / "1.0.0.resume").rmdir()
    before = tree(directory / "1.0.0.incomplete")
    with pytest.raises(ResumeError, match=r"gone.*overwrite=True"):
        run(tmp_path / "data")
    assert tree(directory / "1.0.0.incomplete") == before
    assert tree(run(tmp_path / "data", overwrite=True).path) == whole


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_split_that_lost_a_shard(is_stream, tmp_path):
    """A split that was finished, and of whose shards one is not noted any more, is not published without it: it is written again
    where its batches can be drawn by number, and refused of a stream."""

    class Stream(IterableDataset):
        def __iter__(self):
            return map(Images().__getitem__, range(ROWS))

    class Second(Images):
        def __getitem__(self, index):
            if index >= 4:  # the first batch is looked at before the first byte
                raise RuntimeError("stopped")
            return super().__getitem__(index)

    def loaders(second):
        first = Stream() if is_stream else Images()
        return {split: DataLoader(data, batch_size=4) for split, data in (("train", first), ("test", second))}

    def export(second, **options):
        return exporters.export(
            loaders(second), tmp_path, name="ds", shard_bytes=400, progress=False, on_hazard="ignore", **options
        )

    with pytest.raises(RuntimeError, match="stopped"):
        export(Second())
    notes = sorted((tmp_path / "ds" / "1.0.0.resume").glob("train-*.shard.json"))
    data = tmp_path / "ds" / "1.0.0.incomplete" / notes[-1].name.replace("shard.json", "data")
    notes[-1].unlink()
    data.unlink()
    if is_stream:
        with pytest.raises(ResumeError, match="overwrite=True"):
            export(Images())
    result = export(Images(), overwrite=is_stream)
    assert result.examples == {"train": ROWS, "test": ROWS}
    assert tfds_builder.verify(result.path).problems == []


def test_the_manifest_noted_is_the_one_published(tmp_path):
    """What tells a swap that is done is the SHA-256 of the manifest, noted before it."""
    noted = []
    with pytest.MonkeyPatch.context() as patch:
        note = Notes.write
        patch.setattr(Notes, "write", lambda self, name, content: (noted.append((name, content)), note(self, name, content)))
        result = run(tmp_path)
    assert noted[-1] == ("publishing", Directory.at(result.path).sha256("manifest.json").encode())
