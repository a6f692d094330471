"""What `verify` finds beyond checksums: shards that were published as they are, and are not what the manifest says of them."""

import json

import consumer_kit as kit
import numpy as np
import pytest

from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import DamagedFileError
from tfds_builder.table.table import Segment, Table


def put(place, *values):
    return lambda record: record.__setitem__(slice(place, place + len(values)), bytes(values))


def hole(directory, name):
    """Where in a record's data a column begins."""
    manifest = read_lib.read_manifest(directory)
    number = [column.name for column in manifest.columns].index(name)
    return manifest.geometries[0].offsets[number] - 12


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize(("column", "values", "message"), [
    ("scalar/bool", [2], "scalar/bool is neither true nor false"),
    ("label", [0x81, 0x81], "label has an integer that does not end at its last byte"),
    ("label", [0x01, 0x01], "label has an integer that does not end at its last byte"),
    ("label", [0xAC, 0x02], "label is not one of its 300 classes"),
    ("scalar/uint32", [0xFF, 0xFF, 0xFF, 0xFF, 0x1F], "scalar/uint32 has a value that uint32 cannot hold"),
])  # fmt: skip
def test_values(column, values, message, row, tmp_path):
    """A value that its dtype does not have, in a record whose CRC is right, is named with its record by the deep check."""
    directory = kit.copy_golden("kinds_tfrecord", tmp_path)
    kit.change_record(directory, row, put(hole(directory, column), *values))
    assert [text.split(": ", 1)[1] for text in kit.problems_of(directory)] == [f"record {row}: {message}"]


@pytest.mark.parametrize("format", kit.FORMATS)
def test_strings_over_each_other(format, tmp_path):
    """Strings that lie over each other, which would make much memory out of a small file, are an error and not read."""
    directory = kit.copy_golden(f"text_{format}", tmp_path)
    manifest = read_lib.read_manifest(directory)
    shard = manifest.splits["train"].shards[0]
    path = directory / (shard.index or shard.data).file
    data = bytearray(path.read_bytes())
    if format == "tfrecord":
        index = np.frombuffer(data, "<i8").reshape(shard.rows, -1)
        index[:, 1::2], index[:, 2::2] = 0, shard.data.bytes
    else:
        number = next(i for i, column in enumerate(manifest.columns) if column.encoding == "strings")
        geometry = manifest.geometries[shard.geometry]
        length = shard.data.bytes - geometry.offsets[number]
        splits = np.frombuffer(data, "<i8", shard.rows + 1, geometry.row_splits[number])
        splits[:] = [length, *[0, length] * 99][: shard.rows + 1]
    path.write_bytes(data)
    kit.reseal(directory, path.name)
    manifest = read_lib.read_manifest(directory)
    shard = manifest.splits["train"].shards[0]
    table = Table(directory, manifest, [Segment(shard, 0, shard.rows)])
    for rows in (slice(0, shard.rows), np.arange(shard.rows), np.array([0, shard.rows - 1] * 50)):
        with pytest.raises(DamagedFileError, match=r"outside|overlap"):
            table.read(rows)
    assert kit.problems_of(directory)


def test_rows_asked_for_often(tmp_path):
    """The same rows asked for again and again are more bytes than the file has, and no error."""
    directory = kit.copy_golden("text_tfrecord", tmp_path)
    table = Table.of_split(directory, "train")
    assert len(table.read(np.array([0, 1, 2] * 1000))["caption"]) == 3000


@pytest.mark.needs_tensorflow
@kit.both_formats
def test_encoded(format, tmp_path):
    """An image that TFDS cannot decode is named by the deep check."""
    directory = kit.copy_golden(f"coded_{format}", tmp_path)
    shard = kit.first_shard(directory)
    path = directory / shard.data.file
    data = path.read_bytes()
    start = data.index(b"\x89PNG")
    if format == "tfrecord":
        kit.change_record(directory, 0, lambda record: record.__setitem__(slice(None), record.replace(b"\x89PNG", b"\x89XXX")))
    else:
        path.write_bytes(data[:start] + b"\x89XXX" + data[start + 4 :])
        kit.reseal(directory, path.name)
    assert "cannot be decoded" in kit.problems_of(directory)[0]


# --- records ---------------------------------------------------------------------------------------


def test_columns_change_places(tmp_path):
    """A manifest whose byte table has two columns of one size the other way round, and does not contradict itself, is found."""
    directory = kit.copy_golden("kinds_hdf5", tmp_path)

    def swap(content):
        names = [column["name"] for column in content["columns"]]
        one, two = names.index("scalar/int64"), names.index("scalar/uint64")
        for geometry in content["geometries"]:
            places = geometry["offsets"]
            places[one], places[two] = places[two], places[one]

    kit.edit_manifest(directory, swap)
    assert len(kit.problems_of(directory, deep=False)) == 3  # one a shard


def test_command(tmp_path, monkeypatch, capsys):
    """`torch2tfds verify --deep` finds what only decoding finds, and says so in JSON too."""
    cli = pytest.importorskip("exporters.cli")
    directory = kit.copy_golden("kinds_tfrecord", tmp_path)
    kit.change_record(directory, 1, put(hole(directory, "scalar/bool"), 7))
    for options, code in (((), 0), (("--deep",), 1), (("--deep", "--json"), 1)):
        monkeypatch.setattr("sys.argv", ["torch2tfds", "verify", str(directory), *options])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == code
    printed = capsys.readouterr().out
    assert "record 1: scalar/bool is neither true nor false" in printed
    assert json.loads(printed[printed.index("{") :])["deep"] is True
