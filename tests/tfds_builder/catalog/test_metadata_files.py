"""TFDS's metadata of a version, whatever is in it, is a DatasetError or what the manifest says."""

import contextlib

import consumer_kit as kit
import pytest

import tfds_builder
from tfds_builder.errors import DatasetError

pytestmark = pytest.mark.once


def load_all(directory):
    builder = tfds_builder.builder_from_directory(directory)
    for split in builder.info.splits:
        kit.outcome(builder.as_dataset(split=split))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"3", b"{" * 100_000, b'{"name": 3}', b"\xff", b'{"splits": NaN}', b"[" * 900 + b"]" * 900]
)
@pytest.mark.parametrize("file", ["dataset_info.json", "features.json", "label.labels.txt"])
def test_hostile_metadata(file, text, tmp_path):
    """TFDS metadata that is anything at all, published as such, is a DatasetError when loaded and a problem of that file."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    (directory / file).write_bytes(text)
    true = kit.describe(directory, file).to_json()
    kit.edit_manifest(directory, lambda m: next(f for f in m["metadata"] if f["file"] == file).update(true))
    with pytest.raises(DatasetError, match=file):
        load_all(directory)
    assert {problem.file for problem in tfds_builder.verify(directory).problems} == {file}


@pytest.mark.parametrize("key", ["schema", "configName", "releaseNotes", "description", "downloadChecksums", "nonsense"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"a": [1]}, [[[]]], 1e300])
def test_hostile_info(key, value, tmp_path):
    """Any other key of dataset_info.json with any value ends in a result or a DatasetError: what TFDS raises is not passed on."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    kit.edit_metadata(directory, "dataset_info.json", lambda content: content.update({key: value}))
    with contextlib.suppress(DatasetError):
        assert tfds_builder.builder_from_directory(directory).info.splits["train"].num_examples == 53


def train_of(info):
    """The train split of a dataset_info.json."""
    return next(split for split in info["splits"] if split["name"] == "train")


@kit.both_formats
@pytest.mark.parametrize("change", [1, 40])
def test_metadata_that_promises_more_rows(change, format, tmp_path):
    """A dataset_info.json that gives a shard more rows than the manifest is a DatasetError, not rows made up."""
    directory = kit.copy_golden(f"pairs_{format}", tmp_path)

    def more(content):
        lengths = train_of(content)["shardLengths"]
        lengths[-1] = str(int(lengths[-1]) + change)

    kit.edit_metadata(directory, "dataset_info.json", more)
    with pytest.raises(DatasetError, match=r"dataset_info\.json: says splits"):
        kit.outcome(tfds_builder.builder_from_directory(directory).as_dataset(split="train"))


@kit.both_formats
def test_metadata_of_other_files(format, tmp_path):
    """A dataset_info.json that names files the manifest does not list is a DatasetError that says so."""
    for change in (lambda split: split["shardLengths"].append("1"), lambda split: split.update(filepathTemplate="../{SPLIT}")):
        directory = kit.copy_golden(f"pairs_{format}", tmp_path / str(id(change)))
        kit.edit_metadata(directory, "dataset_info.json", lambda content, change=change: change(train_of(content)))
        with pytest.raises(DatasetError, match=r"dataset_info\.json: says splits"):
            tfds_builder.builder_from_directory(directory).as_dataset(split="train")
