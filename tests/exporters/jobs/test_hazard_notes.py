"""What hazards saw, as a note: the same value comes back, and nothing else is ever made of one."""

import dataclasses

import numpy as np
import pytest

from exporters.hazards import base
from exporters.hazards.counts import Labels, Rows
from exporters.hazards.digests import AxisOrders
from exporters.hazards.observers import Observations
from exporters.hazards.padding import Ends, PaddingOfBatch, PaddingSeen
from exporters.hazards.repeats import Digests
from exporters.jobs import hazard_notes as notes
from exporters.outcome import Hazard

SEEN = {
    "rows": Rows(7),
    "labels": Labels({"a": None, "b": -3}, frozenset(["b"])),
    "digests": Digests([np.arange(5, dtype=np.uint64) << np.uint64(60)], False, True, {0: [1, 1 << 63], 1: []}),
    "padding": PaddingSeen(
        ("x",), [PaddingOfBatch(3, {"x": 9}, frozenset("yz"), {"x": {0: Ends(1), -1: None}}, {"x": ("m", 2)})]
    ),
}


def same(one, other):
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_the_same_comes_back():
    """Numbers of 64 bits, tuples, sets, dicts of numbers, arrays and classes are what they were, all the way down."""
    first = (base.Finding("float_images", None, "text", "remedy"),)
    for value in (Observations(7, AxisOrders({"x": (0, 2, 1)}), first, SEEN), Observations(0, None, (), {})):
        assert same(notes.load(notes.dump(value)), value)
    told = (Hazard("drop_last", "train", 3, "message"),)
    assert notes.load(notes.dump(told)) == told


def test_what_is_left_out():
    """What only this process needs is not noted: it is as at first for who goes on."""
    assert notes.load(notes.dump(PaddingSeen(taken=5))).taken == 0


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), np.arange(4).reshape(2, 2), np.array(["x"], object), print])
def test_what_cannot_be_noted(value):
    """What is no plain value is an error where it is written, not where it is read."""
    with pytest.raises(TypeError, match="is no plain value"):
        notes.dump(value)


@pytest.mark.parametrize("note", [
    b"", b"{", b"1", b'{"Popen":{}}\n', b'{"Rows":{"nothing":1}}\n', b'{"array":["<u8",2]}\n12345678',
    b'{"array":["<u8",1]}\n123456789',
    b'{"array":["O",1]}\n12345678',
])  # fmt: skip
def test_what_cannot_be_read(note):
    """A note that is cut short, too long, or of another class is an error that a reader of notes knows."""
    with pytest.raises((ValueError, LookupError, TypeError)):
        notes.load(note)
