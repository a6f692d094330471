"""What a version before said of releases and of its config, the next one says too, unless it is told otherwise."""

import pathlib

import pytest
from torch.utils.data import DataLoader

from exporters import Config
from exporters.errors import ExportWarning
from tfds_builder.catalog.read import read_manifest


@pytest.fixture
def run(publish, tmp_path):
    """`run(version, ...)`: exports a version of one dataset; its manifest."""

    def call(version, **options):
        return read_manifest(publish(DataLoader([1.0], 1), data_dir=tmp_path, version=version, **options).path)

    return call


def test_release_notes(run):
    """The notes of the newest older version are kept; an entry that is given wins; a newer version tells an older one nothing."""
    assert run("1.0.0", release_notes={"1.0.0": "first"}).release_notes == {"1.0.0": "first"}
    assert run("1.1.0", release_notes={"1.1.0": "more"}).release_notes == {"1.0.0": "first", "1.1.0": "more"}
    assert run("1.10.0").release_notes == {"1.0.0": "first", "1.1.0": "more"}
    assert run("2.0.0", release_notes={"1.0.0": "the first"}).release_notes == {"1.0.0": "the first", "1.1.0": "more"}
    assert run("1.0.1").release_notes == {"1.0.0": "first"}
    assert run("0.9.0").release_notes == {}
    assert run("1.1.0", overwrite=True, release_notes={}).release_notes == {"1.0.0": "first"}


def test_config_description(run):
    """A config takes its own description and notes, and not those of another one."""
    run("1.0.0", config=Config("small", "Few rows"), release_notes={"1.0.0": "first"})
    again = run("1.1.0", config="small")
    assert (again.config_description, again.release_notes) == ("Few rows", {"1.0.0": "first"})
    assert run("1.2.0", config=Config("small", "Very few")).config_description == "Very few"
    other = run("1.1.0", config="large")
    assert (other.config_description, other.release_notes) == ("", {})
    assert run("1.1.0").release_notes == {}


def test_a_version_that_cannot_be_read(run, tmp_path):
    """It is warned of, and the export goes on without its notes."""
    run("1.0.0", release_notes={"1.0.0": "first"})
    (pathlib.Path(tmp_path) / "ds" / "1.0.0" / "manifest.json").write_bytes(b"{}")
    with pytest.warns(ExportWarning, match=r"version before 1\.1\.0, which cannot be read"):
        found = run("1.1.0")
    assert found.release_notes == {}
