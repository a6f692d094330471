"""What a version before said of releases and of its config, the next one says too, unless it is told otherwise."""

import json
import pathlib

import pytest
from torch.utils.data import DataLoader

from exporters import Card, Config
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


CARD = {"description": "Digits", "homepage": "https://example.org", "citation": "@misc{x}", "license": "MIT"}


def test_card(run):
    """Each part of the card is kept that the next export does not state; a newer version tells an older one nothing."""
    assert run("1.0.0", card=Card(**CARD)).card == CARD
    assert run("1.1.0").card == CARD
    assert run("1.2.0", card=Card(license="CC0")).card == {**CARD, "license": "CC0"}
    assert run("1.10.0", card=Card(description="Better")).card == {**CARD, "description": "Better", "license": "CC0"}
    assert run("0.9.0").card == dict.fromkeys(CARD, "")
    assert run("1.0.1").card == CARD


def test_card_of_a_config(run):
    """Configs have cards of their own."""
    run("1.0.0", config="small", card=Card(**CARD))
    assert run("1.1.0", config="small").card == CARD
    assert run("1.1.0", config="large").card == dict.fromkeys(CARD, "")


def test_files_of_a_card(run, tmp_path):
    """What is kept is in TFDS's own files, too: the info that is loaded, and LICENSE."""
    run("1.0.0", card=Card(**CARD))
    run("1.1.0")
    directory = pathlib.Path(tmp_path) / "ds" / "1.1.0"
    assert json.loads((directory / "dataset_info.json").read_text())["description"] == "Digits"
    assert (directory / "LICENSE").read_text() == "MIT"


def test_a_version_that_cannot_be_read(run, tmp_path):
    """It is warned of, and the export goes on without its notes."""
    run("1.0.0", release_notes={"1.0.0": "first"}, card=Card(**CARD))
    (pathlib.Path(tmp_path) / "ds" / "1.0.0" / "manifest.json").write_bytes(b"{}")
    with pytest.warns(ExportWarning, match=r"version before 1\.1\.0, which cannot be read"):
        found = run("1.1.0")
    assert (found.release_notes, found.card["license"]) == ({}, "")
