"""What `integers=` may say, in each of its forms."""

import ml_dtypes
import numpy as np
import pytest
import torch

from exporters import ArgumentError
from exporters.options.integers import parse_integers

TABLE = np.linspace(0, 1, 256, dtype=np.float32)


def test_names():
    """Names alone, in any sequence, or nothing."""
    assert parse_integers(None) == {}
    assert list(parse_integers(["a", "b/c"])) == list(parse_integers(("a", "b/c"))) == ["a", "b/c"]
    assert parse_integers({"a": None})["a"].scale is None


def test_scales():
    """A mean and a std, numbers, sequences, arrays or tensors; the shorter one is of all channels."""
    assert parse_integers({"a": (0, 1)})["a"].scale == ((0.0,), (1.0,))
    assert parse_integers({"a": ([0.5, 0.25], 2)})["a"].scale == ((0.5, 0.25), (2.0, 2.0))
    assert parse_integers({"a": (np.zeros(3), torch.ones(3))})["a"].scale == ((0.0,) * 3, (1.0,) * 3)


def test_tables():
    """The floats themselves, of one channel or several, as arrays or tensors of any dtype of floats."""
    for table in (TABLE, torch.from_numpy(TABLE), TABLE[None], np.stack([TABLE, TABLE * 2]), TABLE.astype(np.float64)):
        floats = parse_integers({"a": table})["a"].floats
        assert floats.ndim == 2
        assert np.array_equal(floats, np.atleast_2d(np.asarray(table)))
    coarse = np.arange(256).astype(ml_dtypes.bfloat16)
    assert parse_integers({"a": coarse})["a"].floats.dtype == coarse.dtype


@pytest.mark.parametrize(
    "wrong",
    [
        "image", 3, [3], {"a": 3}, {"a": (1, 2, 3)}, {"a": (0, 0)}, {"a": (0, -1)}, {"a": ([1, 2], [1, 2, 3])},
        {"a": (np.nan, 1)}, {"a": ("x", 1)}, {"a": TABLE[:-1]}, {"a": TABLE[::-1]}, {"a": TABLE.astype(np.int64)},
        {"a": np.where(TABLE == 0, np.float32(-0.0), TABLE)}, {"a": TABLE * np.float32(np.nan)}, {"a": TABLE.reshape(2, 128)},
    ],
)  # fmt: skip
def test_what_makes_no_sense(wrong):
    """Anything else is refused, with what it takes."""
    with pytest.raises(ArgumentError, match="integers"):
        parse_integers(wrong)
