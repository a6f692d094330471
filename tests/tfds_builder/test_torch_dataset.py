"""`as_torch`: what was exported from a DataLoader comes back through one, bit for bit."""

import itertools
import json
import pathlib
import pickle

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.contract.manifest import RAW, STRINGS, Column
from tfds_builder.contract.ragged import Ragged
from tfds_builder.errors import ManifestError, MissingFileError
from tfds_builder.readers.data_source import Value
from tfds_builder.table.single_rows import values_of
from tfds_builder.torch_dataset import _Way

torch = pytest.importorskip("torch")
exporters = pytest.importorskip("exporters")
pytestmark = pytest.mark.needs_torch

from torch.utils.data import DataLoader, Dataset, Subset, random_split  # noqa: E402

ROWS = 70
TENSORS = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip


def noise(dtype, *shape):
    """A tensor of any bit pattern, NaNs and infinities included."""
    dtype = getattr(torch, dtype)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape).bool()
    size = torch.empty(0, dtype=dtype).element_size()
    return torch.randint(0, 256, (*shape[:-1], shape[-1] * size), dtype=torch.uint8).view(dtype)


class Listed(Dataset):
    """Examples in a list."""

    def __init__(self, examples, classes=None):
        self.examples = examples
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]


def make_pairs():
    torch.manual_seed(0)
    images, labels = noise("uint8", ROWS, 3, 5, 7), torch.randint(0, 300, (ROWS,), dtype=torch.int32)
    return Listed(list(zip(images, labels, strict=True)), [f"class {i}" for i in range(300)]), {}


def make_dtypes():
    torch.manual_seed(1)
    columns = {name: noise(name, ROWS, 3) for name in TENSORS}
    scalars = {name: noise(name, ROWS, 1)[:, 0] for name in TENSORS}
    flags = {"flag": torch.randint(0, 2, (ROWS,)).bool()}
    return Listed(
        [
            {part: {key: value[row] for key, value in group.items()} for part, group in
             (("array", columns), ("scalar", scalars), ("flags", flags))}
            for row in range(ROWS)
        ]
    ), {}  # fmt: skip


def make_layouts():
    torch.manual_seed(2)
    shapes = {"video": (2, 3, 4, 5), "volume": (1, 2, 3, 4), "last": (4, 5, 3), "many": (9, 2, 3), "odd": (2, 4, 3)}
    layouts = {"video": "NTCHW", "volume": "NCDHW", "last": "NHWC", "many": "NCHW", "odd": "NWCH"}
    columns = {name: noise("float32", ROWS, *shape) for name, shape in shapes.items()}
    return Listed([{name: values[row] for name, values in columns.items()} for row in range(ROWS)]), {"layouts": layouts}


def make_text():
    texts = [("", "Größe 日本", "a" * row, "\0")[row % 4] for row in range(ROWS)]
    return Listed([({"text": text, "raw": text.encode()[::-1]}, row / 3) for row, text in enumerate(texts)]), {}


def make_coded():
    torch.manual_seed(3)
    features = {
        "image": tfds.features.Image(shape=(4, 5, 3)),
        "zipped": tfds.features.Tensor(shape=(3,), dtype=np.float64, encoding="zlib"),
        "plain": tfds.features.Tensor(shape=(2,), dtype=np.int16),
    }
    image, zipped, plain = noise("uint8", ROWS, 3, 4, 5), noise("float64", ROWS, 3), noise("int16", ROWS, 2)
    examples = [{"image": image[row], "zipped": zipped[row], "plain": plain[row]} for row in range(ROWS)]
    return Listed(examples), {"features": features, "layouts": {"image": "NCHW"}}


SETS = {"pairs": make_pairs, "dtypes": make_dtypes, "layouts": make_layouts, "text": make_text, "coded": make_coded}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """(name, format) -> (version directory, the dataset it was exported from); each is exported once."""
    made = {}

    def publish(name, format):
        if (name, format) not in made:
            dataset, options = SETS[name]()
            result = exporters.export(
                DataLoader(dataset, batch_size=16), tmp_path_factory.mktemp("data"), name=name, format=format,
                shard_bytes=8000, progress=False, on_hazard="ignore", **options,
            )  # fmt: skip
            made[name, format] = result.path, dataset
        return made[name, format]

    return publish


def leaves(value):
    """Everything that can be compared of a batch or an example: structure, types, dtypes, shapes, strides and bits."""
    if isinstance(value, dict):
        return {key: leaves(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, [leaves(item) for item in value]
    if isinstance(value, torch.Tensor):
        data = value.contiguous().reshape(-1).view(torch.uint8) if value.dtype != torch.bool else value.reshape(-1).byte()
        return value.dtype, tuple(value.shape), value.is_contiguous(), data.tolist()
    return type(value), value


@kit.both_formats
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", SETS)
def test_exported_equals_original(name, workers, format, published):
    """A DataLoader over `as_torch` gives, with and without workers, exactly what the exported one gave: every batch's
    structure, types, dtypes, shapes and bits."""
    path, original = published(name, format)
    wanted = list(DataLoader(original, batch_size=16))
    got = list(DataLoader(tfds_builder.as_torch(path), batch_size=16, num_workers=workers))
    assert [leaves(batch) for batch in got] == [leaves(batch) for batch in wanted]


@kit.both_formats
@pytest.mark.parametrize("name", SETS)
def test_one_by_one(name, format, published):
    """An example asked for alone is the one that comes in a batch, a contiguous tensor of its own that may be written to."""
    path, original = published(name, format)
    dataset = tfds_builder.as_torch(path)
    together = dataset.__getitems__([*range(ROWS), -1])
    for row in range(-1, ROWS):
        example = dataset[np.int64(row)]
        assert leaves(example) == leaves(together[row])
    if name in ("pairs", "layouts", "dtypes"):
        assert [leaves(example) for example in together[:-1]] == [leaves(example) for example in original.examples]
    if name == "pairs":
        for image in (dataset[3][0], dataset.__getitems__([3, 4])[0][0]):
            image.fill_(7)
        assert leaves(dataset[3]) == leaves(original[3])


@kit.both_formats
def test_exported_again(format, published, tmp_path):
    """What comes back can be exported again, to the same bytes: values, layouts, dtypes and class names are all there."""
    path, _ = published("pairs", format)
    loader = DataLoader(tfds_builder.as_torch(path), batch_size=16)
    again = exporters.export(
        loader, tmp_path, name="pairs", format=format, shard_bytes=8000, progress=False, on_hazard="ignore"
    ).path
    first, second = (json.loads(pathlib.Path(directory, "manifest.json").read_bytes()) for directory in (path, again))
    assert first == second


def test_spawned_worker(published):
    """A spawned worker, which gets the dataset out of a pickle, reads the same."""
    path, original = published("pairs", "tfrecord")
    dataset = tfds_builder.as_torch(path)
    dataset.__getitems__(range(ROWS))
    loader = DataLoader(dataset, batch_size=16, num_workers=1, multiprocessing_context="spawn")
    assert [leaves(batch) for batch in loader] == [leaves(batch) for batch in DataLoader(original, batch_size=16)]
    assert len(pickle.dumps(dataset)) < 10_000


def test_what_pytorch_makes_of_it(published):
    """It is a PyTorch dataset: it can be split, subset and shuffled, and has a length and `classes`."""
    path, original = published("pairs", "hdf5")
    dataset = tfds_builder.as_torch(path)
    assert isinstance(dataset, Dataset)
    assert len(dataset) == ROWS
    assert dataset.classes == original.classes
    assert leaves(list(Subset(dataset, [5, 3]))) == leaves([original[5], original[3]])
    parts = random_split(dataset, [30, 40], torch.Generator().manual_seed(0))
    assert sorted(int(label) for part in parts for _, label in part) == sorted(int(label) for _, label in original.examples)
    _, labels = next(iter(DataLoader(dataset, batch_size=ROWS, shuffle=True)))
    order = [int(label) for label in labels]
    assert sorted(order) == sorted(int(label) for _, label in original.examples)
    for key in (ROWS, -ROWS - 1):
        with pytest.raises(IndexError, match=f"there are {ROWS}"):
            dataset[key]
    assert tfds_builder.as_torch(published("dtypes", "hdf5")[0]).classes is None


def test_names_splits_and_pairs(golden, monkeypatch):
    """A dataset is found by its name, name and version, or directory; a split is TFDS's; pairs or dicts as they are asked for."""
    truth = kit.make.truth("pairs")
    tfds_builder.register(golden)
    monkeypatch.chdir(golden)
    labels = truth["test"]["label"].tolist()
    for place in ("pairs_hdf5", "pairs_hdf5:1.0.0", golden / "pairs_hdf5" / "1.0.0", "pairs_hdf5/1.0.0", "./pairs_hdf5/1.0.0"):
        assert [int(label) for _, label in tfds_builder.as_torch(place, "test")] == labels
    part = tfds_builder.as_torch("pairs_tfrecord", "train[20%:40%]+few")
    assert [int(label) for _, label in part] == [*truth["train"]["label"][11:21].tolist(), *truth["few"]["label"].tolist()]
    example = tfds_builder.as_torch("pairs_hdf5", as_supervised=False)[2]
    assert list(example) == ["image", "label"]
    assert np.array_equal(example["image"].numpy(), truth["train"]["image"][2].transpose(2, 0, 1))
    assert isinstance(tfds_builder.as_torch("pairs_hdf5", as_supervised=True)[0], tuple)
    captions = [caption.decode() for caption in kit.make.truth("text")["train"]["caption"]]
    assert [example["caption"] for example in tfds_builder.as_torch("text_hdf5")] == captions  # its keys are not all it has
    assert [caption for caption, _ in tfds_builder.as_torch("text_hdf5", as_supervised=True)] == captions
    with pytest.raises(ValueError, match="kinds_hdf5 has no supervised keys"):
        tfds_builder.as_torch("kinds_hdf5", as_supervised=True)
    with pytest.raises(MissingFileError, match=r"'nothing' is neither a registered dataset nor a directory; .*register"):
        tfds_builder.as_torch("nothing")
    with pytest.raises(MissingFileError, match="not a version directory"):
        tfds_builder.as_torch(golden)
    with pytest.raises(ValueError, match="nonsense"):
        tfds_builder.as_torch("pairs_hdf5", "nonsense")


def test_rows_of_different_lengths():
    """Rows of a column that differ in length come back one by one, in the source's dtype; strings as lists of `str`."""
    splits = np.array([0, 2, 2, 5])
    numbers, words = np.arange(10, dtype=np.int64).reshape(5, 2), np.array([b"a", b"", "ö".encode(), b"c", b"d"], object)
    column = Column(name="x", dtype="int64", shape=(2,), encoding=RAW, width=16, source_dtype="int32")
    feature = tfds.features.Tensor(shape=(None, 2), dtype=np.int64, encoding="bytes")
    rows = _Way((column,), Value("x", feature)).restore([Ragged(numbers, splits)])
    assert [(row.dtype, row.tolist()) for row in rows] == [
        (torch.int32, numbers[start:stop].tolist()) for start, stop in itertools.pairwise(splits.tolist())
    ]
    column = Column(name="x", dtype="string", shape=(), encoding=STRINGS, width=0, source_dtype="str")
    way = _Way((column,), Value("x", tfds.features.Tensor(shape=(None,), dtype=np.object_)))
    assert way.restore([Ragged(words, splits)]) == [["a", ""], [], ["ö", "c", "d"]]
    assert [row.tolist() for row in values_of(Ragged(words, splits))] == [[b"a", b""], [], ["ö".encode(), b"c", b"d"]]


@pytest.mark.parametrize(
    ("field", "value", "column"),
    [
        ("source_dtype", "float8", 0),
        ("source_dtype", "str", 1),
        ("source_layout", "CHW", 0),
        ("source_layout", "NCCW", 0),
        ("source_layout", "NCH", 0),
        ("source_layout", "N/CH", 0),
    ],
)
def test_manifest_that_makes_no_sense(field, value, column, tmp_path):
    """A way back that cannot be gone is the manifest's error, whatever it says."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    kit.edit_manifest(directory, lambda content: content["columns"][column].update({field: value}))
    with pytest.raises(ManifestError, match=f"{field} '?{value}"):
        tfds_builder.as_torch(directory)[0]


def test_no_tensorflow(golden, run_python):
    """The way back needs no TensorFlow: nothing loads it."""
    code = """
        import sys, tfds_builder
        for name in tfds_builder.register(sys.argv[1]):
            dataset = tfds_builder.as_torch(name)
            print(name, len(dataset.__getitems__(range(len(dataset)))), len(dataset[0]))
        assert "torch" in sys.modules and "tensorflow" not in sys.modules and "h5py" not in sys.modules
    """
    assert len(run_python(code, golden).stdout.splitlines()) == len(kit.make.names())
