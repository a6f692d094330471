"""Files, by path, by bytes or open, for features that store them; and images of Pillow's, as torchvision's datasets give them."""

from __future__ import annotations

import io
import pathlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from exporters import ExportError, LoaderError, SchemaError

PIL = pytest.importorskip("PIL.Image")
F = tfds.features
RNG = np.random.default_rng(0)
PIXELS = [RNG.integers(0, 255, (6, 5, 3), np.uint8) for _ in range(4)]


@pytest.fixture
def files(tmp_path):
    """Four PNG files of `PIXELS`."""
    (tmp_path / "files").mkdir()
    paths = [tmp_path / "files" / f"{number}.png" for number in range(4)]
    for path, pixels in zip(paths, PIXELS, strict=True):
        PIL.fromarray(pixels).save(path)
    return paths


def export(rows, data_dir, format="tfrecord", **options):
    loader = DataLoader([{"x": row} for row in rows], batch_size=2, collate_fn=list)
    return exporters.export(loader, data_dir, name="ds", format=format, progress=False, on_hazard="ignore", **options)


def read(result):
    return [example["x"] for example in tfds_builder.builder_from_directory(result.path).as_data_source("train")]


WAYS = {
    "a path": lambda path: path,
    "the text of a path": str,
    "its bytes": pathlib.Path.read_bytes,
    "an open file": lambda path: io.BytesIO(path.read_bytes()),
}


@pytest.mark.parametrize("way", WAYS)
def test_image_files(way, files, format, tmp_path):
    """An Image takes a file by its path, by its bytes or open, and stores the bytes as they are."""
    result = export(map(WAYS[way], files), tmp_path / "data", format, features={"x": F.Image(shape=(6, 5, 3))})
    assert all(np.array_equal(got, pixels) for got, pixels in zip(read(result), PIXELS, strict=True))
    from tfds_builder.table.table import Table

    assert Table.of_split(result.path, "train").read(slice(None))["x"].tolist() == [path.read_bytes() for path in files]


def test_a_file_that_is_not_there(files, format, tmp_path):
    """A path of no file is told with its row, and nothing is published."""
    files[1] = files[1].with_name("gone.png")
    with pytest.raises(SchemaError, match=r"split 'train', batch 0, feature 'x', row 1: the image's file cannot be read"):
        export(files, tmp_path / "data", format, features={"x": F.Image(shape=(6, 5, 3))})
    assert not (tmp_path / "data").exists()


def test_a_path_that_nothing_is_declared_for(files, tmp_path):
    """Without a feature a path is refused, and the line of the error works."""
    with pytest.raises(LoaderError, match=r"has a row that is a PosixPath.*features=\{\"x\": tfds.features.Image\(\)\}"):
        export(files, tmp_path / "refused")
    assert len(read(export(files, tmp_path / "data", features={"x": F.Image()}))) == 4


@pytest.mark.parametrize(("mode", "shape"), [("RGB", (6, 5, 3)), ("L", (6, 5, 1)), ("RGBA", (6, 5, 4)), ("I;16", (6, 5, 1))])
def test_images_of_pillows(mode, shape, format, tmp_path):
    """Images of Pillow's are arrays, channels last, of uint8 or uint16."""
    dtype = np.uint16 if mode == "I;16" else np.uint8
    arrays = [RNG.integers(0, 255, shape).astype(dtype) for _ in range(4)]
    images = [PIL.fromarray(array[..., 0] if shape[-1] == 1 else array) for array in arrays]
    assert {image.mode for image in images} == {mode}
    got = read(export(images, tmp_path, format))
    assert all(one.dtype == dtype and np.array_equal(one, array) for one, array in zip(got, arrays, strict=True))


def test_images_of_pillows_of_many_sizes(format, tmp_path):
    """They may differ in size, lie in tuples beside labels, and be stored as PNG."""
    arrays = [RNG.integers(0, 255, (6 + n, 5, 3), np.uint8) for n in range(4)]
    rows = [(PIL.fromarray(array), number % 2) for number, array in enumerate(arrays)]
    loader = DataLoader(rows, batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True)))
    for name, features in (("plain", None), ("png", {"image": F.Image(shape=(None, 5, 3))})):
        result = exporters.export(
            loader, tmp_path, name=name, format=format, features=features, progress=False, on_hazard="ignore"
        )
        source = tfds_builder.builder_from_directory(result.path).as_data_source("train")
        assert all(np.array_equal(example["image"], array) for example, array in zip(source, arrays, strict=True))


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "F", "LA"])
def test_modes_that_are_no_channels(mode, tmp_path):
    """An image of a palette, say, is refused: its values are no colours. Converting it as the error says works."""
    images = [PIL.fromarray(pixels).convert(mode) for pixels in PIXELS]
    with pytest.raises(ExportError, match=r"split 'train', batch 0: 'x' is an image of mode") as caught:
        export(images, tmp_path / "refused")
    mend = re.search(r"convert it in the dataset: ((?:image|numpy)\.\w+\([^)]*\))", str(caught.value))[1]
    export([eval(mend, {"image": image, "numpy": np}) for image in images], tmp_path / "data")
