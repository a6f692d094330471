"""Finished files of a stage: found wherever it is copied to, and told from others by every byte."""

from __future__ import annotations

import pathlib
import shutil

import pytest
from producer_kit import ROWS, Images, run, stop

from exporters import ResumeError

pytestmark = pytest.mark.once


@pytest.fixture
def whole(tmp_path_factory, tree):
    """The files of an export that nothing happened to."""
    return tree(pathlib.Path(run(tmp_path_factory.mktemp("whole")).path))


@pytest.mark.parametrize("how", ["copied", "moved", "copied to another disk, in its place"])
def test_a_stage_elsewhere(how, format, tmp_path, tree):
    """A stopped export that was copied or moved goes on: nothing finished is asked for again, and the bytes are the same."""
    expected = tree(run(tmp_path / "whole", format=format).path)
    stop(tmp_path / "data", format)
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    if how == "copied to another disk, in its place":
        shutil.rmtree(tmp_path / "data")
        (tmp_path / "copy").rename(tmp_path / "data")
    elif how == "moved":
        (tmp_path / "data").rename(tmp_path / "moved")
    place = tmp_path / {"copied": "copy", "moved": "moved"}.get(how, "data")
    dataset = Images()
    assert tree(run(place, dataset, format).path) == expected
    assert 0 < dataset.asked < ROWS


def test_a_copy_that_differs(tmp_path, tree):
    """A copy in which a byte of a finished shard is another is refused before anything is removed; so is one cut short."""
    stop(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    shard = tmp_path / "copy" / "ds" / "1.0.0.incomplete" / "train-00000.data"
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    before = tree(tmp_path / "copy" / "ds" / "1.0.0.incomplete")
    with pytest.raises(ResumeError, match=r"train-00000\.data has other bytes.*overwrite=True"):
        run(tmp_path / "copy")
    assert tree(tmp_path / "copy" / "ds" / "1.0.0.incomplete") == before
    run(tmp_path / "copy", overwrite=True)
