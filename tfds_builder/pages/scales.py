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
from tfds_builder.contract.directory import Directory
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
    """

    name: str
    mean: Array
    variance: Array
    dtype: str
    rows: int
    is_sample: bool

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
        return dataclasses.replace(self, mean=self.mean / largest, variance=self.variance / largest**2, dtype="float64")


class SplitScales(Mapping[str, Scale]):
    """The scale of each feature of a split that has numbers, by flat name; labels have none.

    `mean`, `variance`, `std` and `to_unit` of the whole are those of the feature that a model is fed: of `supervised_keys`, or
    the only image, or the only feature there is.
    """

    def __init__(self, found: SplitStatistics, manifest: Manifest) -> None:
        self._scales = {name: scale for name, feature in found.features.items() if (scale := _scale_of(feature)) is not None}
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

    def to_unit(self) -> Scale:
        return self.input.to_unit()


def _scale_of(feature: FeatureStatistics) -> Scale | None:
    """None if it has no numbers, or if they are too large for their mean."""
    numbers = list(feature.channels) or ([] if feature.values is None else [feature.values])
    if not numbers or any(one.mean is None or one.std is None for one in numbers):
        return None
    mean, std = (np.array([getattr(one, key) for one in numbers], np.float64) for key in ("mean", "std"))
    if not feature.channels:
        mean, std = mean[0, ...], std[0, ...]
    return Scale(feature.name, mean, std**2, feature.dtype, numbers[0].rows, numbers[0].is_sample)


def statistics(name_or_path: str | os.PathLike[str], split: str = "train", exact: bool = False) -> SplitScales:
    """Mean and variance by channel of the features of a split, for a Keras `Normalization` layer or torchvision's `Normalize`.

    >>> scale = tfds_builder.statistics("my_images")["image"]                           # doctest: +SKIP
    >>> tf.keras.layers.Normalization(mean=scale.mean, variance=scale.variance)         # doctest: +SKIP

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
    return SplitScales(statistics_of(directory, exact=exact).splits[split], manifest)
