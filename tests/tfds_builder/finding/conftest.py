"""Two directories of datasets, and the two places where a user names such directories."""

import os

import consumer_kit as kit
import pytest


@pytest.fixture
def data_dir(tmp_path):
    """`alpha`, whose rows begin at 0, and `beta`, at 30."""
    return kit.write_catalog(tmp_path / "catalog")


@pytest.fixture
def other(tmp_path):
    """Another `alpha`, whose rows begin at 70, and `gamma`, at 80."""
    kit.write_table(tmp_path / "other", "alpha", {"train": kit.numbers(4, 70)})
    kit.write_table(tmp_path / "other", "gamma", {"train": kit.numbers(4, 80)})
    return tmp_path / "other"


@pytest.fixture
def variable(monkeypatch):
    """Sets the variable to some directories."""
    return lambda *paths: monkeypatch.setenv("TORCH2TFDS_PATH", os.pathsep.join(map(str, paths)))


@pytest.fixture
def toml(tmp_path, monkeypatch):
    """Writes the user's file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = tmp_path / "config" / "torch2tfds" / "catalogs.toml"
    file.parent.mkdir(parents=True)

    def write(text):
        file.write_text(text, "utf-8")
        return file

    return write
