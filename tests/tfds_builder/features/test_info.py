"""TFDS's DatasetInfo of a version is what stock TFDS reads, and what was given to the export."""

import json
import os

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder


@pytest.fixture
def builder_of(golden):
    return lambda name: tfds_builder.builder_from_directory(golden / name / "1.0.0")


@kit.every_golden
def test_info_of_splits(name, golden, builder_of):
    """The info has every split with its true number of examples, and its bytes are those of the shards on disk."""
    info, directory = builder_of(name).info, golden / name / "1.0.0"
    rows = kit.make.DATASETS[name.partition("_")[0]]["rows"]
    assert {split: content.num_examples for split, content in info.splits.items()} == rows
    for split, content in info.splits.items():
        assert content.num_bytes == sum(os.stat(path).st_size for path in content.filepaths)
        assert sum(content.shard_lengths) == content.num_examples
        assert all(os.path.samefile(directory, os.path.dirname(path)) for path in content.filepaths), split
    assert info.dataset_size == sum(content.num_bytes for content in info.splits.values())
    assert (info.name, str(info.version), info.full_name) == (name, "1.0.0", f"{name}/1.0.0")


@kit.both_formats
def test_info_of_card(format, builder_of):
    """Description, homepage, citation, licence, supervised keys and class names are those given to the export."""
    info = builder_of(f"pairs_{format}").info
    assert {key: getattr(info, key) for key in ("description", "homepage", "citation")} == {
        key: kit.make.CARD[key] for key in ("description", "homepage", "citation")
    }
    assert info.redistribution_info.license == kit.make.CARD["license"]
    assert info.supervised_keys == ("image", "label")
    assert tuple(info.features["label"].names) == kit.make.CLASSES
    assert info.features["label"].str2int("dog house") == 1
    assert info.features["image"].shape == (4, 5, 3)


@pytest.mark.parametrize("kind", kit.make.DATASETS)
def test_info_is_that_of_stock(kind, golden, builder_of):
    """The info of a TFRecord dataset is what stock TFDS reads from the directory; that of HDF5 has the same features."""
    stock = tfds.builder_from_directory(golden / f"{kind}_tfrecord" / "1.0.0").info
    info, other = builder_of(f"{kind}_tfrecord").info, builder_of(f"{kind}_hdf5").info
    found, expected = json.loads(info.as_json), json.loads(stock.as_json)
    assert found.pop("moduleName") != expected.pop("moduleName")  # the module is that of the class in hand
    assert found.pop("redistributionInfo", {}) == expected.pop("redistributionInfo", {})  # stock keeps an empty one
    assert found == expected
    for found in (info, other):
        assert repr(found.features) == repr(stock.features)
        assert found.features.to_json() == stock.features.to_json()
        assert found.supervised_keys == stock.supervised_keys


@kit.both_formats
@pytest.mark.parametrize("kind", kit.make.DATASETS)
def test_hdf5_has_no_features_json(kind, format, golden):
    """An HDF5 version holds no features.json (or stock TFDS would read it as TFRecord); a TFRecord version holds one."""
    assert (golden / f"{kind}_{format}" / "1.0.0" / "features.json").exists() == (format == "tfrecord")
