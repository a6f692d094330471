"""A data_dir: what may be one, and what is refused by name and left alone."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest
import torch

import exporters
import tfds_builder
from exporters import DataDirError

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen


X = torch.arange(40).reshape(8, 5)


@pytest.mark.parametrize("place", ["file", "file/below", "ds is a file"])
def test_data_dir_that_is_a_file(place, loader_of, tmp_path, tree):
    """A data_dir that is a file, or lies under one, is refused by name and left alone."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "ds").write_text("mine too")
    data_dir = tmp_path if place == "ds is a file" else tmp_path / place
    before = tree(tmp_path)
    with pytest.raises(DataDirError, match="cannot write to"):
        exporters.export(loader_of(X), data_dir, name="ds", progress=False)
    assert tree(tmp_path) == before


def test_data_dir_that_cannot_be_written(loader_of, tmp_path, monkeypatch):
    """A data_dir where nothing may be made is refused with the reason."""

    def mkdir(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(DataDirError, match=r"Permission denied; give a data_dir that can be written") as caught:
        exporters.export(loader_of(X), tmp_path, name="ds", progress=False)
    assert caught.value.errno == errno.EACCES


@pytest.mark.parametrize("kind", [str, pathlib.Path, os.fsencode])
def test_kinds_of_data_dir(kind, loader_of, tmp_path, monkeypatch):
    """A data_dir may be a str or a path, with `~`, relative or not there yet; what is no path is an error."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if kind is os.fsencode:
        with pytest.raises(exporters.ArgumentError, match="must be a path"):
            exporters.export(loader_of(X), kind("a"), name="ds", progress=False)
        return
    for data_dir, expected in (("~/a/b", "a/b"), ("c", "c")):
        result = exporters.export(loader_of(X), kind(data_dir), name="ds", progress=False)
        assert result.path == str(tmp_path / expected / "ds" / "1.0.0")
        assert tfds_builder.verify(result.path).problems == []
