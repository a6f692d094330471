"""Lists of a batch as arrays: exact, or refused with what they mix."""

import fractions

import numpy as np
import pytest

from exporters.errors import LoaderError, SchemaError
from exporters.tensors.arrays import are_scalars, check_array, list_to_numpy

LISTS = {
    "ints": ([1, -2], np.int64), "floats": ([0.5, 2.0], np.float64), "ints and floats": ([1, 0.5], np.float64),
    "bools": ([True, False], np.bool_), "complex": ([1j, 2 + 0j], np.complex128), "NumPy's": ([np.int8(3), np.int8(-1)], np.int8),
    "of several sizes": ([np.int8(3), 7], np.int64), "str": (["a", ""], object), "bytes": ([b"a", b"\x00"], object),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS)
def test_lists_that_are_columns(case):
    """A list of one kind of value is an array of it, and has the very values."""
    values, dtype = LISTS[case]
    array = list_to_numpy(values, "x", "split 'train', batch 0")
    assert (array.dtype, array.tolist()) == (np.dtype(dtype), [getattr(value, "item", lambda v=value: v)() for value in values])


REFUSED = {
    "bool and int": ([True, 1], SchemaError, "mixes bool and int"), "str and bytes": (["a", b"a"], SchemaError, "bytes, str"),
    "str and int": (["a", 1], SchemaError, "int, str"), "None": ([1, None], SchemaError, "NoneType"),
    "too large": ([2**63], LoaderError, "int64"), "not exact": ([2**53 + 1, 0.5], SchemaError, "exactly"),
    "fractions": ([fractions.Fraction(1, 3)], LoaderError, "Fraction"), "objects": ([object()], SchemaError, "object"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_lists_that_are_none(case):
    """What no dtype holds, or no two rows may be, is refused with its place and what came."""
    values, error, words = REFUSED[case]
    with pytest.raises(error, match="split 'train', batch 0: 'x'") as caught:
        list_to_numpy(values, "x", "split 'train', batch 0")
    assert words in str(caught.value)


def test_arrays_are_of_the_machines_own_order():
    """A big-endian array comes with the same values, little-endian; one of a dtype that does not come back is refused."""
    array = check_array(np.array([1, 256], ">i4"), "x", "here")
    assert (array.dtype.str, array.tolist()) == ("<i4", [1, 256])
    with pytest.raises(LoaderError, match=r"datetime64.*str\(x\)"):
        check_array(np.array(["2024-01-01"], "M8[D]"), "x", "here")


def test_scalars():
    """Numbers and strings are values of a column, NumPy's own included; lists and arrays are not."""
    assert are_scalars([1, 0.5, "a", b"a", True, np.float16(1), 2j])
    assert not are_scalars([1, [1]])
    assert not are_scalars([np.zeros(1)])
