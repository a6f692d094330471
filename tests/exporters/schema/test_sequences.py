"""Images inside sequences: channels-last when published, as the loader gave them when PyTorch reads them back."""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from exporters.errors import ArgumentError, LayoutError, SchemaError

F = tfds.features
PLAIN = {"on_hazard": "ignore"}


def loader_of_rows(rows, batch_size=None):
    return DataLoader(rows, batch_size=batch_size or len(rows), collate_fn=list)


def to_lists(value):
    """Whatever holds numbers, as nested lists of them."""
    if hasattr(value, "to_list"):  # tf.RaggedTensor
        value = value.to_list()
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.tolist()
    return [to_lists(item) for item in value] if isinstance(value, list | tuple) else value


def read_everywhere(result):
    """The split's examples by our reader in TensorFlow and, of TFRecord, by stock TFDS."""
    builders = [tfds_builder.builder_from_directory(result.path)]
    builders += [tfds.builder_from_directory(result.path)] if (pathlib.Path(result.path) / "features.json").exists() else []
    return [list(tfds.as_numpy(builder.as_dataset(split="train"))) for builder in builders]


def read_torch(result):
    """The split's examples by `as_torch`, one by one and by the batch."""
    dataset = tfds_builder.as_torch(result.path, as_supervised=False)
    return [[dataset[row] for row in range(len(dataset))], dataset.__getitems__(range(len(dataset)))]


# --- random nestings -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Image:
    """An image; `sizes` are those of its height and width, one of which is taken for each image."""

    channels: int
    sizes: tuple[tuple[int, int], ...]
    dtype: str
    is_first: bool  # channels first


@dataclasses.dataclass(frozen=True)
class Many:
    item: object


SIZES = st.tuples(st.sampled_from([2, 5, 6]), st.sampled_from([7, 8, 9]))
IMAGES = st.builds(
    Image,
    st.sampled_from([1, 3, 4]),
    st.lists(SIZES, min_size=1, max_size=3).map(tuple),
    st.sampled_from(["uint8", "uint16", "float32", "int16", "float64", "float16"]),
    st.booleans(),
)


def make(node, random, least=0):
    """A value of a nesting, with so many items in each list at least."""
    if isinstance(node, Image):
        height, width = node.sizes[random.integers(len(node.sizes))]
        shape = (node.channels, height, width) if node.is_first else (height, width, node.channels)
        return torch.from_numpy(random.integers(0, 200, shape).astype(node.dtype))
    if isinstance(node, Many):
        return [make(node.item, random, least) for _ in range(random.integers(least, 3))]
    if isinstance(node, dict):
        return {key: make(item, random, least) for key, item in node.items()}
    return int(random.integers(100))


def stored(node, value):
    """The same in the stored layout."""
    if isinstance(node, Image):
        return np.moveaxis(value.numpy(), 0, -1) if node.is_first else value.numpy()
    if isinstance(node, Many):
        return [stored(node.item, item) for item in value]
    return {key: stored(item, value[key]) for key, item in node.items()} if isinstance(node, dict) else value


def by_key(node, value):
    """The same with dicts of lists for lists of dicts, as TFDS gives sequences."""
    if isinstance(node, Many):
        return transpose(node.item, [by_key(node.item, item) for item in value])
    return {key: by_key(item, value[key]) for key, item in node.items()} if isinstance(node, dict) else value


def transpose(node, items):
    while isinstance(node, Many):
        node = node.item
    return {key: transpose(node[key], [item[key] for item in items]) for key in node} if isinstance(node, dict) else items


def same(got, want):
    if isinstance(want, dict):
        return sorted(got) == sorted(want) and all(same(got[key], want[key]) for key in want)
    return to_lists(got) == to_lists(want)


def dtypes_of(value):
    if isinstance(value, dict):
        return set().union(*(dtypes_of(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*map(dtypes_of, value))
    return {value.dtype} if isinstance(value, torch.Tensor) and value.ndim > 1 else set()


INNER = st.recursive(
    IMAGES,
    lambda inner: st.one_of(inner.map(Many), st.fixed_dictionaries({"a": inner, "n": st.none(), "b": IMAGES})),
    max_leaves=3,
)


@pytest.mark.needs_tensorflow
@settings(max_examples=8)
@given(inner=INNER, seed=st.integers(0, 2**31))
def test_nestings_come_back(inner, seed, publish):
    """Images in any nesting of lists and dicts are published channels-last, by every reader, and come back to PyTorch as
    the loader gave them."""
    node, random = {"x": Many(inner)}, np.random.default_rng(seed)
    rows = [{"x": [make(inner, random, 1) for _ in range(count)]} for count in (2, 3)] + [make(node, random) for _ in range(3)]
    for format in ("tfrecord", "hdf5"):
        result = publish(loader_of_rows(rows), format, **PLAIN)
        for examples in read_everywhere(result):
            assert all(same(got, by_key(node, stored(node, row))) for got, row in zip(examples, rows, strict=True))
        for examples in read_torch(result):
            for got, row in zip(examples, rows, strict=True):
                assert same(got, by_key(node, row))
                assert dtypes_of(got) <= dtypes_of(rows)


# --- what is said of them ------------------------------------------------------------------------


def image(*shape, dtype=torch.uint8):
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


CHW = image(3, 5, 7)
LISTS = [{"x": [CHW, CHW + 1]}, {"x": []}, {"x": [CHW + 2]}]
DICTS = [{"x": [{"i": CHW, "n": 1}, {"i": CHW + 1, "n": 2}]}, {"x": []}, {"x": [{"i": CHW + 2, "n": 3}]}]
ARRAYS = [{"x": torch.stack([CHW + n] * count)} for n, count in enumerate((2, 3, 1))]
PARTS = [{"x": {"i": row["x"], "n": torch.arange(len(row["x"]))}} for row in ARRAYS]


@pytest.mark.parametrize("given_layout", [None, "NCHW", "NTCHW", "NSCHW"])
def test_names_of_layouts(given_layout, format, publish, manifest_of):
    """With the axis of the sequence or without, a layout says the same; decisions say it, and the manifest has it on the
    column of the image alone."""
    for rows, name in ((LISTS, "x"), (DICTS, "x/i")):
        result = publish(loader_of_rows(rows), format, layouts={name: given_layout} if given_layout else None, **PLAIN)
        assert f"{name}: NTCHW (None, 3, 5, 7) -> NTHWC (None, 5, 7, 3)" in " ".join(result.decisions)
        layouts = {column.name: column.source_layout for column in manifest_of(result).columns}
        assert layouts.pop(name) == "NCHW"
        assert not any(layouts.values())
        assert tfds_builder.verify(result.path, deep=True).problems == []


NONSENSE = {
    "of a batch of another rank": (LISTS, {"x": "NCDTHW"}, LayoutError, ("'x'", "6 axes", "5", "or 4")),
    "too short": (DICTS, {"x/i": "NCH"}, LayoutError, ("'x/i'", "3 axes", "5", "or 4")),
    "no letters": (DICTS, {"x/i": "N-CHW"}, LayoutError, ("'x/i'", "capital letters")),
    "twice": (LISTS, {"x": "NCCHW"}, LayoutError, ("'x'", "capital letters")),
    "no batch axis": (LISTS, {"x": "TCHW"}, LayoutError, ("'x'", "begin with N")),
    "of a group": (DICTS, {"x": "NCHW"}, ArgumentError, ("'x'", "'x/i'", "'x/n'")),
    "of nothing": (DICTS, {"x/nope": "NCHW"}, ArgumentError, ("'x/nope'", "'x/i'")),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_layouts_that_make_no_sense(case, refuses):
    """A layout of another rank, of no letters or for what is not there is refused by name before anything is written."""
    rows, layouts, error, words = NONSENSE[case]
    refuses(loader_of_rows(rows), error, *words, layouts=layouts)


@pytest.mark.parametrize("shape", [(3, 5, 3), (1, 4, 4), (3, 4, 8, 9)])
def test_images_that_can_be_read_two_ways(shape, publish, refuses):
    """What is ambiguous outside sequences is asked about inside of them, with lines that work."""
    rows = [{"x": [{"i": image(*shape)}] * count} for count in (2, 1)]
    error = refuses(loader_of_rows(rows), LayoutError, "'x/i'")
    lines = [json.loads(line) for line in re.findall(r"layouts=(\{.*?\})", str(error))]
    assert len(lines) == 2
    for line in lines:
        result = publish(loader_of_rows(rows), layouts=line, **PLAIN)
        axes = line["x/i"][0] + line["x/i"][2:]
        wanted = np.moveaxis(image(*shape).numpy(), axes.index("C") - 1, -1)
        assert (
            tfds_builder.builder_from_directory(result.path).as_data_source("train")[0]["x"]["i"][1].tolist() == wanted.tolist()
        )
        assert all(torch.equal(read[1]["x"]["i"][0], image(*shape)) for read in read_torch(result))


def test_arrays_that_are_no_images(publish):
    """The rule is that of arrays outside sequences: without an axis of 1, 3 or 4 where channels can be, nothing moves."""
    rows = [{"x": [{"last": image(5, 7, 3), "none": image(5, 7, 9), "flat": image(3, 5)}] * count} for count in (2, 1)]
    result = publish(loader_of_rows(rows), **PLAIN)
    assert "x/last: NTHWC (None, 5, 7, 3), kept as it is" in result.decisions[0]
    assert "x/none:" not in result.decisions[0]
    example = tfds_builder.builder_from_directory(result.path).as_data_source("train")[0]["x"]
    assert {key: np.shape(value) for key, value in example.items()} == {
        "last": (2, 5, 7, 3),
        "none": (2, 5, 7, 9),
        "flat": (2, 3, 5),
    }


# --- declared ------------------------------------------------------------------------------------

DECLARED = {
    "images": lambda: F.Sequence(F.Image(shape=(5, 7, 3))),
    "images of any size": lambda: F.Sequence(F.Image(shape=(None, None, 3))),
    "tensors": lambda: F.Sequence(F.Tensor(shape=(5, 7, 3), dtype=np.uint8)),
    "encoded tensors": lambda: F.Sequence(F.Tensor(shape=(5, 7, 3), dtype=np.uint8, encoding="zlib")),
    "dataset": lambda: F.Dataset(F.Image(shape=(5, 7, 3))),
    "video": lambda: F.Video(shape=(None, 5, 7, 3)),
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("case", DECLARED)
def test_declared_images(case, asked, format, publish):
    """Images of a declared sequence are permuted to its shape, given as lists, as one array or in dicts, and come back."""
    for rows in (LISTS, ARRAYS, PARTS, DICTS):
        if case == "video" and rows in (PARTS, DICTS):
            continue
        feature, name = DECLARED[case](), "x"
        if rows in (PARTS, DICTS):
            feature, name = type(feature)({"i": feature.feature, "n": np.int64}), "x/i"
        layouts = {name: "NTCHW"} if asked else None
        result = publish(loader_of_rows(rows), format, features={"x": feature}, layouts=layouts, **PLAIN)
        assert "NTCHW (None, 3, " in result.decisions[0]
        for examples in read_everywhere(result):
            for example, row in zip(examples, rows, strict=True):
                found = example["x"] if rows in (LISTS, ARRAYS) or case == "dataset" else example["x"]["i"]
                found = [item["i"] if isinstance(item, dict) else item for item in found]
                assert to_lists(found) == [to_lists(item.permute(1, 2, 0)) for item in images_of(row["x"])]
        for examples in read_torch(result):
            for example, row in zip(examples, rows, strict=True):
                found = example["x"]["i"] if name == "x/i" else example["x"]
                assert to_lists(found) == to_lists(images_of(row["x"]))


def images_of(value):
    if isinstance(value, dict):
        value = value["i"]
    return [item["i"] if isinstance(item, dict) else item for item in value]


@pytest.mark.parametrize("feature", [F.Sequence, F.Dataset])
def test_declared_as_given(feature, publish):
    """Where the declared shape is that of the data as it is, nothing moves; with a layout that moves it, it is refused."""
    for rows, name in ((PARTS, "x/i"), (DICTS, "x/i"), (LISTS, "x"), (ARRAYS, "x")):
        tensor = F.Tensor(shape=(3, 5, 7), dtype=np.uint8)
        declared = {"x": feature({"i": tensor, "n": np.int64} if name == "x/i" else tensor)}
        result = publish(loader_of_rows(rows), features=declared, **PLAIN)
        assert "->" not in result.decisions[0]
        for examples in read_torch(result):
            found = [example["x"]["i"] if name == "x/i" else example["x"] for example in examples]
            assert to_lists(found) == [to_lists(images_of(row["x"])) for row in rows]
        with pytest.raises(SchemaError, match=re.escape(f"'{name}': features= says shape (3, 5, 7)")):
            publish(loader_of_rows(rows), features=declared, layouts={name: "NTCHW"}, **PLAIN)


@pytest.mark.needs_tensorflow
def test_channels_before_frames(format, publish):
    """One array of frames whose channels come before them is a sequence of images all the same, by its shape or by name."""
    rows = [{"v": image(3, count, 5, 7)} for count in (2, 6, 5)]
    for layouts in (None, {"v": "NCTHW"}):
        features = {"v": F.Video(shape=(None, 5, 7, 3))}
        result = publish(loader_of_rows(rows), format, features=features, layouts=layouts, **PLAIN)
        for examples in read_everywhere(result):
            assert [to_lists(example["v"]) for example in examples] == [to_lists(row["v"].permute(1, 2, 3, 0)) for row in rows]
        for examples in read_torch(result):
            assert [to_lists(example["v"]) for example in examples] == [to_lists(row["v"]) for row in rows]


class Stops(torch.utils.data.Dataset):
    """Rows, of which the fifth stops the export while `stops`."""

    def __init__(self, rows):
        self.rows, self.stops = rows, False

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        if self.stops and index == 4:
            raise RuntimeError("stopped")
        return self.rows[index]


RESUMED = {
    "lists": [{"x": [image(3, 5, 7)] * count} for count in (1, 2, 1, 3, 0, 0, 2, 2)],
    "dicts": [{"x": [{"i": image(3, 5, 7)}] * count} for count in (1, 2, 1, 3, 0, 0, 2, 2)],
    "sizes that look like channels later": [
        {"x": [{"i": image(3, 5, 3 if count < 2 else 5 + count)}] * (1 + count)} for count in (2, 3, 2, 3, 1, 0, 1, 1)
    ],
    "no images": [{"x": [{"i": image(2 if count > 1 else 3, 5, 7)}] * (1 + count)} for count in (2, 1, 2, 3, 1, 0, 1, 1)],
    "deeper": [{"x": [[{"i": image(3, 5, 7)}] * count]} for count in (1, 2, 1, 3, 0, 0, 2, 2)],
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_stopped_export_goes_on(case, format, publish, goes_on):
    """What the first batch showed of the axes holds when the export goes on with a batch that shows less, or another thing."""
    stops = Stops(RESUMED[case])
    options = {"shard_bytes": 1, **PLAIN}
    result = goes_on(lambda data_dir: publish(loader_of_rows(stops, 2), format, data_dir=data_dir, **options), stops)
    dataset = tfds_builder.as_torch(result.path)
    for number, row in enumerate(RESUMED[case]):
        found = dataset[number]["x"]
        if case == "lists":
            assert to_lists(found) == to_lists(row["x"])
        elif case != "deeper":
            assert to_lists(found["i"]) == [to_lists(item["i"]) for item in row["x"]]


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_beside_images_in_a_sequence(channels, publish, refuses):
    """Boxes are over the size of the example's image; beside images in their own sequence they are refused, beside masks not."""
    box = torch.tensor([1.0, 2.0, 5.0, 6.0])
    rows = [{"image": image(3, 8, 10), "o": [{"box": box, "i": image(channels, 8, 10)}] * count} for count in (2, 1)]
    features = {"o": F.Sequence({"box": F.BBoxFeature(), "i": F.Tensor(shape=(8, 10, channels), dtype=np.uint8)})}
    if channels == 3:
        refuses(loader_of_rows(rows), SchemaError, "'o'", "'o/i'", "bbox_format=None", features=features)
        return
    result = publish(loader_of_rows(rows), features=features, **PLAIN)
    example = tfds_builder.builder_from_directory(result.path).as_data_source("train")[0]["o"]
    assert np.shape(example["i"]) == (2, 8, 10, 1)
    np.testing.assert_allclose(example["box"], [[2 / 8, 1 / 10, 6 / 8, 5 / 10]] * 2)
    for examples in read_torch(result):
        assert to_lists(examples[0]["o"]["box"]) == [box.tolist()] * 2
        assert to_lists(examples[0]["o"]["i"]) == to_lists([image(1, 8, 10)] * 2)


# --- a first batch that shows nothing --------------------------------------------------------------

FIRST = torch.arange(90, dtype=torch.uint8).reshape(3, 5, 6)
OURS = (LayoutError, SchemaError)
LATER = {
    "images of any size": ("x", F.Sequence(F.Image(shape=(None, None, 3))), lambda: [FIRST]),
    "images of one size": ("x", F.Sequence(F.Image(shape=(5, 6, 3))), lambda: [FIRST, FIRST + 1]),
    "one array of images": ("x", F.Sequence(F.Image(shape=(None, None, 3))), lambda: torch.stack([FIRST, FIRST + 1])),
    "images in dicts": ("x/i", F.Sequence({"i": F.Image(shape=(None, None, 3))}), lambda: [{"i": FIRST}]),
    "tensors": ("x", F.Sequence(F.Tensor(shape=(5, 6, 3), dtype=np.uint8)), lambda: [FIRST]),
    "rows of tensors": ("x", F.Tensor(shape=(None, 5, 6, 3), dtype=np.uint8), lambda: [FIRST]),
}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", LATER)
def test_images_that_come_after_empty_lists(case, publish, refuses):
    """Channels come first in a batch after one of empty lists: an error of ours, whose `layouts=` works."""
    name, feature, value = LATER[case]
    rows = [{"x": []}, {"x": []}, {"x": value()}, {"x": value()}]
    error = str(refuses(loader_of_rows(rows, 2), OURS, f"batch 1, feature {name!r}", features={"x": feature}))
    line = re.search(r"layouts=(\{.*\})$", error)[1]
    result = publish(loader_of_rows(rows, 2), features={"x": feature}, layouts=json.loads(line), **PLAIN)
    back = tfds_builder.as_torch(result.path, "train")[2]["x"]
    images = back["i"] if isinstance(back, dict) else [item["i"] if isinstance(item, dict) else item for item in back]
    assert torch.equal(torch.as_tensor(np.asarray(images[0])), FIRST)


@pytest.mark.needs_tensorflow
def test_images_that_may_be_either_after_empty_lists(refuses, publish):
    """Images of three channels and three columns are ambiguous in whichever batch they come; with channels last all is well."""
    feature = {"x": F.Sequence(F.Image(shape=(None, None, 3)))}
    rows = [{"x": []}] * 2 + [{"x": [torch.zeros(3, 5, 3, dtype=torch.uint8)]}] * 2
    refuses(loader_of_rows(rows, 2), LayoutError, "batch 1", 'layouts={"x": "NTCHW"} or', features=feature)
    rows = [{"x": []}] * 2 + [{"x": [FIRST.permute(1, 2, 0)]}] * 2
    assert publish(loader_of_rows(rows, 2), features=feature, **PLAIN).examples == {"train": 4}


@pytest.mark.needs_tensorflow
def test_images_laid_out_otherwise_later(refuses):
    """A batch whose images have their channels elsewhere than those of the first is refused in words of ours."""
    feature = {"x": F.Sequence(F.Image(shape=(None, None, 3)))}
    for images in ([FIRST, FIRST.permute(1, 2, 0)], [FIRST.permute(1, 2, 0), FIRST]):
        rows = [{"x": [image]} for image in images for _ in range(2)]
        refuses(loader_of_rows(rows, 2), SchemaError, "batch 1, feature 'x'", "laid out as the first", features=feature, **PLAIN)


def test_tensors_of_several_unknown_sizes_in_a_sequence(refuses):
    """TFDS does not decode an empty list of them: that is an error of ours."""
    feature = {"x": F.Sequence(F.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding="bytes"))}
    refuses(loader_of_rows([{"x": []}] * 2), SchemaError, "does not give back what it is given", features=feature)


def sized(*sizes, wrap=lambda image: image):
    return {"x": [wrap(torch.zeros(3, height, width, dtype=torch.uint8)) for height, width in sizes]}


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("case", ["x", "x/i"])
def test_images_of_one_example_that_differ_in_size(case, publish, recwarn):
    """TensorFlow cannot read them, stock TFDS neither, and PyTorch can: that is said once at export, and by which feature."""
    wrap = (lambda image: image) if case == "x" else (lambda image: {"i": image})
    image = F.Image(shape=(None, None, 3))
    rows = [sized((5, 6), (5, 6), wrap=wrap)] + [sized((5, 6), (7, 8), wrap=wrap)] * 3
    result = publish(loader_of_rows(rows, 2), features={"x": F.Sequence(image if case == "x" else {"i": image})}, **PLAIN)
    told = [str(one.message) for one in recwarn if issubclass(one.category, exporters.ExportWarning)]
    assert len(told) == 1
    assert f"split 'train', feature {case!r}: images of one example differ in size" in told[0]
    for builder in (tfds_builder.builder_from_directory(result.path), tfds.builder_from_directory(result.path)):
        read = iter(builder.as_dataset(split="train"))
        next(read)
        with pytest.raises(Exception, match=r"(?i)shape|stack|TensorArray"):
            next(read)
    found = tfds_builder.as_torch(result.path, "train")[1]["x"]
    images = [item["i"] for item in found] if isinstance(found, list) and isinstance(found[0], dict) else found
    images = images["i"] if isinstance(images, dict) else images
    assert [tuple(image.shape) for image in images] == [(3, 5, 6), (3, 7, 8)]


@pytest.mark.needs_tensorflow
def test_images_that_differ_between_examples_only(publish, recwarn):
    """Nothing is said where the images of each example have one size."""
    rows = [sized((5, 6), (5, 6)), sized((7, 8), (7, 8)), {"x": []}, sized((9, 9))]
    publish(loader_of_rows(rows, 2), features={"x": F.Sequence(F.Image(shape=(None, None, 3)))}, **PLAIN)
    assert not [one for one in recwarn if issubclass(one.category, exporters.ExportWarning)]
