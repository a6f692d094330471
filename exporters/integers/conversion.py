"""Float columns to the integers of a table, every value checked by its bits, at the speed of memory.

    float - lowest -> times a factor -> nearest integer -> its float in the table -> the same bits, or refused

The integer is a guess, and need be no more: what is stored is proven by the comparison.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from exporters import wording
from exporters.batches.flatten import Batch
from exporters.batches.rows import EMPTY, Rows
from exporters.errors import SchemaError
from tfds_builder.aliases import Array, DType
from tfds_builder.contract.integers import Integers

_BLOCK = 32 * 1024
"""So many values are converted together, in the cache."""
_BEGIN = 20
"""So many first bits tell the floats of most curves apart."""
_BITS: Mapping[int, DType] = {size: np.dtype(f"u{size}") for size in (2, 4, 8)}


@dataclasses.dataclass(frozen=True)
class Conversion:
    """How a column of the loader becomes integers, and back.

    Attributes:
      table: the floats.
      channels: axis of the channels in a batch as the loader gives it; None where none is known.
    """

    table: Integers
    channels: int | None

    @property
    def axis(self) -> int | None:
        """The same; None where all values have one table."""
        return None if self.table.channels == 1 else self.channels

    def to_integers(self, column: Array | Rows, name: str, where: str) -> Array | Rows:
        """A column of floats as integers, in the layout in which it came.

        Raises:
          SchemaError: a value is not in the table; says which: batch, row, channel and value.
        """
        if isinstance(column, Rows) and column.is_unknown:
            return column
        if column.dtype != self.table.numpy_dtype:
            raise SchemaError(
                f"{where}, feature {name!r}: expected dtype {self.table.dtype}, got {column.dtype}; "
                "convert it in the dataset or in collate_fn so that every batch has the same"
            )
        if not isinstance(column, Rows):
            if self.axis is not None and column.shape[self.axis : self.axis + 1] != (self.table.channels,):
                return np.empty(column.shape, self.table.stored_dtype)  # of another shape, which the feature will refuse
            return self._convert(column, self.channels, name, where, 0)
        dtype = np.dtype(self.table.stored_dtype)
        if column.items is not None and self.channels != 1 and len(column):
            channels = None if self.channels is None else self.channels - 1
            return Rows.of_items(self._convert(column.items, channels, name, where, None), [len(row) for row in column.arrays])  # type: ignore[arg-type]
        arrays = tuple(
            row if row is None or row is EMPTY else self._convert(row[None], self.channels, name, where, number)[0, ...]
            for number, row in enumerate(column.arrays)
        )
        return Rows(arrays, dtype)

    def to_floats(self, column: Array) -> Array:
        """What `to_integers` was given."""
        return self.table.restore(column, -1 if self.axis is None else self.axis)

    def _convert(self, array: Array, channels: int | None, name: str, where: str, row: int | None) -> Array:
        """An array as integers.

        Args:
          array: a column, or a part of one.
          channels: their axis in it, as far as it is known.
          name, where: for errors.
          row: of the first of its rows; None if it has items that are those of several rows.
        """
        axis = channels if self.table.channels > 1 else None
        out = np.empty_like(array, np.dtype(self.table.stored_dtype))
        if axis is not None and _are_side_by_side(array, axis) and (together := self._interleaved) is not None:
            with np.errstate(all="ignore"):
                if together.fill(array, out):
                    return out
        for channel, part in _channels(array, axis):
            with np.errstate(all="ignore"):
                is_exact = self._converters[channel].fill(part, _part(out, axis, channel))
            if not is_exact:
                raise SchemaError(f"{where}, feature {name!r}, {self._find_fault(array, channels, row)}; {self._mend(name)}")
        return out

    @functools.cached_property
    def _converters(self) -> list[_Channel]:
        return [_Channel(self.table, channel) for channel in range(self.table.channels)]

    @functools.cached_property
    def _interleaved(self) -> _Interleaved | None:
        """Converts all channels at once where they lie side by side in memory; None where a table lies on a curve."""
        return _Interleaved(self._converters) if all(channel.is_quick for channel in self._converters) else None

    def _find_fault(self, array: Array, channels: int | None, row: int | None) -> str:
        """Which value is the first that is not in the table, in words; arguments as for `_convert`."""
        axis, faults = channels if self.table.channels > 1 else None, []
        for number, part in _channels(array, axis):
            found = np.empty(part.shape, np.dtype(self.table.stored_dtype))
            with np.errstate(all="ignore"):
                wrong = self._converters[number].find_wrong(part, found)
            if wrong.any():
                place = np.unravel_index(int(np.flatnonzero(wrong.reshape(-1))[0]), wrong.shape)
                channel = number if axis is not None or channels is None else int(place[channels])
                faults.append((int(place[0]), number, channel, part[place]))
        first, number, channel, value = min(faults, key=lambda fault: fault[:2])
        words = "" if row is None else f"row {row + first}, "
        words += "" if channels is None else f"channel {channel}, "
        return f"{words}value {self._converters[number].explain(value)}"

    def _mend(self, name: str) -> str:
        return (
            f"no float but those of {self.table.rule} is an integer there: export it as the floats it is, without {name!r} in "
            f"{wording.called('integers')}"
        )


def _are_side_by_side(array: Array, axis: int) -> bool:
    """Whether the channels of each pixel lie side by side in memory, and nothing else does."""
    others = [
        abs(step) for place, (step, size) in enumerate(zip(array.strides, array.shape, strict=True)) if place != axis and size > 1
    ]
    return array.strides[axis] == array.itemsize and all(step > array.itemsize for step in others)


def _channels(array: Array, axis: int | None) -> Iterator[tuple[int, Array]]:
    if axis is None:
        yield 0, array
    else:
        for channel in range(array.shape[axis]):
            yield channel, _part(array, axis, channel)


def _part(array: Array, axis: int | None, channel: int) -> Array:
    if axis is None:
        return array
    part: Array = np.moveaxis(array, axis, 0)[channel]
    return part


@dataclasses.dataclass(frozen=True)
class _Scratch:
    """Memory that is used again for every block, shape (rows, values): else the kernel would find new pages for each."""

    guess: Array
    found: Array
    integer: Array
    index: Array
    wrong: Array

    @classmethod
    def of(cls, shape: tuple[int, ...], floats: DType) -> _Scratch:
        dtypes = (floats, _BITS[floats.itemsize], np.dtype(np.int32), np.dtype(np.intp), np.dtype(bool))
        return cls(*(np.empty(shape, dtype) for dtype in dtypes))

    def cut(self, shape: tuple[int, ...]) -> _Scratch:
        """As much of it as a block needs that may be smaller than the others."""
        if shape == self.guess.shape:
            return self
        rows, values = shape
        return _Scratch(*(part.reshape(-1)[: rows * values].reshape(shape) for part in vars(self).values()))


class _Converter:
    """Converts in blocks.

    Attributes:
      _own: of the floats.
      _step: in how many values the channels come round.
    """

    _own: DType
    _step = 1

    def fill(self, part: Array, out: Array) -> bool:
        """Fills integers into `out`, of the shape of `part`; False if one of its values is not in the table."""
        if not part.size:
            return True
        axes = sorted(range(part.ndim), key=lambda axis: -abs(part.strides[axis]))  # as they lie in memory
        part, target = part.transpose(axes), out.transpose(axes)
        part, flat = part.reshape(part.shape[0], -1), target.reshape(part.shape[0], -1)
        width = min(part.shape[1], _BLOCK - _BLOCK % self._step)
        height = max(1, _BLOCK // width)
        scratch = _Scratch.of((height, width), self._own)
        for row in range(0, part.shape[0], height):
            for start in range(0, part.shape[1], width):
                block = (slice(row, row + height), slice(start, start + width))
                values = part[block]
                if self._find_wrong(values, flat[block], scratch.cut(values.shape)).any():
                    return False
        if not np.may_share_memory(flat, out):
            target[...] = flat.reshape(target.shape)
        return True

    def _find_wrong(self, values: Array, out: Array, scratch: _Scratch) -> Array:
        """Which values of a block are not in the table; their integers go into `out`."""
        raise NotImplementedError


class _Channel(_Converter):
    """Converts one channel."""

    def __init__(self, table: Integers, channel: int) -> None:
        self._floats = np.ascontiguousarray(table.floats[min(channel, table.channels - 1)])
        self._own = self._floats.dtype
        self._levels, size = table.levels, self._floats.itemsize
        self._bits, self._stored = _BITS[size], np.dtype(table.stored_dtype)
        self._table_bits, self._inverse = self._floats.view(self._bits), None
        if size == 2:
            self._inverse = np.full(2**16, -1, np.int32)
            self._inverse[self._table_bits] = np.arange(self._levels)
        else:
            own, ends = self._floats.dtype.type, self._floats[[0, -1]].astype(np.float64)
            self._lowest, self._magic = self._floats[0], own(2.0 ** (52 if size == 8 else 23))
            self._factor = own((self._levels - 1) / (ends[1] - ends[0]))
            self._is_even, found = True, np.empty(self._levels, self._stored)
            with np.errstate(all="ignore"):
                self._is_even = not self.find_wrong(self._floats, found).any() and bool((found == np.arange(self._levels)).all())
        self._sorted = self._floats.astype(np.float64)

    @functools.cached_property
    def _buckets(self) -> Array | None:
        """Of a table on a curve, the integer of every beginning of a float, its first bits; None where two floats begin alike."""
        begins = (self._table_bits >> self._shift).astype(np.intp)
        if len(np.unique(begins)) < len(begins):
            return None
        buckets = np.zeros(2**_BEGIN, np.int32)
        buckets[begins] = np.arange(self._levels)
        return buckets

    @property
    def _shift(self) -> int:
        return 8 * self._bits.itemsize - _BEGIN

    @property
    def is_quick(self) -> bool:
        """Whether integers are found by a line, or at once."""
        return self._inverse is not None or self._is_even

    def find_wrong(self, part: Array, out: Array) -> Array:
        """Which values are not in the table; their integers go into `out`, of the same shape."""
        flat, found = part.reshape(1, -1), np.empty((1, part.size), self._stored)
        wrong = self._find_wrong(flat, found, _Scratch.of(flat.shape, self._floats.dtype))
        out[...] = found.reshape(part.shape)
        return wrong.reshape(part.shape)

    def _find_wrong(self, values: Array, out: Array, scratch: _Scratch) -> Array:
        if self._inverse is not None:  # of 16 bits: the integer of every float there is
            np.copyto(scratch.index, values.view(self._bits))
            np.take(self._inverse, scratch.index, out=scratch.integer, mode="wrap")
            np.copyto(out, scratch.integer, casting="unsafe")
            return np.less(scratch.integer, 0, out=scratch.wrong)
        if self._is_even:
            guess = np.subtract(values, self._lowest, out=scratch.guess)
            guess *= self._factor
            guess += self._magic  # what is added to it is rounded to an integer, in the lowest bits
            np.copyto(out, guess.view(self._bits), casting="unsafe")
        elif self._buckets is not None:
            np.copyto(scratch.index, values.view(self._bits) >> self._shift, casting="unsafe")
            np.copyto(out, np.take(self._buckets, scratch.index, out=scratch.integer, mode="wrap"), casting="unsafe")
        else:
            out[...] = np.minimum(np.searchsorted(self._floats, values), self._levels - 1)
        np.copyto(scratch.index, out)
        np.take(self._table_bits, scratch.index, out=scratch.found, mode="wrap")
        return np.not_equal(scratch.found, values.view(self._bits), out=scratch.wrong)

    def explain(self, value: Array) -> str:
        """What is wrong with a value, in words."""
        number, shown = float(value), repr(float(value)) if self._floats.itemsize == 8 else f"{float(value):.9g}"
        if np.isnan(number):
            return "NaN, which is no integer"
        if number == 0 and np.signbit(number):
            return "-0.0, which is no integer; it would come back as 0.0"
        nearest = int(np.argmin(np.abs(self._sorted - number)))
        float_of = self._sorted[nearest]
        step = (self._sorted[-1] - self._sorted[0]) / (self._levels - 1)
        known = repr(float(float_of)) if self._floats.itemsize == 8 else f"{float(float_of):.9g}"
        if abs(number - float_of) < step / 8:
            return f"{shown}, which is near {known}, the float of {nearest}: two floats for one integer"
        return f"{shown}, which is not in the table; the nearest is {known}, the float of {nearest}"


class _Interleaved(_Converter):
    """Converts channels that lie side by side, one value of each after the other."""

    def __init__(self, channels: list[_Channel]) -> None:
        first, self._step = channels[0], len(channels)
        self._own, self._bits, self._levels = first._own, first._bits, first._levels
        self._is_sixteen = first._inverse is not None
        self._places = self._repeat(np.arange(self._step) * (2**16 if self._is_sixteen else self._levels), np.dtype(np.intp))
        if self._is_sixteen:
            self._inverse = np.concatenate([channel._inverse for channel in channels if channel._inverse is not None])
            return
        self._table_bits = np.concatenate([channel._table_bits for channel in channels])
        self._lowest = self._repeat([channel._lowest for channel in channels], self._own)
        self._factor = self._repeat([channel._factor for channel in channels], self._own)
        self._magic = first._magic

    def _repeat(self, numbers: Sequence[object] | Array, dtype: DType) -> Array:
        return np.tile(np.array(numbers, dtype), _BLOCK // self._step)

    def _find_wrong(self, values: Array, out: Array, scratch: _Scratch) -> Array:
        width = values.shape[1]
        if self._is_sixteen:
            np.copyto(scratch.index, values.view(self._bits))
            index = np.add(scratch.index, self._places[:width], out=scratch.index)
            np.take(self._inverse, index, out=scratch.integer, mode="wrap")
            np.copyto(out, scratch.integer, casting="unsafe")
            return np.less(scratch.integer, 0, out=scratch.wrong)
        guess = np.subtract(values, self._lowest[:width], out=scratch.guess)
        guess *= self._factor[:width]
        guess += self._magic
        np.copyto(out, guess.view(self._bits), casting="unsafe")
        np.copyto(scratch.index, out)
        index = np.add(scratch.index, self._places[:width], out=scratch.index)
        np.take(self._table_bits, index, out=scratch.found, mode="wrap")
        return np.not_equal(scratch.found, values.view(self._bits), out=scratch.wrong)


def convert(batch: Batch, conversions: Mapping[str, Conversion], names: Mapping[str, str], where: str) -> Batch:
    """A batch in which columns of floats are integers. What a worker has converted by the same table stays as it is.

    Args:
      batch: of the loader, or one that this function has given.
      conversions: by structural name.
      names: flat names, by structural name.
      where: split and batch, for errors.

    Raises:
      SchemaError: a value is not in its table.
    """
    columns, done = dict(batch.columns), dict(batch.integers)
    for source, conversion in conversions.items():
        if source in batch.encoded:
            if batch.encoded[source].table != conversion.table:
                raise SchemaError(
                    f"{where}, feature {names[source]!r}: a worker has found another table of floats in its first batch; say "
                    f"which: {wording.argument('integers', {names[source]: wording.Code('(MEAN, STD)')})}"
                )
            continue
        table = done.get(source)
        if source not in columns or table == conversion.table:
            continue
        column = columns[source]
        if table is not None:
            assert isinstance(column, np.ndarray)
            column = dataclasses.replace(conversion, table=table).to_floats(column)
        columns[source], done[source] = conversion.to_integers(column, names[source], where), conversion.table
    return dataclasses.replace(batch, columns=columns, integers=done)
