"""What kind of feature a feature is: how it is stored, read, restored and described. No other module asks for its class.

>>> kind_of(tfds.features.Sequence(tfds.features.ClassLabel(num_classes=3))).item.is_label        # doctest: +SKIP
True

TFDS has a class a feature, and its features have attributes that are private. Both are known here and nowhere else.
A class of TFDS's that is new is one entry of `_KINDS`, at the end; what it has of its own is a class of ours above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import ml_dtypes  # noqa: F401  # NumPy knows "bfloat16" by name from now on; TFDS would ask TensorFlow
import tensorflow_datasets as tfds

from tfds_builder.aliases import Feature
from tfds_builder.features.names import join

_F = tfds.features


class Kind:
    """The kind of a feature. This class itself is the kind of a feature that has an encoder of its own, and of which nothing else
    is known.

    "Exact" below means that the feature is of TFDS's own class, and not of one that somebody has derived from it, which may
    do whatever it likes.

    Args:
      feature: the TFDS feature.
      is_exact: whether it is exact.

    Attributes:
      is_tensor: whether it is one array (a number, a string), which `tfds.features.Tensor` keeps.
      is_text, is_label, is_box, is_image, is_sound, is_video, is_translation: whether it is that.
      is_sequence: whether it has items, `inner`; is_dict: whether it has `parts`.
      is_stream: whether TFDS gives its items as a dataset, not as arrays.
    """

    is_tensor = is_text = is_label = is_box = is_image = is_sound = is_video = is_translation = is_stream = False
    is_sequence = is_dict = False

    def __init__(self, feature: Feature, is_exact: bool) -> None:
        self.feature, self.is_exact = feature, is_exact

    @property
    def inner(self) -> Feature | None:
        """The feature that a sequence is of; None of what is no sequence."""
        return None

    @property
    def length(self) -> int | None:
        """How many items a sequence has; None for any number."""
        return None

    @property
    def parts(self) -> Mapping[str, Feature] | None:
        """The features of a dict by key; None of what is no dict."""
        return None

    @property
    def is_tree(self) -> bool:
        """Whether other features are in it; TFDS then takes decoders for each, and calls it a top-level feature."""
        return self.is_sequence or self.is_dict

    @property
    def is_structure(self) -> bool:
        """Whether it only gives names to its parts: an exact dict. They are features of the dataset, with flat names."""
        return self.is_exact and self.is_dict and not self.is_translation

    @property
    def is_run(self) -> bool:
        """Whether it is an exact `tfds.features.Sequence`: nothing but its items, one after the other."""
        return self.is_opened and not (self.is_stream or self.is_video)

    @property
    def is_opened(self) -> bool:
        """Whether what is given for it may be taken apart into its items; other sequences take what they like."""
        return self.is_exact and self.is_sequence and not self.is_translation

    @property
    def item(self) -> Kind:
        """The kind of the items, if this is a run; otherwise this kind itself."""
        return kind_of(self.inner) if self.is_run else self

    def innermost(self) -> tuple[Kind, int]:
        """The kind of what is in any sequences inside each other, and how many they are."""
        kind, depth = self, 0
        while kind.is_sequence:
            kind, depth = kind_of(kind.inner), depth + 1
        return kind, depth

    def replace_parts(self, change: Callable[[str, Feature], Feature]) -> Feature:
        """The same feature with other parts: at each key there is what `change(key, part)` gives. The items of a sequence have
        the key "". Where nothing changes, and where there are no parts, it is the feature itself."""
        return self.feature

    @property
    def is_array(self) -> bool:
        """Whether it is an exact `tfds.features.Tensor`: an array, and nothing else."""
        return False

    @property
    def is_value(self) -> bool:
        """Whether it is an exact number, text, label, sound or array, whose encoder keeps what it is given."""
        return self.is_exact and self.is_tensor and not self.is_box

    @property
    def encoding(self) -> tfds.features.Encoding:
        """How TFDS turns arrays into bytes: NONE, BYTES or ZLIB. For a sequence: how it does that with the arrays in it."""
        return getattr(self.feature, "_encoding", _F.Encoding.NONE)

    @property
    def is_encoded(self) -> bool:
        return bool(self.encoding != _F.Encoding.NONE)

    @property
    def is_optional(self) -> bool:
        """Whether a row may be None."""
        return self.is_tensor and bool(getattr(self.feature, "_optional", False))

    @property
    def lacks_default(self) -> bool:
        """Whether a row may be None, and TFDS has no value that stands for that; it then tells no shape either."""
        return False

    @property
    def is_direct(self) -> bool:
        """Whether a column holds the value itself. If not, the columns hold what `feature.encode_example` made of the value, and
        it is read through `feature.decode_example`.

        Rows of different shapes are direct if they differ along the first axis only: they are runs of items. A sequence is direct
        if its items are.
        """
        return False

    @property
    def is_direct_item(self) -> bool:
        """Whether a run of such values is direct."""
        return False

    @property
    def is_one_column(self) -> bool:
        """Whether each row is one array (or string) that is stored as one column, or as one and its shape."""
        if getattr(self.feature, "_optional", False) or not isinstance(self.feature.get_tensor_info(), _F.TensorInfo):
            return False
        if None in self.feature.shape and self.is_encoded:
            return False
        info = self.feature.get_serialized_info()
        return isinstance(info, _F.TensorInfo) and not info.sequence_rank and None not in info.shape

    @property
    def stores_files(self) -> bool:
        """Whether the bytes of files are stored as they are, and decoded by whoever reads them."""
        return False

    @property
    def is_lossy(self) -> bool:
        """Whether what is stored is less than what was given: JPEG."""
        return False

    @property
    def takes_arrays(self) -> bool:
        """Whether what is given has the shape that the feature declares; an encoder of its own may take anything."""
        return self.has_tensor_encoder or self.has_image_encoder

    @property
    def has_tensor_encoder(self) -> bool:
        """Whether it is encoded as `tfds.features.Tensor` does it, which needs no TensorFlow."""
        return self._has("encode_example", _F.Tensor)

    @property
    def has_image_encoder(self) -> bool:
        """Whether it is encoded as `tfds.features.Image` does it."""
        return self._has("encode_example", _F.Image)

    @property
    def has_image_decoder(self) -> bool:
        """Whether it is decoded in NumPy as `tfds.features.Image` does it."""
        return self._has("decode_example_np", _F.Image)

    def _has(self, method: str, owner: type) -> bool:
        """Whether a method is that of a class of TFDS's."""
        return getattr(type(self.feature), method, None) is getattr(owner, method)

    @property
    def is_of_the_user(self) -> bool:
        """Whether it, or a feature in it, has an encoder or a decoder that is none of TFDS's."""
        inside = [self.inner] if self.is_sequence else list((self.parts or {}).values())
        methods = (getattr(type(self.feature), name, None) for name in ("encode_example", "decode_example", "decode_example_np"))
        return any(kind_of(part).is_of_the_user for part in inside) or any(
            not str(getattr(method, "__module__", "")).startswith("tensorflow_datasets.") for method in methods
        )

    @property
    def num_classes(self) -> int | None:
        """How many classes a label is of; None where that is not known, and of what is no label."""
        return None

    @property
    def class_names(self) -> list[str] | None:
        """The names of a label's classes; None where it was given none."""
        return None

    def labels(self, name: str = "") -> Iterator[tuple[str, Kind]]:
        """Every ClassLabel in it, in sequences and labelled images too, by the flat name TFDS keeps its names under."""
        if self.is_sequence:
            yield from kind_of(self.inner).labels(name)
        for key, part in sorted((self.parts or {}).items()):
            yield from kind_of(part).labels(join(name, key))

    def box_paths(self, path: str = "") -> Iterator[str]:
        """Where in it boxes are in TFDS's own format: (ymin, xmin, ymax, xmax), between 0 and 1."""
        if self.is_sequence:
            yield from kind_of(self.inner).box_paths(path)
        for key, part in (self.parts or {}).items():
            yield from kind_of(part).box_paths(join(path, key))

    def describe(self) -> str:
        """What it is, in words."""
        return type(self.feature).__name__


class _Sequence(Kind):
    is_sequence, _class = True, _F.Sequence

    @property
    def inner(self) -> Feature:
        return self.feature.feature

    @property
    def length(self) -> int | None:
        return self.feature._length  # type: ignore[no-any-return]

    def replace_parts(self, change: Callable[[str, Feature], Feature]) -> Feature:
        inner = change("", self.inner)
        return self.feature if inner is self.inner else self._class(inner, length=self.length)


class _Run(_Sequence):
    @property
    def is_direct(self) -> bool:
        return self.is_exact and kind_of(self.inner).is_direct_item

    @property
    def is_one_column(self) -> bool:
        if not self.is_exact:
            return super().is_one_column
        inner = kind_of(self.inner)
        return self.is_direct and (self.length is None or not (inner.is_label and inner.is_exact))


class _Stream(_Sequence):
    is_stream, _class = True, _F.Dataset


class _Video(_Sequence):
    is_video = True

    @property
    def is_lossy(self) -> bool:
        return kind_of(self.inner).is_lossy


class _Translations(_Sequence):
    is_translation = True


class _Dict(Kind):
    is_dict = True

    @property
    def parts(self) -> Mapping[str, Feature]:
        return self.feature  # type: ignore[no-any-return]

    def replace_parts(self, change: Callable[[str, Feature], Feature]) -> Feature:
        parts = {key: change(key, part) for key, part in self.parts.items()}
        is_same = not self.is_structure or all(parts[key] is self.parts[key] for key in parts)
        return self.feature if is_same else _F.FeaturesDict(parts)


class _Translation(_Dict):
    is_translation = True


class _Image(Kind):
    is_image = True

    @property
    def is_lossy(self) -> bool:
        return bool(self.feature.encoding_format == "jpeg")


class _LabeledImage(_Image):
    def labels(self, name: str = "") -> Iterator[tuple[str, Kind]]:
        yield name, kind_of(self.feature._class_label)


class _Tensor(Kind):
    is_tensor = True
    _keeps_values = True
    """Whether its encoder makes the value of what it is given without changing it."""

    @property
    def lacks_default(self) -> bool:
        return self.is_optional and (None in self.feature._shape or self.is_encoded)

    @property
    def is_direct(self) -> bool:
        is_value = self.is_exact and self._keeps_values and self.encoding != _F.Encoding.ZLIB
        return is_value and None not in self.feature.shape[1:]

    @property
    def is_direct_item(self) -> bool:
        return self.is_exact and self._keeps_values and not self.is_encoded and None not in self.feature.shape


class _Value(_Tensor):
    @property
    def is_one_column(self) -> bool:
        if not self.is_exact:
            return super().is_one_column
        return not self.is_optional and (None not in self.feature.shape or self.encoding != _F.Encoding.ZLIB)


class _Array(_Value):
    @property
    def is_array(self) -> bool:
        return self.is_exact


class _Text(_Value):
    is_text = True


class _Label(_Value):
    is_label = True

    @property
    def num_classes(self) -> int | None:
        return self.feature.num_classes  # type: ignore[no-any-return]

    @property
    def class_names(self) -> list[str] | None:
        return None if self.feature._str2int is None else list(self.feature.names)

    def labels(self, name: str = "") -> Iterator[tuple[str, Kind]]:
        yield name, self

    def describe(self) -> str:
        return f"ClassLabel of {self.num_classes} classes"


class _Box(_Tensor):
    is_box = True

    def box_paths(self, path: str = "") -> Iterator[str]:
        if self.feature.bbox_format is not None and self.feature.bbox_format.value == "REL_YXYX":
            yield path


class _Sound(_Tensor):
    is_sound, _keeps_values = True, False

    @property
    def stores_files(self) -> bool:
        return bool(self.feature._lazy_decode)


_KINDS: Mapping[type, type[Kind]] = {
    _F.Tensor: _Array,
    _F.Scalar: _Value,
    _F.Text: _Text,
    _F.ClassLabel: _Label,
    _F.BBoxFeature: _Box,
    _F.Audio: _Sound,
    _F.Image: _Image,
    _F.LabeledImage: _LabeledImage,
    _F.Sequence: _Run,
    _F.Dataset: _Stream,
    _F.Video: _Video,
    _F.FeaturesDict: _Dict,
    _F.Translation: _Translation,
    _F.TranslationVariableLanguages: _Translations,
}
"""The kind of each class of TFDS's. A class that is derived of one is of its kind, and not exact."""


def kind_of(feature: Feature) -> Kind:
    """The kind of a feature.

    >>> kind_of(tfds.features.Text()).is_direct                                   # doctest: +SKIP
    True

    Raises:
      TypeError: what is given is not a feature. It may be a `Kind` already, which would otherwise be taken for a feature of
        which nothing is known.
    """
    if not isinstance(feature, _F.FeatureConnector):
        raise TypeError(f"expected a feature of tfds.features, got {type(feature).__name__}")
    kind = _KINDS.get(type(feature))
    if kind is None:
        kind = next((_KINDS[base] for base in type(feature).__mro__ if base in _KINDS), Kind)
    return kind(feature, type(feature) in _KINDS)


def is_known_class(name: str) -> bool:
    """Whether this process knows a class of features by a full name, `tensorflow_datasets.core.features.Text`, say."""
    return name in _F.FeatureConnector._registered_features
