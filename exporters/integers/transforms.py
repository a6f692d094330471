"""What the transforms of a dataset say of the floats they make: known by names and attributes, whichever library they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from exporters.aliases import Component, Loader
from exporters.loaders.datasets import attributes_of, datasets_of, transforms_of
from exporters.options.features import Options

Known = tuple[tuple[float, ...], tuple[float, ...]]

_TO_UNIT = {
    "ToTensor", "ToDtype", "ConvertImageDtype", "ConvertDtype", "ToFloat",
    "to_tensor", "to_dtype", "convert_image_dtype", "to_float",
}  # fmt: skip
"""Transforms, or functions, that divide by the largest integer, or may."""
_NAMES = (("mean", "std"), ("image_mean", "image_std"))
"""Attributes of those that normalise: torchvision's, albumentations', Hugging Face's."""


def known_scales(loaders: Iterable[Loader]) -> tuple[Known, ...]:
    """Mean and std of every transform of the datasets of some loaders; those of values between 0 and 1 where one only divides.

    >>> known_scales([loader])                                              # doctest: +SKIP
    (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.0,), (1.0,)))
    """
    return tuple(dict.fromkeys(scale for loader in loaders for scale in _scales_of(loader)))


def with_scales(options: Options, loaders: Iterable[Loader]) -> Options:
    """Options that know the scales of the loaders' transforms, if `integers=` asks for them."""
    return dataclasses.replace(options, scales=known_scales(loaders)) if options.given_integers else options


def _scales_of(loader: Loader) -> Iterator[Known]:
    unit = False
    for item in _components(loader):
        name = getattr(item, "__name__", type(item).__name__)
        unit = unit or name in _TO_UNIT
        held: Mapping[str, object] = dict(attributes_of(item))
        for mean, std in _NAMES:
            numbers = _numbers(held.get(mean)), _numbers(held.get(std))
            if all(numbers) and len({1, *map(len, numbers)}) <= 2 and min(numbers[1]) > 0:
                size = max(map(len, numbers))
                means, stds = numbers[0] * (size // len(numbers[0])), numbers[1] * (size // len(numbers[1]))
                yield means, stds
                if min(stds) > 1:  # of what lies between 0 and 255
                    yield tuple(mean / 255 for mean in means), tuple(std / 255 for std in stds)
                unit = True
    if unit:
        yield (0.0,), (1.0,)


def _components(loader: Loader) -> Iterator[Component]:
    """Transforms, and processors that datasets hold."""
    yield from transforms_of(loader)
    for dataset in datasets_of(loader.dataset):
        yield from (value for name, value in attributes_of(dataset) if "processor" in name)


def _numbers(value: object) -> tuple[float, ...]:
    """A number, or a list, a tuple, an array or a tensor of numbers, as floats; none if it is something else."""
    if value is None or isinstance(value, str | bytes | bool):
        return ()
    try:
        array = np.asarray(value, np.float64)
    except Exception:  # whatever an object raises that is asked for an array
        return ()
    return tuple(array.reshape(-1).tolist()) if 0 < array.size <= 1024 and np.isfinite(array).all() else ()
