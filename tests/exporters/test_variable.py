"""Rows of different lengths and shapes, and TFDS's semantic features: what the loader gave comes back, from either format.

Stock TFDS reading the same TFRecord files is the referee; HDF5 must give element for element what TFRecord gives.
"""

import dataclasses
import itertools
import pathlib

import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.utils.data import DataLoader, Dataset

import tfds_builder
from exporters import ArgumentError, ExportError, SchemaError
from tfds_builder.contract.ragged import Ragged

F = tfds.features
ROWS = 11


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


class Items(Dataset):
    """Rows made by a function of their number."""

    def __init__(self, make, rows=ROWS):
        self.make, self.rows = make, rows

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        return self.make(index)


def by_row(make, rows=ROWS, batch_size=4, **options):
    """A loader whose batches are lists of examples, as `collate_fn=list` makes them."""
    return DataLoader(Items(make, rows), batch_size=batch_size, collate_fn=list, **options)


def random(index, *shape, dtype="float32"):
    return np.random.default_rng(index).integers(0, 99, shape).astype(dtype)


@dataclasses.dataclass
class Target:
    boxes: torch.Tensor
    labels: torch.Tensor


def detection(index):
    """An image and its target, as a torchvision detection dataset gives them."""
    boxes = torch.tensor(random(index, index % 4, 4))
    image = torch.tensor(random(index, 3, 5 + index % 3, 7, dtype="uint8"))
    return image, {"boxes": boxes, "labels": torch.arange(index % 4), "image_id": index, "caption": "x" * index}


STRUCTURES = {
    "tensors": (lambda i: torch.tensor(random(i, i)), list, lambda i: {"features": random(i, i)}),
    "tensors of two unknown sizes": (
        lambda i: torch.tensor(random(i, i % 3, i % 4)),
        list,
        lambda i: {"features": random(i, i % 3, i % 4)},
    ),
    "int lists": (lambda i: list(range(i)), list, lambda i: {"features": np.arange(i)}),
    "lists of str": (lambda i: ["é" * k for k in range(i)], list, lambda i: {"features": ["é" * k for k in range(i)]}),
    "zip of images and targets": (
        detection,
        lambda rows: tuple(zip(*rows, strict=True)),
        lambda i: {
            "image": detection(i)[0].permute(1, 2, 0).numpy(),
            "label/boxes": random(i, i % 4, 4),
            "label/labels": np.arange(i % 4),
            "label/image_id": np.int64(i),
            "label/caption": "x" * i,
        },
    ),
    "list of dicts": (
        lambda i: {"a": random(i, i, 2), "b": i},
        list,
        lambda i: {"a": random(i, i, 2), "b": np.int64(i)},
    ),
    "list of dataclasses": (
        lambda i: Target(torch.tensor(random(i, i % 3, 4)), torch.arange(i % 3)),
        list,
        lambda i: {"boxes": random(i, i % 3, 4), "labels": np.arange(i % 3)},
    ),
    "nested tensors": (
        lambda i: torch.tensor(random(i, 1 + i, 2)),
        lambda rows: {"x": torch.nested.nested_tensor(rows)},
        lambda i: {"x": random(i, 1 + i, 2)},
    ),
    "rows of one shape": (
        lambda i: (torch.full((2, 3), i), i),
        list,
        lambda i: {"features": np.full((2, 3), i), "label": np.int64(i)},
    ),
}


def flatten(example, prefix=""):
    for name, value in example.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def same(got, expected):
    """Whether a value that TFDS gave is, bit for bit, what the loader gave."""
    if isinstance(expected, str | bytes | list):
        return np.asarray(got, object).tolist() == (
            list(map(as_bytes, expected)) if isinstance(expected, list) else as_bytes(expected)
        )
    got, expected = np.asarray(got), np.asarray(expected)
    if expected.dtype == object:
        return got.dtype == object and got.tolist() == expected.tolist()
    return (got.dtype, got.shape) == (expected.dtype, expected.shape) and got.tobytes() == expected.tobytes()


def read_ours(result, **options):
    builder = tfds_builder.builder_from_directory(result.path)
    return list(tfds.as_numpy(builder.as_dataset(split="train", **options)))


def read_stock(result, **options):
    builder = tfds.builder_from_directory(result.path)
    config = tfds.ReadConfig(interleave_cycle_length=1)
    return list(tfds.as_numpy(builder.as_dataset(split="train", read_config=config, **options)))


@pytest.mark.needs_tensorflow
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("case", STRUCTURES)
def test_structures_come_back(case, format, publish):
    """Batches given row by row come back row by row, from several shards, as stock TFDS reads them too; verify finds nothing."""
    make, collate, expect = STRUCTURES[case]
    loader = DataLoader(Items(make), batch_size=4, collate_fn=collate)
    result = publish(loader, format, shard_bytes=300, on_hazard="ignore")
    assert tfds_builder.verify(result.path, deep=True).problems == []
    for read in (read_ours, read_stock) if format == "tfrecord" else (read_ours,):
        examples = read(result)
        assert len(examples) == ROWS
        for number, example in enumerate(examples):
            found, expected = dict(flatten(example)), expect(number)
            assert sorted(found) == sorted(expected)
            for name, value in expected.items():
                assert same(found[name], value), (case, number, name)


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", STRUCTURES)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_batches_are_padded_as_stock_pads(case, publish):
    """A batch is padded to its own longest row, and has the element_spec and the values that stock TFDS gives."""
    make, collate, _ = STRUCTURES[case]
    ours, hdf5 = (
        publish(DataLoader(Items(make), batch_size=4, collate_fn=collate), f, on_hazard="ignore") for f in ("tfrecord", "hdf5")
    )
    for size in (1, 3, 256):
        stock = tfds.builder_from_directory(ours.path).as_dataset(
            split="train", batch_size=size, read_config=tfds.ReadConfig(interleave_cycle_length=1)
        )
        for result in (ours, hdf5):
            ds = tfds_builder.builder_from_directory(result.path).as_dataset(split="train", batch_size=size)
            assert ds.element_spec == stock.element_spec
            assert ds.cardinality() == stock.cardinality()
            for got, expected in zip(tfds.as_numpy(ds), tfds.as_numpy(stock), strict=True):
                found = dict(flatten(got))
                assert all(same(found[name], value) for name, value in flatten(expected))


SEMANTIC = {
    "sequence of labels": (lambda: F.Sequence(F.ClassLabel(names=["a", "b", "c"])), lambda i: np.arange(i % 4) % 3),
    "sequence of text": (lambda: F.Sequence(F.Text()), lambda i: [str(k) * k for k in range(i % 3)]),
    "sequence of fixed length": (lambda: F.Sequence(np.int64, length=3), lambda i: np.arange(3) + i),
    "sequence of tensors": (
        lambda: F.Sequence(F.Tensor(shape=(2,), dtype=np.float64, encoding="bytes")),
        lambda i: random(i, i % 3, 2, dtype="float64"),
    ),
    "sequence of sequences": (lambda: F.Sequence(F.Sequence(np.int64)), lambda i: [list(range(k)) for k in range(i % 4)]),
    "sequence of a dict": (
        lambda: F.Sequence({"id": np.int64, "name": F.Text(), "box": F.Tensor(shape=(4,), dtype=np.float32)}),
        lambda i: {"id": np.arange(i % 3), "name": [str(k) for k in range(i % 3)], "box": random(i, i % 3, 4)},
    ),
    "translation": (lambda: F.Translation(["en", "fr"]), lambda i: {"en": f"cat {i}", "fr": f"chat {i}"}),
    "optional": (lambda: F.Scalar(np.int64, optional=True), lambda i: None if i % 3 == 1 else i),
    "optional tensor": (lambda: F.Tensor(shape=(2,), dtype=np.float32, optional=True), lambda i: None if i % 2 else random(i, 2)),
    "audio": (lambda: F.Audio(shape=(None,), sample_rate=8000), lambda i: np.arange(i, dtype=np.int64)),
    "image of any size": (lambda: F.Image(), lambda i: random(i, 4 + i % 2, 5, 3, dtype="uint8")),
    "labelled image": (
        lambda: F.LabeledImage(labels=3, shape=(None, None, 1)),
        lambda i: random(i, 4, 5 + i % 2, 1, dtype="uint8") % 3,
    ),
    "video": (lambda: F.Video(shape=(None, 4, 5, 3)), lambda i: random(i, 1 + i % 2, 4, 5, 3, dtype="uint8")),
    "sequence of images": (lambda: F.Sequence(F.Image(shape=(4, 5, 3))), lambda i: random(i, i % 3, 4, 5, 3, dtype="uint8")),
    "zlib of any size": (
        lambda: F.Tensor(shape=(None, None), dtype=np.int16, encoding="zlib"),
        lambda i: random(i, i % 2, 3, dtype="int16"),
    ),
    "a dataset": (lambda: F.Dataset({"x": np.int64}), lambda i: {"x": np.arange(i % 3 + 1)}),
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", SEMANTIC)
def test_semantic_features(case, publish):
    """A feature of TFDS's own gives, from both formats, what stock TFDS gives from the same files, and what TFDS itself makes
    of the same values."""
    feature, make = SEMANTIC[case][0](), SEMANTIC[case][1]
    axes = {3: "NHWC", 4: "NTHWC"}.get(np.ndim(make(1)), "") if "image" in case or case == "video" else ""
    options = {"features": {"x": feature}, "layouts": {"x": axes} if axes else {}, "on_hazard": "ignore"}
    results = {f: publish(by_row(lambda i: {"x": make(i)}), f, **options) for f in ("tfrecord", "hdf5")}
    expected = [example["x"] for example in read_stock(results["tfrecord"])]
    features = F.FeaturesDict({"x": feature})
    for number, value in enumerate(expected):
        encoded = features.encode_example({"x": make(number)})
        serialized = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info()).serialize_example(encoded)
        parsed = tfds.core.example_parser.ExampleParser(features.get_serialized_info()).parse_example(serialized)
        decoded = tfds.as_numpy(features.decode_example(parsed)["x"])
        assert equal(value, decoded) or np.size(value) == np.size(decoded) == 0, number  # eager, TFDS drops axes of nothing
    for result in results.values():
        assert tfds_builder.verify(result.path, deep=True).problems == []
        spec = tfds_builder.builder_from_directory(result.path).as_dataset(split="train").element_spec
        assert spec == tfds.builder_from_directory(results["tfrecord"].path).as_dataset(split="train").element_spec
        assert all(equal(got["x"], want) for got, want in zip(read_ours(result), expected, strict=True))


def equal(got, want):
    """Whether two values that TFDS gave are the same, ragged tensors and nested datasets included."""
    if isinstance(want, dict):
        return sorted(got) == sorted(want) and all(equal(got[key], want[key]) for key in want)
    if hasattr(want, "to_list"):
        return got.to_list() == want.to_list()
    if not isinstance(want, np.ndarray | np.generic | bytes | int | float):
        return all(equal(one, other) for one, other in zip(got, want, strict=True))
    return np.asarray(got).dtype == np.asarray(want).dtype and np.array_equal(got, want)


@pytest.mark.parametrize("same", [False, True])
def test_videos_of_different_lengths(same, format, publish, read_back):
    """Rows that lie end to end, and are to be permuted, are permuted each."""
    rows = [
        {"x": torch.tensor(random(index, 1 + index % 3, 3, 4, 5 + (not same) * index % 2, dtype="uint8"))} for index in range(5)
    ]
    size = None if not same else 5
    features = {"x": F.Tensor(shape=(None, 4, size, 3), dtype=np.uint8, encoding="bytes")}
    result = publish(by_row(rows.__getitem__, 5), format, features=features, layouts={"x": "NTCHW"}, on_hazard="ignore")
    assert all(torch.equal(found["x"], row["x"]) for found, row in zip(tfds_builder.as_torch(result.path), rows, strict=True))
    stored = tfds_builder.builder_from_directory(result.path).as_data_source("train")
    assert all(np.array_equal(found["x"], row["x"].permute(0, 2, 3, 1)) for found, row in zip(stored, rows, strict=True))


@pytest.mark.needs_tensorflow
def test_boxes_in_pixels_are_normalised(format, publish):
    """torchvision's (x1, y1, x2, y2) pixels become TFDS's (ymin, xmin, ymax, xmax) over height and width; it is said aloud,
    and multiplying by them gives the pixels back."""
    boxes = torch.tensor([[1.0, 2.0, 10.0, 4.0], [0.0, 0.0, 12.0, 8.0]])

    def make(index):
        return torch.zeros(3, 8 + index, 12, dtype=torch.uint8), {"bbox": boxes[: index % 3], "label": torch.arange(index % 3)}

    features = {"label": F.Sequence({"bbox": F.BBoxFeature(), "label": F.ClassLabel(names=["cat", "dog"])})}
    loader = DataLoader(Items(make), batch_size=4, collate_fn=lambda rows: tuple(zip(*rows, strict=True)))
    result = publish(loader, format, features=features)
    assert any("(x1, y1, x2, y2) in pixels -> (ymin, xmin, ymax, xmax)" in line for line in result.decisions)
    builder = tfds_builder.builder_from_directory(result.path)
    assert builder.info.features["label"]["label"].names == ["cat", "dog"]
    for number, example in enumerate(read_ours(result)):
        height, width, _ = example["image"].shape
        pixels = example["label"]["bbox"][:, [1, 0, 3, 2]] * np.array([width, height, width, height], np.float32)
        assert np.allclose(pixels, boxes[: number % 3].numpy(), atol=1e-5)
        assert example["label"]["label"].tolist() == list(range(number % 3))


def test_boxes_need_an_image(loader_of, refuses):
    """Boxes without an image to measure them by are refused, with the line that stores them as they are."""
    refuses(loader_of({"b": torch.zeros(2, 4)}), SchemaError, "'b'", "bbox_format=None", features={"b": F.BBoxFeature()})


@pytest.mark.needs_tensorflow
def test_encoded_images_pass_unchanged(format, publish, read_back):
    """Images that are files already are stored byte for byte, and decoded when they are read."""
    import io

    import PIL.Image

    def encode(index, kind):
        stream = io.BytesIO()
        PIL.Image.fromarray(random(index, 6, 5, 3, dtype="uint8")).save(stream, kind)
        return stream.getvalue()

    files = [encode(number, "JPEG" if number % 2 else "PNG") for number in range(6)]
    loader = DataLoader(files, batch_size=4, collate_fn=lambda rows: {"image": rows})
    result = publish(loader, format, features={"image": F.Image(shape=(None, None, 3))})
    assert read_back(result)["image"].tolist() == files
    assert np.array_equal(read_ours(result)[2]["image"], random(2, 6, 5, 3, dtype="uint8"))


def test_bytes_that_are_no_image(loader_of, refuses):
    """Bytes that no image decoder knows are refused where an image is declared, with their row named."""
    batch = {"image": [b"\x89PNG\r\n\x1a\nIEND", b"GIF"]}
    refuses(loader_of(batch), SchemaError, "row 1", "'image'", "JPEG, PNG or", features={"image": F.Image(shape=(None, None, 3))})


@pytest.mark.parametrize("partner", ["lengths", "mask"])
def test_unpad(partner, format, publish, read_back):
    """Padded rows are stored without their padding, by a column of lengths or of masks, which stays."""
    lengths = [3, 1, 0, 5, 2]
    tokens = torch.tensor([[*range(1, n + 1), *[0] * (5 - n)] for n in lengths])
    told = torch.tensor(lengths) if partner == "lengths" else torch.arange(5) < torch.tensor(lengths)[:, None]
    loader = DataLoader(list(zip(tokens, told, strict=True)), batch_size=2)
    found = read_back(publish(loader, format, names=["tokens", "told"], unpad={"tokens": "told"}))
    assert [found["tokens"][row].tolist() for row in range(5)] == [list(range(1, n + 1)) for n in lengths]
    assert np.array_equal(found["told"], told.numpy())


UNPADDABLE = {
    "no such feature": ({"x": torch.zeros(2, 3)}, {"x": "n"}, ArgumentError, "'n'"),
    "a mask with holes": (
        {"x": torch.zeros(2, 3), "n": torch.tensor([[True, False, True]] * 2)},
        {"x": "n"},
        SchemaError,
        "padding",
    ),
    "too long": ({"x": torch.zeros(2, 3), "n": torch.tensor([4, 0])}, {"x": "n"}, SchemaError, "4"),
    "floats": ({"x": torch.zeros(2, 3), "n": torch.zeros(2)}, {"x": "n"}, SchemaError, "integers"),
    "no rows to unpad": ({"x": torch.zeros(2), "n": torch.zeros(2).int()}, {"x": "n"}, SchemaError, "(2,)"),
}


@pytest.mark.parametrize("case", UNPADDABLE)
def test_unpad_that_does_not_fit(case, loader_of, refuses):
    """`unpad=` that does not fit the data is refused with the feature and what came."""
    batch, unpad, error, word = UNPADDABLE[case]
    refuses(loader_of(batch), error, word, "'x'" if error is SchemaError else "unpad", unpad=unpad)


def test_shapes_that_differ_between_batches(format, publish, loader_of, read_back, refuses):
    """Shapes that differ from batch to batch are refused with the line that declares what varies; with it they are stored."""
    batches = [{"x": torch.ones(2, 3)}, {"x": torch.ones(2, 5)}]
    error = refuses(loader_of(*batches), SchemaError, "batch 1", "'x'", "(2, 5)", format=format)
    declared = str(error).rpartition("features=")[2]
    features = eval(declared, {"tfds": tfds, "np": np})
    found = read_back(publish(loader_of(*batches), format, features=features))["x"]
    assert [len(found[row]) for row in range(4)] == [3, 3, 5, 5]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"a": torch.zeros(2)}, {"a": torch.zeros(3, dtype=torch.int32)}], "batch 0: the rows of 'a' mix"),
        ([{"a": torch.zeros(2)}, {"a": torch.zeros(3, 1)}], "batch 0: the rows of 'a' mix"),
        ([(torch.zeros(2), {"b": 1}), (torch.zeros(3), {"c": 1})], "its dicts have different keys, ['b'] and ['c']"),
    ],
)
def test_rows_that_are_not_alike(rows, word, refuses):
    """Rows of different dtype, rank or parts are refused with both sides named; nothing is published."""
    refuses(DataLoader(rows, batch_size=2, collate_fn=list), ExportError, word)


def test_none_needs_an_optional_feature(refuses):
    """A row that is None is refused, with the feature that would take it."""
    loader = DataLoader([1, None, 3], batch_size=3, collate_fn=lambda rows: {"x": rows})
    refuses(loader, SchemaError, "'x'", "optional=True")


DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
]
GIVEN = {
    "arrays": lambda number, row: row,
    "big-endian arrays": lambda number, row: row.astype(row.dtype.newbyteorder(">")),
    "tensors": lambda number, row: torch.from_numpy(row.copy()),
    "tensors with gradients": lambda number, row: torch.from_numpy(row.copy()).requires_grad_(row.dtype.kind in "fc"),
    "strided tensors": lambda number, row: torch.from_numpy(np.repeat(row, 2, axis=0))[::2],
    "conjugates": lambda number, row: torch.from_numpy(np.conj(row) if row.dtype.kind == "c" else row.copy()).conj(),
    "both": lambda number, row: row if number % 2 else torch.from_numpy(row.copy()),
}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_rows_of_any_dtype(data, publish, read_back):
    """Rows of any lengths, item shapes and dtypes come back bit for bit, in any order, whatever they were given as."""
    dtype, item = data.draw(st.sampled_from(DTYPES)), data.draw(hnp.array_shapes(min_dims=0, max_dims=1, max_side=3))
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=9))
    rows = [data.draw(hnp.arrays(dtype, (length, *item))) for length in lengths]
    feature = F.Tensor(shape=(None, *item), dtype=np.dtype(dtype), **({} if dtype == "uint32" else {"encoding": "bytes"}))
    order, give = np.array(data.draw(st.permutations(range(len(rows))))), GIVEN[data.draw(st.sampled_from(sorted(GIVEN)))]
    for format in ("tfrecord", "hdf5"):
        options = {"shard_bytes": data.draw(st.integers(1, 400)), "on_hazard": "ignore"}
        loader = DataLoader(
            [{"x": give(*row)} for row in enumerate(rows)], batch_size=data.draw(st.integers(1, 4)), collate_fn=list
        )
        result = publish(loader, format, features={"x": feature}, **options)
        table = tfds_builder.Table.of_split(result.path, "train")
        for numbers in (np.arange(len(rows)), order):
            found = table.read(numbers)["x"]
            assert isinstance(found, Ragged)
            assert all(same(found[place], rows[row]) for place, row in enumerate(numbers))
        assert tfds_builder.verify(result.path, deep=True).problems == []


def test_ragged_hdf5_opens_in_h5py(publish):
    """An HDF5 shard has `values` of the native dtype and `row_splits` for rows of different lengths, and `string_splits` for
    rows of any number of strings."""
    result = publish(by_row(lambda i: {"n": random(i, i, 2), "s": [str(k) for k in range(i)]}), "hdf5")
    (path,) = pathlib.Path(result.path).glob("*.h5")
    with h5py.File(path) as file:
        splits = file["n/row_splits"][:]
        assert file["n/values"].dtype == np.float32
        assert all(np.array_equal(file["n/values"][splits[i] : splits[i + 1]], random(i, i, 2)) for i in range(ROWS))
        text, bounds, rows = (file[f"s/{name}"][:] for name in ("values", "string_splits", "row_splits"))
        strings = [bytes(text[a:b]).decode() for a, b in itertools.pairwise(bounds)]
        assert [strings[rows[i] : rows[i + 1]] for i in range(ROWS)] == [[str(k) for k in range(i)] for i in range(ROWS)]


EXTREME = ["", "\0", "a\0b", "é", "日本", "\U0001f600", "\U00100000", "x" * 10_000_000, "\u202e", "\r\n"]


def test_extreme_strings(format, publish, read_back):
    """Empty strings, NULs, ten megabytes and every Unicode plane come back."""
    loader = DataLoader(
        EXTREME, batch_size=3, collate_fn=lambda rows: {"s": rows, "many": [[row, ""] * (len(row) % 3) for row in rows]}
    )
    found = read_back(publish(loader, format))
    assert [value.decode() for value in found["s"]] == EXTREME
    for row, text in enumerate(EXTREME):
        assert [value.decode() for value in found["many"][row]] == [text, ""] * (len(text) % 3)


GOLDEN = """
    54 00 00 00 00 00 00 00  5f 51 45 87
    0a ce 80 80 80 00
       0a 0a  0a 01 78  12 05 0a 03 0a 01  07
       0a 99 80 80 80 00  0a 01 6e  12 90 80 80 80 00  0a 8a 80 80 80 00  0a 84 80 80 80 00  01 00 02 00
       0a 9d 80 80 80 00  0a 01 73  12 94 80 80 80 00  0a 8e 80 80 80 00  0a 81 80 80 80 00 61  0a 81 80 80 80 00 62
    98 26 b6 5d
"""


def test_golden_bytes(publish, loader_of):
    """A record with items of two int16 and a list of two strings is these bytes, and its index says where their runs are."""
    rows = [{"n": torch.tensor([1, 2], dtype=torch.int16), "s": ["a", "b"], "x": torch.tensor([7], dtype=torch.uint8)}]
    features = {"n": F.Tensor(shape=(None,), dtype=np.int16, encoding="bytes"), "s": F.Tensor(shape=(None,), dtype=np.object_)}
    result = publish(loader_of(rows), features=features)
    (path,) = pathlib.Path(result.path).glob("*.tfrecord-*")
    (index,) = pathlib.Path(result.path).glob("*.index-*")
    assert path.read_bytes() == bytes.fromhex(GOLDEN)
    assert np.frombuffer(index.read_bytes(), "<i8").tolist() == [0, 57, 4, 82, 14]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bounds_from_a_stranger(data, variable_datasets):
    """Whatever the bounds of variable columns say, reading gives rows or a DatasetError, never another error, and no more
    memory than the file has bytes."""
    format = data.draw(st.sampled_from(["tfrecord", "hdf5"]))
    path, places = variable_datasets[format]
    original, size = path.read_bytes(), max(file.stat().st_size for file in path.parent.iterdir())
    patched = bytearray(original)
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        value = data.draw(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-9, 400)))
        patched[place : place + 8] = value.to_bytes(8, "little", signed=True)
    path.write_bytes(patched)
    try:
        table = tfds_builder.Table.of_split(path.parent, "train")
        for rows in (slice(None), np.array([3, 1, 5])):
            found = table.read(rows)
            assert sum(len(value) for value in found["s"].values) <= size
            assert found["n"].values.nbytes <= size
    except tfds_builder.DatasetError:
        pass
    finally:
        path.write_bytes(original)


@pytest.fixture(scope="module")
def variable_datasets(publish):
    """By format: the file that has the bounds of variable columns, and where in it they are."""
    found = {}
    for format in ("tfrecord", "hdf5"):
        loader = by_row(lambda i: {"n": random(i, i, 2), "s": [str(k) * k for k in range(i)], "t": "x" * i})
        path = pathlib.Path(publish(loader, format).path)
        if format == "tfrecord":
            (file,) = path.glob("*.index-*")
            found[format] = file, list(range(0, file.stat().st_size, 8))
            continue
        (file,) = path.glob("*.h5")
        with h5py.File(file) as content:
            splits = [content[name].id for name in ("n/row_splits", "s/row_splits", "s/string_splits", "t/row_splits")]
            starts = [(item.get_offset(), item.get_storage_size()) for item in splits]
        found[format] = file, [place for start, size in starts for place in range(start, start + size, 8)]
    return found


DECODERS = {
    "skip the images of a sequence": lambda: {"decoders": {"x": {"image": tfds.decode.SkipDecoding()}}},
    "a part of a sequence": lambda: {"decoders": tfds.decode.PartialDecoding({"x": {"id"}})},
    "a part, skipped": lambda: {
        "decoders": tfds.decode.PartialDecoding({"x": {"image"}}, decoders={"x": {"image": tfds.decode.SkipDecoding()}})
    },
    "without the sequence": lambda: {"decoders": tfds.decode.PartialDecoding({"n": True})},
    "supervised": lambda: {"as_supervised": True},
    "repeated": lambda: {
        "read_config": tfds.ReadConfig(interleave_cycle_length=1, repeat_filenames=True, assert_cardinality=False),
        "batch_size": 3,
    },
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", DECODERS)
def test_decoders_inside_sequences(case, variable_results):
    """Decoders and the like reach inside sequences as in stock TFDS: the same element_spec and the same values."""
    options = {"read_config": tfds.ReadConfig(interleave_cycle_length=1), **DECODERS[case]()}
    stock = tfds.builder_from_directory(variable_results["tfrecord"].path).as_dataset(split="train", **options)
    expected = list(tfds.as_numpy(stock.take(8)))
    for result in variable_results.values():
        ds = tfds_builder.builder_from_directory(result.path).as_dataset(split="train", **options)
        assert ds.element_spec == stock.element_spec
        assert all(equal(got, want) for got, want in zip(tfds.as_numpy(ds.take(8)), expected, strict=True))


@pytest.fixture(scope="module")
def variable_results(publish):
    """A dataset with a sequence of images and numbers, and rows that differ in length, in both formats."""
    features = {"x": F.Sequence({"image": F.Image(shape=(4, 5, 3)), "id": np.int64})}

    def make(index):
        images = random(index, index % 3, 4, 5, 3, dtype="uint8")
        return {"x": {"image": images, "id": np.arange(index % 3)}, "n": random(index, index), "y": index}

    options = {"features": features, "supervised_keys": ("n", "y"), "layouts": {"x/image": "NTHWC"}, "on_hazard": "ignore"}
    return {format: publish(by_row(make), format, **options) for format in ("tfrecord", "hdf5")}


def to_torch(value):
    """What a loader gave, as the default collate of PyTorch takes it."""
    if isinstance(value, dict):
        return {key: to_torch(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value


def equal_torch(got, want):
    if isinstance(want, dict):
        return sorted(got) == sorted(want) and all(equal_torch(got[key], want[key]) for key in want)
    if isinstance(want, tuple):
        return isinstance(got, tuple) and all(equal_torch(one, other) for one, other in zip(got, want, strict=True))
    if isinstance(want, torch.Tensor):
        return got.dtype == want.dtype and torch.equal(got, want)
    return got == want if isinstance(want, str | list) else got.tolist() == want


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("case", ["zip of images and targets", "list of dicts", "lists of str", "tensors of two unknown sizes"])
def test_back_to_torch(case, format, publish):
    """`as_torch` gives back rows of different shapes as the loader's dataset gave them: channels first, the same dtypes; one by
    one and by the batch."""
    make, collate, _ = STRUCTURES[case]
    result = publish(DataLoader(Items(make), batch_size=4, collate_fn=collate), format, shard_bytes=300, on_hazard="ignore")
    dataset = tfds_builder.as_torch(result.path, "train")
    assert len(dataset) == ROWS
    wanted = [make(index) if case.startswith(("zip", "list of")) else {"features": make(index)} for index in range(ROWS)]
    order = [7, 0, 10, 3, 3]
    for got, index in [
        *((dataset[index], index) for index in range(ROWS)),
        *zip(dataset.__getitems__(order), order, strict=True),
    ]:
        want = wanted[index]
        assert equal_torch(got, tuple(map(to_torch, want)) if isinstance(want, tuple) else to_torch(want)), index


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", SEMANTIC)
def test_data_source_of_semantic_features(case, publish):
    """Random access gives of each feature what TFDS's own NumPy decoding makes of the same values, from both formats."""
    feature, make = SEMANTIC[case][0](), SEMANTIC[case][1]
    features = F.FeaturesDict({"x": feature})
    axes = {3: "NHWC", 4: "NTHWC"}.get(np.ndim(make(1)), "") if "image" in case or case == "video" else ""
    options = {"features": {"x": feature}, "layouts": {"x": axes} if axes else {}, "on_hazard": "ignore"}
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    for format in ("tfrecord", "hdf5"):
        result = publish(by_row(lambda i: {"x": make(i)}), format, **options)
        source = tfds_builder.builder_from_directory(result.path).as_data_source("train")
        for number, example in enumerate(source):
            try:
                want = features.deserialize_example_np(serializer.serialize_example(features.encode_example({"x": make(number)})))
            except Exception as error:  # NumPy decoding of TFDS's own knows fewer features
                with pytest.raises(type(error)):
                    source[number]
                continue
            for got in (example["x"], source[number]["x"]):
                assert got is None if want["x"] is None else equal(got, want["x"]), number


@pytest.mark.parametrize("stop_at", [4, 8])
def test_a_stopped_export_goes_on(stop_at, format, publish, goes_on):
    """An export of rows of different shapes goes on to the same bytes, though the batches that are left look as if all rows had
    one shape, and the last has one row only."""

    def make(index):
        if make.stops and index == stop_at:
            raise RuntimeError("stopped")
        size = 2 if index >= 4 else index
        return torch.full((3, 5 + size, 7), index, dtype=torch.uint8), {"boxes": torch.full((size, 4), 1.0 * index), "id": index}

    def run(data_dir):
        loader = DataLoader(Items(make, 9), batch_size=4, collate_fn=lambda rows: tuple(zip(*rows, strict=True)))
        return publish(loader, format, data_dir=data_dir, shard_bytes=300)

    goes_on(run, make)
