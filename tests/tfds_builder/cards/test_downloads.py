"""`tfds_builder.cards.downloads`: the files beside a page are a function of the version alone, and small whatever is in it."""

import dataclasses
import json
import os

import consumer_kit as kit

from tfds_builder.cards.downloads import NAMES, downloads_of
from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.shards import Split
from tfds_builder.site.build import build


def files_beside(out, name="noise"):
    return {path.name: path.read_bytes() for path in (out / name / "1.0.0").iterdir()}


def test_no_clock(tmp_path):
    """The same version, published and looked at another day, has the same files, byte for byte; none has a date."""
    data = tmp_path / "data"
    directory = kit.write_table(data, "noise", {"train": kit.numbers(6)}, card={"description": "Some noise", "license": "MIT"})
    build(data, tmp_path / "one")
    os.utime(directory / "manifest.json", (0, 10**9))
    build(data, tmp_path / "two")
    found = files_beside(tmp_path / "one")
    assert found == files_beside(tmp_path / "two")
    assert set(found) == set(NAMES)
    assert not any(word in text.lower() for text in found.values() for word in (b"date", b"1970", b"2001-"))


def test_without_images(tmp_path):
    """Images are in no file beside a page, whether pages show them or not."""
    data = tmp_path / "data"
    kit.copy_golden("coded_hdf5", data)
    build(data, tmp_path / "with")
    build(data, tmp_path / "without", images=False)
    found = files_beside(tmp_path / "without", "coded_hdf5")
    assert found == files_beside(tmp_path / "with", "coded_hdf5")
    assert b"png" not in found["preview.jsonl"]
    assert all(b"PNG\r" not in text and b"iVBORw0KGgo" not in text for text in found.values())


def test_unreadable_shards(tmp_path):
    """Where the shards cannot be read there is no preview, and the other files say what the manifest says."""
    data, out = tmp_path / "data", tmp_path / "site"
    directory = kit.write_table(data, "noise", {"train": kit.numbers(6)})
    shard = next(directory.glob("*.h5"))
    content = shard.read_bytes()
    shard.unlink()
    build(data, out)
    found = files_beside(out)
    assert set(found) == set(NAMES) - {"preview.jsonl"}
    croissant = json.loads(found["croissant.json"])
    assert [record_set["@id"] for record_set in croissant["recordSet"]] == ["splits", "examples"]
    assert b"preview" not in found["README.md"]
    shard.write_bytes(content)
    build(data, out)
    assert set(files_beside(out)) == set(NAMES)
    shard.unlink()
    kit.edit_manifest(directory, lambda manifest: manifest["card"].update(description="another"))
    build(data, out)
    assert set(files_beside(out)) == set(NAMES) - {"preview.jsonl"}  # and the old one is gone


def test_large(golden):
    """10 MB of description, 100,000 classes, thousands of decisions and notes: every file is some megabytes at the most."""
    manifest = read_manifest(golden / "pairs_hdf5" / "1.0.0")
    names = [f"class {number} <b>" for number in range(100_000)]
    card = dict.fromkeys(("description", "homepage", "citation", "license"), '"<\u202e|`' * 2000000)
    huge = dataclasses.replace(
        manifest, card=card, labels={"label": names}, decisions=("`|" * 500,) * 5000,
        release_notes={f"1.0.{number}": "`|" * 5000 for number in range(500)},
    )  # fmt: skip
    found = downloads_of(huge, "/data", None, {})
    assert max(len(text) for name, text in found.items() if name != "croissant.json") < 2_000_000
    classes = json.loads(found["croissant.json"])["recordSet"][1]
    assert [row["class-names/label"] for row in classes["data"]] == names
    assert "99,800 more classes are not listed here" in found["README.md"].decode()


def test_empty(golden):
    """Of a version without examples, or without splits, there is no preview, and nothing that needs shards."""
    manifest = read_manifest(golden / "pairs_hdf5" / "1.0.0")
    for splits, record_sets in (({"train": Split(shards=())}, ["splits", "classes/label"]), ({}, ["classes/label"])):
        found = downloads_of(dataclasses.replace(manifest, splits=splits), "/data", None, {})
        assert set(found) == set(NAMES) - {"preview.jsonl"}
        assert [record_set["@id"] for record_set in json.loads(found["croissant.json"])["recordSet"]] == record_sets
        assert b"| Examples | 0 |" in found["README.md"]
