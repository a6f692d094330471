"""Helpers of the consumer's tests: golden copies, datasets published without PyTorch, comparison bit for bit."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import struct
from textwrap import dedent

import numpy as np
import pytest

from tfds_builder import formats
from tfds_builder.catalog import read as read_lib
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.manifest import RAW, Column, File, Geometry, Manifest, Shard, Split
from tfds_builder.errors import ManifestError

TESTS = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = TESTS / "golden"
_spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)
ATTACKS = (
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</style><script>alert(1)</script>",
    "]]><svg onload=alert(1)>", "{{ 7 * 7 }}{% raise %}", "\u202eevil\x1b[2J\x00\x0b", "javascript:alert(1)",
)  # fmt: skip
ATTACK = " ".join(ATTACKS)
"""Texts that a page must show as texts."""
FORMATS = make.FORMATS
__all__ = ["FORMATS", "GOLDEN", "TESTS", "dedent", "make"]
both_formats = pytest.mark.parametrize("format", FORMATS)
every_golden = pytest.mark.parametrize("name", make.names())


def copy_golden(name, data_dir):
    """Copies a golden dataset under `data_dir`; returns its version directory."""
    shutil.copytree(GOLDEN / name, data_dir / name, ignore=shutil.ignore_patterns("__pycache__"))
    return data_dir / name / "1.0.0"


def write_table(data_dir, name, splits, *, version="1.0.0", rows_per_shard=1000, **manifest_fields):
    """Publishes NumPy columns (split -> column -> array) as raw columns, with what `tfds_builder` alone offers."""
    import tensorflow_datasets as tfds

    from tfds_builder.catalog.builder_module import generate
    from tfds_builder.features.feature_json import features_to_json
    from tfds_builder.features.info import write_metadata

    directory = data_dir / name / manifest_fields.get("config_name", "") / version
    directory.mkdir(parents=True)
    columns = {key: np.ascontiguousarray(value) for key, value in next(iter(splits.values())).items()}
    features = {k: tfds.features.Tensor(shape=v.shape[1:], dtype=v.dtype, encoding="bytes") for k, v in columns.items()}
    geometries, written = [], {}
    for split, values in splits.items():
        total, shards = len(next(iter(values.values()))), []
        count = -(-total // rows_per_shard)
        for number in range(count):
            parts = [np.ascontiguousarray(v[number * rows_per_shard :][:rows_per_shard]) for v in values.values()]
            ends = np.cumsum([part.nbytes for part in parts]).tolist()
            widths = tuple(part[0].nbytes for part in parts)
            geometry = Geometry(offsets=(0, *ends[:-1]), strides=widths, row_splits=(0,) * len(parts))
            if geometry not in geometries:
                geometries.append(geometry)
            file = formats.find("hdf5").file_name(name, split, number, count)
            data = b"".join(part.tobytes() for part in parts)
            (directory / file).write_bytes(data)
            shards.append(Shard(data=describe(directory, file), rows=len(parts[0]), geometry=geometries.index(geometry)))
        written[split] = Split(shards=tuple(shards))
    manifest = Manifest(
        name=name, version=version, format="hdf5",
        features=features_to_json(tfds.features.FeaturesDict(features)),
        columns=tuple(
            Column(name=k, dtype=v.dtype.name, shape=v.shape[1:], encoding=RAW, width=v[0].nbytes) for k, v in columns.items()
        ),
        geometries=tuple(geometries), splits=written,
        **{"supervised_keys": None, "card": {}, "labels": {}, "decisions": (), "producer": "test", **manifest_fields},
    )  # fmt: skip
    files = tuple(describe(directory, file) for file in write_metadata(manifest, directory))
    (directory / manifest_lib.FILENAME).write_bytes(dataclasses.replace(manifest, metadata=files).to_json())
    generate(directory)
    return directory


def describe(directory, file):
    """A file as the manifest lists it."""
    data = (directory / file).read_bytes()
    return File(file=file, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def numbers(rows, start=0):
    """Columns that say which row they are of: a scalar, and a matrix."""
    row = np.arange(start, start + rows)
    return {"row": row, "grid": (row[:, None, None] * 7 + np.arange(6).reshape(2, 3)).astype(np.float32)}


def seal(content):
    """A manifest's JSON, whatever it holds, as bytes that carry their own SHA-256 as a manifest does."""
    return seal_text(json.dumps({key: value for key, value in content.items() if key != "manifest_sha256"}))


HEAD_BYTES = len('{"manifest_sha256": "') + 64 + len('",')
"""A manifest's checksum of itself; what follows is what it is the checksum of, less a brace."""


def seal_text(text, start=b""):
    """The same for JSON as text or bytes, right or wrong, that begins with a brace."""
    body = (start + (text.encode() if isinstance(text, str) else text))[1:]
    return b'{"manifest_sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'",' + body


def golden_json(name):
    """The manifest of a golden dataset, as JSON without its seal, to be changed."""
    content = json.loads((GOLDEN / name / "1.0.0" / "manifest.json").read_bytes())
    del content["manifest_sha256"]
    return content


def parse(content):
    """What reads a manifest, of JSON that is sealed here."""
    return read_lib.parse_manifest(seal(content))


def refusal_of(change, name="pairs_tfrecord"):
    """What a reader says of a golden manifest after `change(content)`."""
    content = golden_json(name)
    change(content)
    with pytest.raises(ManifestError) as caught:
        parse(content)
    return str(caught.value)


def edit_manifest(directory, change):
    """Rewrites the manifest of a version after `change(content)`, as if it had been published like that."""
    path = directory / manifest_lib.FILENAME
    content = json.loads(path.read_bytes())
    change(content)
    path.write_bytes(seal(content))


def edit_metadata(directory, file, change):
    """Rewrites a JSON file of TFDS's metadata after `change(content)`, as if it had been published like that."""
    content = json.loads((directory / file).read_bytes())
    change(content)
    (directory / file).write_text(json.dumps(content), encoding="utf-8")
    true = describe(directory, file).to_json()
    edit_manifest(directory, lambda manifest: next(f for f in manifest["metadata"] if f["file"] == file).update(true))


def bits(value):
    """A value as something that compares bit for bit: dtype, shape and bytes, of every leaf of a structure."""
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [bits(item) for item in value]
    if isinstance(value, bytes):
        return ("object", (), [value])
    array = np.asarray(value)
    return (array.dtype.name, array.shape, array.ravel().tolist() if array.dtype == object else array.tobytes())


def nested(columns):
    """Flat columns (`{"a/b": ...}`) as the nested dict TFDS yields."""
    from tfds_builder.features.names import nest

    return nest(columns)


def examples(columns, rows=None):
    """The bits of each example of flat columns, in order, or of the given rows."""
    rows = range(len(next(iter(columns.values())))) if rows is None else rows
    return [bits(nested({name: values[row] for name, values in columns.items()})) for row in rows]


def outcome(value):
    """Everything that can be compared of what `as_dataset` returned: spec, cardinality and every element."""
    import tensorflow as tf

    if isinstance(value, tf.data.Dataset):
        return (value.element_spec, int(value.cardinality()), [bits(element) for element in value.as_numpy_iterator()])
    if isinstance(value, dict):
        return {key: outcome(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [outcome(item) for item in value]
    return bits(value.numpy())


def records(path):
    """The data of each record of a TFRecord file."""
    data, start = path.read_bytes(), 0
    while start < len(data):
        (size,) = struct.unpack_from("<Q", data, start)
        yield data[start + 12 : start + 12 + size]
        start += size + 16


def copy_to_array_record(directory, target):
    """Copies a TFRecord version to `target` as one of ArrayRecord, which stock TFDS reads at random; returns `target`."""
    writer_module = pytest.importorskip("array_record.python.array_record_module")
    target.mkdir(parents=True)
    for path in directory.iterdir():
        if ".tfrecord-" in path.name:
            out = target / path.name.replace(".tfrecord-", ".array_record-")
            writer = writer_module.ArrayRecordWriter(str(out), "group_size:1")
            for record in records(path):
                writer.write(record)
            writer.close()
        elif path.name != manifest_lib.FILENAME and ".index-" not in path.name:
            shutil.copy(path, target)
    info = json.loads((target / "dataset_info.json").read_bytes())
    info["fileFormat"] = "array_record"
    for split in info["splits"]:
        split["filepathTemplate"] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    (target / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    return target


def typed(value):
    """`bits` of a value together with the Python types of its leaves, and the order of its features."""
    if isinstance(value, dict):
        return [(key, typed(item)) for key, item in value.items()]
    return type(value).__name__, bits(value)


def row_numbers(examples):
    return [int(example["row"]) for example in examples]


def read_in_worker(source, keys):
    """Row numbers of a source's examples; checks every value of them. Here, because a spawned process must find it by import."""
    examples = source.__getitems__(keys)
    assert all(np.all(example["wide"] == example["row"]) for example in examples)
    return row_numbers(examples)


def reseal(directory, file):
    """Makes the manifest say what the file now is."""
    true = describe(directory, file).to_json()

    def change(content):
        for shard in (shard for split in content["splits"] for shard in split["shards"]):
            for entry in (shard, shard.get("index", shard)):
                if entry["file"] == file:
                    entry.update(true)

    edit_manifest(directory, change)


def problems_of(directory, deep=True):
    """What `verify` finds in a version, as text."""
    import tfds_builder

    return [str(problem) for problem in tfds_builder.verify(directory, deep=deep).problems]


def first_shard(directory):
    """The first shard of the train split, as the manifest has it."""
    from tfds_builder.catalog import read as read_lib

    return read_lib.read_manifest(directory).splits["train"].shards[0]


def change_record(directory, number, change):
    """Changes the data of one record with `change(bytearray)`, its CRC and the manifest with it."""
    import google_crc32c

    from tfds_builder.formats.tfrecord_records import masked_crc32c

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


def in_fork(work):
    """Calls `work` in a forked child, which has ten seconds; whether it returned true there."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        os._exit(0 if work() else 1)
    return os.waitpid(child, 0)[1] == 0


def first_row(name, **options):
    """The number in the first row of a split that `tfds.load` gives."""
    import tensorflow_datasets as tfds

    return int(next(iter(tfds.load(name, split="train", **options).as_numpy_iterator()))["row"])


def write_catalog(root):
    """Two datasets, one of them in three versions, whose rows begin at another number each."""
    for number, (name, version) in enumerate([("alpha", "1.0.0"), ("beta", "1.0.0"), ("beta", "1.2.0"), ("beta", "1.10.0")]):
        write_table(root, name, {"train": numbers(4, 10 * number)}, version=version)
    return root
