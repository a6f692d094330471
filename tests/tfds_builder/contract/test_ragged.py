"""Rows of different lengths, one by one and padded to the longest."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from tfds_builder.contract import ragged as ragged_lib
from tfds_builder.contract.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(0, 255), max_size=6), max_size=8)


def empty(rows, size):
    return np.full((rows, size), 0xAB, np.uint8)


@hypothesis.given(ROWS, st.sampled_from([np.uint8, np.int32, object]), st.booleans())
def test_rows(rows, dtype, are_long):
    """Each row is the run of values that its bounds say; padded, short ones are filled up with zeros, or empty strings."""
    flat = [value for row in rows for value in row]
    values = np.array([str(v).encode() for v in flat] + [None], object)[:-1] if dtype is object else np.array(flat, dtype)
    column = Ragged(values, np.cumsum([0, *map(len, rows)]))
    expected = [[str(v).encode() if dtype is object else v for v in row] for row in rows]
    assert len(column) == len(rows)
    assert [column[number].tolist() for number in range(len(column))] == expected
    longest = max(map(len, rows), default=0)
    fill = b"" if dtype is object else 0
    with pytest.MonkeyPatch.context() as patch:
        if are_long:
            patch.setattr(ragged_lib, "_LONG_ROW", 0)
        padded = column.to_padded(empty)
    assert (padded.shape, padded.dtype) == ((len(rows), longest), values.dtype)
    assert padded.tolist() == [row + [fill] * (longest - len(row)) for row in expected]


def test_rows_that_are_not_there():
    """A row from the end is found; one that is none is an IndexError."""
    column = Ragged(np.array([1, 2, 3]), np.array([0, 2, 2, 3]))
    assert column[-1].tolist() == [3]
    for row in (3, -4):
        with pytest.raises(IndexError, match=f"row {row} of 3"):
            column[row]
