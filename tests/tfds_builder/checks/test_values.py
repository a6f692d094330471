"""What `verify` finds beyond checksums: shards that were published as they are, and are not what the manifest says of them."""

import dataclasses
import json

import consumer_kit as kit
import google_crc32c
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.contract.manifest import RAW, Column, Geometry
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats import hdf5_structure as hdf5
from tfds_builder.formats import tfrecord_example as example
from tfds_builder.formats.tfrecord_records import Checker, frame_header, masked_crc32c
from tfds_builder.table.table import Segment, Table


def reseal(directory, file):
    """Makes the manifest say what the file now is."""
    true = kit.describe(directory, file).to_json()

    def change(content):
        for shard in (shard for split in content["splits"] for shard in split["shards"]):
            for entry in (shard, shard.get("index", shard)):
                if entry["file"] == file:
                    entry.update(true)

    kit.edit_manifest(directory, change)


def problems_of(directory, deep=True):
    return [str(problem) for problem in tfds_builder.verify(directory, deep=deep).problems]


def first_shard(directory):
    return read_lib.read_manifest(directory).splits["train"].shards[0]


def change_record(directory, number, change):
    """Changes the data of one record with `change(bytearray)`, its CRC and the manifest with it."""
    shard = first_shard(directory)
    path, start = directory / shard.data.file, 0
    data = bytearray(path.read_bytes())
    for _ in range(number):
        start += 16 + int.from_bytes(data[start : start + 8], "little")
    end = start + 12 + int.from_bytes(data[start : start + 8], "little")
    record = bytearray(data[start + 12 : end])
    change(record)
    data[start + 12 : end] = record
    data[end : end + 4] = masked_crc32c(google_crc32c.value(bytes(record))).to_bytes(4, "little")
    path.write_bytes(data)
    reseal(directory, path.name)
    assert problems_of(directory, deep=False) == []


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
    ("label", [0x81, 0x81], "label is not of its fixed width"),
    ("label", [0x01, 0x01], "label is not of its fixed width"),
    ("label", [0xAC, 0x02], "label is not one of its 300 classes"),
    ("scalar/uint32", [0xFF, 0xFF, 0xFF, 0xFF, 0x1F], "scalar/uint32 is no uint32"),
])  # fmt: skip
def test_values(column, values, message, row, tmp_path):
    """A value that its dtype does not have, in a record whose CRC is right, is named with its record by the deep check."""
    directory = kit.copy_golden("kinds_tfrecord", tmp_path)
    change_record(directory, row, put(hole(directory, column), *values))
    assert [text.split(": ", 1)[1] for text in problems_of(directory)] == [f"record {row}: {message}"]


@pytest.mark.parametrize("row", [0, 2])
def test_other_features(row, tmp_path):
    """A record that other readers would find other features in is named by the deep check."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    change_record(directory, row, lambda record: record.__setitem__(slice(None), record.replace(b"image", b"imago")))
    assert f"record {row}: " in problems_of(directory)[0]


@pytest.mark.parametrize("change", [
    lambda index: index.__setitem__((1, 1), index[1, 1] + 1), lambda index: index.__setitem__((1, 2), index[1, 2] - 1),
    lambda index: index.__setitem__((1, 0), index[1, 0] + 1), lambda index: index.__setitem__((0, 0), 4),
    lambda index: index.__setitem__((1, 0), -1), lambda index: index.__setitem__((1, 0), 2**62),
    lambda index: index.__setitem__(slice(None), index[::-1].copy()),
])  # fmt: skip
def test_index(change, tmp_path):
    """An index that says a record or a string is elsewhere than a parser finds it is found by the deep check."""
    directory = kit.copy_golden("text_tfrecord", tmp_path)
    shard = first_shard(directory)
    path = directory / shard.index.file
    index = np.frombuffer(path.read_bytes(), "<i8").reshape(shard.rows, -1).copy()
    change(index)
    path.write_bytes(index.tobytes())
    reseal(directory, path.name)
    assert problems_of(directory, deep=False) == []
    assert [text for text in problems_of(directory) if shard.data.file in text]


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
    reseal(directory, path.name)
    manifest = read_lib.read_manifest(directory)
    shard = manifest.splits["train"].shards[0]
    table = Table(directory, manifest, [Segment(shard, 0, shard.rows)])
    for rows in (slice(0, shard.rows), np.arange(shard.rows), np.array([0, shard.rows - 1] * 50)):
        with pytest.raises(DamagedFileError, match=r"outside|overlap"):
            table.read(rows)
    assert problems_of(directory)


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
    shard = first_shard(directory)
    path = directory / shard.data.file
    data = path.read_bytes()
    start = data.index(b"\x89PNG")
    if format == "tfrecord":
        change_record(directory, 0, lambda record: record.__setitem__(slice(None), record.replace(b"\x89PNG", b"\x89XXX")))
    else:
        path.write_bytes(data[:start] + b"\x89XXX" + data[start + 4 :])
        reseal(directory, path.name)
    assert "cannot be decoded" in problems_of(directory)[0]


# --- records ---------------------------------------------------------------------------------------


def frame(data):
    return frame_header(len(data)) + data + masked_crc32c(google_crc32c.value(data)).to_bytes(4, "little")


@hypothesis.given(
    st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 3000).map(bytes)), max_size=12), st.integers(1, 5000), st.booleans()
)
def test_records_in_pieces(records, piece, equal):
    """Records of any lengths, given in pieces of any size, are all counted and none is bad; a changed byte is one bad record."""
    if equal and records:
        records = [records[0]] * len(records)
    data = b"".join(map(frame, records))
    stride = len(frame(records[0])) if equal and records else 0

    def check(data):
        checker, array = Checker(stride), np.frombuffer(data, np.uint8)
        for start in range(0, len(data), piece):
            checker.feed(array[start : start + piece])
        return checker.finish(), checker.problems

    assert check(data) == (len(records), [])
    if data:
        place = len(data) * 2 // 3
        assert len(check(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])[1]) == 1
        assert check(data[:-1])[1] == [f"record {len(records) - 1} (byte {len(data) - len(frame(records[-1]))}): is cut off"]


def test_many_bad_records():
    """The list of bad records ends after a hundred, and says that it does."""
    data = (frame(b"x")[:-1] + b"\0") * 500
    checker = Checker()
    checker.feed(np.frombuffer(data, np.uint8))
    assert len(checker.problems) == 101
    assert "the rest was not looked at" in checker.problems[-1]


@pytest.mark.needs_tensorflow
@hypothesis.given(st.dictionaries(st.text(max_size=5), st.one_of(
    st.lists(st.binary(max_size=200), max_size=3), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.floats(width=32), max_size=3),
), max_size=4))  # fmt: skip
def test_examples_of_tensorflow(values):
    """The reader of Examples finds what TensorFlow put in, where it is."""
    import tensorflow as tf

    message = tf.train.Example()
    for name, items in values.items():
        feature = message.features.feature[name]
        kinds = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        if items:
            kinds[type(items[0])].value.extend(items)
    record = message.SerializeToString()
    found = example.parse(record)
    assert found.keys() == values.keys()
    for name, items in values.items():
        runs = [record[start:end] for start, end in found[name].runs]
        if items and isinstance(items[0], bytes):
            assert (found[name].kind, runs) == (example.BYTES_LIST, items)
        elif items and isinstance(items[0], float):
            assert np.array_equal(np.frombuffer(runs[0], "<f4"), np.float32(items), equal_nan=True)


# --- HDF5 ------------------------------------------------------------------------------------------


@pytest.fixture
def shard(tmp_path):
    """`shard(fill)`: an HDF5 1.8 file with one column `a`, int32 of shape (6, 2), after `fill(file)`; checks it, as a manifest
    that describes `a` where it lies."""
    h5py = pytest.importorskip("h5py")
    column = Column(name="a", dtype="int32", shape=(2,), encoding=RAW, width=8)

    def check(fill=lambda file: None, offset=None, **changes):
        with h5py.File(tmp_path / "x.h5", "w", libver=("v108", "v108")) as file:
            fill(file)
            if "a" not in file:
                file.create_dataset("a", data=np.arange(12, dtype="<i4").reshape(6, 2))
            place = file["a"].id.get_offset() if isinstance(file.get("a"), h5py.Dataset) else 0
        geometry = Geometry(offsets=((place or 0) if offset is None else offset,), strides=(8,), row_splits=(0,))
        with open(tmp_path / "x.h5", "rb") as stream:
            hdf5.check_structure(stream, [dataclasses.replace(column, **changes)], geometry, 6)

    return check


GOOD = {
    "plain": lambda file: None,
    "attributes": lambda file: file.attrs.update({f"attribute{i}": "x" * 500 for i in range(40)}),
    "an empty group": lambda file: file.create_group("empty"),
}
BAD = {
    "chunked": (lambda f: f.create_dataset("a", (6, 2), "<i4", chunks=(2, 2)), "not one run"),
    "compressed": (lambda f: f.create_dataset("a", (6, 2), "<i4", compression="gzip"), "filtered"),
    "big-endian": (lambda f: f.create_dataset("a", (6, 2), ">i4"), "not of dtype"),
    "unsigned": (lambda f: f.create_dataset("a", (6, 2), "<u4"), "not of dtype"),
    "float": (lambda f: f.create_dataset("a", (6, 2), "<f4"), "not of dtype"),
    "wider": (lambda f: f.create_dataset("a", (6, 2), "<i8"), "not of dtype"),
    "other rows": (lambda f: f.create_dataset("a", (7, 2), "<i4"), "shape"),
    "scalar": (lambda f: f.create_dataset("a", (), "<i4"), "shape"),
    "external": (lambda f: f.create_dataset("a", (6, 2), "<i4", external=[("/etc/passwd", 0, 48)]), "another file"),
    "soft link": (lambda f: f.__setitem__("b", soft_link("/a")), "not to an object"),
    "external link": (lambda f: f.__setitem__("b", external_link("/etc/passwd", "/")), "not to an object"),
    "another dataset": (lambda f: f.create_dataset("b", (6, 2), "<i4"), "no column"),
    "a circle": (lambda f: f.create_group("g").__setitem__("again", f["/"]), "inside itself"),
    "many": (lambda f: [f.create_dataset(f"b{i}", (1,), "<i4") for i in range(100)], "no column"),
}


def soft_link(path):
    import h5py

    return h5py.SoftLink(path)


def external_link(file, path):
    import h5py

    return h5py.ExternalLink(file, path)


@pytest.mark.parametrize("case", GOOD)
def test_good_hdf5(case, shard):
    """A file with the column where the manifest has it is good, whatever attributes it has."""
    shard(GOOD[case])


@pytest.mark.parametrize("case", BAD)
def test_bad_hdf5(case, shard):
    """A dataset that h5py would read differently, or a way out of the file, is found without h5py."""
    fill, message = BAD[case]
    with pytest.raises(DamagedFileError, match=message):
        shard(fill)


@pytest.mark.parametrize(("changes", "message"), [
    ({"name": "b"}, "no dataset 'b'|that is no column"), ({"dtype": "float32"}, "not of dtype"), ({"offset": 0}, "from 0 on"),
    ({"shape": (1, 2)}, "shape"),
])  # fmt: skip
def test_other_manifest(changes, message, shard):
    """A manifest that says anything else of a good file is found."""
    with pytest.raises(DamagedFileError, match=message):
        shard(**changes)


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
    assert len(problems_of(directory, deep=False)) == 3  # one a shard


def test_command(tmp_path, monkeypatch, capsys):
    """`torch2tfds verify --deep` finds what only decoding finds, and says so in JSON too."""
    cli = pytest.importorskip("exporters.cli")
    directory = kit.copy_golden("kinds_tfrecord", tmp_path)
    change_record(directory, 1, put(hole(directory, "scalar/bool"), 7))
    for options, code in (((), 0), (("--deep",), 1), (("--deep", "--json"), 1)):
        monkeypatch.setattr("sys.argv", ["torch2tfds", "verify", str(directory), *options])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == code
    printed = capsys.readouterr().out
    assert "record 1: scalar/bool is neither true nor false" in printed
    assert json.loads(printed[printed.index("{") :])["deep"] is True
