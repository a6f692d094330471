"""What is published under a data_dir is told by its directories: versions by number, configs by name, links not at all."""

import pytest

from tfds_builder.catalog.listing import list_configs, list_directories, list_versions
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import FILENAME


@pytest.fixture
def dataset(tmp_path):
    """Versions with and without a config, and what is none."""
    root = tmp_path / "digits"
    for version in ("1.9.0", "1.10.0", "large/2.0.0", "small/1.0.0", "small/1.0.1", "elsewhere/9.0.0"):
        (root / version).mkdir(parents=True)
        (root / version / FILENAME).touch()
    for nothing in ("3.0.0", "1.0", "01.0.0", "1.0.0.incomplete", "empty", f"{'9' * 5000}"[:120] + ".0.0"):
        (root / nothing).mkdir()
    (root / "elsewhere").rename(tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "4.0.0").symlink_to(tmp_path / "elsewhere" / "9.0.0")
    return Directory.at(root)


def test_versions(dataset):
    """Only directories with a manifest whose name is a version, the newest first by number."""
    assert list_versions(dataset) == ["1.10.0", "1.9.0"]


def test_configs(dataset):
    """Configs by name behind what has none; those without a version are left out."""
    assert list_configs(dataset) == {"": ["1.10.0", "1.9.0"], "large": ["2.0.0"], "small": ["1.0.1", "1.0.0"]}


def test_nothing_there(dataset, tmp_path):
    """What is not there, or is a link, holds nothing."""
    assert list_versions(Directory.at(tmp_path / "nowhere")) == []
    assert list_directories(dataset.below("linked")) == []
