"""The manifest of a directory: read, or told what is there instead."""

import os

import pytest

from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import ManifestError, MissingFileError


def test_read_names_the_directory(tmp_path):
    """A directory without a manifest, a file in its place and no directory at all are a MissingFileError that names it."""
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file", tmp_path / "absent"):
        with pytest.raises(MissingFileError, match=path.name):
            read_lib.read_manifest(path)


def test_too_large(tmp_path):
    """A manifest larger than the limit is refused before it is read."""
    with open(tmp_path / "manifest.json", "wb") as file:
        os.truncate(file.fileno(), read_lib.MAX_BYTES + 1)  # sparse
    with pytest.raises(ManifestError, match="refused"):
        read_lib.read_manifest(tmp_path)
