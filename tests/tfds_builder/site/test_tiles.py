"""`tfds_builder.site.tiles`: images as they are, in their places; whatever is no image is a grey tile, and costs little."""

import base64
import io
import struct
import time
import zlib

import numpy as np
import pytest

from tfds_builder.site import tiles

Image = pytest.importorskip("PIL.Image")


def encoded(array, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


def png(width, height, body=b""):
    """A PNG that says it is so large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def opened(address):
    assert address.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA")


NOISE = np.random.RandomState(0).randint(0, 256, (40, 30, 3), np.uint8)
HOSTILE = {
    "empty": b"",
    "no image": b"<svg onload=alert(1)>",
    "cut": encoded(NOISE)[:-200],
    "a bomb": png(100_000, 100_000),
    "larger than allowed": png(9000, 9000, b"\0" * 1000),
    "wide": png(2**31 - 1, 1),
    "no data": png(40, 30),
    "another format": encoded(NOISE, "TIFF"),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "no pixels": np.zeros((0, 4, 3), np.uint8),
    "no axes": np.zeros((), np.uint8),
    "complex": np.zeros((4, 4, 1), np.complex64),
    "strings": np.full((4, 4, 1), b"x", object),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name):
    """What cannot be drawn is None, at once, without a warning or much memory."""
    start = time.process_time()
    assert tiles.draw(HOSTILE[name]) is None or name == "complex"
    assert time.process_time() - start < 2
    sheet = tiles.Sheet(16)
    tile = sheet.add(None)
    assert opened(sheet.to_json()["address"]).getpixel((tile.x + 8, tile.y + 8))[:3] == pytest.approx((128, 128, 128), abs=4)


def test_fuzz():
    """Files with any bytes changed are drawn or are not, and nothing is raised."""
    random = np.random.RandomState(1)
    for kind in ("PNG", "JPEG", "BMP"):
        good = np.frombuffer(encoded(NOISE, kind), np.uint8)
        for _ in range(60):
            bad = good.copy()
            bad[random.randint(0, len(bad), 4)] = random.randint(0, 256, 4)
            image = tiles.draw(bad.tobytes())
            assert image is None or max(image.size) <= 256


@pytest.mark.parametrize("kind", ["array", "PNG", "JPEG", "BMP"])
def test_colours(kind):
    """An image has the colours that it has, as an array and as a file."""
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8).repeat(16, 0).repeat(16, 1)
    image = tiles.draw(colours if kind == "array" else encoded(colours, kind))
    for x, y in ((8, 8), (24, 8), (8, 24), (24, 24)):
        assert image.getpixel((x, y)) == pytest.approx(tuple(colours[y, x].tolist()), abs=6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 255], np.uint8), (0, 255)), (np.array([0, 1], np.float32), (0, 255)), (np.array([0.0, 0.5]), (0, 128)),
        (np.array([0, 100], np.float32), (0, 100)), (np.array([-3, 3], np.float16), (0, 255)),
        (np.array([False, True]), (0, 255)), (np.array([0, 65535], np.uint16), (0, 255)),
        (np.array([np.nan, 1], np.float32), (0, 255)),
        (np.array([-np.inf, np.inf], np.float32), (0, 255)),
    ],
)  # fmt: skip
def test_ranges(values, expected):
    """Numbers of every kind are seen; what is not finite does no harm."""
    image = tiles.draw(np.broadcast_to(values[None, :, None], (4, 2, 1)))
    assert (image.getpixel((0, 0))[0], image.getpixel((1, 0))[0]) == expected


def test_places():
    """Each image is where its tile says, in its proportions, and small ones are enlarged pixel by pixel."""
    sheet = tiles.Sheet(32)
    colours = [(number * 7 % 256, 255 - number * 7 % 256, 40) for number in range(40)]
    shapes = [(4, 4), (4, 2), (100, 50), (50, 100), (64, 64)]
    found = [sheet.add(tiles.draw(np.full((*shapes[i % 5], 3), colour, np.uint8))) for i, colour in enumerate(colours)]
    drawn = opened(sheet.to_json()["address"])
    for number, (tile, colour) in enumerate(zip(found, colours, strict=True)):
        assert drawn.getpixel((tile.x + 16, tile.y + 16))[:3] == pytest.approx(colour, abs=16)
        height, width = shapes[number % 5]
        assert (tile.width, tile.height) == (32 * width // max(width, height), 32 * height // max(width, height))
        assert (tile.left, tile.top) == ((32 - tile.width) // 2, (32 - tile.height) // 2)
        if tile.left > 2:
            assert drawn.getpixel((tile.x + 1, tile.y + 16))[3] < 40  # nothing beside it


def test_limit():
    """A sheet of noise stays below its limit, and keeps the proportions of its places."""
    sheet = tiles.Sheet(128)
    noise = np.random.RandomState(0).randint(0, 256, (128, 128, 3), np.uint8)
    for _ in range(24):
        sheet.add(tiles.draw(noise))
    found = sheet.to_json(40_000)
    assert len(found["address"]) < 42_000
    drawn = opened(found["address"])
    assert drawn.width / drawn.height == pytest.approx(found["width"] / found["height"], rel=0.1)
    assert len(tiles.cover_of([tiles.draw(noise)] * 3)) < 7000
    assert tiles.cover_of([None]) == ""


def test_mask():
    """Classes are laid over an image in colours, which is as it was where there is none; a mask that is none makes it grey."""
    image, mask = np.full((20, 20, 3), 100, np.uint8), np.zeros((20, 20, 1), np.uint8)
    mask[10:] = 3
    for one in (mask, encoded(mask[..., 0])):
        drawn = tiles.draw(image, one)
        assert drawn.getpixel((5, 2)) == (100, 100, 100)
        assert drawn.getpixel((5, 18)) != (100, 100, 100)
    assert tiles.draw(image, b"none") is None


def test_mean():
    """The mean of images is that of their pixels; of one there is none."""
    images = np.random.RandomState(0).randint(0, 256, (9, 8, 8, 3), np.uint8)
    mean = np.asarray(tiles.mean_of([tiles.draw(image) for image in images], 64))
    np.testing.assert_allclose(mean, images.mean(0), atol=0.51)
    assert tiles.mean_of([tiles.draw(images[0]), None], 64) is None
    assert tiles.mean_of([tiles.draw(images[0]), tiles.draw(np.zeros((300, 20, 3), np.uint8))], 64).size == (64, 64)
