"""The bytes of both formats, against parsers that are not ours: protobuf, h5py, a CRC written out here."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from exporters.formats import tfrecord

ClassLabel = tfds.features.ClassLabel


def only_shard(result):
    """The one data file of an export."""
    (path,) = [p for p in pathlib.Path(result.path).iterdir() if ".tfrecord-" in p.name or p.suffix == ".h5"]
    return path


def crc32c(data):
    """CRC-32C bit by bit (Castagnoli, reflected: 0x82F63B78), masked as TFRecord masks it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path):
    """The records of a TFRecord file, every CRC checked."""
    stream, records = io.BytesIO(path.read_bytes()), []
    while header := stream.read(12):
        assert int.from_bytes(header[8:], "little") == crc32c(header[:8])
        data = stream.read(int.from_bytes(header[:8], "little"))
        assert int.from_bytes(stream.read(4), "little") == crc32c(data)
        records.append(data)
    return records


def parse(record):
    """A record through protobuf: feature name -> the list it holds."""
    example = tf_example_pb2.Example.FromString(record)
    lists = {name: getattr(f, f.WhichOneof("kind")).value for name, f in example.features.feature.items()}
    return {name: list(values) for name, values in lists.items()}


GOLDEN = """
    1c 00 00 00 00 00 00 00  c8 c1 95 1d
    0a 1a
       0a 0b  0a 01 78  12 06 0a 04 0a 02  07 ff
       0a 0b  0a 01 79  12 06 1a 04 0a 02  81 01
    ac c4 a6 cc
    1c 00 00 00 00 00 00 00  c8 c1 95 1d
    0a 1a
       0a 0b  0a 01 78  12 06 0a 04 0a 02  00 09
       0a 0b  0a 01 79  12 06 1a 04 0a 02  85 00
    0a 69 1e 2b
"""


def test_tfrecord_golden_bytes(publish, loader_of):
    """Two rows of uint8 (2,) and a label of 200 classes are these bytes: the small label is padded to two bytes."""
    batch = {"x": torch.tensor([[7, 255], [0, 9]], dtype=torch.uint8), "y": torch.tensor([129, 5])}
    result = publish(loader_of(batch), features={"y": ClassLabel(num_classes=200)})
    assert only_shard(result).read_bytes() == bytes.fromhex(GOLDEN)


GOLDEN_STRINGS = """
    52 00 00 00 00 00 00 00  25 eb 07 b7
    0a cc 80 80 80 00
       0a 0b  0a 01 78  12 06 0a 04 0a 02  01 02
       0a 98 80 80 80 00  0a 01 73  12 8f 80 80 80 00  0a 89 80 80 80 00  0a 83 80 80 80 00  68 c3 a9
       0a 9b 80 80 80 00  0a 01 74  12 92 80 80 80 00  0a 8c 80 80 80 00  0a 80 80 80 80 00  0a 80 80 80 80 00
    06 a8 ec 58
"""


def test_tfrecord_golden_bytes_with_strings(publish, loader_of):
    """A record with strings has the fixed feature first and five-byte lengths, and its index says where they lie."""
    batch = {"s": ["hé"], "t": np.array([["", ""]], object), "x": torch.tensor([[1, 2]], dtype=torch.uint8)}
    result = publish(loader_of(batch))
    assert only_shard(result).read_bytes() == bytes.fromhex(GOLDEN_STRINGS)
    (index,) = pathlib.Path(result.path).glob("*.index-*")
    assert np.frombuffer(index.read_bytes(), "<i8").tolist() == [0, 58, 3, 88, 0, 94, 0]


def test_records_have_valid_crcs_and_one_length(publish, loader_of):
    """Every CRC is right, over several batches, and all records of fixed-size features have the same length."""
    batches = [{"x": torch.randint(0, 255, (n, 5), dtype=torch.uint8), "y": torch.arange(n)} for n in (1, 7, 4)]
    records = read_records(only_shard(publish(loader_of(*batches), features={"y": ClassLabel(num_classes=20000)})))
    assert len(records) == 12
    assert len({len(record) for record in records}) == 1
    assert [parse(record)["y"] for record in records] == [[n] for size in (1, 7, 4) for n in range(size)]


@given(st.integers(0, 2**64 - 1), st.integers(0, 10))
def test_padded_varints(value, width):
    """A varint is as wide as asked, or as it must be, and protobuf reads the value back."""
    data = tfrecord.varint(value, width)
    assert len(data) == max(width, 1, -(-value.bit_length() // 7))
    packed = bytes([0x0A, len(data)]) + data
    (found,) = tf_feature_pb2.Int64List.FromString(packed).value
    assert found % 2**64 == value


INTEGERS = {
    "uint32": np.array([[0, 1], [2**32 - 1, 2**31]], np.uint32),
    "uint64": np.array([[0, 2**63], [2**64 - 1, 127]], np.uint64),
    "int8": np.array([[-128, 127], [0, -1]], np.int8),
    "uint8": np.array([[127, 128], [0, 255]], np.uint8),
    "uint16": np.array([[2**14 - 1, 2**14], [0, 2**16 - 1]], np.uint16),
    "int64": np.array([[-(2**63), 2**63 - 1], [0, -1]], np.int64),
    "bool": np.array([[True, False], [False, False]]),
    "class label": np.array([0, 2**31 - 1], np.int32),
    "class label, one byte": np.array([0, 127], np.int64),
    "class label, two bytes": np.array([0, 128], np.int64),
}


@pytest.mark.parametrize("case", INTEGERS)
def test_integers_as_protobuf_reads_them(case, publish, loader_of):
    """Integers at the ends of their range and of each varint width are what protobuf finds in an int64_list."""
    values = INTEGERS[case]
    plain = tfds.features.Tensor(shape=(2,), dtype=values.dtype)
    feature = ClassLabel(num_classes=int(values.max()) + 1) if values.ndim == 1 else plain
    records = read_records(only_shard(publish(loader_of({"x": values}), features={"x": feature})))
    found = [[number % 2**64 for number in parse(record)["x"]] for record in records]
    assert found == [[int(number) % 2**64 for number in np.atleast_1d(row)] for row in values]


def test_values_as_protobuf_reads_them(publish, loader_of):
    """Floats, complex numbers, bfloat16, nothing at all and strings are what protobuf finds under their flat names."""
    batch = {
        "f": torch.tensor([[1.5, float("nan")], [-0.0, 5e-324]], dtype=torch.float64),
        "n": {"b": torch.tensor([1.0, -2.0], dtype=torch.bfloat16), "z": torch.tensor([1 + 2j, 3j])},
        "none": torch.empty(2, 0, 3),
        "no_ints": np.empty((2, 0), np.uint32),
        "t": np.array([["a", "é"], ["", "x" * 200]], object),
        "l": torch.tensor([[0.1], [3e-45]]),
    }
    features = {"l": tfds.features.Tensor(shape=(1,), dtype=np.float32)}
    result = publish(loader_of(batch), features=features, on_hazard={"not_finite": "ignore"})
    first, second = map(parse, read_records(only_shard(result)))
    assert first["f"] == [batch["f"][0].numpy().tobytes()]
    assert second["f"] == [batch["f"][1].numpy().tobytes()]
    assert (first["n/b"], second["n/b"]) == ([b"\x80\x3f"], [b"\x00\xc0"])
    assert first["n/z"] == [np.complex64(1 + 2j).tobytes()]
    assert first["none"] == [b""]
    assert first["no_ints"] == []
    assert (first["t"], second["t"]) == ([b"a", "é".encode()], [b"", b"x" * 200])
    assert [np.float32(number).tobytes() for number in second["l"]] == [batch["l"][1].numpy().tobytes()]


# --- HDF5 ----------------------------------------------------------------------------------------
