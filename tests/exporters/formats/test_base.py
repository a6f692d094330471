"""What every format promises: columns and strings of nothing keep their rows, strings of any length their places, and no file
tells when it was written."""

from __future__ import annotations

import time

import numpy as np
import torch

MIXED = {
    "image": torch.arange(5 * 3 * 4 * 6, dtype=torch.int32).reshape(5, 3, 4, 6),
    "label": torch.arange(5) % 2,
    "n": {"b": torch.arange(5).to(torch.bfloat16), "deep": {"z": torch.arange(5) * 1j}, "t": ["a", "", "é", "x" * 99, "e"]},
    "none": torch.empty(5, 0, 2, dtype=torch.float64),
    "flag": torch.arange(5) > 2,
    "half": torch.arange(5).half(),
    "u": np.arange(5, dtype=np.uint32),
    "words": np.array([[b"a", b"b"]] * 5, object),
}


def test_nothing_but_empty_columns(format, round_trip, assert_same):
    """A dataset whose features hold no byte keeps its rows."""
    empty = {"x": torch.empty(3, 0), "n": {"y": torch.empty(3, 2, 0, 1, dtype=torch.uint8)}}
    layouts = {"n/y": "NHWC"}
    assert_same(round_trip(empty, format=format, layouts=layouts), {"x": empty["x"], "n/y": empty["n"]["y"]})


def test_nothing_but_empty_strings(format, round_trip, assert_same):
    """Strings that are all empty come back, one a row."""
    assert_same(round_trip({"t": ["", ""]}, {"t": [""]}, format=format), {"t": ["", "", ""]})


def test_a_second_later_the_bytes_are_the_same(format, publish, loader_of, tree):
    """Nothing in a file, an HDF5 object header least of all, tells when it was written."""
    first = publish(loader_of(MIXED), format)
    start = int(time.time())
    while int(time.time()) == start:
        time.sleep(0.05)
    assert tree(publish(loader_of(MIXED), format).path) == tree(first.path)


def test_large_strings(format, round_trip, assert_same):
    """Strings far longer than a block, and far more of them than fit a varint of one byte, keep their places."""
    rows = [bytes([i % 251]) * (i * 977 % 70_001) for i in range(60)]
    assert_same(round_trip({"t": rows, "n": np.arange(60)}, format=format), {"t": rows, "n": np.arange(60)})
