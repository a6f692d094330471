"""Values that are stored in an encoded form: Pillow encodes images, TFDS everything else; strings become UTF-8.

TFDS's own `Image` encoder runs TensorFlow, which the exporting machine need not have and which hangs in
a forked process whose parent has used it. So Pillow does it wherever it is installed and knows the kind of image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from exporters.errors import SchemaError
from exporters.features.stored import check_exact
from exporters.wording import argument
from tfds_builder.aliases import Array, Feature, FeatureValue, Package, StoredValue
from tfds_builder.contract.manifest import STRINGS, Column
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.specs import flat_info
from tfds_builder.install import how_to_install

_IMAGE_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
"""How the files begin that TensorFlow and Pillow read as one image. GIF is none: TensorFlow gives its frames."""
_PILLOW = {("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1)}
"""(dtype, channels) of the images that Pillow encodes."""


def encode_rows(feature: Feature, column: Column, values: Iterable[FeatureValue], where: str) -> Array:
    """A batch through the feature's encoder, row by row.

    Args:
      feature: a feature that is not direct (`Kind.is_direct`).
      column: what is stored of it.
      values: rows in the stored layout, of the feature's dtype and shape; images may be encoded already.
      where: split and batch, for errors.

    Returns:
      Object array of bytes where the column holds strings, else an array of the serialized dtype.

    Raises:
      SchemaError: the encoder refuses a row, or needs a package that is not installed.
    """
    rows = [
        _encode_value(feature, np.ascontiguousarray(row) if isinstance(row, np.ndarray) else row, column.name, where, number)
        for number, row in enumerate(values)
    ]
    if column.encoding == STRINGS:
        out = np.empty((len(rows), *column.item_shape), object)
        out[:] = rows
        return to_bytes(out, column.name, where)
    for number, row in enumerate(rows):
        if np.size(row) != column.values:
            raise SchemaError(
                f"{where}, feature {column.name!r}, row {number}: the encoder of {type(feature).__name__} gave shape "
                f"{np.shape(row)}, and the feature says {column.item_shape}"
            )
    return np.array(rows, dtype=feature.get_serialized_info().np_dtype).reshape(len(rows), *column.item_shape)


def _encode_value(feature: Feature, value: FeatureValue, name: str, where: str, number: int) -> FeatureValue:
    """What the feature's encoder makes of one value. The bytes of an image that is encoded already are taken as they are, and so
    are those of a file that is given by its path, or open.

    Raises:
      SchemaError: it refuses, or needs a package that is not installed.
    """
    kind = kind_of(feature)
    if kind.is_image:
        value = _read_file(value, name, where, number)
    if isinstance(value, bytes) and kind.is_image:
        if not value.startswith(_IMAGE_MAGIC):
            raise SchemaError(
                f"{where}, feature {name!r}, row {number}: the bytes are not those of a JPEG, PNG or BMP file, so they cannot be "
                "stored as an encoded image; decode them in the dataset"
            )
        fault = _find_fault(value, feature.shape)
        if fault:
            raise SchemaError(f"{where}, feature {name!r}, row {number}: the encoded image {fault}; leave it out of the dataset")
        return value
    encoder = _encoder_of(feature)
    encode = feature.encode_example if encoder is None else functools.partial(encoder.encode, feature)
    if kind.is_sound and isinstance(value, np.ndarray | list):
        encode = functools.partial(_encode_samples, feature)
    try:
        with _rewound(value):
            return encode(value)
    except ImportError as error:
        extra = next((encoder.extra for encoder in _ENCODERS if encoder.suits(feature)), "tensorflow")
        raise SchemaError(
            f"{where}, feature {name!r}: TFDS needs TensorFlow to encode {type(feature).__name__}: {how_to_install(extra)}"
        ) from error
    except Exception as error:  # encoders raise whatever they meet
        fault = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, KeyError) and isinstance(value, Mapping):
            fault = f"it has the part {error}, which the feature does not have"
        raise SchemaError(
            f"{where}, feature {name!r}, row {number}: {encoder_name(feature)} cannot encode it: {fault}"
        ) from error


def _read_file(value: FeatureValue, name: str, where: str, number: int) -> FeatureValue:
    """The bytes of a file that is given by its path, or open; anything else as it is."""
    if not isinstance(value, str | os.PathLike) and not hasattr(value, "read"):
        return value
    try:
        if isinstance(value, str | os.PathLike):
            with open(value, "rb") as file:
                return file.read()
        with _rewound(value):
            return value.read()
    except OSError as error:
        raise SchemaError(f"{where}, feature {name!r}, row {number}: the image's file cannot be read: {error}") from error


@contextlib.contextmanager
def _rewound(value: FeatureValue) -> Iterator[None]:
    """Puts an open file back to where it was: a first batch is encoded more than once."""
    start = value.tell() if hasattr(value, "seek") and hasattr(value, "read") else None
    yield
    if start is not None:
        value.seek(start)


def _encode_samples(feature: Feature, samples: FeatureValue) -> FeatureValue:
    """Sound given as numbers, in the encoding of the feature, which TFDS's own encoder forgets."""
    return tfds.features.Tensor.encode_example(feature, np.asarray(samples, feature.np_dtype))


def _find_fault(file: bytes, shape: tuple[int | None, ...]) -> str:
    """What is wrong with the bytes of an image, as far as can be told without decoding them; empty if nothing.

    A JPEG ends with a marker that its compressed data cannot hold (ITU-T T.81, B.1.1.2), a PNG with the chunk IEND.
    """
    if file.startswith(_IMAGE_MAGIC[0]) and file.rfind(b"\xff\xd9") < file.rfind(b"\xff\xda"):
        return "is cut off: a JPEG without its end"
    if file.startswith(_IMAGE_MAGIC[1]) and b"IEND" not in file:
        return "is cut off: a PNG without its end"
    if shape[:2] != (None, None) and _pillow() is not None:
        try:
            with _pillow().open(io.BytesIO(file)) as image:
                width, height = image.size
        except Exception as error:  # of whatever kind: its decoders read what a stranger wrote
            return f"cannot be opened: {error}"
        if any(want not in (None, got) for want, got in zip(shape[:2], (height, width), strict=True)):
            return f"has {height} x {width} pixels, and {argument('features')} says shape {shape}"
    return ""


def serialize(name: str, feature: Feature, value: FeatureValue, where: str, number: int) -> dict[str, StoredValue]:
    """One value as what TFDS puts into an Example, by flat name (`specs.serialized_specs` has the same names).

    Raises:
      SchemaError: as `_encode_value`.
    """
    check_exact(feature, value, name, where, number)
    encoded = _encode_value(feature, value, name, where, number)
    flat = example_serializer.utils.flatten_nest_dict({name: encoded})
    found: dict[str, StoredValue] = {}
    for key, info in flat_info(name, feature).items():
        item = info.default_value if flat[key] is None and info.optional else flat[key]
        if not info.sequence_rank:
            found[key] = item
            continue
        try:  # `_add_ragged_fields`, which gives the names too, needs TensorFlow
            values, lengths = example_serializer._extract_ragged_attributes(item, info)
        except Exception as error:  # as encoders, whatever they meet
            raise SchemaError(f"{where}, feature {name!r}, row {number}: TFDS cannot serialize it: {error}") from error
        if info.sequence_rank < 2:
            found[key] = values
        else:
            found |= {f"{key}/ragged_row_lengths_{level}": length for level, length in enumerate(lengths)}
            found[f"{key}/ragged_flat_values"] = values
    return found


def encoder_name(feature: Feature) -> str:
    """Who encodes a feature that is not direct, in words."""
    encoder = _encoder_of(feature)
    return "TFDS" if encoder is None else encoder.name


def runs_in_worker(feature: Feature) -> bool:
    """Whether a feature's encoder may run in a worker process of a DataLoader: it is worth it, and needs no TensorFlow.

    Of TFDS's own encoders only that of `Tensor` is known to need none; one that is not known stays in the main process.
    """
    kind = kind_of(feature)
    return not kind.is_direct and (kind.has_tensor_encoder or _encoder_of(feature) is not None)


def to_bytes(array: Array, name: str, where: str) -> Array:
    """Strings as UTF-8 bytes, in an object array of the same shape; what is bytes already stays as it is."""
    values = array.ravel().tolist()
    kinds = set(map(type, values))
    if all(issubclass(kind, bytes) for kind in kinds):
        return array
    out = np.empty(array.size, object)
    for number, value in enumerate(values):
        row = number // max(1, array[0].size if array.ndim > 1 else 1)
        if isinstance(value, np.ndarray) and not value.ndim:  # what an encoder of TFDS's makes of one string
            value = value.item()
        if not isinstance(value, str | bytes):
            raise SchemaError(
                f"{where}, feature {name!r}, row {row}: expected text or bytes, got {_describe_value(value)}; give every row one"
            )
        try:
            out[number] = value.encode() if isinstance(value, str) else bytes(value)
        except UnicodeEncodeError as error:
            raise SchemaError(f"{where}, feature {name!r}: the string of row {row} is not valid Unicode: {error}") from error
    return out.reshape(array.shape)


def _describe_value(value: FeatureValue) -> str:
    return "None" if value is None else f"a {type(value).__name__} ({value!r:.60})"


def _suits_pillow(feature: Feature) -> bool:
    """Whether Pillow encodes the rows of a feature: images as TFDS has them, of a kind that Pillow knows."""
    return kind_of(feature).has_image_encoder and (np.dtype(feature.np_dtype).name, feature.shape[-1]) in _PILLOW


def _encode_image(feature: Feature, image: Array) -> bytes:
    """An image as PNG, or as JPEG as `tf.io.encode_jpeg` does it by default: quality 95, colour at half the resolution."""
    if kind_of(feature).is_lossy:
        return _save(image, format="JPEG", quality=95, subsampling="4:2:0")
    return _save(image, format="PNG")


def _save(image: Array, **options: object) -> bytes:
    """An (H, W, C) image as a file; Pillow knows one channel as (H, W)."""
    file, pillow = io.BytesIO(), _pillow()
    pillow.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, **options)
    return file.getvalue()


@functools.cache
def _pillow() -> Package:
    """`PIL.Image`, or None."""
    try:
        import PIL.Image
    except ImportError:
        return None
    return PIL.Image


@dataclasses.dataclass(frozen=True)
class _Encoder:
    """An encoder that takes the place of TFDS's own, which may need TensorFlow.

    Attributes:
      name: who encodes, in words.
      extra: of torch2tfds, which installs what it needs; named only when something is missing.
      suits: whether it encodes the rows of a feature.
      is_there: whether what it needs is installed.
      encode: what is stored of a feature and a row: what `feature.encode_example` would give, since `decode_example` reads it.
        It runs in worker processes, too, and so without TensorFlow.
    """

    name: str
    extra: str
    suits: Callable[[Feature], bool]
    is_there: Callable[[], bool]
    encode: Callable[[Feature, FeatureValue], FeatureValue]


_ENCODERS = (_Encoder("Pillow", "image", _suits_pillow, lambda: _pillow() is not None, _encode_image),)
"""The first that suits a feature, and is there, encodes it; TFDS does it where there is none."""


def _encoder_of(feature: Feature) -> _Encoder | None:
    return next((encoder for encoder in _ENCODERS if encoder.suits(feature) and encoder.is_there()), None)
