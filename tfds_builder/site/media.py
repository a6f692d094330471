"""Sound and films of a dataset, small enough for a page: a few seconds as WAV, a few frames of each film.

>>> sound_of(np.zeros(8000, np.int16), rate=8000)["seconds"]
1.0
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfds_builder.aliases import Array, JsonMapping

FRAMES = 8
"""So many frames of a film are shown, evenly spaced from the first to the last."""
SECONDS, RATE, SOUND_BYTES = 3.0, 16_000, 60_000
"""So much of a sound is in a page, at most so many samples a second of it, and at most so many bytes of them."""
_RATES = range(1, 1_000_000)


def frames_of(value: Any) -> tuple[list[Any], int]:
    """Frames of a film, each as `tiles.draw` takes it, and how many it has.

    Args:
      value: of one example: the bytes of image files, or an array of shape (frames, height, width, channels).
    """
    count = len(value)
    chosen = range(count) if count <= FRAMES else [number * (count - 1) // (FRAMES - 1) for number in range(FRAMES)]
    return [value[number] for number in chosen], count


def sound_of(value: Array, rate: int) -> dict[str, Any] | None:
    """The beginning of a sound as a `data:` address of a WAV of 16 bits, in one channel; None of what is no sound.

    Integers of more than 16 bits, and floats beyond -1 and 1, are scaled by their largest value.

    Args:
      value: shape (samples,) or (samples, channels), integers or floats.
      rate: samples a second.
    """
    if value.ndim not in (1, 2) or not value.size or value.dtype.kind not in "iuf" or rate not in _RATES:
        return None
    step = -(-rate // RATE)
    kept = min(int(SECONDS * rate), SOUND_BYTES // 2 * step)
    part = value[:kept].astype(np.float64)
    if value.dtype == np.uint8:
        part = (part - 128) / 128
    elif value.dtype.kind in "iu":
        part /= 2.0 ** (8 * min(value.dtype.itemsize, 2) - 1)
    part = np.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0)
    if part.ndim == 2:
        part = part.mean(axis=1)
    part = part[: max(1, len(part) // step) * step]
    if len(part) >= step:  # the mean of as many samples as are left out keeps what is too high for the rate from sounding low
        part = part.reshape(-1, step).mean(axis=1)
    part /= max(1.0, float(np.abs(part).max()))
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(max(1, rate // step))
        file.writeframes((part * 32767).astype("<i2").tobytes())
    return {
        "address": f"data:audio/wav;base64,{base64.b64encode(stream.getvalue()).decode()}",
        "seconds": round(len(value) / rate, 2),
        "of": round(len(part) * step / rate, 2),
        "rate": rate,
    }


def rates_of(features: JsonMapping) -> Mapping[str, int]:
    """Samples a second of each `Audio` feature that says so, by flat name, out of TFDS's JSON of the features."""
    found: dict[str, int] = {}
    _walk(features, [], found)
    return found


def _walk(node: Any, names: Sequence[str], found: dict[str, int]) -> None:
    if not isinstance(node, dict):
        return
    audio, parts = node.get("audio"), node.get("featuresDict")
    if isinstance(audio, dict):
        text = str(audio.get("sampleRate", ""))
        if text.isascii() and text.isdecimal() and len(text) < 8 and int(text) in _RATES:
            found["/".join(names)] = int(text)
    elif isinstance(parts, dict) and isinstance(parts.get("features"), dict):
        for name, part in parts["features"].items():
            _walk(part, [*names, name], found)
