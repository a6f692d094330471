"""What a page shows of the shards: the examples that are there, of their class, with their boxes."""

import base64
import io
import re

import consumer_kit as kit
import numpy as np
import pytest

from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.directory import Directory
from tfds_builder.site import build as build_lib
from tfds_builder.site import examples
from tfds_builder.site.build import build

Image = pytest.importorskip("PIL.Image")


def shown(directory, **options):
    return examples.examples_of(Directory.at(directory), read_manifest(directory), **options)


def sheet_of(found):
    data = base64.b64decode(found["sheet"]["address"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def pixels_of(drawn, tile):
    top, left = tile["y"] + tile["top"], tile["x"] + tile["left"]
    return drawn[top : top + tile["height"], left : left + tile["width"]]


@kit.both_formats
def test_by_class(golden, format):
    """Rows of the class that stands beside them, their pixels as they are, and the mean of the class."""
    found = shown(golden / f"pairs_{format}" / "1.0.0")
    values, drawn = kit.make.truth("pairs")["train"], sheet_of(found)
    assert [row["name"] for row in found["classes"]] == list(kit.make.CLASSES)
    for number, row in enumerate(found["classes"]):
        rows = np.flatnonzero(values["label"] == number)
        assert {tile["row"] for tile in row["tiles"]} <= set(rows.tolist())
        assert len(row["tiles"]) == min(len(rows), examples.OF_CLASS)
        for tile in row["tiles"]:
            np.testing.assert_array_equal(pixels_of(drawn, tile["tile"]), values["image"][tile["row"]])
        np.testing.assert_allclose(pixels_of(drawn, row["mean"]), values["image"][rows].mean(0), atol=0.51)
    assert found["cover"].startswith("data:image/")
    assert found["failed"] == 0


def test_stored_as_files(golden):
    """Images that are stored as PNG are shown too, and what else an example has."""
    found = shown(golden / "coded_hdf5" / "1.0.0")
    values, drawn = kit.make.truth("coded")["train"], sheet_of(found)
    assert len(found["rows"]) == 9
    for row in found["rows"]:
        np.testing.assert_array_equal(pixels_of(drawn, row["tile"]), values["png"][row["row"]])


def test_texts(golden):
    """Texts as they are, classes by name, numbers, lists, and bytes that are no text; no image, and none is looked for."""
    found = shown(golden / "text_tfrecord" / "1.0.0")
    values = kit.make.truth("text")["train"]
    assert found["sheet"] is None
    for row in found["rows"]:
        told = {value["name"]: value for value in row["values"]}
        caption = values["caption"][row["row"]].decode()
        assert told["caption"]["text"].startswith(caption[:20].replace("\0", "\\x00"))
        assert told["id"]["text"] == str(values["id"][row["row"]])
    ragged = shown(kit.GOLDEN / "rows_hdf5" / "1.0.0")["rows"]
    assert {value["name"]: value["text"] for value in ragged[2]["values"]}["words"] == "word 0"
    assert "(4)" in {value["name"]: value["text"] for value in ragged[4]["values"]}["tokens"]


def test_images_left_out(golden, tmp_path):
    """With `images=False` no image is read, and no page has one."""
    found = shown(golden / "pairs_hdf5" / "1.0.0", images=False)
    assert found["sheet"] is None
    assert found["cover"] == ""
    kit.copy_golden("pairs_hdf5", tmp_path / "data")
    build(tmp_path / "data", tmp_path / "site", images=False)
    assert "data:image" not in (tmp_path / "site" / "pairs_hdf5" / "1.0.0.html").read_text()
    assert build(tmp_path / "data", tmp_path / "site").written == 1
    assert "data:image" in (tmp_path / "site" / "pairs_hdf5" / "1.0.0.html").read_text()


@pytest.mark.needs_torch
def test_boxes(tmp_path):
    """Boxes lie over the thing that they are around, in a colour of its class."""
    torch = pytest.importorskip("torch")
    import tensorflow_datasets as tfds

    import exporters

    def example(number):
        image = torch.zeros(3, 60, 120 if number % 2 else 40, dtype=torch.uint8)
        image[:, 10:30, 20:35] = 255
        boxes = torch.tensor([[20.0, 10, 35, 30]])
        return image, {"boxes": boxes, "labels": torch.tensor([number % 3])}

    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label/boxes": tfds.features.Sequence(tfds.features.BBoxFeature()),
        "label/labels": tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b", "c"])),
    }
    loader = torch.utils.data.DataLoader(
        [example(i) for i in range(6)], 2, collate_fn=lambda rows: tuple(zip(*rows, strict=True))
    )
    exporters.export(loader, tmp_path / "data", name="boxed", features=features, progress=False, on_hazard="ignore")
    found = shown(tmp_path / "data" / "boxed" / "1.0.0")
    drawn = sheet_of(found)
    for row in found["rows"]:
        (box,) = row["boxes"]
        assert box["colour"] == row["row"] % 3
        top, left, bottom, right = box["y"], box["x"], box["y"] + box["height"], box["x"] + box["width"]
        inside = drawn[round(top + 3) : round(bottom - 3), round(left + 3) : round(right - 3)]
        assert inside.size
        assert inside.mean() > 230
        around = pixels_of(drawn, row["tile"]).astype(float)
        assert around.sum() / 3 / 255 == pytest.approx(box["width"] * box["height"], rel=0.25)
        assert row["values"] == [{"name": "label/labels", "text": "abc"[row["row"] % 3], "cut": 0}]
    build(tmp_path / "data", tmp_path / "site")
    page = (tmp_path / "site" / "boxed" / "1.0.0.html").read_text()
    assert page.count('<rect class="box s') == 6


def test_damaged_shards(tmp_path):
    """A version whose shards cannot be read has a page that says so, and so do the index and every build, which looks again."""
    data, out = tmp_path / "data", tmp_path / "site"
    directory = kit.copy_golden("pairs_hdf5", data)
    shard = min(directory.glob("*train*.h5"))
    content = shard.read_bytes()
    shard.write_bytes(content[:100])
    for written in (1, 0):
        built = build(data, out)
        assert built.written == written
        assert list(built.problems) == ["pairs_hdf5:1.0.0"]
        assert shard.name in built.problems["pairs_hdf5:1.0.0"]
        assert "They cannot be read" in (out / "pairs_hdf5" / "1.0.0.html").read_text()
        assert "Its examples cannot be read" in (out / "index.html").read_text()
    shard.write_bytes(content)
    for written in (1, 0):
        built = build(data, out)
        assert (built.written, built.problems) == (written, {})
        assert "They cannot be read" not in (out / "pairs_hdf5" / "1.0.0.html").read_text()
        assert "cannot be read" not in (out / "index.html").read_text()


def test_looked_into_once(tmp_path, monkeypatch):
    """A page that is made again for another reason than its data does not look into the shards; nor does anything unchanged."""
    data, out = tmp_path / "data", tmp_path / "site"
    kit.copy_golden("pairs_hdf5", data)
    build(data, out)
    before = re.findall('data:image[^"]*', (out / "pairs_hdf5" / "1.0.0.html").read_text())
    for name in ("examples_of", "statistics_of"):
        monkeypatch.setattr(build_lib, name, None)
    assert build(data, out, verify=True).written == 1
    assert build(data, out, data_dir_shown="/elsewhere").written == 1
    assert re.findall('data:image[^"]*', (out / "pairs_hdf5" / "1.0.0.html").read_text()) == before
    assert len(list((out / ".contents").iterdir())) == 1
