"""Channels-first -> channels-last, and back: the axes of arrays by name, and the copies that move them fast.

>>> Layout.parse("NCHW").to_stored(np.zeros((64, 3, 32, 32))).shape
(64, 32, 32, 3)
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from tfds_builder.aliases import Array

_SEQUENCE_AXES = "TSRQPUVXYZ"
"""Letters of the axes of sequences, the innermost first."""
_FEW_CHANNELS = 4
"""So many channels are moved by a copy each."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names of the axes of a batch, one letter each: as the loader gives it, and as it is stored.

    The stored layout is the source with `C` moved to the end. Arrays may have more axes than it names, those of sequences:
    they stay where they are, after N. Rows, which have no N, are moved in the same way.

    >>> Layout("NCHW", "NHWC").permutation
    (0, 2, 3, 1)
    """

    source: str
    stored: str

    @classmethod
    def of(cls, source: str) -> Layout:
        """The layout of a source whose axes are known by name.

        >>> Layout.of("NTCHW")
        Layout(source='NTCHW', stored='NTHWC')
        """
        return cls(source, source.replace("C", "") + "C" if "C" in source else source)

    @classmethod
    def parse(cls, source: object) -> Layout:
        """The same of what somebody has written.

        Raises:
          ValueError: it is no layout; says what one must be.
        """
        if not isinstance(source, str) or not source.isalpha() or not source.isupper() or len(set(source)) != len(source):
            raise ValueError("must be distinct capital letters such as 'NCHW' or 'NTCHW'")
        if source[0] != "N":
            raise ValueError("must begin with N, the batch axis")
        return cls.of(source)

    @property
    def permutation(self) -> tuple[int, ...]:
        """Axes of the source in the stored order, as `numpy.transpose` takes them."""
        return tuple(self.source.index(axis) for axis in self.stored)

    @property
    def inverse(self) -> tuple[int, ...]:
        """Axes of the stored array in the source's order: undoes `permutation`."""
        return tuple(self.stored.index(axis) for axis in self.source)

    @property
    def is_image(self) -> bool:
        """Whether it is that of images: height, width and channels, and nothing else."""
        return set(self.source[1:]) == set("CHW")

    def without_sequences(self, above: int) -> Layout:
        """The layout of one item of a sequence, of a layout that names the `above` axes of sequences after N too.

        >>> Layout.of("NTCHW").without_sequences(1)
        Layout(source='NCHW', stored='NHWC')

        One whose channels are outside of the items has none, and stays as it is: `NCTHW` of a sequence of HWC images.
        """
        if "C" in self.source[1 : 1 + above]:
            return self
        return Layout.of(self.source[0] + self.source[1 + above :])

    def with_sequences(self, ndim: int) -> Layout:
        """The layout of a batch of that rank, of the layout of its items: the inverse of `without_sequences`.

        >>> Layout.of("NCHW").with_sequences(5)
        Layout(source='NTCHW', stored='NTHWC')
        """
        free = [axis for axis in _SEQUENCE_AXES if axis not in self.source]
        return Layout.of("N" + "".join(reversed(free[: max(0, ndim - len(self.source))])) + self.source[1:])

    def to_stored(self, array: Array) -> Array:
        """A view of a batch, or of a row, as it is stored."""
        return array.transpose(_axes(self.source, self.stored, array.ndim))

    def to_source(self, array: Array) -> Array:
        """A view of what is stored as the loader gave it: the inverse of `to_stored`."""
        return array.transpose(_axes(self.stored, self.source, array.ndim))

    def copy_to_source(self, array: Array) -> Array:
        """The same in memory of its own, unless it is stored as the loader gave it."""
        if self.source == self.stored:
            return array
        view = self.to_source(array)
        out = np.empty(view.shape, view.dtype)
        copy_into(self.to_stored(out), array)
        return out

    def stored_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of a batch, or of a row, as it is stored.

        >>> Layout.of("NCHW").stored_shape((3, 8, 9))
        (8, 9, 3)
        """
        return tuple(shape[axis] for axis in _axes(self.source, self.stored, len(shape)))

    def source_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of what is stored as the loader gave it: the inverse of `stored_shape`."""
        return tuple(shape[axis] for axis in _axes(self.stored, self.source, len(shape)))


@functools.lru_cache(1024)
def _axes(here: str, there: str, ndim: int) -> tuple[int, ...]:
    """Axes of an array of that rank, the last of which are called as `here` says, in the order of `there`."""
    before = ndim - len(here) + 1
    return (*range(before), *(before + here.index(axis) - 1 for axis in there[1:]))


def copy_into(target: Array, values: Array) -> None:
    """`np.copyto`, five times as fast where a few channels, the last axis of both, lie apart in one of them: one strided
    copy a channel keeps NumPy's inner loop on a whole image instead of on one pixel."""
    channels = values.shape[-1] if values.ndim > 2 else 0
    if 1 < channels <= _FEW_CHANNELS and (_are_apart(values) or _are_apart(target)):
        for channel in range(channels):
            target[..., channel] = values[..., channel]
    else:
        np.copyto(target, values)


def _are_apart(array: Array) -> bool:
    """Whether the values of an array's last axis lie further apart than those of the one before."""
    return array.strides[-1] > array.strides[-2]
