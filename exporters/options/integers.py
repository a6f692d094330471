"""What the caller says with `integers=`: float images that are to be stored as the integers they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from exporters import wording
from exporters.errors import ArgumentError
from tfds_builder.aliases import Array
from tfds_builder.contract.integers import FLOATS, STORED


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """What is said of one feature; both are None where it is only named.

    Attributes:
      scale: mean and std, one a channel or one for all, of `(x / 255 - mean) / std`.
      floats: the float of each integer, shape (channels, levels) or (1, levels).
    """

    scale: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    floats: Array | None = None


def parse_integers(value: object) -> dict[str, Given]:
    """`integers=` by flat name.

    >>> parse_integers({"image": (0.5, 0.5)})["image"].scale
    ((0.5,), (0.5,))

    Raises:
      ArgumentError: it is neither names nor a mapping of names to a mean and a std, or to a table of floats.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(name): _parse_one(str(name), item) for name, item in value.items()}
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise ArgumentError(
            f"{wording.called('integers')} must be names of features, {wording.argument('integers', ['image'])}, or say more of "
            f"them, {wording.argument('integers', {'image': ((0.5,), (0.5,))})} (got {value!r:.80})"
        )
    return {name: Given() for name in value}


def _parse_one(name: str, value: object) -> Given:
    if value is None:
        return Given()
    if isinstance(value, tuple | list) and len(value) == 2:
        mean, std = _numbers(value[0]), _numbers(value[1])
        if mean and std and (len(mean) == len(std) or 1 in (len(mean), len(std))) and min(std) > 0:
            size = max(len(mean), len(std))
            return Given(scale=(mean * (size // len(mean)), std * (size // len(std))))
    elif hasattr(value, "shape"):
        return Given(floats=_parse_table(name, value))
    raise ArgumentError(
        f"{wording.called('integers')}: {name!r} takes a mean and a std, numbers or one a channel, of (x / 255 - mean) / std, as "
        f"{wording.argument('integers', {name: ((0.5,), (0.5,))})}, or an array of the floats of 0 to 255 (got {value!r:.80})"
    )


def _numbers(value: object) -> tuple[float, ...]:
    """A number, or several, as finite floats; none if it is something else."""
    try:
        array = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return ()
    return tuple(array.tolist()) if np.isfinite(array).all() else ()


def _parse_table(name: str, value: object) -> Array:
    try:
        table = np.atleast_2d(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(f"{wording.called('integers')}: the table of {name!r} is no array: {error}") from error
    if table.ndim != 2 or table.shape[1] not in STORED or table.dtype.name not in FLOATS:
        raise ArgumentError(
            f"{wording.called('integers')}: the table of {name!r} must have 256 or 65,536 floats, or so many a channel, shape "
            f"(channels, 256), of one of the dtypes {', '.join(FLOATS)} (got {table.dtype}, shape {table.shape})"
        )
    values = table.astype(np.float64)
    if not np.isfinite(values).all() or (np.diff(values) <= 0).any() or (np.signbit(values) & (values == 0)).any():
        raise ArgumentError(
            f"{wording.called('integers')}: the floats of {name!r} must rise from each integer to the next, none of them NaN, "
            "infinite or -0.0"
        )
    return np.ascontiguousarray(table)
