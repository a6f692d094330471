"""Values on an even grid: the integer of each, and the scale with the fewest digits that gives their bits."""

import numpy as np
import pytest

from exporters.integers.formulas import Scale
from exporters.integers.grid import closest, complete, fit, measure, span, step_of

EVERY = np.arange(256)


def test_span():
    """Values that lie 255 steps apart are integers, if a step is seen; those that lie fewer apart are not known."""
    values = EVERY / 255
    assert np.array_equal(span(values, "float64", 255).integers, EVERY)
    assert np.array_equal(span(values[[0, 7, 8, 255]], "float64", 255).integers, [0, 7, 8, 255])
    assert span(values[[0, 7, 255]], "float64", 255) is None
    assert span(values[:-1], "float64", 255) is None
    assert span(values + np.where(EVERY == 9, 0.001, 0), "float64", 255) is None
    assert span(values[:1], "float64", 255) is None


def test_step_of():
    """The step of values that need not span anything; none of values on no grid."""
    assert step_of(EVERY[[3, 9, 10]] / 255, "float64") == pytest.approx(1 / 255)
    assert step_of(np.sqrt(EVERY), "float64") == 0
    assert step_of(EVERY[:2] / 255, "float64") == 0


def test_fit():
    """Integers under a scale that is known; None where it does not fit."""
    scale = Scale.of(255, 0.5, 0.25)
    values = scale.ideal(256)
    assert np.array_equal(fit(values[[3, 9]], "float64", scale).integers, [3, 9])
    assert fit(values, "float64", Scale.of(255, 0.501, 0.25)) is None
    assert fit(values + 1 / (255 * 0.25), "float64", scale) is None  # the highest would be 256


def test_the_shortest_scale_comes_first():
    """Of all scales near what was measured, the one with the fewest digits, of unit values or of whole ones."""
    for scale in (Scale.of(255, 0.485, 0.229), Scale.of(255, 0, 1), Scale.of_whole(255, 127.5, 128), Scale.of_whole(255, 0, 256)):
        first = next(measure(span(scale.ideal(256), "float64", 255)))
        assert (first.mean, first.std) == pytest.approx((scale.mean, scale.std), abs=1e-12)
        assert first.is_whole == scale.is_whole


def test_complete_and_closest():
    """What was not seen is computed in the order that gives what was; one odd value among many is told, and not among few."""
    scale = Scale.of(255, 0.1307, 0.3081)
    whole = (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
    grid = fit(whole[::2].astype(np.float64), "float32", scale)
    floats, used = complete([grid], [[scale]])
    assert np.array_equal(floats[0].astype(np.float32), whole)
    assert used == [scale]
    assert closest(grid, [scale]) is None
    grid.values[7] = np.nextafter(np.float32(grid.values[7]), np.float32(9))
    assert complete([grid], [[scale]]) is None
    assert closest(grid, [scale])[0] == 14
    grid.values[:] = np.nextafter(grid.values.astype(np.float32), np.float32(9))
    assert closest(grid, [scale]) is None
