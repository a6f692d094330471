"""NumPy arrays, and lists, of a batch as arrays of a dtype that can be stored; and what takes the place of an array that is
encoded already."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable, Sequence

import numpy as np

from exporters.aliases import Picture, RawValue, Tensor
from exporters.errors import LoaderError, SchemaError
from tfds_builder.aliases import Array, DType
from tfds_builder.contract.integers import Integers
from tfds_builder.contract.manifest import Column
from tfds_builder.contract.ragged import Ragged

Columns = dict[str, Array | Ragged]
"""Stored columns of a batch, by flat name."""

PADS = (0, -1, -100)
"""What rows are padded with, usually."""


def values_of(column: Array | Ragged) -> Array:
    """The values of a stored column, whether its rows have one size or many."""
    return column.values if isinstance(column, Ragged) else column


_STORABLE = frozenset("?bBhHiIlLqQefdFD")
"""NumPy type characters of the dtypes that come back bit-exact (docs/format.md has the table)."""


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A column that a worker of the DataLoader has encoded already.

    Attributes:
      values: as they are stored.
      column: how the worker stores it.
      dtype, shape: of the array it was, batch axis included.
      table: by which its floats became integers before that; None if they did not.
    """

    values: Array
    column: Column
    dtype: DType
    shape: tuple[int | None, ...]
    table: Integers | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclasses.dataclass(frozen=True)
class AsIntegers:
    """A column of floats that a worker of the DataLoader has made integers already.

    Attributes:
      values: the integers, in the layout of the loader: a tensor of bytes, or of 16 bits, which crosses in shared memory.
      table: which float each of them is.
    """

    values: Tensor
    table: Integers

    def __len__(self) -> int:
        return len(self.values)


_MENDS = {
    "M": 'convert it in collate_fn: x.astype("int64"), or str(x)',
    "m": 'convert it in collate_fn: x.astype("int64")',
    "f": "convert it in collate_fn: x.astype(numpy.float64)",
    "c": "convert it in collate_fn: x.astype(numpy.complex128)",
    "names": "give its fields as features: {name: x[name] for name in x.dtype.names}",
}
"""What to do about arrays that cannot be stored, by NumPy's kind of their dtype."""


def shown(path: str) -> str:
    """A structural name as an error shows it."""
    return repr(path or "the batch")


SCALARS = (str, bytes, numbers.Number, np.generic)
"""The types that a single value of a column can have."""


def is_scalar(value: object) -> bool:
    """Whether an item of a list is a single value of a column."""
    return isinstance(value, SCALARS)


def are_scalars(values: Iterable[RawValue]) -> bool:
    """Whether all items of a list are single values. Their types tell, of which there are few."""
    return all(issubclass(kind, SCALARS) for kind in set(map(type, values)))


_PICTURES = ("L", "RGB", "RGBA", "I;16")
"""Modes of Pillow's images whose bands are the channels of an array."""


_PICTURE_MENDS = {
    "LA": 'image.convert("RGBA")',
    "P": 'numpy.asarray(image) for the numbers of classes, image.convert("RGB") for colours',
    **dict.fromkeys(("1", "I", "F"), "numpy.asarray(image)"),
}
"""What to do about Pillow's images of other modes, so that nothing is lost."""


def is_picture(value: object) -> bool:
    """Whether a value is an image of Pillow's."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def picture_to_numpy(image: Picture, path: str, where: str) -> Array:
    """An image of Pillow's as an array of shape (height, width, channels), uint8, or uint16 of mode I;16.

    Raises:
      LoaderError: its values are no channels: of a palette, say.
    """
    if image.mode not in _PICTURES:
        mend = _PICTURE_MENDS.get(image.mode, 'image.convert("RGB")')
        raise LoaderError(f"{where}: {shown(path)} is an image of mode {image.mode!r}; convert it in the dataset: {mend}")
    array: Array = np.asarray(image)
    return array if array.ndim == 3 else array[..., None]


def check_array(array: Array, path: str, where: str) -> Array:
    """A NumPy array of a storable dtype, little-endian, strings as an object array."""
    import ml_dtypes

    if isinstance(array, np.ma.MaskedArray):
        raise LoaderError(f"{where}: {shown(path)} is a masked array; fill it (.filled(value)) in collate_fn")
    array = np.asarray(array)
    if array.dtype.kind in "UST":  # of a StringDType too, where what is missing is no str
        array = array.astype(object)
    if array.dtype.kind == "O":
        if array.ndim == 0:
            return array
        _check_strings(array.ravel().tolist(), path, where)
        return array
    if array.dtype == ml_dtypes.bfloat16:
        return array
    if array.dtype.char not in _STORABLE:
        mend = _MENDS.get(array.dtype.kind if array.dtype.names is None else "names", "convert it in collate_fn")
        raise LoaderError(f"{where}: {shown(path)} has dtype {array.dtype}, which TFDS cannot store bit-exact; {mend}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="))


def list_to_numpy(values: Sequence[RawValue], path: str, where: str) -> Array:
    """A list of str, bytes or numbers, one a row. All ints give int64, any float float64.

    Raises:
      SchemaError: the values are of types that no single column holds: rows contradict each other.
      LoaderError: one of them cannot be stored, whatever the others are.
    """
    types = set(map(type, values))
    if all(issubclass(kind, str) for kind in types) or all(issubclass(kind, bytes) for kind in types):
        return _object_array(values)
    if any(issubclass(kind, str | bytes) for kind in types):
        _check_strings(values, path, where)
    odd = [kind.__name__ for kind in types if not issubclass(kind, numbers.Number | np.generic)]
    if odd:
        raise SchemaError(f"{where}: {shown(path)} is a list that mixes numbers with {min(odd)}; give every example a number")
    kinds = set(map(_number_kind_of, types))
    if len(kinds) > 1 and kinds != {"int", "float"}:
        raise SchemaError(f"{where}: {shown(path)} is a list that mixes {' and '.join(sorted(kinds))}; use one type of number")
    if len(types) > 1:  # NumPy would find them a type of its own
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if kinds == {"int"} and all(issubclass(kind, int) for kind in set(map(type, values))):
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            raise LoaderError(f"{where}: {shown(path)} has an int that does not fit into int64") from None
    try:
        array = check_array(np.array(values, None if kinds != {"int", "float"} else np.float64), path, where)
    except OverflowError:
        raise LoaderError(f"{where}: {shown(path)} has an int that does not fit into float64") from None
    if types != {float} and any(
        converted != value and value == value for converted, value in zip(array.tolist(), values, strict=True)
    ):
        raise SchemaError(f"{where}: {shown(path)} is a list that {array.dtype} cannot hold exactly; use one type of number")
    return array


def number_kind(value: object) -> str:
    """Whether a number is a bool, an int, a float or a complex one, as a word; NumPy's scalars included."""
    return _number_kind_of(type(value))


def _number_kind_of(kind: type) -> str:
    if issubclass(kind, bool | np.bool_):
        return "bool"
    return "int" if issubclass(kind, numbers.Integral) else "float" if issubclass(kind, numbers.Real) else "complex"


def _check_strings(values: Sequence[RawValue], path: str, where: str) -> None:
    """Raises unless all values are str, or all bytes: SchemaError where some are, LoaderError where one may be in no batch."""
    kinds = {type(value) for value in values}
    if all(issubclass(kind, str) for kind in kinds) or all(issubclass(kind, bytes) for kind in kinds):
        return
    if all(issubclass(kind, numbers.Number) for kind in kinds):  # Fraction, Decimal
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise LoaderError(f"{where}: {shown(path)} holds {names}, which no dtype holds exactly; give float(x), or str(x)")
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    is_contradiction = len(kinds) > 1 and all(issubclass(kind, (*SCALARS, type(None))) for kind in kinds)
    error = SchemaError if is_contradiction else LoaderError
    raise error(f"{where}: {shown(path)} must hold only str or only bytes (got {found}); convert it in collate_fn")


def _object_array(values: Sequence[RawValue]) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out
