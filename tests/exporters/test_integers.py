"""Float images stored as the integers they came from, tried as a whole: a loader in, a version out, every float back."""

import ast
import pathlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from integers_kit import BATCH, MEAN, PIPELINES, ROWS, STD, Compose, Normalize, ToTensor, pixels, to_numpy
from torch.utils.data import DataLoader, Dataset

import exporters
import tfds_builder
from exporters import SchemaError, wording
from tfds_builder.contract.manifest import FILENAME


class Photos(Dataset):
    """Images and labels; `transform` makes floats of the integers. It may stop after some."""

    def __init__(self, transform, images=None, stop_at=None):
        self.transform, self.images, self.stop_at, self.asked = transform, pixels() if images is None else images, stop_at, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.asked += 1
        if self.asked == self.stop_at:
            raise RuntimeError("stopped")
        return self.transform(torch.from_numpy(self.images[index])), index % 3


def run(data_dir, transform, images=None, format="tfrecord", workers=0, **options):
    loader = DataLoader(Photos(transform, images), batch_size=BATCH, num_workers=workers)
    return exporters.export(
        loader,
        data_dir,
        **{"name": "ds", "format": format, "integers": ["image"], "progress": False, "on_hazard": "error", **options},
    )


def bits(tensor):
    array = to_numpy(tensor)
    return array.dtype, array.shape, array.tobytes()


def stored(path, images):
    """Whether what `tfds.load` would give are these integers, channels last."""
    source = tfds_builder.builder_from_directory(path).as_data_source(split="train")
    return all(np.array_equal(row["image"], image.transpose(1, 2, 0)) for row, image in zip(source, images, strict=True))


def comes_back(path, transform, images):
    """Whether `as_torch` gives the loader's floats bit for bit, one by one and together."""
    back, given = tfds_builder.as_torch(path), Photos(transform, images)
    together = [image for image, _ in back.__getitems__(range(len(given)))]
    return all(bits(back[row][0]) == bits(image) == bits(together[row]) for row, (image, _) in enumerate(given))


@pytest.mark.parametrize("name", ["Normalize", "float16", "bfloat16"])
def test_pipelines(name, tmp_path):
    """Whatever library's order of computing made the floats: stored are the uint8, and every float comes back bit for bit."""
    transform, images = PIPELINES[name], pixels()
    result = run(tmp_path, transform, images)
    assert stored(result.path, images)
    assert comes_back(result.path, transform, images)
    assert tfds_builder.verify(result.path, deep=True).problems == []
    assert result.decisions[0].startswith("image: NCHW (3, 8, 8) -> NHWC (8, 8, 3), Tensor uint8; ")
    dtype = str(transform(torch.from_numpy(images[0])).dtype).removeprefix("torch.")
    assert f"; {dtype} images, stored as the uint8 they came from: " in result.decisions[0]


@pytest.mark.parametrize(
    ("encoding", "workers", "format"), [("png", 2, "hdf5"), ("png", 0, "tfrecord"), (None, 2, "tfrecord"), (None, 0, "hdf5")]
)
def test_images_in_both_formats(encoding, workers, format, tmp_path):
    """As PNG or as plain bytes, in both formats, with workers, which make integers themselves, and without: the same values."""
    transform, images = Compose(ToTensor(), Normalize()), pixels()
    features = {"image": tfds.features.Image(shape=(8, 8, 3), dtype=np.uint8)} if encoding else None
    result = run(tmp_path, transform, images, format, workers, features=features)
    assert stored(result.path, images)
    assert comes_back(result.path, transform, images)


@pytest.mark.once
def test_workers_change_no_byte(tmp_path):
    """Workers give the bytes that no workers give."""
    paths = [pathlib.Path(run(tmp_path / str(count), PIPELINES["Normalize"], workers=count).path) for count in (0, 2)]
    assert contents_of(paths[0]) == contents_of(paths[1])


def contents_of(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


WRONG = {
    "near an entry": (lambda x: np.nextafter(x, np.float32(9)), "two floats for one integer"),
    "NaN": (lambda x: np.float32("nan"), "NaN, which is no integer"),
}


class Spoilt:
    """x/255, but for one value of one image."""

    def __init__(self, change, image):
        self.change, self.image = change, image

    def __call__(self, image):
        out = image.float() / 255
        if torch.equal(image, self.image):
            out[1, 5, 6] = torch.from_numpy(np.asarray(self.change(out[1, 5, 6].numpy())))
        return out


@pytest.mark.parametrize("wrong", WRONG)
def test_the_first_value_that_is_in_no_table(wrong, tmp_path):
    """A float in a later batch that is no integer's ends the export, with its place and value; nothing is published."""
    images = pixels()
    images[2 * BATCH + 3, 1, 5, 6] = 77
    change, told = WRONG[wrong]
    with pytest.raises(SchemaError, match=re.escape(told)) as caught:
        run(tmp_path, Spoilt(change, torch.from_numpy(images[2 * BATCH + 3])), images, on_hazard="ignore")
    assert str(caught.value).startswith("split 'train', batch 2, feature 'image', row 3, channel 1, value ")
    assert not (tmp_path / "ds" / "1.0.0").exists()


def test_it_is_refused_before_the_first_byte(tmp_path):
    """What the first batch of a split shows is refused before anything is written, whichever split it is."""
    images = pixels()
    images[3, 1, 5, 6] = 77
    spoilt = Spoilt(WRONG["near an entry"][0], torch.from_numpy(images[3]))
    for first, second in ((spoilt, ToTensor()), (ToTensor(), spoilt)):
        parts = {"train": Photos(first, images), "test": Photos(second, images)}
        loaders = {split: DataLoader(dataset, batch_size=BATCH) for split, dataset in parts.items()}
        with pytest.raises(SchemaError, match=r"batch 0, feature 'image'.*two floats for one integer"):
            exporters.export(loaders, tmp_path, name="ds", integers={"image": (0, 1)}, progress=False, on_hazard="ignore")
        assert not list(tmp_path.rglob("*.data"))


def test_scaled_image_by_image(tmp_path):
    """Images that are stretched to the same range one by one are refused: no table has them all."""
    images = pixels(shape=(1, 8, 8))
    images[BATCH:] = images[BATCH:].astype(int) * 200 // 255
    with pytest.raises(SchemaError, match=r"batch 1, feature 'image', row 0, channel 0, value .* (not in the table|two floats)"):
        run(tmp_path, lambda x: x.float() / x.max(), images, on_hazard="ignore")


def test_resized_as_floats(tmp_path):
    """Floats that never were 8-bit integers are told from the first batch, with what to do."""
    with pytest.raises(SchemaError, match=r"different values .*without 'image' in integers"):
        run(tmp_path, lambda x: torch.rand(3, 8, 8), on_hazard="ignore")


@pytest.mark.parametrize("transform", ["Normalize", "x/256"])
def test_what_is_not_known_is_asked_for(transform, tmp_path):
    """Where the first batch does not span all integers, and no transform tells, the error's line works when it is followed."""

    images, hidden = pixels(lowest=10, highest=200), Hidden(PIPELINES[transform])
    with pytest.raises(SchemaError, match="it is not known which integers") as caught:
        run(tmp_path, hidden, images, on_hazard="ignore")
    line = re.search(r"integers=(\{.*\}), if", str(caught.value))[1]
    result = run(tmp_path, hidden, images, integers=ast.literal_eval(line), on_hazard="ignore")
    assert comes_back(result.path, hidden, images)
    if transform == "Normalize":
        assert stored(result.path, images)


class Hidden:
    """A transform that nobody can look into."""

    __slots__ = ("_function",)

    def __init__(self, function):
        self._function = function

    def __call__(self, image):
        return getattr(self, "_" + "function")(image)


def test_transforms_of_the_dataset_tell(tmp_path):
    """The same images, where the dataset holds its transform: nothing is asked."""
    images = pixels(lowest=10, highest=200)
    for number, name in enumerate(("ToTensor", "bfloat16")):
        result = run(tmp_path, PIPELINES[name], images, version=f"{number}.0.0", on_hazard="ignore")
        assert stored(result.path, images)
        assert comes_back(result.path, PIPELINES[name], images)


def test_a_table_is_given(tmp_path):
    """Floats that no formula gives come back by a table of the caller's, and where all 256 are seen without one."""
    table = np.sort(np.random.default_rng(5).normal(size=256)).astype(np.float32)
    images = pixels()

    def look_up(image):
        return torch.from_numpy(table)[image.long()]

    with pytest.raises(SchemaError, match=r"not evenly spaced|two floats"):
        run(tmp_path, look_up, images[:, :, :2, :2], on_hazard="ignore")
    result = run(tmp_path, look_up, images, integers={"image": table}, on_hazard="ignore")
    assert stored(result.path, images)
    assert comes_back(result.path, look_up, images)
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(ROWS, 0)
    result = run(tmp_path, look_up, every, version="2.0.0", on_hazard="ignore")
    assert stored(result.path, every)
    assert comes_back(result.path, look_up, every)


def test_sixteen_bits(format, tmp_path):
    """k/65535 is stored as uint16; its table lies in a file of its own, which `verify` checks."""
    images = pixels(highest=65535, shape=(1, 32, 32), dtype=np.uint16)

    def to_float(image):
        return image.to(torch.int32).float() / 65535

    result = run(tmp_path, to_float, images, format)
    assert "stored as the uint16 they came from: x/65535" in result.decisions[0]
    assert stored(result.path, images)
    assert comes_back(result.path, to_float, images)
    file = pathlib.Path(result.path, "image.floats")
    assert file.stat().st_size == 4 * 65536
    assert tfds_builder.verify(result.path).problems == []
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    assert [problem.file for problem in tfds_builder.verify(result.path).problems] == ["image.floats"]
    with pytest.raises(tfds_builder.DatasetError, match=r"image\.floats"):
        tfds_builder.as_torch(result.path)


def layouts_of(images):
    """Batches of the same images in other layouts, with what `layouts=` needs to be told."""
    normalized = torch.stack([PIPELINES["Normalize"](torch.from_numpy(image)) for image in images])
    return {
        "NHWC": (normalized.permute(0, 2, 3, 1).contiguous(), {}),
        "channels_last": (normalized.to(memory_format=torch.channels_last), {}),
        "NTCHW": (normalized.reshape(len(images) // 2, 2, *normalized.shape[1:]), {}),
        "NHW": (torch.from_numpy(images[:, 0]).float() / 255, {}),
        "NCTHW": (normalized.reshape(-1, 4, 3, 8, 8).transpose(1, 2), {"image": "NCTHW"}),
    }


@pytest.mark.parametrize("layout", ["NHWC", "channels_last", "NTCHW", "NHW", "NCTHW"])
def test_layouts(layout, tmp_path, loader_of):
    """Wherever the channels are in the loader's batches, in memory or in name, each has its own table, and comes back."""
    batch, layouts = layouts_of(pixels())[layout]
    result = exporters.export(
        loader_of({"image": batch}), tmp_path, name="ds", integers=["image"], layouts=layouts or None, progress=False
    )
    back = tfds_builder.as_torch(result.path)
    assert [bits(example["image"]) for example in back] == [bits(row) for row in batch.contiguous()]


def test_images_of_many_sizes(format, tmp_path, loader_of):
    """Images that differ in size, along one axis or two, come back too."""
    normalize = PIPELINES["Normalize"]
    for number, sizes in enumerate((((8, 8), (8, 9), (7, 8)), ((8, 8), (9, 8), (8, 8)))):
        images = [torch.from_numpy(pixels(1, shape=(3, *size))[0]) for size in sizes]
        rows = [normalize(image) for image in images]
        result = exporters.export(
            loader_of({"image": rows}), tmp_path, name="ds", version=f"{number}.0.0", format=format, progress=False,
            integers={"image": (MEAN, STD)}, on_hazard="ignore",
        )  # fmt: skip
        assert [bits(example["image"]) for example in tfds_builder.as_torch(result.path)] == [bits(row) for row in rows]


@pytest.mark.once
def test_going_on(tmp_path):
    """An export that was stopped goes on by the table of its plan to the bytes of one that was not, though what is left of its
    data would not have told the integers; with another table it does not go on."""
    images = pixels()
    images[BATCH:] = np.clip(images[BATCH:], 50, 90)
    hidden, whole = Hidden(lambda x: x.float() / 255), tmp_path / "whole"
    options = {"name": "ds", "progress": False, "on_hazard": "ignore", "shard_bytes": 1600}
    exporters.export(DataLoader(Photos(hidden, images), BATCH), whole, integers=["image"], **options)
    with pytest.raises(RuntimeError, match="stopped"):
        exporters.export(DataLoader(Photos(hidden, images, 21), BATCH), tmp_path, integers=["image"], **options)
    for other in (None, {"image": (0.5, 1)}):
        with pytest.raises(exporters.ResumeError, match="image"):
            exporters.export(DataLoader(Photos(hidden, images), BATCH), tmp_path, integers=other, **options)
    result = exporters.export(DataLoader(Photos(hidden, images), BATCH), tmp_path, integers=["image"], **options)
    assert contents_of(pathlib.Path(result.path)) == contents_of(whole / "ds" / "1.0.0")


def test_what_it_cannot_be_said_of(tmp_path, loader_of):
    """What is no feature, and no floats, is refused by name, and so is what makes no sense."""
    batch = {"image": torch.zeros(4, 3, 8, 8, dtype=torch.uint8)}
    for integers, told in (
        (["picture"], "'picture', which is no feature"),
        (["image"], "dtype uint8: only floats"),
        ("image", "must be names of features"),
        ({"image": 3}, "takes a mean and a std"),
        ({"image": (0, 0)}, "takes a mean and a std"),
        ({"image": np.zeros(256, np.float32)}, "must rise"),
        ({"image": np.zeros(100, np.float32)}, "256 or 65,536 floats"),
    ):
        with pytest.raises(exporters.ExportError, match=re.escape(told)):
            exporters.export(loader_of(batch), tmp_path, name="ds", integers=integers, progress=False)


def test_scales_that_do_not_fit(tmp_path):
    """A mean and a std that are not those of the data are refused with the first value that they make no integer of."""
    with pytest.raises(
        SchemaError, match=r"with mean 0.5 and std 0.5 the value .* of channel 0 would be .*, which is no integer"
    ):
        run(tmp_path, ToTensor(), integers={"image": (0.5, 0.5)}, on_hazard="ignore")


def test_the_manifest_and_the_card(tmp_path):
    """The table travels in the manifest, under its digest; `info` says what is stored, in words."""
    result = run(tmp_path, ToTensor(), pixels())
    content = pathlib.Path(result.path, FILENAME).read_text()
    assert '"rule": "x/255"' in content
    assert str(float(np.float32(1) / np.float32(255))) in content


def test_on_the_command_line():
    """What an error offers is what the command line takes, with the same meaning."""
    from exporters.command import arguments

    with wording.command_line():
        line = wording.argument("integers", {"image": (MEAN, STD)})
    option, text = line.split()
    assert option == "--integers"
    assert arguments.integers([text, "mask"]) == {"image": (MEAN, STD), "mask": None}
    for wrong in ("image=", "image=1", "image=a/b", "=0/1", "image=1/2/x"):
        with pytest.raises(exporters.ExportError, match="--integers takes"):
            arguments.integers([wrong])


@pytest.mark.needs_tensorflow
def test_the_page(tmp_path, monkeypatch):
    """The first lines of docs/integers.md run as they stand, and give what their comments say."""
    monkeypatch.chdir(tmp_path)
    page = pathlib.Path(__file__).parents[2] / "docs" / "integers.md"
    blocks = [block.partition("```")[0] for block in page.read_text().split("```python\n")[1:3]]
    photos = Photos(PIPELINES["Normalize"])
    found = {"exporters": exporters, "tfds": tfds, "tfds_builder": tfds_builder, "loader": DataLoader(photos, BATCH)}
    exec("\n".join(blocks), found)
    given = torch.stack([image for image, _ in photos])
    assert torch.equal(torch.stack([image for image, _ in found["dataset"]]), given)
    assert np.array_equal(
        np.concatenate([batch["image"] for batch in found["ds"].as_numpy_iterator()]), given.permute(0, 2, 3, 1)
    )
    np.testing.assert_allclose(tfds_builder.statistics("photos").restored().mean, given.mean((0, 2, 3)), atol=1e-5)
