"""Layouts: read the one way there is, or refused; permuted and put back without a copy."""

from __future__ import annotations

import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import LayoutError
from exporters.tensors import layout


@given(axes=st.permutations("CHWDT").map("".join), rank=st.integers(1, 5))
def test_inverse_undoes_permutation(axes, rank):
    """`to_source` gives back the very array `to_stored` permuted, for sizes that tell every axis apart."""
    source = "N" + axes[:rank]
    found = layout.parse("x", source, len(source))
    shape = tuple(range(2, 2 + len(source)))
    array = np.arange(math.prod(shape)).reshape(shape)
    stored = found.to_stored(array)
    assert sorted(found.stored) == sorted(source)
    assert found.stored[-1] == ("C" if "C" in source else source[-1])
    assert [stored.shape[found.stored.index(axis)] for axis in source] == list(shape)
    assert np.shares_memory(stored, array)
    np.testing.assert_array_equal(found.to_source(stored), array)
    np.testing.assert_array_equal(found.copy_to_source(stored), array)
    assert found.stored_shape(array.shape) == stored.shape
    assert found.source_shape(stored.shape) == array.shape
    assert tuple(found.permutation[i] for i in found.inverse) == tuple(range(len(source)))


def test_permutations_that_are_not_their_own_inverse():
    """NCHW and NCDHW move axes as written here, pixel by pixel; the inverse is another permutation."""
    found = layout.parse("x", "NCHW", 4)
    assert (found.stored, found.permutation, found.inverse) == ("NHWC", (0, 2, 3, 1), (0, 3, 1, 2))
    video = layout.parse("x", "NTCHW", 5)
    assert (video.stored, video.permutation, video.inverse) == ("NTHWC", (0, 1, 3, 4, 2), (0, 1, 4, 2, 3))
    volume = layout.parse("x", "NCDHW", 5)
    assert (volume.stored, volume.permutation, volume.inverse) == ("NDHWC", (0, 2, 3, 4, 1), (0, 4, 1, 2, 3))
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    stored = found.to_stored(array)
    for n, c, h, w in itertools.product(*map(range, array.shape)):
        assert stored[n, h, w, c] == array[n, c, h, w]


def expected_decision(shape):
    """The rule of docs and design, written a second time: layout, `"ambiguous"` or None."""
    channels = [size in (1, 3, 4) for size in shape]
    if len(shape) == 4:
        return {(1, 1): "ambiguous", (1, 0): "NCHW", (0, 1): "NHWC", (0, 0): None}[channels[1], channels[3]]
    if len(shape) == 5:
        readings = [reading for reading, axis in (("NCDHW", 1), ("NTCHW", 2), ("NDHWC", 4)) if channels[axis]]
        return "ambiguous" if len(readings) > 1 else readings[0] if readings else None
    return None


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6).map(tuple))
def test_decisions(shape):
    """A shape has one reading, none, or is an error that names the feature and gives lines that settle it."""
    expected = expected_decision(shape)
    if expected != "ambiguous":
        found = layout.decide("x", shape, None)
        assert (found and found.source) == expected
        return
    with pytest.raises(LayoutError) as caught:
        layout.decide("pic", shape, None)
    assert "'pic'" in str(caught.value)
    assert str(shape) in str(caught.value)
    for reading in ("NCHW", "NHWC") if len(shape) == 4 else ("NCDHW", "NTCHW", "NDHWC"):
        fits = shape[reading.index("C")] in (1, 3, 4)
        assert (f'layouts={{"pic": "{reading}"}}' in str(caught.value)) == fits
        assert layout.decide("pic", shape, reading).source == reading


WINDOWS = {
    (16, 2, 3, 96, 128): "NTCHW",
    (16, 3, 8, 64, 64): "NCDHW",
    (16, 8, 64, 64, 3): "NDHWC",
    (16, None, 3, 96, 128): "NTCHW",
    (16, 2, 7, 3, 9): None,
    (16, 2, 2, 3, 9, 8): None,
}


@pytest.mark.parametrize("shape", WINDOWS)
def test_five_axes(shape):
    """Where only one axis that channels can be has 1, 3 or 4, it is them; more than five axes are kept."""
    found = layout.decide("x", shape, None)
    assert (found and found.source) == WINDOWS[shape]


@pytest.mark.parametrize(
    "shape", [(8, 3, 5, 3), (8, 1, 5, 1), (8, 4, 4, 4), (8, 3, 3, 1), (8, 1, 1, 3), (2, 3, 4, 8, 9), (2, 7, 3, 8, 3)]
)
def test_ambiguous_batches_are_not_exported(shape, loader_of, refuses, round_trip, assert_same):
    """An ambiguous batch is refused before anything is written, and the `layouts=` line of the message mends it."""
    images = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    error = refuses(loader_of({"pic": images}), LayoutError, "'pic'")
    lines = [json.loads(line)["pic"] for line in re.findall(r"layouts=(\{.*?\})", str(error))]
    assert_same(round_trip({"pic": images}, layouts={"pic": lines[0]}), {"pic": np.moveaxis(images, lines[0].index("C"), -1)})


BAD = {
    "rank too low": ("NCHW", (2, 3, 5)),
    "rank too high": ("NCW", (2, 3, 5, 6)),
    "no N": ("CHW", (2, 3, 5)),
    "N not first": ("CNHW", (2, 3, 5, 6)),
    "twice": ("NCHH", (2, 3, 5, 6)),
    "lower case": ("nchw", (2, 3, 5, 6)),
    "empty": ("", (2, 3)),
    "digits": ("NC12", (2, 3, 5, 6)),
    "no str": (0, (2, 3)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_layouts(case, loader_of, refuses):
    """A `layouts=` entry that is no layout or has another rank is refused with the feature and the entry named."""
    given_layout, shape = BAD[case]
    refuses(loader_of({"pic": np.zeros(shape)}), LayoutError, "'pic'", repr(given_layout), layouts={"pic": given_layout})


def test_layout_without_channels(round_trip, assert_same):
    """A layout without `C` keeps the array as it is, also where the shape alone would be taken for an image."""
    array = np.arange(2 * 3 * 5 * 6).reshape(2, 3, 5, 6)
    assert_same(round_trip({"x": array}, layouts={"x": "NTHW"}), {"x": array})


def test_layout_of_a_nested_feature(format, publish, loader_of, read_back, manifest_of, assert_same):
    """`layouts=` takes flat names; the manifest and the decisions keep the source layout."""
    array = np.arange(2 * 5 * 3 * 6 * 7).reshape(2, 5, 3, 6, 7)
    result = publish(loader_of({"a": {"v": array}}), format, layouts={"a/v": "NTCHW"})
    assert_same(read_back(result), {"a/v": array.transpose(0, 1, 3, 4, 2)})
    assert manifest_of(result).columns[0].source_layout == "NTCHW"
    assert result.decisions == ("a/v: NTCHW (5, 3, 6, 7) -> NTHWC (5, 6, 7, 3), Tensor int64",)


@pytest.mark.parametrize("shape", [(2, 3, 5, 6), (2, 3, 5)])
def test_layout_of_strings(shape, format, round_trip, assert_same):
    """Arrays of strings follow their layout as numbers do."""
    words = np.array([f"word {i}".encode() for i in range(math.prod(shape))], object).reshape(shape)
    layouts = {"x": "NCHW"[: len(shape)]}
    assert_same(round_trip({"x": words}, format=format, layouts=layouts), {"x": np.moveaxis(words, 1, -1)})
