"""What the DataLoader gave, as far as the manifest tells it: arrays or lists, str or bytes, the files of images, channels first.

NumPy only; `torch_dataset` makes tensors of it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from tfds_builder.aliases import Array, DType, Feature, FeatureValue
from tfds_builder.contract.decode import to_numpy_dtype
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.manifest import DTYPE_BYTES, STRINGS, Column
from tfds_builder.contract.untrusted import show
from tfds_builder.errors import ManifestError
from tfds_builder.features.kinds import Kind, kind_of
from tfds_builder.features.names import join

_TEXTS = ("str", "bytes")
"""What a column of strings may say of its source, beside the dtype of arrays that are encoded."""


def check_sources(columns: Sequence[Column]) -> None:
    """Raises ManifestError where what columns say of their source, `source_dtype` and `source_layout`, makes no sense."""
    for column in columns:
        if column.source_dtype not in ("", *(_TEXTS if column.encoding == STRINGS else ()), *DTYPE_BYTES):
            shown = show(column.source_dtype)
            raise ManifestError(f"column {column.name!r:.200}: source_dtype {shown} does not fit what is stored")
        try:
            Layout.parse(column.source_layout or "N")
        except ValueError:
            raise ManifestError(f"column {column.name!r:.200}: source_layout {show(column.source_layout)} is no layout") from None


def _told(columns: Sequence[Column], path: str, kinds: Collection[str]) -> str:
    """Which of some dtypes the loader gave at a flat name, or below it; empty if the manifest names none of them."""
    known = [c.source_dtype for c in columns if c.source_dtype in kinds and f"{c.name}/".startswith(f"{path}/")]
    return known[-1] if known else ""


def with_files(feature: Feature, path: str, columns: Sequence[Column]) -> Feature:
    """A feature in which images are byte strings, wherever they were given as the bytes of files and stored as they were."""
    kind = kind_of(feature)
    if kind.is_image:
        is_file = _told(columns, path, _TEXTS) == "bytes"
        return tfds.features.Tensor(shape=(), dtype=np.object_) if is_file else feature
    return kind.replace_parts(lambda key, part: with_files(part, join(path, key), columns))


def plain(feature: Feature, value: FeatureValue) -> FeatureValue:
    """A decoded value without the sources that TFDS makes of a `Dataset`, at any depth: what a `Sequence` would give."""
    kind = kind_of(feature)
    if kind.is_stream:
        return _by_key([plain(kind.inner, value[number]) for number in range(len(value))], kind.inner)
    if kind.parts is not None and isinstance(value, Mapping):
        return {key: plain(kind.parts[key], item) for key, item in value.items()}
    return value


def _by_key(items: list[FeatureValue], feature: Feature) -> FeatureValue:
    """Examples of a feature as one dict of lists, as TFDS has a sequence of dicts; unchanged if they have no parts."""
    kind, _ = kind_of(feature).innermost()
    if kind.parts is None:
        return items
    return {key: _by_key([item[key] for item in items], part) for key, part in kind.parts.items()}


def _join_items(items: list[FeatureValue], feature: Feature, depth: int) -> Array | None:
    """Lists of a feature's values, `depth` of them inside each other, as one array; None if they make none.

    >>> _join_items([[1, 2], [3, 4]], tfds.features.Scalar(np.int32), 2).shape      # doctest: +SKIP
    (2, 2)
    """
    try:
        array = np.array(items, feature.np_dtype)
    except ValueError:  # their lengths differ
        return None
    shape = (*(0,) * depth, *(size or 0 for size in feature.shape))
    return array if array.size else array.reshape((*array.shape, *shape[array.ndim :])[: len(shape)])


@dataclasses.dataclass(frozen=True)
class Place:
    """A place in a feature, and how what the DataLoader gave there is made again: the feature itself, or a part of dicts in it.

    Attributes:
      name: its flat name.
      kind: of what lies there; never a sequence.
      depth: how many sequences it lies in.
      parts: the places in it, if it is a dict, by key.
      source_dtype: the dtype that the loader gave; empty if the manifest does not say, or says strings.
      layout: of the arrays there, with or without the axes of sequences; None if none is known.
      is_text: whether strings were str, not bytes.
    """

    name: str
    kind: Kind
    depth: int
    parts: Mapping[str, Place]
    source_dtype: str
    layout: Layout | None
    is_text: bool

    @classmethod
    def of(cls, name: str, feature: Feature, columns: Sequence[Column], depth: int = 0) -> Place:
        """Makes the place of a feature from its flat name, from what is stored of the whole feature, and from how deep in that it
        lies."""
        kind, sequences = kind_of(feature).innermost()
        depth += sequences
        parts = {key: cls.of(f"{name}/{key}", part, columns, depth) for key, part in (kind.parts or {}).items()}
        layouts = [c.source_layout for c in columns if c.source_layout and f"{c.name}/".startswith(f"{name}/")]
        text = _told(columns, name, _TEXTS)
        return cls(
            name,
            kind,
            depth,
            parts,
            source_dtype=_told(columns, name, DTYPE_BYTES),
            layout=Layout.of(layouts[0]) if layouts else None,
            is_text=text == "str" or (not text and kind.is_text),
        )

    @property
    def axes(self) -> str:
        """Names of the axes of one array; empty if they are not known."""
        return "" if self.layout is None else self.layout.source[1:]

    def at(self, path: str) -> Place:
        """The place at a path of keys below this one."""
        place = self
        for key in path.split("/") if path else ():
            place = place.parts[key]
        return place

    def restore(self, value: FeatureValue, lists: int = 0) -> FeatureValue:
        """What the loader gave: arrays in memory of their own, strings, and dicts and lists of those.

        Args:
          value: as TFDS's decoding in NumPy gives it.
          lists: how many sequences around the value were lists, out of which it has been taken already.
        """
        if isinstance(value, Mapping):
            return {key: self.parts[key].restore(item, lists) for key, item in value.items()}
        if isinstance(value, list):
            array = self._join(value, self.depth - lists)
            return [self.restore(item, lists + 1) for item in value] if array is None else self._one_to_source(array)
        if isinstance(value, bytes):
            return self.to_strings([value])[0]
        if isinstance(value, np.ndarray) and value.dtype == object:
            return self.to_strings([value.tolist()])[0]
        if isinstance(value, np.ndarray):
            return self._one_to_source(value if value.flags.writeable else value.copy())
        if isinstance(value, int | float | np.generic):
            return np.asarray(value, self._dtype or self.kind.feature.np_dtype)
        return value

    def to_source(self, rows: Array) -> Array:
        """Stored arrays, shape (N, ...), in the layout and the dtype that the loader gave.

        Raises:
          ManifestError: the layout has other axes than they have.
        """
        if self._dtype is not None:
            rows = rows.astype(self._dtype, copy=False)
        layout = self.layout
        if layout is None:
            return rows
        if len(layout.source) != rows.ndim:
            layout = layout.without_sequences(max(0, len(layout.source) - rows.ndim))
            if not self.depth or len(layout.source) > rows.ndim:
                raise ManifestError(f"column {self.name!r:.200}: source_layout N{self.axes} of rows of shape {rows.shape[1:]}")
        return layout.copy_to_source(rows)

    def _one_to_source(self, array: Array) -> Array:
        """One stored array in the layout and the dtype that the loader gave."""
        return self.to_source(array[None])[0, ...]  # an array, not a number, if it has no axes

    def to_strings(self, values: list[FeatureValue]) -> list[FeatureValue]:
        """Strings, in lists inside each other, as str where they were str."""
        return _decode(values) if self.is_text else values

    @functools.cached_property
    def _dtype(self) -> DType | None:
        """The dtype of arrays; None if they keep the stored one, as boxes do until they are pixels again."""
        is_known = self.source_dtype and not list(self.kind.box_paths())
        return to_numpy_dtype(self.source_dtype) if is_known else None

    def _join(self, items: list[FeatureValue], depth: int) -> Array | None:
        """A list, in which lists are `depth` deep, as the one array it was given as; None if it was a list.

        Lists of numbers and of boxes are arrays, and so are those of images of different sizes that were given whole.
        """
        feature = self.kind.feature
        if self.kind.is_dict or np.dtype(feature.np_dtype).kind in "OSU":
            return None
        axes = depth if self.kind.is_box else depth + len(feature.shape)
        was_array = bool(self.source_dtype) or axes in (1, len(self.axes) or 1)
        return _join_items(items, feature, depth) if was_array else None


def _decode(strings: list[FeatureValue]) -> list[FeatureValue]:
    return [_decode(part) if isinstance(part, list) else part.decode() for part in strings]
