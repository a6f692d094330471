"""The first examples of a preview as a picture of their images, or as a page that needs nothing else. Pillow alone is needed.

Nothing of the data is trusted: text is escaped, and the page's own policy lets it load nothing and run nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.command.head import describe, flatten
from exporters.errors import ArgumentError, MissingDependencyError
from tfds_builder.contract.untrusted import printable
from tfds_builder.install import how_to_install

if TYPE_CHECKING:
    from exporters.preview import Preview

_SMALLEST, _LARGEST = 96, 256
_GAP, _LINE = 8, 14
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color-scheme:light dark}"
    "pre{overflow:auto;padding:1rem;border:1px solid;border-radius:6px}figure{display:inline-block;margin:0 1rem 1rem 0;"
    "vertical-align:top;max-width:18rem}figcaption{font-size:.85rem;overflow-wrap:anywhere}img{image-rendering:pixelated}"
)


def draw(found: Preview, suffix: str, text: str) -> bytes:
    """The content of a file.

    Args:
      found: what is shown.
      suffix: ".html", or that of a picture.
      text: what the terminal is told, for the page.

    Raises:
      ArgumentError: a picture is asked for, and no feature is an image.
      MissingDependencyError: Pillow is not installed.
    """
    if suffix == ".html":
        return _page(found, text).encode()
    tiles = list(_tiles(found))
    if not tiles:
        raise ArgumentError("no feature is an image, so there is nothing to draw; give --out page.html, or leave it out")
    return _encode(_sheet(tiles), suffix)


def _pillow() -> Any:
    try:
        import PIL.Image
        import PIL.ImageDraw
    except ImportError as error:
        raise MissingDependencyError(f"--out draws images with Pillow, not installed here: {how_to_install('image')}") from error
    return PIL


def _tiles(found: Preview) -> Iterator[tuple[Any, str]]:
    """The images of the examples, each with what is written below it."""
    images = {feature.name for feature in found.features if feature.is_image}
    for name, split in found.splits.items():
        for row, example in enumerate(split.examples):
            leaves = dict(flatten(example))
            labels = [describe(leaves[key], names) for key, names in found.labels.items() if key in leaves]
            for key in images & leaves.keys():
                array = _to_uint8(leaves[key])
                if array is not None:
                    yield _scaled(array), ", ".join([f"{name} {row}", *labels, key])


def _to_uint8(value: Any) -> Any:
    """An image as uint8, of 1, 3 or 4 channels; what is of another dtype is stretched from its smallest to its largest value.
    None if it cannot be drawn."""
    array = np.asarray(value)
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or not array.size or array.dtype.kind not in "biuf":
        return None
    if array.dtype != np.uint8:
        numbers = array.astype(np.float64)
        finite = np.isfinite(numbers)
        low, high = (numbers[finite].min(), numbers[finite].max()) if finite.any() else (0.0, 1.0)
        with np.errstate(all="ignore"):
            scaled = (numbers - low) * (255 / (high - low)) if high > low else np.zeros_like(numbers)
        array = np.where(finite, np.nan_to_num(scaled), 0).clip(0, 255).astype(np.uint8)
    return array[..., 0] if array.shape[-1] == 1 else array


def _scaled(array: Any) -> Any:
    """A picture of an image, neither too small to be seen nor too large for a sheet."""
    picture = _pillow().Image.fromarray(array).convert("RGB")
    longest = max(picture.size)
    if longest < _SMALLEST:
        factor = -(-_SMALLEST // longest)
        return picture.resize((picture.width * factor, picture.height * factor), 0)
    picture.thumbnail((_LARGEST, _LARGEST))
    return picture


def _sheet(tiles: list[tuple[Any, str]]) -> Any:
    """All tiles on one picture, as square as can be."""
    pillow = _pillow()
    columns = max(1, round(len(tiles) ** 0.5))
    width = max(tile.width for tile, _ in tiles) + _GAP
    height = max(tile.height for tile, _ in tiles) + _LINE + _GAP
    sheet = pillow.Image.new("RGB", (columns * width + _GAP, -(-len(tiles) // columns) * height + _GAP), "white")
    pen = pillow.ImageDraw.Draw(sheet)
    for number, (tile, text) in enumerate(tiles):
        left, top = _GAP + number % columns * width, _GAP + number // columns * height
        sheet.paste(tile, (left, top))
        line = text.encode("ascii", "replace").decode()[: max(8, width // 6)]
        pen.text((left, top + tile.height + 1), line, "black")
    return sheet


def _encode(picture: Any, suffix: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(suffix, "PNG"))
    return out.getvalue()


def _page(found: Preview, text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    figures = []
    for tile, caption in _tiles(found):
        data, words = base64.b64encode(_encode(tile, ".png")).decode(), html.escape(printable(caption))
        drawn = f'<img src="data:image/png;base64,{data}" width="{tile.width}" height="{tile.height}" alt="{words}">'
        figures.append(f"<figure>{drawn}<figcaption>{words}</figcaption></figure>")
    lines = html.escape("\n".join(map(printable, text.split("\n"))))
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n<title>Preview of an export</title>\n'
        f"<style>{_STYLE}</style>\n<main>\n<h1>Preview of an export</h1>\n{''.join(figures)}\n"
        f'<pre tabindex="0">{lines}</pre>\n</main>\n</html>\n'
    )
