"""`tfds_builder.cards.schema_org`: what the card says, and nothing that nobody has said."""

import dataclasses
import json

import pytest

from tfds_builder.cards.schema_org import dataset_of, description_of, page_json_ld
from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.shards import Split

pytestmark = pytest.mark.once


@pytest.fixture
def manifest(golden):
    return read_manifest(golden / "pairs_tfrecord" / "1.0.0")


def test_empty_card(manifest):
    """Of a card that says nothing there is a description in plain words, and no licence, creator, address or date."""
    found = dataset_of(dataclasses.replace(manifest, card={}))
    assert set(found) == {"name", "description", "version", "keywords"}
    assert found["description"] == (
        "pairs_tfrecord: 66 examples (53 in train, 12 in test, 1 in few). Its card has no description."
    )
    assert description_of(dataclasses.replace(manifest, card={}, splits={"train": Split(shards=())}), 100).startswith("pairs_tf")


def test_creators(manifest):
    """Persons have their names in parts; groups are organizations."""
    card = {"citation": "@misc{x, author={Doe, Jane and {The Team}}}"}
    found = dataset_of(dataclasses.replace(manifest, card=card))
    assert found["creator"] == [
        {"@type": "Person", "name": "Jane Doe", "givenName": "Jane", "familyName": "Doe"},
        {"@type": "Organization", "name": "The Team"},
    ]


def test_page_is_bounded(manifest):
    """What a page holds of it stays far below the page's megabyte, whatever the card says."""
    letters = "\U0001f44d" * 1_000_000
    authors = " and ".join([f"{letters[:1000]}, {letters[:1000]}"] * 1000)
    card = {"description": letters, "license": letters, "homepage": letters, "citation": f"@misc{{x, author={{{authors}}}}}"}
    found = page_json_ld(dataclasses.replace(manifest, card=card), "/data")
    assert len(json.dumps(found)) < 400_000
