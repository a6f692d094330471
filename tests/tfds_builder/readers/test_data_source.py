"""`as_data_source`: random access of both formats, with the values and the types of TFDS's own data sources."""

import multiprocessing
import pickle
import threading

import consumer_kit as kit
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.data_sources.base import DataSource
from tensorflow_datasets.core.features import image_feature

import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import DamagedFileError, MissingFileError, UnsupportedReadError
from tfds_builder.readers import data_source as data_source_lib
from tfds_builder.readers.data_source import ExportedDataSource
from tfds_builder.table import mapped_files as mapping
from tfds_builder.table.table import Table

KINDS = sorted(kit.make.DATASETS)
ROWS = 2500
"""Rows of the dataset of several blocks and shards."""


@pytest.fixture(scope="module")
def stock(golden, tmp_path_factory):
    """TFDS's own data sources of ArrayRecord copies of the golden datasets: (kind, split, options) -> source."""
    copies = tmp_path_factory.mktemp("array_record")
    for kind in KINDS:
        kit.copy_to_array_record(golden / f"{kind}_tfrecord" / "1.0.0", copies / f"{kind}_tfrecord" / "1.0.0")
    return lambda kind, split, **options: tfds.builder_from_directory(copies / f"{kind}_tfrecord" / "1.0.0").as_data_source(
        split, **options
    )


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A split of rows that know their number, in three shards and in several blocks: a source."""
    columns = kit.numbers(ROWS) | {"wide": np.arange(ROWS)[:, None] * np.ones(300, np.int64)}
    directory = kit.write_table(tmp_path_factory.mktemp("numbered"), "numbered", {"train": columns})
    return tfds_builder.builder_from_directory(directory).as_data_source("train")


def source_of(golden, name, split="train", **options):
    return tfds_builder.builder_from_directory(golden / name / "1.0.0").as_data_source(split, **options)


@kit.both_formats
@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_those_of_stock_tfds(kind, format, golden, stock):
    """Every example, asked for in any of the ways, has the values, dtypes, Python types and order of features that stock
    TFDS gives from an ArrayRecord copy of the same data."""
    for split in kit.make.DATASETS[kind]["rows"]:
        theirs, ours = stock(kind, split), source_of(golden, f"{kind}_{format}", split)
        wanted = [kit.typed(theirs[i]) for i in range(len(theirs))]
        assert len(ours) == len(wanted)
        numbers = list(range(len(wanted)))
        for examples in (
            [ours[i] for i in numbers],
            ours.__getitems__(numbers),
            ours[:],
            list(ours),
            ours.__getitems__(numbers[::-1])[::-1],
        ):
            assert [kit.typed(example) for example in examples] == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_records(kind, golden, stock):
    """Records as they are stored, and parsed but not decoded, are those of stock TFDS, where there are records at all."""
    method = tfds.decode.DeserializeMethod
    for how in (method.RAW_BYTES, method.DESERIALIZE_NO_DECODE):
        ours = source_of(golden, f"{kind}_tfrecord", deserialize_method=how)
        theirs = stock(kind, "train", deserialize_method=how)
        wanted = [theirs[i] for i in range(len(theirs))]
        assert ours[:] == wanted
        assert list(ours) == wanted
        assert [type(record) for record in ours] == [type(record) for record in wanted]
        with pytest.raises(UnsupportedReadError, match="hdf5; leave deserialize_method out"):
            source_of(golden, f"{kind}_hdf5", deserialize_method=how)


@pytest.mark.parametrize("value", [-(10**6), 10**9, 2**62, -(2**63)])
def test_index_that_points_outside(value, tmp_path):
    """An index with a start or a length outside its file is a DamagedFileError, asked for in any way."""
    directory = kit.copy_golden("text_tfrecord", tmp_path)
    path = sorted(directory.glob("*-train.index-*"))[0]
    whole = np.fromfile(path, np.int64)
    builder = tfds_builder.builder_from_directory(directory)
    for slot in range(len(whole) // Table.of_split(directory, "train").segments[0].shard.rows):
        index = whole.copy()
        index[slot] = value
        index.tofile(path)
        source = builder.as_data_source("train")
        for read in (lambda source=source: source[0], lambda source=source: source.__getitems__(range(9))):
            with pytest.raises(DamagedFileError, match="points outside the file"):
                read()
        if not slot:
            with pytest.raises(DamagedFileError, match="not where its index has it"):
                Table.of_split(directory, "train").record(0)


@kit.both_formats
def test_strings_that_overlap(format, tmp_path):
    """Row splits that run backwards or outside, and strings of one row that are larger than their file, are damage too."""
    directory = kit.copy_golden(f"text_{format}", tmp_path)
    shard = Table.of_split(directory, "train").segments[0].shard
    if format == "tfrecord":
        path, words = directory / shard.index.file, slice(5, 9)
        index = np.fromfile(path, np.int64)
        index[words] = [0, shard.data.bytes] * 2  # both words are the whole file
        index.tofile(path)
    else:
        path, manifest = directory / shard.data.file, read_lib.read_manifest(directory)
        number = [column.name for column in manifest.columns].index("meta/words")
        place = manifest.geometries[shard.geometry].row_splits[number]
        stored = path.read_bytes()
        splits = np.frombuffer(stored, np.int64, 3, place).copy()
        splits[1] = splits[2] + 1
        path.write_bytes(stored[:place] + splits.tobytes() + stored[place + 24 :])
    source = tfds_builder.builder_from_directory(directory).as_data_source("train")
    with pytest.raises(DamagedFileError, match="index of"):
        source[0]


@kit.both_formats
def test_splits(format, golden):
    """`split` takes what `as_dataset` takes: any structure of splits, slices, sums, and None for a dict of all."""
    builder = tfds_builder.builder_from_directory(golden / f"pairs_{format}" / "1.0.0")

    def labels(source):
        return [example["label"] for example in source]

    for split in ("train", "test[3:]", "train[20%:50%]+few", tfds.core.ReadInstruction("train", from_=-7, unit="abs"), "all"):
        wanted = [int(label) for label in tfds.as_numpy(builder.as_dataset(split=split).map(lambda example: example["label"]))]
        assert labels(builder.as_data_source(split)) == wanted
    nested = builder.as_data_source({"a": ["train", "test"], "b": ("few",)})
    assert [labels(nested["a"][0]), labels(nested["a"][1]), labels(nested["b"][0])] == [
        labels(builder.as_data_source(split)) for split in ("train", "test", "few")
    ]
    every = builder.as_data_source()
    assert {name: len(source) for name, source in every.items()} == kit.make.DATASETS["pairs"]["rows"]
    assert every["train"].split == "train"
    assert every["train"].dataset_info.splits["train"].num_examples == len(every["train"])
    with pytest.raises(ValueError, match="nonsense"):
        builder.as_data_source("nonsense")
    with pytest.raises(ValueError, match=f"array_record is not available: pairs_{format} is {format}"):
        builder.as_data_source("train", file_format="array_record")


@kit.both_formats
def test_decoders(format, golden, stock):
    """Decoders do what they do in stock TFDS, one instance for two features too; and PartialDecoding, which that refuses."""

    @tfds.decode.make_decoder()
    def named(example, feature):
        return example, type(feature).__name__

    skip, both = tfds.decode.SkipDecoding(), named()
    for kind, decoders in (
        ("coded", {"png": skip, "zipped": skip}),
        ("coded", {"png": both, "zipped": both}),
        ("pairs", {"image": skip, "label": skip}),
        ("kinds", {"array": {"deep": {"uint32": skip, "bfloat16": skip}}, "scalar": {"bool": skip, "uint32": both}}),
        ("text", {"meta": {"words": skip}, "caption": both}),
    ):
        ours, theirs = source_of(golden, f"{kind}_{format}", decoders=decoders), stock(kind, "train", decoders=decoders)
        wanted = [kit.typed(theirs[i]) for i in range(len(theirs))]
        assert [kit.typed(example) for example in ours] == wanted
        assert [kit.typed(ours[i]) for i in range(len(ours))] == wanted
        assert "SkipDecoding" in repr(ours) or "DecoderFn" in repr(ours)
    part = tfds.decode.PartialDecoding({"array": {"deep": {"int8"}}, "label": True}, {"label": both})
    whole = source_of(golden, f"kinds_{format}")
    for number, example in enumerate(source_of(golden, f"kinds_{format}", decoders=part)):
        assert kit.typed(example["array"]) == [("deep", [("int8", kit.typed(whole[number]["array"]["deep"]["int8"]))])]
        assert example["label"] == (whole[number]["label"], "ClassLabel")
    with pytest.raises(ValueError, match="'imgae', which is no feature"):
        source_of(golden, f"pairs_{format}", decoders={"imgae": skip})


@hypothesis.given(st.lists(st.integers(-ROWS, ROWS - 1), max_size=1500))
def test_any_rows(numbered, keys):
    """Any rows, in any order and number, repeated and counted from the end, come as they were asked for."""
    wanted = [key % ROWS for key in keys]
    assert kit.row_numbers(numbered.__getitems__(keys)) == wanted
    assert kit.row_numbers(numbered.__getitems__(np.array(keys, np.int32))) == wanted
    assert kit.row_numbers(numbered[key] for key in keys[:20]) == wanted[:20]


@hypothesis.given(st.builds(slice, *[st.none() | st.integers(-3000, 3000)] * 2, st.none() | st.integers(-9, 9).filter(bool)))
def test_any_slice(numbered, key):
    """A slice is the list of what a list of all examples would give."""
    assert kit.row_numbers(numbered[key]) == list(range(ROWS))[key]


def test_sequence(numbered):
    """A source is a sequence: length, numpy integers, iteration over blocks and shards, IndexError outside, TypeError for
    what is no integer."""
    assert len(numbered) == ROWS
    assert kit.row_numbers(numbered) == list(range(ROWS))
    assert kit.row_numbers(reversed(numbered)) == list(range(ROWS))[::-1]
    assert kit.typed(numbered[np.int64(-1)]) == kit.typed(numbered[ROWS - 1]) == kit.typed(numbered.__getitems__(range(-1, 0))[0])
    assert isinstance(numbered, DataSource)
    assert numbered.__getitems__([]) == numbered.__getitems__(iter(())) == numbered[5:5] == []
    for key in (ROWS, -ROWS - 1, 10**30, np.uint64(2**63)):
        with pytest.raises(IndexError, match=f"there are {ROWS}"):
            numbered[key]
    for keys in ([0, ROWS], [-ROWS - 1], np.array([2**63], np.uint64)):
        with pytest.raises(IndexError, match=f"there are {ROWS}"):
            numbered.__getitems__(keys)
    for key in (1.0, "1", None):
        with pytest.raises(TypeError):
            numbered[key]
        with pytest.raises(TypeError):
            numbered.__getitems__([key])
    assert repr(numbered) == "ExportedDataSource(name=numbered, split='train', decoders=None)"


def test_examples_belong_to_the_caller(numbered):
    """Writing into an example changes neither the files nor another example, however it was asked for."""
    for read in (lambda: numbered[7], lambda: numbered.__getitems__(range(20))[7], lambda: next(iter(numbered[7:8]))):
        example = read()
        example["wide"][:] = -1
        example["row"][...] = -1
        assert int(read()["row"]) == 7
        assert np.all(numbered[7]["wide"] == 7)


def test_memory_is_given_back(numbered):
    """An example that is kept keeps at most a block of others in memory, not all that were read with it."""
    kept = numbered.__getitems__(range(ROWS))[0]["wide"]
    while kept.base is not None and isinstance(kept.base, np.ndarray):
        kept = kept.base
    assert kept.nbytes <= 1.1 * data_source_lib._BLOCK_BYTES


@kit.both_formats
def test_tfds_data_source(format, golden):
    """`tfds.data_source` finds a registered dataset by name, with a version, and in a data_dir."""
    tfds_builder.register(golden)
    name = f"pairs_{format}"
    labels = kit.make.truth("pairs")["test"]["label"].tolist()
    for source in (
        tfds.data_source(name, split="test"),
        tfds.data_source(f"{name}:1.0.0", split="test"),
        tfds.data_source(name, split="test", data_dir=golden),
        tfds.data_source(name)["test"],
        tfds.data_source(name, split="test", builder_kwargs={"file_format": "array_record"}),
        tfds.builder(name).as_data_source(split="test"),
    ):
        assert isinstance(source, ExportedDataSource)
        assert [example["label"] for example in source] == labels
    assert len(tfds.load(name, split="test", builder_kwargs={"file_format": format})) == len(labels)
    with pytest.raises(ValueError, match=f"riegeli is not available: {name} is {format}"):
        tfds.builder(name, file_format="riegeli")


@kit.every_golden
def test_pickle(name, golden):
    """A source that comes out of a pickle gives the same, before and after it was read from."""
    source = source_of(golden, name, decoders={"png": tfds.decode.SkipDecoding()} if name.startswith("coded") else None)
    for _ in range(2):
        again = pickle.loads(pickle.dumps(source))
        assert [kit.typed(example) for example in again] == [kit.typed(example) for example in source]
        assert repr(again) == repr(source)
        assert again.dataset_info.name == name
        assert len(pickle.dumps(again)) < 20_000


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers(method, numbered):
    """Forked and spawned workers read the right rows all at once, from a source that their parent has read from."""
    random = np.random.default_rng(0)
    work = [(numbered, random.integers(0, ROWS, 700).tolist()) for _ in range(30)]
    kit.read_in_worker(*work[0])
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(kit.read_in_worker, work, chunksize=1) == [keys for _, keys in work]


def test_threads(numbered):
    """Threads that share a source read the right rows."""
    right = []

    def read(seed):
        work = np.random.default_rng(seed).integers(0, ROWS, (20, 300)).tolist()
        found = [kit.read_in_worker(numbered, keys) + kit.row_numbers(numbered[key] for key in keys[:50]) for keys in work]
        right.append(found == [keys + keys[:50] for keys in work])

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 4


@kit.every_golden
def test_files_that_cannot_be_mapped(name, golden, monkeypatch):
    """Where the system refuses to map a file, the examples are the same."""
    wanted = [kit.typed(example) for example in source_of(golden, name)]

    def refuse(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mapping, "_Mapping", refuse)
    source = source_of(golden, name)
    assert [kit.typed(source[i]) for i in range(len(source))] == wanted


def test_missing_shard(tmp_path):
    """A shard that is missing or cut short is an error when the source is made, not when its rows are asked for."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    shard = sorted(directory.glob("*-train-*.h5"))[1]
    content = shard.read_bytes()
    builder = tfds_builder.builder_from_directory(directory)
    shard.write_bytes(content[:-1])
    with pytest.raises(DamagedFileError, match=shard.name):
        builder.as_data_source("train")
    shard.unlink()
    with pytest.raises(MissingFileError, match=shard.name):
        builder.as_data_source("train")


def test_without_tensorflow(golden, run_python):
    """Every kind of example is read, images and compressed arrays too, and TensorFlow is not imported for it."""
    code = """
        import sys
        sys.modules["torch"] = sys.modules["h5py"] = None
        import tensorflow_datasets as tfds, tfds_builder
        for name in tfds_builder.register(sys.argv[1]):
            source = tfds.data_source(name, split="train")
            print(name, len(source), len(source.__getitems__(range(len(source)))), len(source[0]))
        assert "tensorflow" not in sys.modules
    """
    lines = run_python(code, golden).stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(kit.make.names())
    for line in lines:
        name, *counts, features = line.split()
        kind = name.split("_")[0]
        assert counts == [str(kit.make.DATASETS[kind]["rows"]["train"])] * 2
        assert int(features) == len(kit.nested(kit.make.truth(kind)["train"]))


@pytest.mark.needs_torch
@kit.both_formats
def test_data_loader(format, golden):
    """PyTorch's DataLoader takes a source as its dataset, workers included, and gives the stored arrays."""
    torch = pytest.importorskip("torch")
    truth = kit.make.truth("pairs")["train"]
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(source_of(golden, f"pairs_{format}"), batch_size=10, num_workers=workers)
        batches = list(loader)
        assert np.array_equal(torch.cat([batch["image"] for batch in batches]).numpy(), truth["image"])
        assert torch.cat([batch["label"] for batch in batches]).tolist() == truth["label"].tolist()


@kit.both_formats
def test_grain(format, golden):
    """Grain takes a source as it is, shuffles it, batches it and reads it in threads."""
    grain = pytest.importorskip("grain")
    truth = kit.make.truth("pairs")["train"]
    order = grain.MapDataset.source(range(len(truth["label"]))).seed(1).shuffle().batch(10)
    dataset = grain.MapDataset.source(source_of(golden, f"pairs_{format}")).seed(1).shuffle().batch(10)
    batches = list(dataset.to_iter_dataset(grain.ReadOptions(num_threads=2)))
    rows_read = np.concatenate(list(order))
    assert np.array_equal(np.concatenate([batch["image"] for batch in batches]), truth["image"][rows_read])
    assert np.array_equal(np.concatenate([batch["label"] for batch in batches]), truth["label"][rows_read])


@pytest.mark.parametrize(
    ("dtype", "package", "words"),
    [
        (np.uint16, "cv2", "images of uint16 need OpenCV: pip install opencv-python-headless"),
        (np.uint8, "PIL_Image", 'images need Pillow: in a clone of torch2tfds, pip install ".[image]"'),
        (np.float32, "PIL_Image", "images need Pillow: "),
    ],
)
def test_images_without_their_package(dtype, package, words, monkeypatch):
    """Images that only a package decodes which is not installed, alone or in other features, are an error that names it."""
    monkeypatch.setattr(image_feature, "cv2", None)
    monkeypatch.setattr(image_feature, package, None)
    image = tfds.features.Image(shape=(4, 5, 1), dtype=dtype)
    for feature in (image, tfds.features.Sequence(image), tfds.features.Sequence({"a": np.int64, "b": image})):
        value = data_source_lib.Value("image", feature)
        with pytest.raises(UnsupportedReadError) as caught:
            value.decode([np.array([b""], object) for _ in value.specs])
        assert str(caught.value).startswith(f"feature 'image': {words}")
    skipped = data_source_lib.Value("image", image, tfds.decode.SkipDecoding())
    assert skipped.decode([b"as it is"]) == b"as it is"
