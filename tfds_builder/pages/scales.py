"""Mean and variance by channel, for the layers that put data to one scale.

>>> scale = tfds_builder.statistics("digits")["image"]                              # doctest: +SKIP
>>> tf.keras.layers.Normalization(mean=scale.mean, variance=scale.variance)         # doctest: +SKIP
>>> torchvision.transforms.Normalize(scale.to_unit().mean, scale.to_unit().std)     # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow_datasets as tfds

from tfds_builder.catalog.listing import is_published
from tfds_builder.catalog.location import read_given
from tfds_builder.catalog.read import read_tables
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.integers import Integers
from tfds_builder.contract.manifest import Manifest
from tfds_builder.pages.figures import FeatureStatistics, SplitStatistics
from tfds_builder.pages.statistics import statistics_of

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """Where the values of one feature lie, by channel (along their last axis).

    Attributes:
      name: of the feature, flat.
      mean, variance: float64, shape (channels,); shape () of a number without any axis, and of rows without a last axis of one
        size. Of finite values, in the feature's own scale (an image of uint8: 0 to 255), of the population (divided by n).
      dtype: of the feature.
      rows, is_sample: of how many examples they are, and whether that are only some of the split, evenly spaced.
      table: of a feature whose integers were floats, which float each was; else None.
    """

    name: str
    mean: Array
    variance: Array
    dtype: str
    rows: int
    is_sample: bool
    table: Integers | None = None

    @property
    def std(self) -> Array:
        """The square root of `variance`."""
        std: Array = np.sqrt(self.variance)
        return std

    def to_unit(self) -> Scale:
        """The same of values divided by the largest their dtype has (255 for uint8): what torchvision's `ToTensor` and Keras'
        `Rescaling(1 / 255)` make of an image.

        Raises:
          TypeError: the feature's dtype is not an unsigned integer.
        """
        if not self.dtype.startswith("uint"):
            raise TypeError(f"feature {self.name!r}: {self.dtype} has no largest value to divide by; scale it by yourself")
        largest = float(np.iinfo(self.dtype).max)
        return dataclasses.replace(
            self, mean=self.mean / largest, variance=self.variance / largest**2, dtype="float64", table=None
        )

    @property
    def rescaling(self) -> tuple[Array, Array]:
        """Factor and offset by channel that make of the integers the floats they were, but for rounding: those of Keras' layer
        `Rescaling(*scale.rescaling)`.

        Raises:
          TypeError: the feature's integers were no floats, or lie on a curve (`tfds_builder.restore` gives them then, too).
        """
        if self.table is None:
            raise TypeError(f"feature {self.name!r} is {self.dtype}, and was no float: nothing is to be rescaled")
        factor, offset = self.table.line
        line = np.arange(self.table.levels) * factor[:, None] + offset[:, None]
        if np.abs(line - self.table.floats.astype(np.float64)).max() > factor.max() / 2:
            raise TypeError(f"feature {self.name!r}: its floats lie on a curve; tfds_builder.restore gives them")
        return factor, offset

    def restored(self) -> Scale:
        """The same of the floats that the integers were, as `tfds_builder.restore` and `as_torch` give them.

        Raises:
          TypeError: as `rescaling`.
        """
        factor, offset = self.rescaling
        dtype = "" if self.table is None else self.table.dtype
        return dataclasses.replace(
            self, mean=self.mean * factor + offset, variance=self.variance * factor**2, dtype=dtype, table=None
        )


class SplitScales(Mapping[str, Scale]):
    """The scale of each feature of a split that has numbers, by flat name; labels have none.

    `mean`, `variance`, `std`, `rescaling`, `to_unit` and `restored` of the whole are those of the feature that a model is fed: of
    `supervised_keys`, or the only image, or the only feature there is.
    """

    def __init__(self, found: SplitStatistics, manifest: Manifest, tables: Mapping[str, Integers]) -> None:
        scales = {name: _scale_of(feature, tables.get(name)) for name, feature in found.features.items()}
        self._scales = {name: scale for name, scale in scales.items() if scale is not None}
        self._images = [name for name in self._scales if found.features[name].kind == "image"]
        self._manifest = manifest

    def __getitem__(self, name: str) -> Scale:
        if name not in self._scales:
            raise KeyError(f"dataset {self._manifest.name!r} has no numbers in a feature {name!r}; it has {self._list()}")
        return self._scales[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scales)

    def __len__(self) -> int:
        return len(self._scales)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._list()})"

    def _list(self) -> str:
        return ", ".join(map(repr, self._scales)) or "none"

    @property
    def input(self) -> Scale:
        """Of the feature that a model is fed.

        Raises:
          ValueError: it is not clear which one that is.
        """
        keys = (self._manifest.supervised_keys or ())[:1]
        for found in (keys, self._images, list(self._scales)):
            if len(found) == 1 and found[0] in self._scales:
                return self._scales[found[0]]
        raise ValueError(
            f"dataset {self._manifest.name!r}: say which feature is meant, as in statistics(...)[NAME]; it has {self._list()}"
        )

    @property
    def mean(self) -> Array:
        return self.input.mean

    @property
    def variance(self) -> Array:
        return self.input.variance

    @property
    def std(self) -> Array:
        return self.input.std

    @property
    def rescaling(self) -> tuple[Array, Array]:
        return self.input.rescaling

    def to_unit(self) -> Scale:
        return self.input.to_unit()

    def restored(self) -> Scale:
        return self.input.restored()


def _scale_of(feature: FeatureStatistics, table: Integers | None) -> Scale | None:
    """None if it has no numbers, or if they are too large for their mean."""
    numbers = list(feature.channels) or ([] if feature.values is None else [feature.values])
    if not numbers or any(one.mean is None or one.std is None for one in numbers):
        return None
    mean, std = (np.array([getattr(one, key) for one in numbers], np.float64) for key in ("mean", "std"))
    if not feature.channels:
        mean, std = mean[0, ...], std[0, ...]
    return Scale(feature.name, mean, std**2, feature.dtype, numbers[0].rows, numbers[0].is_sample, table)


def statistics(name_or_path: str | os.PathLike[str], split: str = "train", exact: bool = False) -> SplitScales:
    """Mean and variance by channel of the features of a split, for a Keras `Normalization` layer or torchvision's `Normalize`.

    >>> scale = tfds_builder.statistics("my_images")["image"]                           # doctest: +SKIP
    >>> tf.keras.layers.Normalization(mean=scale.mean, variance=scale.variance)         # doctest: +SKIP

    Of float images that are stored as integers (docs/integers.md) they are those of the integers, as `tfds.load` gives them;
    `restored()` has those of the floats, and `rescaling` what Keras' `Rescaling` makes floats with.

    They are counted when they are first asked for, and kept in `<data_dir>/.catalog`.

    Args:
      name_or_path: what `tfds.load` takes, of a registered dataset (`"digits"`, `"digits/small:1.0.0"`), or a version directory.
      split: name of one published split.
      exact: look at every example; otherwise images and other arrays of many values are looked at in at most 1,000 examples,
        evenly spaced, and `is_sample` says so.

    Raises:
      ValueError: there is no such split.
      MissingFileError, ManifestError, DamagedFileError: the version cannot be read.
      DatasetNotFoundError: (TFDS's) no dataset of that name is registered.
    """
    directory = Directory.given(name_or_path)
    if isinstance(name_or_path, str) and not is_published(directory) and not name_or_path.startswith((".", "/", "~")):
        directory = Directory.at(tfds.builder(name_or_path).data_path)
    manifest = read_given(directory)
    if split not in manifest.splits:
        known = ", ".join(map(repr, manifest.splits))
        raise ValueError(f"dataset {manifest.name!r} has no split {split!r}; it has {known} (no slices of them)")
    return SplitScales(statistics_of(directory, exact=exact).splits[split], manifest, read_tables(manifest, directory))
