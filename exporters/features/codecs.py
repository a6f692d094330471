"""Libraries whose version decides the bytes of what is stored encoded: another zlib makes other PNG files of the same pixels."""

from __future__ import annotations

import zlib
from importlib import metadata

from exporters.features.encoders import encoder_name
from exporters.features.leaves import leaves_of
from tfds_builder.aliases import Features
from tfds_builder.features.kinds import kind_of


def codecs_of(features: Features) -> dict[str, str]:
    """Versions of these libraries, as they are in this process, by what each is called; none where nothing is encoded by them.

    >>> codecs_of(tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(28, 28, 1))}))          # doctest: +SKIP
    {'Pillow': '13.0.0', 'zlib of Pillow': 'zlib_ng 2.2.5'}
    """
    found = dict[str, str]()
    for leaf in (leaf for feature in features.values() for leaf in leaves_of(feature)):
        kind = kind_of(leaf.feature)
        if kind.encoding.name == "ZLIB":
            found["zlib"] = zlib.ZLIB_RUNTIME_VERSION
        if not kind.is_image:
            continue
        if encoder_name(leaf.feature) == "Pillow":
            found |= _of_pillow(is_jpeg=kind.is_lossy)
        else:
            found |= _of_tensorflow()
    return dict(sorted(found.items()))


def _of_pillow(*, is_jpeg: bool) -> dict[str, str]:
    """Wheels of Pillow bring their own libraries, which may differ in wheels of one version."""
    import PIL
    from PIL import features

    names = ("libjpeg_turbo", "jpg") if is_jpeg else ("zlib_ng", "zlib")
    library = next((f"{name} {version}" for name in names if (version := features.version(name))), "unknown")
    return {"Pillow": PIL.__version__, f"{'libjpeg' if is_jpeg else 'zlib'} of Pillow": library}


def _of_tensorflow() -> dict[str, str]:
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            return {"TensorFlow": metadata.version(package)}
        except metadata.PackageNotFoundError:
            continue
    return {}
