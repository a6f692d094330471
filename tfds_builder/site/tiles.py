"""Small pictures of images, all in one file: what a page shows costs one `data:` address, and stays below a limit.

>>> sheet = Sheet(64)
>>> tile = sheet.add(draw(np.zeros((8, 8, 1), np.uint8)))             # doctest: +SKIP
>>> sheet.to_json()["address"][:23]                                   # doctest: +SKIP
'data:image/webp;base64,'

Images may be a stranger's. Files are decoded by Pillow in the three formats that an export stores, and refused unread where
they say that they are larger than `MAX_PIXELS`. Whatever cannot be drawn is a grey tile.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import warnings
from typing import Any

import numpy as np

from tfds_builder.aliases import Array

MAX_PIXELS = 64_000_000
SHEET_BYTES = 300_000
_FORMATS = ("PNG", "JPEG", "BMP")
_COLUMNS = 16
_PALETTE = (
    (0, 0, 0), (74, 168, 255), (255, 138, 61), (95, 224, 106), (224, 139, 255), (255, 91, 118), (243, 240, 74), (63, 227, 240),
)  # fmt: skip
_MASK = 0.55


@dataclasses.dataclass(frozen=True)
class Tile:
    """Where in a sheet a tile is, and where in the tile the image is: all in pixels of the sheet."""

    x: int
    y: int
    left: int
    top: int
    width: int
    height: int


class Sheet:
    """Tiles of one size, in one picture.

    Args:
      size: of a tile, in pixels. Images keep their proportions; small ones are enlarged without being smoothed.
      is_exact: whether the picture has every pixel as it is, which suits few and small tiles.
    """

    def __init__(self, size: int, is_exact: bool = False) -> None:
        self.size, self._is_exact = size, is_exact
        self._images: list[Any] = []

    def add(self, image: Any) -> Tile:
        """Takes an image as `draw` gives it (None: a grey tile), and says where it is."""
        from PIL import Image

        number, size = len(self._images), self.size
        x, y = number % _COLUMNS * size, number // _COLUMNS * size
        if image is None:
            self._images.append(None)
            return Tile(x, y, 0, 0, size, size)
        width, height = image.size
        if max(width, height) * 2 <= size:
            times = size // max(width, height)
            width, height = width * times, height * times
            image = image.resize((width, height), Image.Resampling.NEAREST)
        else:
            scale = size / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
            image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        left, top = (size - width) // 2, (size - height) // 2
        self._images.append((image, left, top))
        return Tile(x, y, left, top, width, height)

    def to_json(self, limit: int = SHEET_BYTES) -> dict[str, Any]:
        """The picture: its address, its sizes in pixels, the size of a tile, and whether its pixels are to be seen as such."""
        from PIL import Image

        count, size = len(self._images), self.size
        columns, rows = min(count, _COLUMNS), -(-count // _COLUMNS)
        sheet = Image.new("RGBA", (max(1, columns * size), max(1, rows * size)), (0, 0, 0, 0))
        for number, found in enumerate(self._images):
            place = (number % _COLUMNS * size, number // _COLUMNS * size)
            if found is None:
                sheet.paste((128, 128, 128, 255), (*place, place[0] + size, place[1] + size))
            else:
                image, left, top = found
                sheet.paste(image, (place[0] + left, place[1] + top))
        address = _to_address(sheet, limit, self._is_exact)
        return {"address": address, "width": sheet.width, "height": sheet.height, "size": size, "is_exact": self._is_exact}


def cover_of(images: list[Any], size: int = 40, limit: int = 6000) -> str:
    """The first three images in a row, as an address; "" of none."""
    from PIL import Image

    images = [image for image in images if image is not None][:3]
    if not images:
        return ""
    row = Image.new("RGB", (3 * size + 6, size), (128, 128, 128))
    for number, image in enumerate(images):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        small = image.convert("RGB").crop((left, top, left + side, top + side))
        resampling = Image.Resampling.NEAREST if side * 2 <= size else Image.Resampling.BILINEAR
        row.paste(small.resize((size, size), resampling, reducing_gap=2.0), (number * (size + 3), 0))
    return _to_address(row, limit, False)


def _to_address(image: Any, limit: int, is_exact: bool) -> str:
    """A picture as a `data:` address of at most about so many bytes: WebP, without loss if that is asked for and fits."""
    from PIL import features

    options: list[dict[str, Any]] = [{"quality": quality, "method": 2} for quality in (80, 55, 30, 10)]
    if is_exact:
        options.insert(0, {"lossless": True, "quality": 20, "method": 1})
    kind = "webp" if features.check("webp") else "png"
    while True:
        for more in options if kind == "webp" else [{}]:
            stream = io.BytesIO()
            image.save(stream, kind, **more)
            data = stream.getvalue()
            if len(data) * 4 <= limit * 3 or max(image.size) <= 64:
                return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))  # the page stretches it again


def draw(value: bytes | Array, mask: Any = None, edge: int = 256) -> Any:
    """An image of a dataset as Pillow has it, RGB or RGBA, no larger than needed; None if it cannot be drawn.

    Args:
      value: the bytes of a file, or an array of shape (height, width, channels): integers as they are, floats as they are if all
        lie between 0 and 1 or between 0 and 255, and stretched to their range otherwise.
      mask: classes of the pixels, the same way, drawn over it.
      edge: images are made smaller until they are near this size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of what it takes for a bomb
            image = _decode(value, edge) if isinstance(value, bytes) else _of_array(value, edge)
            if mask is not None:
                image = _lay_over(image, mask)
            return image
    except Exception:  # Pillow's decoders raise whatever they like, and a tile is grey then
        return None


def _decode(data: bytes, edge: int) -> Any:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError("too large")
        image.draft("RGB", (2 * edge, 2 * edge))  # a JPEG is decoded no larger than that
        image.load()
        if image.mode.startswith("I"):
            return _of_array(np.asarray(image)[..., None], edge)
        return _shrink(image.convert("RGBA" if image.mode in ("RGBA", "LA", "P", "PA") else "RGB"), edge)


def _of_array(array: Array, edge: int) -> Any:
    from PIL import Image

    height, width, channels = array.shape
    if not array.size:
        raise ValueError("nothing to draw")
    step = max(1, min(height, width) // (2 * edge))
    pixels = _to_bytes(array[::step, ::step])
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels)
    image = Image.fromarray(
        np.ascontiguousarray(pixels[..., :3] if mode is None else pixels.squeeze(-1) if channels == 1 else pixels)
    )
    return _shrink(image.convert("RGBA" if mode == "RGBA" else "RGB"), edge)


def _to_bytes(array: Array) -> Array:
    """Values as bytes from 0 to 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    values = array.astype(np.float32)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if array.dtype == np.uint16:
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255 / ((high - low) or 1))
    pixels: Array = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return pixels


def _shrink(image: Any, edge: int) -> Any:
    image.thumbnail((edge, edge), reducing_gap=2.0)
    return image


def _lay_over(image: Any, mask: Any) -> Any:
    """Classes of pixels in colours over an image; class 0 is left as it is."""
    from PIL import Image

    if isinstance(mask, bytes):
        with Image.open(io.BytesIO(mask), formats=_FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError("too large")
            numbers = np.asarray(opened)
    else:
        numbers = np.asarray(mask)
    numbers = numbers[..., 0] if numbers.ndim == 3 else numbers
    colours = np.array(_PALETTE, np.uint8)[np.where(numbers > 0, (numbers.astype(np.int64) - 1) % (len(_PALETTE) - 1) + 1, 0)]
    colour = Image.fromarray(colours).resize(image.size, Image.Resampling.NEAREST)
    where = Image.fromarray(((numbers > 0) * int(255 * _MASK)).astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST)
    return Image.composite(colour, image.convert("RGB"), where)


def mean_of(images: list[Any], size: int) -> Any:
    """The mean of images, made the same size; None of fewer than two."""
    from PIL import Image

    images = [image for image in images if image is not None]
    if len(images) < 2:
        return None
    first = images[0].size
    same = first if all(image.size == first for image in images) and max(first) <= size else (size, size)
    total = np.zeros((same[1], same[0], 3))
    for image in images:
        total += np.asarray(image.convert("RGB").resize(same, Image.Resampling.BILINEAR))
    return Image.fromarray(np.rint(total / len(images)).astype(np.uint8))
