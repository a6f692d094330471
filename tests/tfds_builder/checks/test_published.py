"""`tfds_builder.verify`: a published directory is what was published, or the file that is not is named."""

import json
import shutil

import consumer_kit as kit
import google_crc32c
import numpy as np
import pytest

import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import DatasetError, MissingFileError
from tfds_builder.formats.tfrecord_records import masked_crc32c

FILES = [
    (name, path.name)
    for name in kit.make.names()
    if not name.startswith("coded")
    for path in sorted((kit.GOLDEN / name / "1.0.0").iterdir())
    if "-train" not in path.name or "-00000-of" in path.name
]
"""Every kind of file of every golden dataset: metadata, manifest, and shards and indexes of each split."""
every_file = pytest.mark.parametrize(("name", "file"), FILES, ids=lambda value: value)


def problems_of(directory):
    report = tfds_builder.verify(directory)
    return {(problem.file, problem.message) for problem in report.problems}


def named(directory):
    return {file for file, _ in problems_of(directory)}


@kit.every_golden
def test_whole(name, tmp_path):
    """A published dataset has no problems, every file and record of it was looked at, and it is left as it was."""
    directory = kit.copy_golden(name, tmp_path)
    before = {path: path.read_bytes() for path in directory.rglob("*")}
    seen = []
    report = tfds_builder.verify(directory, seen.append)
    assert report.problems == []
    assert report.files == len(list(directory.iterdir()))
    assert report.path == str(directory)
    assert report.bytes == sum(seen) == sum(len(data) for path, data in before.items() if path.name != "manifest.json")
    rows = sum(kit.make.DATASETS[name.partition("_")[0]]["rows"].values())
    assert report.examples == rows
    assert {path: path.read_bytes() for path in directory.rglob("*")} == before


@every_file
def test_bit_flips(name, file, tmp_path):
    """One flipped bit, anywhere in any file, is found and the file named."""
    path = kit.copy_golden(name, tmp_path) / file
    whole, random = path.read_bytes(), np.random.RandomState(len(file))
    for position in {0, len(whole) - 1, *random.randint(0, len(whole), 12).tolist()}:
        bit = 1 << random.randint(8)
        path.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
        assert file in named(path.parent), (position, bit)
    path.write_bytes(whole)
    assert named(path.parent) == set()


@every_file
def test_length(name, file, tmp_path):
    """A file that is cut off, emptied or has bytes after its end is found and named."""
    path = kit.copy_golden(name, tmp_path) / file
    whole = path.read_bytes()
    for data in (whole[:-1], whole[: len(whole) // 2], b"", whole + b"\0"):
        path.write_bytes(data)
        assert file in named(path.parent)


@every_file
def test_missing(name, file, tmp_path):
    """A missing file, the manifest included, is found and named."""
    path = kit.copy_golden(name, tmp_path) / file
    path.unlink()
    assert named(path.parent) == {file}


def test_no_directory(tmp_path):
    """A path that is no directory is a MissingFileError that names it."""
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "absent"):
        with pytest.raises(MissingFileError, match=path.name):
            tfds_builder.verify(path)


@pytest.mark.parametrize("kind", ["directory", "broken link", "swapped"])
@kit.both_formats
def test_other_than_a_file(kind, format, tmp_path):
    """A directory or a broken link in a file's place, and two shards that changed places, are found and named."""
    directory = kit.copy_golden(f"pairs_{format}", tmp_path)
    first, second = (directory / shard.data.file for shard in read_lib.read_manifest(directory).splits["train"].shards[:2])
    if kind == "swapped":
        first.rename(tmp_path / "aside")
        second.rename(first)
        (tmp_path / "aside").rename(second)
        assert named(directory) == {first.name, second.name}
        return
    first.unlink()
    if kind == "directory":
        first.mkdir()
    else:
        first.symlink_to(tmp_path / "nowhere")
    assert named(directory) == {first.name}


@pytest.mark.parametrize("extra", ["notes.txt", ".hidden", "plan.json", "pairs_hdf5.md", "other-train-00003-of-00004.h5"])
def test_extra_file(extra, tmp_path):
    """A file that was not published and that nobody takes for part of the dataset is no problem, and is not read."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    (directory / extra).write_text("x")
    assert problems_of(directory) == set()
    assert len(kit.outcome(tfds_builder.builder_from_directory(directory).as_dataset(split="train"))[2]) == 53


@kit.both_formats
@pytest.mark.parametrize(
    "extra", ["{}-train-00003-of-00003.h5", "{}-train.tfrecord-00000-of-00001", "{}-more.index-00000-of-00001"]
)
def test_stray_shard(extra, format, tmp_path):
    """A file that is named like a shard and was not published is named; reads go on without it."""
    directory = kit.copy_golden(f"pairs_{format}", tmp_path)
    name = extra.format(f"pairs_{format}")
    (directory / name).write_text("x")
    assert named(directory) == {name}
    assert len(kit.outcome(tfds_builder.builder_from_directory(directory).as_dataset(split="train"))[2]) == 53


@pytest.mark.parametrize("extra", ["features.json", "image.labels.txt", "metadata.json"])
def test_stray_metadata(extra, tmp_path):
    """A file that was not published and that TFDS would read by its name is named, and the version is not loaded with it."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    (directory / extra).write_text("{}")
    assert named(directory) == {extra}
    with pytest.raises(DatasetError, match=extra):
        tfds_builder.builder_from_directory(directory)


def test_extra_features_json(tmp_path):
    """A features.json in an HDF5 version, with which stock TFDS would read it as TFRecord, is found and named."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    shutil.copy(kit.GOLDEN / "pairs_tfrecord" / "1.0.0" / "features.json", directory)
    assert named(directory) == {"features.json"}


def test_moved_directory(tmp_path):
    """A version moved under another name or version is found: the manifest says what it is, and where it lies."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    for place in (tmp_path / "other" / "1.0.0", tmp_path / "pairs_tfrecord" / "2.0.0"):
        shutil.copytree(directory, place)
        assert {file for file, text in problems_of(place) if place.parent.name in text and place.name in text} == {
            "manifest.json"
        }
    assert problems_of(directory) == set()


def test_relative_path(tmp_path, monkeypatch):
    """A relative path, `.` included, is checked as the absolute one."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    monkeypatch.chdir(directory)
    assert named(".") == set()
    monkeypatch.chdir(directory.parent)
    assert named("1.0.0") == named("./1.0.0/") == set()


@pytest.mark.parametrize("name", ["pairs_tfrecord", "kinds_tfrecord", "text_tfrecord"])
def test_record_number(name, tmp_path):
    """A damaged record is named by its number, and whether its length or its data is wrong; those after it are still checked."""
    directory = kit.copy_golden(name, tmp_path)
    shard = read_lib.read_manifest(directory).splits["train"].shards[0]
    path = directory / shard.data.file
    whole, starts, position = path.read_bytes(), [], 0
    while position < len(whole):
        starts.append(position)
        position += 16 + int.from_bytes(whole[position : position + 8], "little")
    assert len(starts) == shard.rows

    def check(*damaged):
        data = bytearray(whole)
        for at in damaged:
            data[at] ^= 0x10
        path.write_bytes(data)
        return [text for _, text in sorted(problems_of(directory)) if text.startswith("record")]

    assert check(starts[1] + 20) == [f"record 1 (byte {starts[1]}): the CRC of its data is wrong"]
    assert check(starts[2] - 1) == [f"record 1 (byte {starts[1]}): the CRC of its data is wrong"]
    assert check(starts[0] + 15, starts[2] + 15) == [
        f"record {n} (byte {starts[n]}): the CRC of its data is wrong" for n in (0, 2)
    ]
    assert check(starts[2] + 1) == [f"record 2 (byte {starts[2]}): the CRC of its length is wrong"]
    assert check(starts[2] + 9) == [f"record 2 (byte {starts[2]}): the CRC of its length is wrong"]


def test_records_by_themselves(tmp_path):
    """Records are checked on their own: one dropped or cut off is found even where size and SHA-256 were made to agree."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    file = read_lib.read_manifest(directory).splits["train"].shards[0].data.file
    whole = (directory / file).read_bytes()
    record = len(whole) // 21
    for data, expected in (
        (whole[record:] + bytes(record), "the CRC of its length is wrong"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "record 20"),
        (whole + whole[:record], "has 22 records, the manifest says 21"),
        (whole + whole[: record - 1], "record 21"),
    ):
        (directory / file).write_bytes(data)
        true = kit.describe(directory, file).to_json()
        kit.edit_manifest(directory, lambda c, true=true: c["splits"][0]["shards"][0].update(true))
        found = [text for name, text in problems_of(directory) if name == file]
        assert any(expected in text for text in found), found


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"format_version": 2}', b"{" * 100_000])
def test_damaged_manifest(text, tmp_path):
    """A manifest that cannot be read is one problem that names it, and no exception."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    (directory / "manifest.json").write_bytes(text)
    assert named(directory) == {"manifest.json"}
    assert len(tfds_builder.verify(directory).problems) == 1


@pytest.mark.parametrize("change", [
    lambda c: c["geometries"][0]["offsets"].reverse(), lambda c: c["columns"][0].update(shape=[3, 5, 4]),
    lambda c: c["columns"][0].update(dtype="int8"), lambda c: c["labels"]["label"].reverse(),
    lambda c: c["splits"][0]["shards"].reverse(), lambda c: c["card"].update(license="none"),
], ids=["offsets", "shape", "dtype", "labels", "order", "card"])  # fmt: skip
def test_altered_manifest(change, tmp_path):
    """A manifest that is consistent with itself but no longer what was published, so that reads give other values, is found."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    text = (directory / "manifest.json").read_bytes()
    content = json.loads(text)
    change(content)
    (directory / "manifest.json").write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert "manifest.json" in named(directory)


def test_masking():
    """The masked CRC-32C is TensorFlow's: of eight zero bytes, as a TFRecord of length 0 begins, and of RFC 3720's examples."""
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    for data in (bytes(8), b"\xff" * 32, bytes(range(32))):
        crc = google_crc32c.value(data)
        rotated = (crc >> 15 | crc << 17) % 2**32
        assert masked_crc32c(crc) == (rotated + 0xA282EAD8) % 2**32
    header = (kit.GOLDEN / "pairs_tfrecord" / "1.0.0" / "pairs_tfrecord-few.tfrecord-00000-of-00001").read_bytes()[:12]
    import tensorflow as tf

    assert list(
        tf.data.TFRecordDataset(str(kit.GOLDEN / "pairs_tfrecord" / "1.0.0" / "pairs_tfrecord-few.tfrecord-00000-of-00001"))
    )
    assert int.from_bytes(header[8:], "little") == masked_crc32c(google_crc32c.value(header[:8]))
