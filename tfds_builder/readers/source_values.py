"""What the DataLoader gave, as far as the manifest tells it: arrays or lists, str or bytes, the files of images, channels first.

NumPy only; `torch_dataset` makes tensors of it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow_datasets as tfds

from tfds_builder.contract.manifest import Column
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import join

Array = npt.NDArray[Any]
TEXTS = ("str", "bytes")
"""What a column of strings may say of its source, beside the dtype of arrays that are encoded."""
_FEW_CHANNELS = 4
"""So many channels are moved by a copy each, which keeps NumPy's inner loop on a whole image: five times as fast."""


def kind_at(columns: Sequence[Column], path: str, kinds: Collection[str]) -> str:
    """Which of some kinds the loader gave at a flat name, or below it; empty if the manifest names none of them."""
    known = [c.source_dtype for c in columns if c.source_dtype in kinds and f"{c.name}/".startswith(f"{path}/")]
    return known[-1] if known else ""


def with_files(feature: Any, path: str, columns: Sequence[Column]) -> Any:
    """A feature in which images are byte strings, wherever they were given as the bytes of files and stored as they were."""
    kind = kind_of(feature)
    if kind.is_image:
        is_file = kind_at(columns, path, TEXTS) == "bytes"
        return tfds.features.Tensor(shape=(), dtype=np.object_) if is_file else feature
    return kind.replace_parts(lambda key, part: with_files(part, join(path, key), columns))


def plain(feature: Any, value: Any) -> Any:
    """A decoded value without the sources that TFDS makes of a `Dataset`, at any depth: what a `Sequence` would give."""
    kind = kind_of(feature)
    if kind.is_stream:
        return _by_key([plain(kind.inner, value[number]) for number in range(len(value))], kind.inner)
    if kind.parts is not None and isinstance(value, Mapping):
        return {key: plain(kind.parts[key], item) for key, item in value.items()}
    return value


def _by_key(items: list[Any], feature: Any) -> Any:
    """Examples of a feature as lists of their parts, which is what a sequence of dicts is; as they are if they have none."""
    kind, _ = kind_of(feature).innermost()
    if kind.parts is None:
        return items
    return {key: _by_key([item[key] for item in items], part) for key, part in kind.parts.items()}


def join_items(items: list[Any], feature: Any, depth: int) -> Array | None:
    """Lists of a feature's values, `depth` of them inside each other, as one array; None if they make none.

    >>> join_items([[1, 2], [3, 4]], tfds.features.Scalar(np.int32), 2).shape      # doctest: +SKIP
    (2, 2)
    """
    try:
        array = np.array(items, feature.np_dtype)
    except ValueError:  # their lengths differ
        return None
    shape = (*(0,) * depth, *(size or 0 for size in feature.shape))
    return array if array.size else array.reshape((*array.shape, *shape[array.ndim :])[: len(shape)])


def move_axes(stored: Array, layout: str) -> Array:
    """Rows in the layout that the loader gave: in memory of their own, unless it is the one they have.

    Args:
      stored: channels-last, shape (N, ...).
      layout: such as "NCHW"; axes that it leaves out come after N.
    """
    axes = _axes_of(layout, stored.ndim)
    if axes is None:
        return stored
    view = stored.transpose(axes)
    out = np.empty(view.shape, view.dtype)
    if stored.shape[-1] > _FEW_CHANNELS:
        out[...] = view
        return out
    before: tuple[Any, ...] = (slice(None),) * axes.index(stored.ndim - 1)
    for channel in range(stored.shape[-1]):
        out[(*before, channel)] = stored[..., channel]
    return out


@functools.cache
def _axes_of(source: str, ndim: int) -> tuple[int, ...] | None:
    """Axes of stored rows in the order of a source layout, which may leave out the first ones after N; None if that is how
    they are stored."""
    stored, above = source.replace("C", "") + "C", ndim - len(source)
    if "C" not in source or source == stored:
        return None
    return (*range(1 + above), *(above + stored.index(axis) for axis in source[1:]))
