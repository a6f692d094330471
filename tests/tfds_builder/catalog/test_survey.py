"""Every version under a data_dir, with the name that `tfds.load` has for it."""

import consumer_kit as kit
import pytest

from tfds_builder.catalog.survey import scan
from tfds_builder.errors import DatasetWarning, MissingFileError


def test_every_version_is_found(tmp_path):
    """By name and config, the newest version first, each with its path."""
    splits = {"train": kit.numbers(4, 0)}
    for name, version, config in (
        ("beta", "1.0.0", ""),
        ("alpha", "1.2.0", ""),
        ("alpha", "1.10.0", ""),
        ("alpha", "1.0.0", "s"),
    ):
        kit.write_table(tmp_path, name, splits, version=version, config_name=config)
    found = scan(tmp_path)
    assert [entry.tfds_name for entry in found] == ["alpha:1.10.0", "alpha:1.2.0", "alpha/s:1.0.0", "beta:1.0.0"]
    assert [entry.path for entry in found][2:] == [str(tmp_path / "alpha/s/1.0.0"), str(tmp_path / "beta/1.0.0")]
    assert not [entry.problem for entry in found if entry.problem]


def test_links_are_named(tmp_path):
    """A link to a dataset is not followed, and is said to be there."""
    kit.write_table(tmp_path / "data", "alpha", {"train": kit.numbers(4, 0)})
    kit.write_table(tmp_path / "other", "beta", {"train": kit.numbers(4, 0)})
    (tmp_path / "data" / "beta").symlink_to(tmp_path / "other" / "beta")
    with pytest.warns(DatasetWarning, match="symbolic links are not followed.*beta"):
        assert [entry.name for entry in scan(tmp_path / "data")] == ["alpha"]


def test_no_data_dir(tmp_path):
    """What is not there, or is a URL, is an error that says so."""
    for place in (tmp_path / "nowhere", "gs://bucket/data"):
        with pytest.raises(MissingFileError):
            scan(place)
