"""Values that are not finite, and layouts that the shapes contradict."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from exporters.hazards.content import count_not_finite, find_contradiction


@pytest.mark.parametrize(
    ("layout", "shape", "found"),
    [
        ("NHWC", (3, 32, 32), "NCHW"),
        ("NHWC", (1, 28, 28), "NCHW"),
        ("NCHW", (32, 32, 4), "NHWC"),
        ("NCTHW", (3, 16, 64, 64), None),
        ("NTCHW", (16, 3, 64, 64), None),
        ("NCTHW", (16, 3, 64, 64), "NTCHW"),
        ("NTHWC", (8, 3, 32, 32), "NTCHW"),
        ("NCHW", (32, 64, 64), None),
        ("NHWC", (64, 64, 32), None),
        ("NCHW", (3, 1, 32), None),
        ("NHWC", (3, 3, 32), None),
        ("NHWC", (None, 32, 32), None),
        ("NHWC", (3, None, 32), "NCHW"),
        ("NHWC", (3, 32, None), None),
        ("NHW", (3, 32), None),
        ("NC", (32,), None),
    ],
)
def test_layouts_that_contradict_the_data(layout, shape, found):
    """A layout is doubted where its channels are none that images have, and another axis is; the line has the other layout."""
    from exporters.tensors import layout as layout_lib

    findings = list(find_contradiction("x", layout_lib.parse("x", layout, len(shape) + 1), shape))
    assert [finding.remedy for finding in findings] == (
        [f'say where the channels are: layouts={{"x": "{found}"}}'] if found else []
    )


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16])
def test_not_finite(dtype):
    """NaN and infinities are counted, and finite values whose sum is not are none."""
    largest = ml_dtypes.finfo(dtype).max
    with np.errstate(all="ignore"):
        assert count_not_finite(np.array([[largest, largest], [-largest, 0]], dtype)) == (0, 0)
        assert count_not_finite(np.array([[np.nan, np.inf], [-np.inf, 0]], dtype)) == (1, 2)
